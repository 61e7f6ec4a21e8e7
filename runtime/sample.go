package runtime

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampler chooses the next token from a model's logits. The zero value is greedy: it takes the largest
// logit, and of equal ones the lowest id. With a Temperature t > 0 it draws from
//
//	p[i] ~ exp(logits[i] / t)
//
// restricted to the TopK most likely tokens, then to the fewest of those whose probability sums to TopP (Holtzman et al.
// 2020), then to those at least MinP times as likely as the first (Nguyen et al. 2024). The
// draws are those of a PCG seeded with Seed, so the same logits give the same tokens on every machine. It
// is not for concurrent use.
type Sampler struct {
	Temperature float32
	TopK        int     // 0: all
	TopP        float32 // 0 or 1: all
	MinP        float32 // 0: all
	Seed        uint64
	// RepetitionPenalty r > 1 divides the positive logits of tokens in Recent by r and multiplies
	// the negative ones (Keskar et al. 2019); 0 and 1 do nothing.
	RepetitionPenalty float32
	Recent            []int32

	rng    *rand.Rand
	tokens []candidate
	seen   []bool
}

// candidate is a token with its logit, which becomes its probability.
type candidate struct {
	id int32
	v  float32
}

// Next returns a token's id, which is an index of logits. NaN logits are never chosen, unless
// all are, which gives 0. It does not change logits, and allocates at the first call only, or when the
// vocabulary grows.
func (s *Sampler) Next(logits []float32) int32 {
	if len(logits) == 0 {
		return 0
	}
	penalty := s.RepetitionPenalty > 0 && s.RepetitionPenalty != 1 && len(s.Recent) > 0
	if penalty {
		s.mark(len(logits), true)
		defer s.mark(len(logits), false)
	}
	if s.Temperature <= 0 {
		best, at := float32(math.Inf(-1)), -1
		for i, v := range logits {
			if penalty {
				v = s.penalized(i, v)
			}
			if v > best || at < 0 && v == v {
				best, at = v, i
			}
		}
		return int32(max(at, 0))
	}
	s.tokens = slices.Grow(s.tokens[:0], len(logits))
	for i, v := range logits {
		if penalty {
			v = s.penalized(i, v)
		}
		if v == v {
			s.tokens = append(s.tokens, candidate{int32(i), v})
		}
	}
	if len(s.tokens) == 0 {
		return 0
	}
	return s.draw(s.restrict(s.tokens))
}

// mark notes which tokens are recent.
func (s *Sampler) mark(n int, v bool) {
	if len(s.seen) < n {
		s.seen = make([]bool, n)
	}
	for _, id := range s.Recent {
		if id >= 0 && int(id) < n {
			s.seen[id] = v
		}
	}
}

func (s *Sampler) penalized(i int, v float32) float32 {
	switch {
	case !s.seen[i]:
		return v
	case v > 0:
		return v / s.RepetitionPenalty
	}
	return v * s.RepetitionPenalty
}

// byLogit orders the likeliest token first, and the lowest id of equal ones.
func byLogit(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.v, a.v), cmp.Compare(a.id, b.id))
}

// restrict turns logits into unnormalized probabilities, likeliest first, and cuts off the unlikely ones. Without
// a cut the order of ids stays.
func (s *Sampler) restrict(t []candidate) []candidate {
	topP := s.TopP > 0 && s.TopP < 1
	topK := s.TopK > 0 && s.TopK < len(t)
	if topK {
		selectTop(t, s.TopK)
		t = t[:s.TopK]
	}
	if topK || topP {
		slices.SortFunc(t, byLogit)
	}
	best := t[0].v
	for _, c := range t {
		best = max(best, c.v)
	}
	var total float64
	for i, c := range t {
		p := float32(1)
		if c.v != best {
			p = float32(math.Exp(float64((c.v - best) / s.Temperature)))
		}
		t[i].v = p
		total += float64(p)
	}
	if topP {
		var sum float64
		for i, c := range t {
			if sum += float64(c.v); sum >= float64(s.TopP)*total {
				t = t[:i+1]
				break
			}
		}
	}
	if s.MinP > 0 {
		kept := t[:0]
		for _, c := range t {
			if c.v >= s.MinP {
				kept = append(kept, c)
			}
		}
		t = kept
	}
	return t
}

// selectTop moves the k first tokens in the order of byLogit to the front (Hoare's selection, with the median of
// three as pivot).
func selectTop(t []candidate, k int) {
	lo, hi := 0, len(t)-1
	for lo < hi {
		a, b, c := t[lo], t[(lo+hi)/2], t[hi]
		if byLogit(a, b) > 0 {
			a, b = b, a
		}
		if byLogit(b, c) > 0 {
			if b = c; byLogit(a, b) > 0 {
				b = a
			}
		}
		i, j := lo, hi
		for i <= j {
			for byLogit(t[i], b) < 0 {
				i++
			}
			for byLogit(t[j], b) > 0 {
				j--
			}
			if i <= j {
				t[i], t[j] = t[j], t[i]
				i++
				j--
			}
		}
		switch {
		case k-1 <= j:
			hi = j
		case k-1 >= i:
			lo = i
		default:
			return
		}
	}
}

// draw takes one of the tokens in proportion to their weights, of which the largest is 1.
func (s *Sampler) draw(t []candidate) int32 {
	if s.rng == nil {
		s.rng = rand.New(rand.NewPCG(s.Seed, 0))
	}
	var total float64
	for _, c := range t {
		total += float64(c.v)
	}
	u := s.rng.Float64() * total
	for _, c := range t {
		if u -= float64(c.v); u < 0 {
			return c.id
		}
	}
	return t[len(t)-1].id
}
