package quant

import (
	"encoding/binary"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A product's inputs have means, most of all behind a ReLU, and errors e of its weights move its result by e E[x]
// on average. Where the product has a bias, the bias takes that up exactly:
//
//	b' = b + (W - Q) E[x]
//
// (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019), and what is left
// to minimise is the covariance e (E[x x^T] - E[x] E[x]^T) e^T instead of the second moment.

// findBiases gives each candidate the bias that can be moved with it: a constant that one product reads, the only
// reader of the candidate.
func (q *quantizer) findBiases() {
	g := q.m.Graph
	uses := map[string]int{}
	reader := map[string]*model.Node{}
	var visit func(nodes []*model.Node)
	visit = func(nodes []*model.Node) {
		for _, n := range nodes {
			for _, name := range n.Inputs {
				if g.Init[name] != nil {
					uses[name]++
					reader[name] = n
				}
			}
			for _, sub := range n.Subgraphs() {
				visit(sub.Nodes)
			}
		}
	}
	visit(g.Nodes)
	for _, out := range g.Outputs {
		uses[out.Name]++
	}
	for _, c := range q.candidates {
		n := reader[c.name]
		if uses[c.name] != 1 || n.Domain != model.DomainDsk || uses[n.In(2)] != 1 {
			continue
		}
		if b := g.Init[n.In(2)]; b != nil && b.DType == tensor.F32 && b.Layout == tensor.RowMajor && b.Len() == c.n {
			c.bias = n.In(2)
		}
	}
}

// place puts the candidate in the given width into a graph, and its bias with it.
func (q *quantizer) place(g *model.Graph, c *candidate, bits int) {
	g.Init[c.name] = q.quantized(c, bits)
	if c.bias == "" || c.mean == nil || bits == halfBits {
		return
	}
	b := q.m.Graph.Init[c.bias]
	dt := tensor.F32
	if g.Init[c.bias].DType == tensor.F16 {
		dt = tensor.F16
	}
	g.Init[c.bias] = tensor.Deferred(dt, b.Shape, tensor.RowMajor, nil, func(dst []byte) error {
		moved, err := q.recentred(c, b, bits)
		if err != nil {
			return err
		}
		if dt == tensor.F16 {
			halves(dst, moved, q.mantissa(b))
			return nil
		}
		for i, v := range moved {
			if q.packs() {
				v = shortened(v, q.mantissa(b))
			}
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
		return nil
	})
}

// recentred returns the bias b less what quantizing c to the given width adds to the product's mean.
func (q *quantizer) recentred(c *candidate, b *tensor.Tensor, bits int) ([]float32, error) {
	src, err := b.Loaded()
	if err != nil {
		return nil, err
	}
	blocks, err := q.quantized(c, bits).Loaded()
	if err != nil {
		return nil, err
	}
	moved := append([]float32(nil), src.F32()...)
	f := blocks.DType.Format()
	err = c.eachSlab(q.o.Threads, func(pool *kernels.Pool, rows []float32, lo, n int) error {
		pool.Run(kernels.TaskFunc(func(part, parts int) {
			got := make([]float32, c.k)
			from, to := kernels.Span(n, 1, part, parts)
			for r := from; r < to; r++ {
				kernels.DequantizeRow(got, blocks.Data, f, blocks.Levels, lo+r, c.k)
				var shift float64
				if c.shift != nil {
					shift = c.shift[lo+r]
				}
				for i, w := range rows[r*c.k : (r+1)*c.k] {
					shift += float64((float64(w) - float64(got[i])) * c.mean[i])
				}
				moved[lo+r] = float32(float64(moved[lo+r]) + shift)
			}
		}))
		return nil
	})
	return moved, err
}
