package quant

import (
	"context"
	"math"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
)

// importanceFloor keeps columns that calibration hardly saw from being given away: a
// fraction of the mean importance that every column gets.
const importanceFloor = 0.01

// calibrate finds what the weights' errors cost: with calibration data from one run of the input
// model over them, whose outputs become the reference for sensitivity and whose products' inputs
// give the second moments for error feedback; without, from the weights alone.
func (q *quantizer) calibrate(ctx context.Context) error {
	var budget feedbackBudget
	if q.o.NoFeedback {
		budget.bytes = momentsLimit
	}
	if q.o.Calib == nil {
		return q.estimateMoments(&budget)
	}
	ms := q.newMoments(&budget)
	defer ms.pool.Close()
	o := q.o.EvalOptions
	o.Threads = q.o.Threads
	o.Progress = func(done, total int64) { q.o.progress("calibrate", int(done), int(total)) }
	o.Observe = ms.observe
	var err error
	if o.Observed, err = q.restoreMoments(ms); err != nil {
		return err
	}
	o.Seen = q.momentsSaver(ms)
	if q.probe, err = eval.NewProbe(ctx, q.m, q.o.Calib, o); err != nil {
		return err
	}
	shared := map[product]*kernels.Feedback{}
	for i, c := range q.candidates {
		q.o.progress("decompose", i, len(q.candidates))
		c.use(ms.of[c.name], shared, q.scarce(scarceDamping))
	}
	q.o.progress("decompose", len(q.candidates), len(q.candidates))
	return nil
}

// product is what a feedback is made of: a moment, less the product of its means if a bias takes these up.
type product struct {
	m       *moment
	centred bool
}

// use sets the candidate's feedback, or at least its importance, from the moments of the rows that it meets. scarce is added to the damping for each
// column that there is to a row.
func (c *candidate) use(ms []*moment, shared map[product]*kernels.Feedback, scarce float64) {
	if len(ms) == 0 {
		c.basis = "read by rows: all weights alike"
		return
	}
	diag := make([]float64, c.k)
	full := true
	for _, m := range ms {
		c.shown += m.rows
		full = full && m.sum != nil
		for i, v := range m.diag {
			diag[i] += v
		}
	}
	alone := len(ms) == 1
	if alone && c.bias != "" && ms[0].rows > 0 {
		c.mean = make([]float64, c.k)
		for i, v := range ms[0].mean {
			c.mean[i] = v / float64(ms[0].rows)
			diag[i] = max(diag[i]-float64(c.mean[i]*v), 0)
		}
	}
	if c.importance = importance(diag); c.importance == nil {
		c.basis = "not reached by the calibration data"
		return
	}
	if c.crowded = !full; c.crowded {
		c.basis = "column importance, without error feedback"
		return
	}
	key := product{ms[0], c.mean != nil}
	if alone && shared[key] != nil {
		c.feedback = shared[key]
	} else {
		h := make([]float64, c.k*c.k)
		for _, m := range ms {
			for i, v := range m.sum {
				h[i] += float64(v)
			}
		}
		if c.mean != nil {
			for i, u := range c.mean {
				for j, v := range ms[0].mean {
					h[i*c.k+j] -= float64(u * v)
				}
			}
		}
		// A moment that cannot be decomposed leaves the importance to go by.
		c.feedback, _ = kernels.NewFeedback(h, c.k, calibratedDamping+float64(scarce*float64(c.k))/float64(max(c.shown, 1)))
	}
	c.basis = "column importance"
	if c.feedback != nil {
		c.basis = "error feedback"
		if alone {
			shared[key] = c.feedback
		}
	}
}

// importance returns the mean squares with a floor, relative to their mean, or nil if nothing was seen.
func importance(squares []float64) []float32 {
	var mean float64
	for _, v := range squares {
		mean += v / float64(len(squares))
	}
	if mean == 0 || math.IsNaN(mean) || math.IsInf(mean, 0) {
		return nil
	}
	out := make([]float32, len(squares))
	for i, v := range squares {
		out[i] = float32(v/mean + importanceFloor)
	}
	return out
}
