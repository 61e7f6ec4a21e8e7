package runtime

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Speculation lets a drafter guess how a text goes on. The model takes the guesses in at once, which costs little more than one token,
// and keeps those that it would have chosen (Leviathan et al. 2023; Chen et al. 2023). The output does not change: with a greedy sampler its
// tokens are the same, with another one their distribution is. It depends on the seed, not on time or threads.
//
// How many tokens are guessed follows from how many of the last guesses were kept and from what guesses cost. Not for concurrent use.
type Speculation struct {
	Drafter Drafter
	Most    int // tokens guessed at once; 0: 5, which products of few rows take in together, or 1 of a model for weights of up to 16 MiB

	rate  float64 // how often a guess is kept: a moving average
	idle  int     // tokens since the last guess
	vocab int     // of the model
	small bool    // its weights come from a cache
}

// Drafter guesses tokens.
type Drafter interface {
	// Draft returns at most n tokens that may follow a text, one after the other, where s will draw them. They are valid until the next call.
	Draft(ctx context.Context, text []int32, n int, s *Sampler) ([]Guess, error)
	// Price is what one guess costs, in passes of the model that it guesses for.
	Price() float64
}

// Guess is a token that a drafter expects.
type Guess struct {
	ID   int32
	from []candidate // the probabilities that it was drawn by; nil: nothing else could have come
}

const (
	// defaultGuesses pay where a pass waits for weights to come from memory. Those of up to cachedBytes come from a cache, so that each token more costs
	// about a quarter of a pass (gutenberg-9M with 4 bits): one guess pays, more do not.
	defaultGuesses = 5
	cachedBytes    = 16 << 20
	// rowPrice is what one more token in a pass costs, in passes of one token: measured on the 9M and 1.1B shapes with 4 bits, up to 6 tokens.
	rowPrice = 0.1
	// firstRate is how often guesses are believed to be kept before there were any, rateStep the weight of each in the average.
	firstRate, rateStep = 0.6, 0.04
	// idleTokens come without a guess while guessing does not pay, before it is tried again.
	idleTokens = 16
)

// begin prepares for the texts of a model.
func (s *Speculation) begin(l *LM) {
	if s.vocab == 0 {
		s.rate = firstRate
	}
	s.vocab, s.small = l.vocab, weightBytes(l.s.model.Graph) <= cachedBytes
}

// learn takes note of whether a guess was kept.
func (s *Speculation) learn(kept bool) {
	s.rate -= rateStep * s.rate
	if kept {
		s.rate += rateStep
	}
}

// length is the number of guesses that make the most tokens for their price: the largest (1 + r + ... + r^k) / (1 + k price), if each guess is
// kept with the probability r.
func (s *Speculation) length(most int) int {
	price := s.Drafter.Price() + rowPrice
	best, at := 1.0, 0
	tokens, power := 1.0, 1.0
	for k := 1; k <= most; k++ {
		power *= s.rate
		tokens += power
		if v := tokens / (1 + float64(k)*price); v > best {
			best, at = v, k
		}
	}
	return at
}

// guess returns what may follow the last token, which is not in the caches of past tokens yet.
func (w *writing) guess(ctx context.Context, past int) ([]Guess, error) {
	s := w.options.Speculation
	if s == nil {
		return nil, nil
	}
	most := s.Most
	if most <= 0 {
		most = defaultGuesses
		if _, ok := s.Drafter.(*ModelDrafter); ok && s.small {
			most = 1
		}
	}
	n := s.length(most)
	if n == 0 {
		if s.idle++; s.idle < idleTokens {
			return nil, nil
		}
		n = 1
	} else if _, ok := s.Drafter.(*ModelDrafter); ok && w.options.Sampler.Temperature <= 0 {
		n = most // it stops by itself where it is not sure
	}
	s.idle = 0
	if n = min(n, w.left(past+1)-1); n <= 0 {
		return nil, nil
	}
	guesses, err := s.Drafter.Draft(ctx, w.text, n, w.options.Sampler)
	if i := slices.IndexFunc(guesses, func(g Guess) bool { return g.ID < 0 || int(g.ID) >= s.vocab }); i >= 0 {
		guesses = guesses[:i]
	}
	w.account.Guessed += len(guesses)
	return guesses, err
}

// ModelDrafter guesses with a smaller model of the same tokens.
type ModelDrafter struct {
	lm      *LM
	price   float64
	vocab   int // tokens that both models know
	held    []int32
	guesses []Guess
	lists   [][]candidate // the probabilities of each guess
	scores  []float32
	of      *Sampler // whose settings sampler has
	sampler Sampler
}

// NewModelDrafter guesses for a target with the model draft. Both must have the same tokenizer. The drafter needs draft for itself; a text that is longer
// than its context goes on without guesses.
func NewModelDrafter(draft, target *LM) *ModelDrafter {
	price := 1.0
	if n := weightBytes(target.s.model.Graph); n > 0 {
		price = float64(weightBytes(draft.s.model.Graph)) / float64(n)
	}
	draft.Rewind(0)
	return &ModelDrafter{lm: draft, price: price, vocab: min(draft.vocab, target.vocab)}
}

// Price compares the bytes of the weights.
func (d *ModelDrafter) Price() float64 { return d.price }

