package quant

import (
	"context"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// defaultBPW is the adaptive strategy's budget, weights only, when none is given.
const defaultBPW = 4.5

// sequenceMargin is the part of a packed file's budget that is kept for what the blocks made in sequence take more.
const sequenceMargin = 400

// packs reports whether the file will be packed: where its size counts, and nothing is gained by mapping it, as language
// models do, whose weights are read once for each token.
func (q *quantizer) packs() bool {
	return q.o.Strategy == Adaptive && q.budget() > 0 && q.o.MaxLatency == 0 && q.m.Meta.LM == nil
}

// A packed file whose blocks are made in sequence is made anew if it leaves more than the spareParts-th part of the budget, at most fillTries times.
const (
	spareParts = 150
	fillTries  = 2
)

// choose sets every candidate's width, and makes the blocks of products in sequence. A packed file's size depends
// on what the blocks are: if those have outgrown the budget, or leave much of it, all is chosen again with less or more.
func (q *quantizer) choose(ctx context.Context) error {
	if q.packs() && q.o.Calib != nil {
		q.margin = q.budget() / sequenceMargin
	}
	if err := q.chooseWidths(ctx); err != nil {
		return err
	}
	chosen := q.snapshot()
	var best []candidate // of those that keep the budget, what leaves least of it
	least := int64(math.MaxInt64)
	for try := 0; ; try++ {
		planned := q.weightBytes()
		if err := q.sequential(ctx); err != nil || !q.packs() || q.probe == nil {
			return err
		}
		size, err := q.size()
		if err != nil {
			return err
		}
		spare := q.budget() - size
		if spare >= 0 && spare < least {
			best, least = q.snapshot(), spare
		}
		if best != nil && (least <= q.budget()/spareParts || try >= fillTries) {
			q.reset(best)
			return nil
		}
		if q.margin -= spare; spare < 0 {
			q.margin += q.budget() / 1000
		} else {
			q.margin += q.budget() / sequenceMargin
		}
		q.reset(chosen)
		if err := q.fitBudget(); err != nil {
			return err
		}
		if err := q.doNoHarm(ctx); err != nil {
			return err
		}
		if best != nil && q.weightBytes() == planned {
			q.reset(best)
			return nil
		}
	}
}

// snapshot returns the candidates as they are, for reset.
func (q *quantizer) snapshot() []candidate {
	all := make([]candidate, len(q.candidates))
	for i, c := range q.candidates {
		all[i] = *c
	}
	return all
}

// reset makes the candidates what they were.
func (q *quantizer) reset(all []candidate) {
	for i, c := range q.candidates {
		*c = all[i]
	}
}

func (q *quantizer) chooseWidths(ctx context.Context) error {
	if q.o.Strategy == Uniform {
		for i, c := range q.candidates {
			q.o.progress("quantize", i, len(q.candidates))
			c.choice = option{bits: q.o.Bits, bytes: c.size(q.o.Bits)}
			c.why = fmt.Sprintf("uniform %d bit", q.o.Bits)
			if err := q.measureError(c, &c.choice); err != nil {
				return err
			}
		}
		q.o.progress("quantize", len(q.candidates), len(q.candidates))
		return q.spareFragile(ctx)
	}
	if err := q.measureOptions(ctx); err != nil {
		return err
	}
	if err := q.measureSensitivity(ctx); err != nil {
		return err
	}
	switch {
	case q.o.MaxLatency > 0:
		return q.fitLatency(ctx)
	case (q.o.MaxKL > 0 || q.o.MinAgreement > 0 && q.probe != nil) && q.budget() == 0:
		return q.smallestWithin(ctx)
	}
	if err := q.chooseMantissa(ctx); err != nil {
		return err
	}
	if err := q.fitBudget(); err != nil {
		return err
	}
	return q.doNoHarm(ctx)
}

// doNoHarm holds the choice against one that has no weight narrower than the widest uniform width that fits. The additive model
// of the loss is only a model: what has less loss on the calibration data is taken.
func (q *quantizer) doNoHarm(ctx context.Context) error {
	if q.probe == nil {
		return nil
	}
	mixed, spend := q.choices(), q.weightBytes()
	at, err := q.widestUniform(spend)
	if err != nil || at < 0 {
		q.restore(mixed)
		return err
	}
	all := make([][]option, len(q.candidates))
	for i, c := range q.candidates {
		all[i], c.options = c.options, c.options[:at+1]
	}
	if q.budget() == 0 {
		allocate(q.candidates, spend)
	} else {
		err = q.fitBudget()
	}
	for i, c := range q.candidates {
		c.options = all[i]
		c.why = fmt.Sprintf("%s, at least %s", c.why, widthName(q.widths()[at]))
	}
	if err != nil {
		return err
	}
	atLeast := q.choices()
	loss, err := q.divergence(ctx, q.encodeChoice(atLeast))
	if err != nil {
		return err
	}
	best, err := q.divergence(ctx, q.encodeChoice(mixed))
	if err == nil && loss < best {
		q.restore(atLeast)
	}
	return err
}

// widestUniform sets the widest width for all weights that takes no more bytes than the weights may spend, or
// than the file's budget allows, and returns its number among the widths, -1 if there is none.
func (q *quantizer) widestUniform(spend int64) (int, error) {
	for at := range q.widths() {
		for _, c := range q.candidates {
			c.choice = c.options[at]
		}
		if q.budget() == 0 {
			if q.weightBytes() <= spend {
				return at, nil
			}
			continue
		}
		if size, err := q.size(); err != nil || size <= q.budget()-q.margin {
			return at, err
		}
	}
	return -1, nil
}

// choice is a candidate's width and the reason for it.
type choice struct {
	option
	why string
}

func (q *quantizer) choices() []choice {
	out := make([]choice, len(q.candidates))
	for i, c := range q.candidates {
		out[i] = choice{c.choice, c.why}
	}
	return out
}

// encodeChoice is encode with other widths.
func (q *quantizer) encodeChoice(choices []choice) *model.Model {
	q.restore(choices)
	return q.encode()
}

// restore sets the candidates' choices.
func (q *quantizer) restore(choices []choice) {
	for i, c := range q.candidates {
		c.choice, c.why = choices[i].option, choices[i].why
	}
}

// budget returns the allowed bytes of the whole file, or 0.
func (q *quantizer) budget() int64 {
	p := float64(q.m.Meta.Parameters)
	switch {
	case q.o.TargetBytes > 0:
		return q.o.TargetBytes
	case q.o.TargetRatio > 0:
		return int64(4 * p / q.o.TargetRatio)
	case q.o.TargetBPW > 0:
		return int64(q.o.TargetBPW * p / 8)
	}
	return 0
}

// fitBudget spends the budget where it lowers the predicted loss most per byte. The file's size with
// the choice is exact, so the budget holds for the file that is written.
func (q *quantizer) fitBudget() error {
	want := q.budget()
	if want == 0 {
		allocate(q.candidates, q.defaultRoom())
		return nil
	}
	allocate(q.candidates, 0)
	smallest, err := q.size()
	if err != nil {
		return err
	}
	if smallest > max(want, want-q.margin) {
		return &fault.Gate{What: fmt.Sprintf("the target of %d bytes cannot be met: with the narrowest widths the file has %d bytes", want, smallest)}
	}
	want = max(want-q.margin, smallest)
	// The rest of the file hardly depends on the widths, but its compressed header does a little, and in a packed file the tensors
	// are coded together. So what a choice takes is measured, and the difference spent in the next one.
	spend := q.weightBytes() + want - smallest
	var best []choice
	least := 0.0
	for try := 0; ; try++ {
		allocate(q.candidates, spend)
		got, err := q.size()
		if err != nil {
			return err
		}
		if predicted := q.predicted(); got <= want && (best == nil || predicted < least) {
			best, least = q.choices(), predicted
		}
		if best != nil && (try >= fitTries || got <= want && want-got <= want/fitPart) {
			q.restore(best)
			return nil
		}
		// Half of the way if the last steps went to and fro.
		step := want - got
		if try > 1 {
			step /= 2
		}
		if try >= fitTries {
			step = want - got - want/fitPart
		}
		spend += step
	}
}

// predicted is the predicted loss of the present choice.
func (q *quantizer) predicted() float64 {
	var sum float64
	for _, c := range q.candidates {
		sum += float64(c.sens * c.choice.err)
	}
	return sum
}

// fitBudget is content with a file that leaves the fitPart-th part of the budget, and after fitTries with the best that held it.
const (
	fitPart  = 1000
	fitTries = 9
)

// defaultRoom is what the weights may take where no target is given.
func (q *quantizer) defaultRoom() int64 {
	var weights int64 // or their bytes
	for _, c := range q.candidates {
		if q.o.Bits != 0 {
			weights += c.size(q.o.Bits)
			continue
		}
		weights += int64(c.n) * int64(c.k)
	}
	if q.o.Bits != 0 {
		return weights
	}
	return int64(float64(weights) * defaultBPW / 8)
}

// size returns the bytes of the file with the present choice, its history included.
func (q *quantizer) size() (int64, error) {
	out := q.encode()
	out.Meta.Steps = append(out.Meta.Steps, model.Step{Verb: "quantize", Version: q.o.Version, Options: q.o.history()})
	q.reserve(out)
	return dskfile.Size(out)
}

func (q *quantizer) weightBytes() int64 {
	var sum int64
	for _, c := range q.candidates {
		sum += c.choice.bytes
	}
	return sum
}

// smallestWithin finds the smallest choice whose divergence on the calibration data stays within
// MaxKL, and whose agreement within MinAgreement, by bisection over the budget.
func (q *quantizer) smallestWithin(ctx context.Context) error {
	if q.probe == nil {
		return &fault.Usage{What: "--max-kl without a size target needs --calib to search on"}
	}
	var lo, hi int64
	for _, c := range q.candidates {
		lo += c.options[len(c.options)-1].bytes
		hi += c.options[0].bytes
	}
	const steps = 8
	for i := range steps {
		q.o.progress("search", i, steps)
		mid := lo + (hi-lo)/2
		allocate(q.candidates, mid)
		d, err := q.compare(ctx, q.encode())
		if err != nil {
			return err
		}
		if (q.o.MaxKL == 0 || d.Loss() <= q.o.MaxKL) && d.Top1Agreement >= q.o.MinAgreement {
			hi = mid
		} else {
			lo = mid
		}
	}
	q.o.progress("search", steps, steps)
	allocate(q.candidates, hi)
	return nil
}

// allocate chooses widths whose bytes sum to at most budget (the narrowest ones if it is too
// small): from the narrowest widths up, it takes the step with the largest fall of predicted loss per
// byte among each candidate's steps on its lower convex hull. Ties go to graph order. What is left is spent by exchanges.
func allocate(cs []*candidate, budget int64) {
	hulls := make([][]option, len(cs))
	var used int64
	for i, c := range cs {
		hulls[i] = hull(c.options)
		c.choice = hulls[i][0]
		used += c.choice.bytes
	}
	at := make([]int, len(cs))
	for {
		best, gain := -1, 0.0
		for i, c := range cs {
			if at[i]+1 == len(hulls[i]) {
				continue
			}
			a, b := hulls[i][at[i]], hulls[i][at[i]+1]
			if used+b.bytes-a.bytes > budget {
				continue
			}
			g := c.sens * (a.err - b.err) / float64(b.bytes-a.bytes)
			if best < 0 || g > gain {
				best, gain = i, g
			}
		}
		if best < 0 {
			break
		}
		at[best]++
		used += hulls[best][at[best]].bytes - cs[best].choice.bytes
		cs[best].choice = hulls[best][at[best]]
	}
	exchange(cs, budget-used)
	for _, c := range cs {
		c.why = predictedLoss(c.sens * c.choice.err)
	}
}

// hull returns the options on the lower convex hull of error over bytes, by rising bytes.
func hull(options []option) []option {
	var h []option
	for i := len(options) - 1; i >= 0; i-- {
		o := options[i]
		if len(h) > 0 && o.err >= h[len(h)-1].err {
			continue
		}
		for len(h) > 1 && slope(h[len(h)-2], h[len(h)-1]) <= slope(h[len(h)-1], o) {
			h = h[:len(h)-1]
		}
		h = append(h, o)
	}
	return h
}

// slope is the fall of the error per byte from a to b.
func slope(a, b option) float64 {
	if b.bytes == a.bytes {
		return math.Inf(1)
	}
	return (a.err - b.err) / float64(b.bytes-a.bytes)
}
