package quant

import (
	"context"
	"math"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// importanceFloor keeps columns that calibration hardly saw from being given away: a
// fraction of the mean importance that every column gets.
const importanceFloor = 0.01

// calibrate runs the input model over the calibration data once: the outputs become the
// reference for sensitivity, and the mean square of every product's input becomes the importance
// of its weights' columns (the diagonal of the layer's Hessian).
func (q *quantizer) calibrate(ctx context.Context) error {
	if q.o.Calib == nil {
		return nil
	}
	stats := map[string]*columnStats{}
	for _, c := range q.candidates {
		stats[c.name] = &columnStats{sum: make([]float64, c.k)}
	}
	o := q.o.EvalOptions
	o.Threads = q.o.Threads
	o.Progress = func(done, total int64) { q.o.progress("calibrate", int(done), int(total)) }
	o.Observe = func(n *model.Node, in []*tensor.Tensor) {
		if n.Is(model.DomainDsk, "Linear") {
			if s := stats[n.Inputs[1]]; s != nil {
				s.add(in[0].F32())
			}
		}
	}
	var err error
	if q.probe, err = eval.NewProbe(ctx, q.m, q.o.Calib, o); err != nil {
		return err
	}
	for _, c := range q.candidates {
		c.importance = stats[c.name].importance()
	}
	return nil
}

// columnStats sums the squares of the activations that meet each column.
type columnStats struct {
	sum  []float64
	rows int
}

func (s *columnStats) add(x []float32) {
	k := len(s.sum)
	for ; len(x) >= k; x = x[k:] {
		for i, v := range x[:k] {
			s.sum[i] += float64(v) * float64(v)
		}
		s.rows++
	}
}

// importance returns the mean squares with a floor, or nil if nothing was seen.
func (s *columnStats) importance() []float32 {
	var mean float64
	for _, v := range s.sum {
		mean += v / float64(len(s.sum))
	}
	if s.rows == 0 || mean == 0 || math.IsNaN(mean) || math.IsInf(mean, 0) {
		return nil
	}
	out := make([]float32, len(s.sum))
	for i, v := range s.sum {
		out[i] = float32(v/mean + importanceFloor)
	}
	return out
}
