package quant

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// halfBits is the width of weights that stay floats, in 16 bits: what blocks of 8 bit cannot hold well, such as
	// small matrices whose columns differ by orders of magnitude.
	halfBits = 16
	// halfError is the largest squared error, relative to the squares, with which floats are stored in 16 bits. Numbers
	// within the normal range of F16 have 2^-24 and less.
	halfError = 1e-6
	maxHalf   = 65504
)

// fitsHalf reports whether floats keep their values in 16 bits.
func fitsHalf(x []float32) bool {
	var lost, total float64
	for _, v := range x {
		if !(v <= maxHalf && v >= -maxHalf) {
			return false
		}
		d := float64(v) - float64(kernels.F16ToF32(kernels.F32ToF16(v)))
		lost += float64(d * d)
		total += float64(v) * float64(v)
	}
	return lost <= float64(halfError*total)
}

// halves writes x as F16, with so many bits of the mantissas.
func halves(dst []byte, x []float32, bits int) {
	for i, v := range x {
		binary.LittleEndian.PutUint16(dst[2*i:], kernels.F32ToF16(shortened(v, bits)))
	}
}

// The bits of F16's mantissas. In packed files the last ones of filters cost more than they are worth. Which are, is measured if there are data; else it
// is what was best on held-out images with mobilenet 0.25 at 1/6: the mean KL is 0.032, 0.021, 0.013, 0.016 and 0.018 with 3 to 7 bits, and 0.076 with 4 bits
// and nothing diffused.
const (
	fullMantissa   = 10
	filterMantissa = 5 // of grouped convolutions
)

// mantissa returns how many bits of a constant's mantissas the file keeps.
func (q *quantizer) mantissa(t *tensor.Tensor) int {
	switch {
	case !q.packs() || len(t.Shape) < 2:
		return fullMantissa
	case q.filterBits > 0:
		return q.filterBits
	}
	return filterMantissa
}

// filterMantissas are the numbers of bits that are tried.
var filterMantissas = [...]int{4, 5, 6, 8, fullMantissa}

// chooseMantissa finds how many bits filters keep in a packed file: those with the least loss together with what the candidates are predicted to lose in
// the bytes that the filters leave. It runs before widths are chosen.
func (q *quantizer) chooseMantissa(ctx context.Context) error {
	filters := slices.ContainsFunc(q.narrowable(), func(name string) bool { return len(q.m.Graph.Init[name].Shape) > 1 })
	if !filters || !q.packs() || q.probe == nil {
		return nil
	}
	var losses [len(filterMantissas)]float64
	for i, bits := range filterMantissas {
		q.filterBits = bits
		var err error
		if losses[i], err = q.divergence(ctx, q.encode()); err != nil {
			return err
		}
	}
	best, least := filterMantissas[0], math.Inf(1)
	for i, bits := range filterMantissas {
		q.filterBits = bits
		if err := q.fitBudget(); err != nil {
			break // that the budget is too small is for the caller to find, with the fewest bits
		}
		if loss := losses[i] + q.predicted(); loss < least {
			best, least = bits, loss
		}
	}
	q.filterBits = best
	return nil
}

// shortened rounds x to a mantissa of so many bits; what is not finite and what would leave float32's range stays.
func shortened(x float32, bits int) float32 {
	rest := uint32(1)<<(23-bits) - 1
	if up := math.Float32frombits((math.Float32bits(x) + rest/2 + 1) &^ rest); up-up == 0 {
		return up
	}
	return x
}

// diffused rounds filters of k weights each to mantissas of so many bits, so that each filter's sum hardly changes: what a weight loses is added to the
// next smaller one. A window shows values that are alike, most of all behind a ReLU, and an error of the sum moves the whole channel.
func diffused(x []float32, k, bits int) []float32 {
	out, order := make([]float32, len(x)), make([]int, k)
	for lo := 0; k > 0 && lo+k <= len(x); lo += k {
		row := x[lo : lo+k]
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(max(row[b], -row[b]), max(row[a], -row[a])) })
		var carry float64
		for _, i := range order {
			want := float64(row[i]) + carry
			out[lo+i] = kernels.F16ToF32(kernels.F32ToF16(shortened(float32(want), bits)))
			carry = want - float64(out[lo+i])
		}
	}
	return out
}

