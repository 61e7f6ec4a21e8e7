package quant

import (
	"fmt"
	goruntime "runtime"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// slabRows is how many rows are expanded to float32 at a time: it bounds the memory of
// encoding a matrix of any size.
const slabRows = 64 * kernels.PanelRows

// encode returns the model with every candidate's chosen width. The blocks are made when
// they are needed.
func (q *quantizer) encode() *model.Model {
	out := q.m.Clone()
	quantized := map[string]bool{}
	for _, c := range q.candidates {
		if c.choice.bits != 0 {
			out.Graph.Init[c.name] = c.quantized(c.choice.bits, q.o.Threads)
			quantized[c.name] = true
		}
	}
	if q.o.ActBits == 32 {
		keepActivations(out.Graph, quantized)
	}
	return out
}

// keepActivations marks the products of quantized weights to run on float activations.
func keepActivations(g *model.Graph, quantized map[string]bool) {
	for _, n := range g.Nodes {
		if n.Domain == model.DomainDsk && quantized[n.In(1)] {
			n.Attrs["act_bits"] = model.IntAttr(32)
		}
		for _, sub := range n.Subgraphs() {
			keepActivations(sub, quantized)
		}
	}
}

// quantized returns the candidate in the given width as a deferred tensor.
func (c *candidate) quantized(bits, threads int) *tensor.Tensor {
	dt := dtypeOf(bits)
	f := dt.Format()
	lv := kernels.DefaultLevels(f)
	return tensor.Deferred(dt, c.t.Shape, tensor.Panel16, lv, func(dst []byte) error {
		return c.eachSlab(threads, func(pool *kernels.Pool, rows []float32, lo, n int) error {
			at := lo / kernels.PanelRows * f.PanelBytes(c.k)
			return kernels.Quantize(dst[at:], f, lv, rows, n, c.k, c.importance, pool)
		})
	})
}

// eachSlab calls fn with the matrix's rows in slabs of whole panels.
func (c *candidate) eachSlab(threads int, fn func(pool *kernels.Pool, rows []float32, lo, n int) error) error {
	if err := c.t.Load(); err != nil {
		return err
	}
	if threads <= 0 {
		threads = goruntime.NumCPU()
	}
	pool := kernels.NewPool(threads)
	defer pool.Close()
	buf := make([]float32, min(slabRows, c.n)*c.k)
	for lo := 0; lo < c.n; lo += slabRows {
		hi := min(lo+slabRows, c.n)
		rows := buf[:(hi-lo)*c.k]
		c.rows(rows, lo, hi)
		if err := fn(pool, rows, lo, hi-lo); err != nil {
			return fault.Formatf("tensor "+c.name, "rows %d..%d: %v", lo, hi-1, err)
		}
	}
	return nil
}

// measureError sets o.err: what quantizing to o.bits does to the weights.
func (c *candidate) measureError(o *option, threads int) error {
	f := dtypeOf(o.bits).Format()
	lv := kernels.DefaultLevels(f)
	var lost, total float64
	back := make([]float32, c.k)
	err := c.eachSlab(threads, func(pool *kernels.Pool, rows []float32, lo, n int) error {
		blocks := tensor.AlignedBytes(f.Bytes(n, c.k))
		if err := kernels.Quantize(blocks, f, lv, rows, n, c.k, c.importance, pool); err != nil {
			return err
		}
		for r := range n {
			kernels.DequantizeRow(back, blocks, f, lv, r, c.k)
			for i, w := range rows[r*c.k : (r+1)*c.k] {
				weight := 1.0
				if c.importance != nil {
					weight = float64(c.importance[i])
				}
				d := float64(w) - float64(back[i])
				lost += float64(weight * float64(d*d))
				total += float64(weight * float64(float64(w)*float64(w)))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%d bits: %w", o.bits, err)
	}
	if total > 0 {
		o.err = lost / total
	}
	return nil
}
