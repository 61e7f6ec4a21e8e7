package quant

import (
	"context"

	"github.com/dsk-toolkit/dsk/model"
)

// Point is one entry of a plan: what a budget would buy.
type Point struct {
	Bytes         int64   `json:"bytes"`
	BitsPerW      float64 `json:"bits_per_weight"`
	RatioVsF32    float64 `json:"ratio_vs_f32"`
	PredictedLoss float64 `json:"predicted_loss"`
	PredictedMS   float64 `json:"predicted_ms,omitempty"` // a run, or a token, on Options.Device
}

// planBudgets are the points of a plan, in bits per weight of the candidates.
var planBudgets = []float64{8.5, 7, 6, 5, 4.5, 4.25, 4, 3.75, 3.5, 3.25, 3, 2.75, 2.5, 2.25}

// anySize is a target that every file meets.
const anySize = 1 << 50

// Plan measures like the adaptive strategy and returns the size and predicted loss of a range of budgets,
// largest first, without making a model. The loss is the sum of the tensors' losses: mean KL in nats
// with calibration data, a sum of relative errors without.
func Plan(ctx context.Context, m *model.Model, o Options) ([]Point, error) {
	o.Strategy, o.Bits = Adaptive, 0
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.TargetBytes == 0 && o.TargetRatio == 0 && o.TargetBPW == 0 && o.MaxLatency == 0 {
		// Sizes are those that targets lead to: files whose size counts are packed.
		o.TargetBytes = anySize
	}
	q := &quantizer{o: o, m: m}
	if err := q.prepare(); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{q.calibrate, q.measureOptions, q.measureSensitivity} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return q.curve()
}

// curve allocates a range of budgets. The choice stays as it is.
func (q *quantizer) curve() ([]Point, error) {
	defer q.restore(q.choices())
	var clock *predictor
	if q.o.Device != nil {
		var err error
		if clock, err = q.newPredictor(); err != nil {
			return nil, err
		}
	}
	var weights int64
	for _, c := range q.candidates {
		weights += int64(c.n) * int64(c.k)
	}
	var points []Point
	for _, bpw := range planBudgets {
		allocate(q.candidates, int64(bpw*float64(weights)/8))
		size, err := q.size()
		if err != nil {
			return nil, err
		}
		if len(points) > 0 && points[len(points)-1].Bytes == size {
			continue
		}
		p := Point{Bytes: size}
		for _, c := range q.candidates {
			p.PredictedLoss += c.sens * c.choice.err
		}
		if clock != nil {
			p.PredictedMS = 1e3 * clock.total(q, func(c *candidate) int { return storedBits(c.choice.bits) })
		}
		if n := float64(q.m.Meta.Parameters); n > 0 {
			p.BitsPerW, p.RatioVsF32 = 8*float64(size)/n, 4*n/float64(size)
		}
		points = append(points, p)
	}
	return points, nil
}