// narrow stores the convolutions' constants that are no candidates, which are filters of grouped convolutions and
// biases, in 16 bits: beside the candidates' errors those of F16 are nothing, and in a small file the bytes are much.
func (q *quantizer) narrow(g *model.Graph) {
	for _, name := range q.narrowable() {
		t := g.Init[name]
		g.Init[name] = tensor.Deferred(tensor.F16, t.Shape, tensor.RowMajor, nil, func(dst []byte) error {
			src, err := t.Loaded()
			if err == nil {
				x := src.F32()
				if len(t.Shape) > 1 {
					x = diffused(x, len(x)/max(t.Shape[0], 1), q.mantissa(t))
				}
				halves(dst, x, q.mantissa(t))
			}
			return err
		})
	}
}

// narrowable lists the constants of narrow, in graph order.
func (q *quantizer) narrowable() []string {
	if q.halves != nil {
		return *q.halves
	}
	g := q.m.Graph
	candidates := map[string]bool{}
	for _, c := range q.candidates {
		candidates[c.name] = true
	}
	fit := map[string]bool{}
	var order []string
	var visit func(nodes []*model.Node)
	visit = func(nodes []*model.Node) {
		for _, n := range nodes {
			for i, name := range n.Inputs {
				if g.Init[name] == nil {
					continue
				}
				ok := n.Is(model.DomainDsk, "Conv") && (i == 1 || i == 2)
				if was, seen := fit[name]; seen {
					fit[name] = was && ok
				} else {
					fit[name] = ok
					order = append(order, name)
				}
			}
			for _, sub := range n.Subgraphs() {
				visit(sub.Nodes)
			}
		}
	}
	visit(g.Nodes)
	for _, out := range g.Outputs {
		fit[out.Name] = false
	}
	names := []string{}
	for _, name := range order {
		t := g.Init[name]
		if !fit[name] || candidates[name] || t.DType != tensor.F32 || t.Layout != tensor.RowMajor {
			continue
		}
		if src, err := t.Loaded(); err == nil && fitsHalf(src.F32()) {
			names = append(names, name)
		}
	}
	q.halves = &names
	return names
}

// halfLoss is the relative squared error of weights in 16 bits, which are rounded by up to 2^-12 of themselves.
const halfLoss = 1.0 / (3 << 24)

// measureHalf sets o.err for the width of 16 bits: 1, which nothing chooses, where the weights leave F16's range.
func (q *quantizer) measureHalf(c *candidate, o *option) error {
	fits := true
	err := c.eachSlab(q.o.Threads, func(_ *kernels.Pool, rows []float32, _, _ int) error {
		fits = fits && fitsHalf(rows)
		return nil
	})
	if o.err = halfLoss; !fits {
		o.err = 1
	}
	o.plain = o.err
	if err == nil && q.packs() {
		var t *tensor.Tensor
		if t, err = c.half(q.o.Threads).Loaded(); err == nil {
			o.bytes = dskfile.PackedBytes(t, t.Data)
		}
	}
	return err
}

// half returns the candidate in 16 bits as a deferred tensor.
func (c *candidate) half(threads int) *tensor.Tensor {
	return tensor.Deferred(tensor.F16, c.t.Shape, tensor.Panel16, nil, func(dst []byte) error {
		return c.eachSlab(threads, func(_ *kernels.Pool, rows []float32, lo, n int) error {
			row := make([]byte, 2*c.k)
			for r := lo; r < lo+n; r++ {
				halves(row, rows[(r-lo)*c.k:(r-lo+1)*c.k], fullMantissa)
				// A panel has the elements of its rows side by side, column by column.
				panel := dst[2*(r/kernels.PanelRows*kernels.PanelRows*c.k+r%kernels.PanelRows):]
				for i := range c.k {
					copy(panel[2*i*kernels.PanelRows:][:2], row[2*i:])
				}
			}
			return nil
		})
	})
}
