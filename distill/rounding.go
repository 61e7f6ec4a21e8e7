package distill

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Rounding trains weights for the widths in which they will be stored (Jacob et al. 2018, with the straight-through estimator
// of Bengio, Leonard and Courville 2013): a step computes with the weights as they are after quantizing, and its gradients
// change the weights before it, whose small changes add up until they reach the next level.
type Rounding struct {
	list []*rounded
	pool *kernels.Pool
}

// rounded is a parameter with a format.
type rounded struct {
	param  grad.Param
	like   *tensor.Tensor // a tensor of the format and levels
	n, k   int
	master []float32
	blocks []byte
	held   bool // master has the weights
}

// Levels for blocks of D2 with two or three values in a group, of one size: XNOR-Net's (Rastegari et al. 2016) and ternary weights (Li and Liu
// 2016). Nothing but training makes weights fit them, and their blocks are no smaller than others of D2.
var (
	Binary  = &kernels.Levels{Code: [16]uint8{1, 1, 127, 127}}
	Ternary = &kernels.Levels{Code: [16]uint8{1, 64, 64, 127}}
)

// NewRounding rounds those of params whose names have a quantized tensor among like, as it is quantized.
func NewRounding(params []grad.Param, like map[string]*tensor.Tensor, pool *kernels.Pool) (*Rounding, error) {
	r := &Rounding{pool: pool}
	for _, p := range params {
		t := like[p.Name]
		if t == nil || !t.DType.IsQuantized() {
			continue
		}
		if !tensor.SameShape(t.Shape, p.Shape) {
			return nil, fmt.Errorf("weight %s is %v, its quantized form %v", p.Name, p.Shape, t.Shape)
		}
		n, k := tensor.Matrix(p.Shape)
		r.list = append(r.list, &rounded{param: p, like: t, n: n, k: k, master: make([]float32, len(p.Value)),
			blocks: tensor.AlignedBytes(t.DType.Format().Bytes(n, k))})
	}
	if r.list == nil {
		return nil, &fault.Usage{What: "no weight that is trained is quantized"}
	}
	return r, nil
}

// round exchanges the weights for what their blocks hold.
func (r *Rounding) round() error {
	for _, w := range r.list {
		copy(w.master, w.param.Value)
		w.held = true
		if err := w.quantize(w.master, r.pool); err != nil {
			r.restore()
			return fmt.Errorf("weight %s: %w", w.param.Name, err)
		}
		r.pool.Run(kernels.TaskFunc(func(part, parts int) {
			lo, hi := kernels.Span(w.n, 1, part, parts)
			for i := lo; i < hi; i++ {
				kernels.DequantizeRow(w.param.Value[i*w.k:(i+1)*w.k], w.blocks, w.like.DType.Format(), w.like.Levels, i, w.k)
			}
		}))
	}
	return nil
}

// quantize makes the blocks of weights.
func (w *rounded) quantize(weights []float32, pool *kernels.Pool) error {
	return kernels.Quantize(w.blocks, w.like.DType.Format(), w.like.Levels, weights, w.n, w.k, nil, pool)
}

// restore puts the weights back.
func (r *Rounding) restore() {
	for _, w := range r.list {
		if w.held {
			copy(w.param.Value, w.master)
			w.held = false
		}
	}
}

// Store replaces the weights of m, which is a model as grad.Tape.Trained makes it, by their blocks.
func (r *Rounding) Store(m *model.Model) error {
	for _, w := range r.list {
		if err := w.quantize(w.param.Value, r.pool); err != nil {
			return fmt.Errorf("weight %s: %w", w.param.Name, err)
		}
		blocks := tensor.AlignedBytes(len(w.blocks))
		copy(blocks, w.blocks)
		t, err := tensor.Of(w.like.DType, w.param.Shape, tensor.Panel16, blocks)
		if err != nil {
			return err
		}
		t.Levels = w.like.Levels
		m.Graph.Init[w.param.Name] = t
	}
	return nil
}
