package quant

import (
	"context"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
)

// probeBits is the width at which a tensor's sensitivity is measured: coarse enough to stand
// out of rounding noise, fine enough that the loss still grows with the squared error.
const probeBits = 3

// sequenceLeaves is about what quantizing in sequence leaves of the divergence that quantized products cause.
const sequenceLeaves = 0.5

// widths are the options of the adaptive strategy.
var widths = [...]int{halfBits, 8, 4, 3, 2}

// measureOptions finds every candidate's relative error at every width.
func (q *quantizer) measureOptions(ctx context.Context) error {
	for i, c := range q.candidates {
		q.o.progress("measure widths", i, len(q.candidates))
		c.options = c.options[:0]
		for _, bits := range q.widths() {
			if err := ctx.Err(); err != nil {
				return err
			}
			o := option{bits: bits, bytes: c.size(bits)}
			if err := q.measureError(c, &o); err != nil {
				return err
			}
			c.options = append(c.options, o)
		}
	}
	q.o.progress("measure widths", len(q.candidates), len(q.candidates))
	return nil
}

// measureSensitivity finds what a relative error of 1 in each candidate costs. With calibration data
// it quantizes one tensor at a time and measures the mean KL divergence (or the relative
// output error where outputs are no probabilities), which to second order is proportional to the
// squared error. Without data every product's relative error counts the same.
func (q *quantizer) measureSensitivity(ctx context.Context) error {
	shared := q.mixtures()
	for i, c := range q.candidates {
		if q.probe == nil {
			c.sens = 1
			continue
		}
		q.o.progress("measure sensitivity", i, len(q.candidates))
		together := shared[c]
		if together == nil {
			together = []*candidate{c}
		}
		if together[0] != c {
			continue // measured with the first
		}
		if err := q.sensitivity(ctx, together); err != nil {
			return err
		}
	}
	if q.probe != nil {
		q.o.progress("measure sensitivity", len(q.candidates), len(q.candidates))
		q.countOnSequence()
	}
	return nil
}

// countOnSequence lowers what errors cost in weights whose products will be quantized in sequence: these make good for each other, and what
// cannot be made good, such as errors of a tied table, costs more in comparison.
func (q *quantizer) countOnSequence() {
	for _, s := range q.stages() {
		for _, p := range s.products {
			if p.shown >= sequentialRows*int64(p.k) {
				p.sens *= sequenceLeaves
			}
		}
	}
}

// mixtures returns, for each expert of a mixture, all that the same operator reads. They are measured together: there are hundreds of them, and
// each alone moves few tokens.
func (q *quantizer) mixtures() map[*candidate][]*candidate {
	known, out := map[string]*candidate{}, map[*candidate][]*candidate{}
	for _, c := range q.candidates {
		known[c.name] = c
	}
	for _, n := range q.m.Graph.Nodes {
		if !n.Is(model.DomainDsk, "Experts") {
			continue
		}
		var all []*candidate
		for _, name := range n.Inputs[model.ExpertWeights:] {
			if c := known[name]; c != nil && out[c] == nil {
				all = append(all, c)
			}
		}
		for _, c := range all {
			out[c] = all
		}
	}
	return out
}

// sensitivity sets what a relative error of 1 costs in each of some weights that are measured together. Of experts, each bears its part by the
// tokens that it was given, and one that had none as much as one that had the fewest.
func (q *quantizer) sensitivity(ctx context.Context, together []*candidate) error {
	alone := q.m.Clone()
	var lost float64 // the weighted errors
	fewest := int64(math.MaxInt64)
	for _, c := range together {
		if c.shown > 0 {
			fewest = min(fewest, c.shown)
		}
	}
	share := func(c *candidate) float64 {
		if len(together) == 1 {
			return 1
		}
		return float64(max(c.shown, fewest))
	}
	for _, c := range together {
		c.sens = 0
		for _, o := range c.options {
			if o.bits == q.probeBits() && o.err > 0 {
				lost += float64(share(c) * o.err)
				q.place(alone.Graph, c, o.bits)
			}
		}
	}
	if lost == 0 {
		return nil
	}
	d, err := q.divergence(ctx, alone)
	if err != nil {
		return fmt.Errorf("sensitivity of %s: %w", together[0].name, err)
	}
	for _, c := range together {
		c.sens = d * share(c) / lost
	}
	return nil
}

// divergence measures a model against the input model on the calibration data.
func (q *quantizer) divergence(ctx context.Context, m *model.Model) (float64, error) {
	d, err := q.compare(ctx, m)
	if err != nil {
		return 0, err
	}
	return max(d.Loss(), 0), nil
}