// Draft implements Drafter. Greedy guesses end where it is unlikely that all of them are kept.
func (d *ModelDrafter) Draft(ctx context.Context, text []int32, n int, s *Sampler) ([]Guess, error) {
	d.guesses = d.guesses[:0]
	n = min(n, d.lm.Context()-len(text)+1)
	if n < 1 {
		return nil, nil
	}
	same := commonPrefix(d.held, text[:len(text)-1])
	d.lm.Rewind(same)
	d.held = append(d.held[:same], text[same:]...)
	d.begin(s)
	sure := 1.0
	for {
		logits, err := d.lm.Next(ctx, d.held[same:])
		if err != nil {
			d.held = d.held[:d.lm.Past()]
			return nil, err
		}
		g, likely := d.choose(logits[:d.vocab])
		d.guesses = append(d.guesses, g)
		sure *= likely
		if len(d.guesses) == n || sure < 1.5*(d.price+rowPrice) {
			return d.guesses, nil
		}
		same = len(d.held)
		d.held = append(d.held, g.ID)
	}
}

// begin takes over a sampler's settings, but not its penalties: these are the target's business.
func (d *ModelDrafter) begin(s *Sampler) {
	if d.of != s {
		d.of, d.sampler = s, Sampler{rng: rand.New(rand.NewPCG(s.Seed, 1))}
	}
	d.sampler.Temperature, d.sampler.TopK, d.sampler.TopP, d.sampler.MinP = s.Temperature, s.TopK, s.TopP, s.MinP
}

// choose guesses a token, and says how likely it is to be kept, or 1 where a draw decides that.
func (d *ModelDrafter) choose(logits []float32) (g Guess, likely float64) {
	if d.sampler.Temperature <= 0 {
		g.ID = d.sampler.Next(logits)
		d.scores = slices.Grow(d.scores[:0], len(logits))[:len(logits)]
		kernels.SoftmaxRow(d.scores, logits)
		return g, float64(d.scores[g.ID])
	}
	t := d.sampler.weights(logits)
	if len(t) == 0 {
		g.ID = d.sampler.Next(logits)
		return g, 1
	}
	g.ID = d.sampler.draw(t)
	var total float64
	for _, c := range t {
		total += float64(c.v)
	}
	n := len(d.guesses)
	if n == len(d.lists) {
		d.lists = append(d.lists, nil)
	}
	list := d.lists[n][:0]
	for _, c := range t {
		list = append(list, candidate{c.id, float32(float64(c.v) / total)})
	}
	g.from, d.lists[n] = list, list
	return g, 1
}

func commonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// LookupDrafter guesses that a text goes on as it did where its last tokens stood before (Saxena 2023): for summaries, code and lists, whose words
// come from the prompt.
type LookupDrafter struct{ guesses []Guess }

// The number of last tokens that must have stood before, and the most that are compared.
const (
	lookupLeast = 2
	lookupMost  = 8
)

// Price is next to nothing.
func (d *LookupDrafter) Price() float64 { return 0 }

// Draft implements Drafter: what follows the longest match, of equal ones the last.
func (d *LookupDrafter) Draft(_ context.Context, text []int32, n int, _ *Sampler) ([]Guess, error) {
	d.guesses = d.guesses[:0]
	last := len(text) - 1
	longest, from := lookupLeast-1, 0
	for i := last - 1; i >= longest && longest < lookupMost; i-- {
		k := 0
		for k <= i && k < lookupMost && text[i-k] == text[last-k] {
			k++
		}
		if k > longest {
			longest, from = k, i+1
		}
	}
	if from > 0 {
		for _, id := range text[from:min(from+n, len(text))] {
			d.guesses = append(d.guesses, Guess{ID: id})
		}
	}
	return d.guesses, nil
}

// judge is Next where a token was guessed: it keeps the guess with the probability min(1, p/q), with p the probability that Next would draw it by
// and q the one that it was guessed by, and draws from what p has more than q otherwise. So the token is distributed by p.
func (s *Sampler) judge(logits []float32, g *Guess) int32 {
	if s.Temperature <= 0 {
		return s.Next(logits)
	}
	t := s.weights(logits)
	if len(t) == 0 {
		return s.Next(logits)
	}
	var total float64
	p := 0.0
	for _, c := range t {
		total += float64(c.v)
		if c.id == g.ID {
			p = float64(c.v)
		}
	}
	q := 1.0
	if i := slices.IndexFunc(g.from, func(c candidate) bool { return c.id == g.ID }); i >= 0 {
		q = float64(g.from[i].v)
	}
	if s.random()*q*total < p {
		return g.ID
	}
	s.guessed = slices.Grow(s.guessed[:0], len(logits))[:len(logits)]
	clear(s.guessed)
	s.guessed[g.ID] = q
	for _, c := range g.from {
		s.guessed[c.id] = float64(c.v)
	}
	left := 0.0
	for i, c := range t {
		t[i].v = float32(math.Max(0, float64(c.v)/total-s.guessed[c.id]))
		left += float64(t[i].v)
	}
	if left == 0 {
		// Both distributions are the same but for rounding.
		return g.ID
	}
	return s.draw(t)
}
