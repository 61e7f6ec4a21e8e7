package runtime

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Sampler chooses the next token from a model's logits. The zero value is greedy: it takes the largest
// logit, and of equal ones the lowest id. These steps follow one another:
//
//  1. RepetitionPenalty r > 1 divides the positive logits of tokens that stand in the prompt or the output by r and
//     multiplies the negative ones (Keskar et al. 2019); 0 and 1 do nothing.
//  2. FrequencyPenalty f and PresencePenalty p take f*n + p off the logit of a token that stands n > 0 times in the output (the
//     definition of OpenAI's interface; negative values favour repetition).
//  3. Temperature t: the largest logit wins if t is 0; else p[i] ~ exp(logits[i] / t).
//  4. TopK keeps the k most likely tokens.
//  5. TopP keeps the fewest of those whose probability sums to TopP (Holtzman et al. 2020).
//  6. MinP keeps those at least MinP times as likely as the first (Nguyen et al. 2024).
//  7. One of those left is drawn by a PCG seeded with Seed.
//
// The same logits and seed give the same tokens on every machine. It is not for concurrent use.
type Sampler struct {
	Temperature       float32
	TopK              int     // 0: all
	TopP              float32 // 0 or 1: all
	MinP              float32 // 0: all
	Seed              uint64
	RepetitionPenalty float32
	FrequencyPenalty  float32
	PresencePenalty   float32

	rng     *rand.Rand
	tokens  []candidate
	guessed []float64 // by id: the probability that a token was guessed by
	seen    []int32   // by id: one more than the times it stands in the output, 0 for tokens that are not in the text
	text    []int32   // the ids with seen > 0, in the order they came
}

// Begin forgets the text before and takes note of a new prompt. The draws go on where they were.
func (s *Sampler) Begin(prompt []int32) {
	for _, id := range s.text {
		s.seen[id] = 0
	}
	s.text = s.text[:0]
	for _, id := range prompt {
		s.note(id, 0)
	}
}

// Accept takes note of a token of the output.
func (s *Sampler) Accept(id int32) { s.note(id, 1) }

func (s *Sampler) note(id int32, times int32) {
	if !s.penalizes() || id < 0 {
		return
	}
	for len(s.seen) <= int(id) {
		s.seen = append(s.seen, 0)
	}
	if s.seen[id] == 0 {
		s.seen[id] = 1
		s.text = append(s.text, id)
	}
	s.seen[id] += times
}

func (s *Sampler) penalizes() bool {
	return s.RepetitionPenalty > 0 && s.RepetitionPenalty != 1 || s.FrequencyPenalty != 0 || s.PresencePenalty != 0
}

// candidate is a token with its logit, which becomes its probability.
type candidate struct {
	id int32
	v  float32
}

// Next returns a token's id, which is an index of logits. NaN logits are never chosen, nor -Inf, unless
// all are such, which gives the lowest id that is not NaN, or 0. It does not change logits, and allocates at the first call only,
// or when the vocabulary grows.
func (s *Sampler) Next(logits []float32) int32 {
	if len(logits) == 0 {
		return 0
	}
	if s.Temperature <= 0 {
		penalty := len(s.text) > 0 && s.penalizes()
		best, at := float32(math.Inf(-1)), -1
		if !penalty {
			best, at = largest(logits)
		}
		for i := 0; i < len(logits) && (penalty || at < 0); i++ {
			v := logits[i]
			if penalty {
				v = s.penalized(i, v)
			}
			if v > best || at < 0 && v == v {
				best, at = v, i
			}
		}
		return int32(max(at, 0))
	}
	t := s.weights(logits)
	if len(t) == 0 {
		return int32(max(0, slices.Index(logits, float32(math.Inf(-1)))))
	}
	return s.draw(t)
}

// largest returns the largest logit and its place, the first of equal ones; NaN is none, and neither is -Inf: the place is -1 without others.
func largest(logits []float32) (best float32, at int) {
	best, at = float32(math.Inf(-1)), -1
	for i, v := range logits {
		if v != v {
			continue
		}
		if top := kernels.MaxRow(logits[i:]); top > best {
			return top, i + slices.Index(logits[i:], top)
		}
		break
	}
	return best, at
}

// weights returns the tokens that may be drawn, with weights that their probabilities are in proportion to; none if no logit is
// above -Inf. They are valid until the next call.
func (s *Sampler) weights(logits []float32) []candidate {
	penalty := len(s.text) > 0 && s.penalizes()
	s.tokens = slices.Grow(s.tokens[:0], len(logits))
	impossible := float32(math.Inf(-1))
	for i, v := range logits {
		if penalty {
			v = s.penalized(i, v)
		}
		if v > impossible {
			s.tokens = append(s.tokens, candidate{int32(i), v})
		}
	}
	if len(s.tokens) == 0 {
		return nil
	}
	return s.restrict(s.tokens)
}

func (s *Sampler) penalized(i int, v float32) float32 {
	if i >= len(s.seen) || s.seen[i] == 0 {
		return v
	}
	if r := s.RepetitionPenalty; r > 0 && v > 0 {
		v /= r
	} else if r > 0 {
		v *= r
	}
	if n := s.seen[i] - 1; n > 0 {
		v -= float32(s.FrequencyPenalty*float32(n)) + s.PresencePenalty
	}
	return v
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

// draw takes one of the tokens in proportion to their weights.
func (s *Sampler) draw(t []candidate) int32 {
	var total float64
	for _, c := range t {
		total += float64(c.v)
	}
	u := s.random() * total
	for _, c := range t {
		if u -= float64(c.v); u < 0 {
			return c.id
		}
	}
	return t[len(t)-1].id
}

// random returns a number in [0, 1).
func (s *Sampler) random() float64 {
	if s.rng == nil {
		s.rng = rand.New(rand.NewPCG(s.Seed, 0))
	}
	return s.rng.Float64()
}
