package quant

import (
	"fmt"
	goruntime "runtime"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

// slabRows is how many rows are expanded to float32 at a time: it bounds the memory of
// encoding a matrix of any size.
const slabRows = 64 * kernels.PanelRows

// blocksLimit bounds the bytes of blocks that are kept from measuring to writing.
const blocksLimit = 1 << 30

// encode returns the model with every candidate's chosen width. The blocks are made when
// they are needed.
func (q *quantizer) encode() *model.Model {
	out := q.input().Clone()
	out.Packed = q.packs()
	if out.Assets == nil {
		out.Assets = map[string][]byte{} // for the proof
	}
	q.narrow(out.Graph)
	quantized := map[string]bool{}
	for _, v := range q.cut {
		q.placeRows(out.Graph, v, quantized)
	}
	for _, c := range q.candidates {
		if c.width() != 0 && !q.isPart(c) {
			q.place(out.Graph, c, c.choice.bits)
			quantized[c.name] = c.choice.bits != halfBits
		}
	}
	if q.o.ActBits == 32 {
		keepActivations(out.Graph, quantized)
	}
	return out
}

// input is the input model.
func (q *quantizer) input() *model.Model {
	if q.whole != nil {
		return q.whole
	}
	return q.m
}

// isPart reports whether a candidate is a part of a table.
func (q *quantizer) isPart(c *candidate) bool {
	return slices.ContainsFunc(q.cut, func(v *vocabulary) bool { return slices.Contains(v.parts, c) })
}

// keepActivations marks the products of quantized weights to run on float activations.
func keepActivations(g *model.Graph, quantized map[string]bool) {
	for _, n := range g.Nodes {
		if n.Domain == model.DomainDsk && slices.ContainsFunc(n.Inputs, func(name string) bool { return quantized[name] }) {
			n.Attrs["act_bits"] = model.IntAttr(32)
		}
		for _, sub := range n.Subgraphs() {
			keepActivations(sub, quantized)
		}
	}
}

// quantized returns the candidate in the given width as a deferred tensor.
func (q *quantizer) quantized(c *candidate, bits int) *tensor.Tensor {
	dt := dtypeOf(bits)
	if bits == halfBits {
		return c.half(q.o.Threads)
	}
	lv := kernels.DefaultLevels(dt.Format())
	return tensor.Deferred(dt, c.t.Shape, tensor.Panel16, lv, func(dst []byte) error {
		if made := c.blocks[bits]; made != nil {
			copy(dst, made)
			return nil
		}
		return c.encode(dst, bits, q.o.Threads)
	})
}

// encode makes the candidate's blocks.
func (c *candidate) encode(dst []byte, bits, threads int) error {
	f := dtypeOf(bits).Format()
	lv := kernels.DefaultLevels(f)
	return c.eachSlab(threads, func(pool *kernels.Pool, rows []float32, lo, n int) error {
		dst := dst[lo/kernels.PanelRows*f.PanelBytes(c.k):]
		if bits >= evenBits {
			return kernels.QuantizeEven(dst, c.evenStep(bits), rows, n, c.k, c.feedback, c.importance, pool)
		}
		if c.feedback != nil {
			return kernels.QuantizeFeedback(dst, f, lv, rows, n, c.k, c.feedback, pool)
		}
		return kernels.Quantize(dst, f, lv, rows, n, c.k, c.importance, pool)
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

// measureError sets o.err: what quantizing c to o.bits does to its product. The blocks are kept while there
// is room.
func (q *quantizer) measureError(c *candidate, o *option) error {
	if o.bits == halfBits {
		return q.measureHalf(c, o)
	}
	f := dtypeOf(o.bits).Format()
	lv := kernels.DefaultLevels(f)
	blocks, err := q.encoded(c, o.bits, tensor.AlignedBytes(int(c.size(o.bits))))
	if err != nil {
		return fmt.Errorf("%d bits: %w", o.bits, err)
	}
	lost, total := make([]float64, c.n), make([]float64, c.n)
	noise, signal := make([]float64, c.n), make([]float64, c.n)
	original := *c
	original.target = nil
	err = c.eachSlab(q.o.Threads, func(pool *kernels.Pool, rows []float32, lo, n int) error {
		given := rows
		if c.target != nil {
			given = make([]float32, n*c.k)
			original.rows(given, lo, lo+n)
		}
		pool.Run(kernels.TaskFunc(func(part, parts int) {
			e, scratch := make([]float32, c.k), make([]float32, 2*c.k)
			from, to := kernels.Span(n, 1, part, parts)
			for r := from; r < to; r++ {
				row := rows[r*c.k : (r+1)*c.k]
				kernels.DequantizeRow(e, blocks, f, lv, lo+r, c.k)
				for i, w := range given[r*c.k : (r+1)*c.k] {
					d := float64(w) - float64(e[i])
					noise[lo+r] += float64(d * d)
					signal[lo+r] += float64(float64(w) * float64(w))
				}
				for i, w := range row {
					e[i] = w - e[i]
				}
				lost[lo+r], total[lo+r] = c.cost(e, scratch), c.cost(row, scratch)
			}
		}))
		return nil
	})
	if err != nil {
		return err
	}
	var l, t, nse, sig float64
	for r := range lost {
		l, t = l+lost[r], t+total[r]
		nse, sig = nse+noise[r], sig+signal[r]
	}
	c.power, c.energy = t, sig
	if t > 0 {
		o.err = l / t
	}
	if sig > 0 {
		o.plain = nse / sig
	}
	if q.packs() {
		made := &tensor.Tensor{DType: dtypeOf(o.bits), Shape: c.t.Shape, Layout: tensor.Panel16, Levels: lv, Data: blocks}
		o.bytes = dskfile.PackedBytes(made, blocks)
	}
	return q.remember(c, o.bits, blocks)
}

// cost is the mean square of a row's product with its inputs, as far as they are known, but for a factor that
// all rows share.
func (c *candidate) cost(row, scratch []float32) float64 {
	if c.feedback != nil {
		return c.feedback.Cost(row, scratch)
	}
	var sum float64
	for i, v := range row {
		square := float64(v) * float64(v)
		if c.importance != nil {
			square *= float64(c.importance[i])
		}
		sum += square
	}
	return sum
}
