package prune

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// maskRows is how many receptive fields of one image a convolution's moment takes.
	maskRows = 256
	// maskDamping is the part of the mean diagonal that is added to a moment's, maskBlock how many columns SparseGPT chooses from at a time: both as
	// published.
	maskDamping = 0.01
	maskBlock   = 128
	// maskTogether is how many inputs of products are watched in one run: those of a decoder's block.
	maskTogether = 4
)

// mask returns a copy of the model with zeros among the weights of its products, but for those that are a table of embeddings or make an output: each
// of these decides about single words or classes. Each product is compared in itself. With data the products are taken in the order in which they
// run, a decoder's block at a time, and judged by what they read after the blocks before are masked, as both Wanda (Sun et al. 2023) and SparseGPT (Frantar and Alistarh 2023) do.
func mask(ctx context.Context, m *model.Model, probe *eval.Probe, o *Options) (*model.Model, error) {
	out := *m
	out.Graph = m.Graph.Clone()
	out.Graph.Init = maps.Clone(m.Graph.Init)
	pool := kernels.NewPool(o.Threads)
	defer pool.Close()
	groups := readers(out.Graph)
	for lo := 0; lo < len(groups); lo += maskTogether {
		o.progress("mask", int64(lo), int64(len(groups)))
		batch := groups[lo:min(lo+maskTogether, len(groups))]
		for _, g := range batch {
			g.moment = &moment{k: g.k, whole: o.Method == SparseGPT, pool: pool}
		}
		if probe != nil && o.Method != Magnitude {
			if err := watch(ctx, &out, probe, batch); err != nil {
				return nil, err
			}
		}
		for _, g := range batch {
			for _, n := range g.nodes {
				was := out.Graph.Init[n.In(1)]
				w, err := grad.Widen(was)
				if err != nil {
					return nil, err
				}
				o.maskWeights(w.F32(), g.moment)
				out.Graph.Init[n.In(1)] = narrow(w, was.DType)
			}
			g.moment = nil
		}
		if err := model.PackWeights(out.Graph); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

// narrow returns w in 16 bits if the model has its weights so: what is not zero and was not corrected is what it was.
func narrow(w *tensor.Tensor, dt tensor.DType) *tensor.Tensor {
	to := kernels.NarrowBF16
	switch dt {
	case tensor.F16:
		to = kernels.NarrowF16
	case tensor.BF16:
	default:
		return w
	}
	out := tensor.New(dt, w.Shape...)
	to(tensor.View[uint16](out), w.F32())
	return out
}

// maskWeights makes zeros in the rows w of a product that reads what the moment is of.
func (o *Options) maskWeights(w []float32, mo *moment) {
	k := mo.k
	if o.Method == SparseGPT && mo.rows > 0 {
		h := make([]float64, k*k)
		for i, v := range mo.sum {
			h[i] = float64(v)
		}
		fb, err := kernels.NewFeedback(h, k, maskDamping)
		if err == nil {
			sparseGPT(w, fb, o, mo.pool)
			return
		}
		// What it reads is always zero: then its weights do not matter.
	}
	score := make([]float64, len(w))
	for i, v := range w {
		score[i] = math.Abs(float64(v))
		if mo.rows > 0 {
			score[i] *= math.Sqrt(mo.squares[i%k])
		}
	}
	within := len(w) // so many are compared
	switch {
	case o.Pattern == TwoOfFour:
		for r := 0; r < len(w); r += k {
			for c := 0; c < k; c += 4 {
				zero(w, score, r+c, min(4, k-c), min(4, k-c)/2)
			}
		}
		return
	case o.Method == Wanda:
		within = k
	}
	for at := 0; at < len(w); at += within {
		zero(w, score, at, within, int(math.Round(o.Ratio*float64(within))))
	}
}

// zero clears the count elements of least score among n from at on.
func zero(w []float32, score []float64, at, n, count int) {
	for _, i := range least(score, at, n, count) {
		w[i] = 0
	}
}

// least returns the count places of least score among n from at on.
func least(score []float64, at, n, count int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = at + i
	}
	slices.SortFunc(order, func(a, b int) int {
		if c := cmp.Compare(score[a], score[b]); c != 0 {
			return c
		}
		return a - b
	})
	return order[:count]
}

// sparseGPT goes through the columns of the rows w in order. Of each block of columns it clears the weights that cost least when the later columns
// make good what they can, and changes these so that they do.
func sparseGPT(w []float32, fb *kernels.Feedback, o *Options, pool *kernels.Pool) {
	k := fb.K()
	rows := len(w) / k
	before := slices.Clone(w)
	gone := make([]bool, rows*maskBlock)
	score := make([]float64, rows*maskBlock)
	step := make([][]float32, pool.Threads())
	for i := range step {
		step[i] = make([]float32, k)
	}
	for lo := 0; lo < k; lo += maskBlock {
		wide := min(maskBlock, k-lo)
		clear(gone)
		if o.Pattern != TwoOfFour {
			for r := range rows {
				for j := range wide {
					cost, _ := fb.Column(lo + j)
					v := float64(w[r*k+lo+j])
					score[r*wide+j] = float64(v*v) * float64(cost)
				}
			}
			for _, i := range least(score, 0, rows*wide, int(math.Round(o.Ratio*float64(rows*wide)))) {
				gone[i] = true
			}
		}
		pool.Run(kernels.TaskFunc(func(part, parts int) {
			first, last := kernels.Span(rows, 1, part, parts)
			for r := first; r < last; r++ {
				row := w[r*k : (r+1)*k]
				out := gone[r*wide : (r+1)*wide]
				for j := range wide {
					if n := min(4, wide-j); o.Pattern == TwoOfFour && j%4 == 0 {
						for i := range n {
							cost, _ := fb.Column(lo + j + i)
							v := float64(row[lo+j+i])
							score[r*wide+j+i] = float64(v*v) * float64(cost)
						}
						for _, i := range least(score, r*wide+j, n, n/2) {
							gone[i] = true
						}
					}
					if out[j] {
						row[lo+j] = 0
					}
					_, later := fb.Column(lo + j)
					kernels.Scale(step[part][:len(later)], later, before[r*k+lo+j]-row[lo+j])
					kernels.Add(row[lo+j+1:], row[lo+j+1:], step[part][:len(later)])
				}
			}
		}))
	}
}

// moment sums what a product reads over the rows of calibration data.
type moment struct {
	k, rows int
	squares []float64 // sums of the squares
	whole   bool      // sum is wanted too
	sum     []float32 // of x x^T, [k, k]
	pool    *kernels.Pool

	transposed, product []float32
	scratch             [][]byte
}

// watch fills in the moments of groups.
func watch(ctx context.Context, m *model.Model, probe *eval.Probe, groups []*group) error {
	of := map[string]*moment{}
	for _, g := range groups {
		g.moment.squares = make([]float64, g.k)
		if g.moment.whole {
			g.moment.sum = make([]float32, g.k*g.k)
		}
		of[g.nodes[0].Outputs[0]] = g.moment
	}
	last := groups[len(groups)-1].nodes[0].Outputs[0]
	return probe.Watch(ctx, m, func(_ int, n *model.Node, in []*tensor.Tensor) bool {
		mo := of[n.Outputs[0]]
		switch {
		case mo == nil:
			return true
		case in[0].DType != tensor.F32:
		case n.Op == "Conv":
			mo.add(eval.ReceptiveFields(n, in[0], in[1].Shape, maskRows))
		default:
			mo.add(in[0].F32())
		}
		return n.Outputs[0] != last
	})
}

// add adds the rows of x, which follow each other.
func (mo *moment) add(x []float32) {
	k := mo.k
	rows := len(x) / k
	mo.rows += rows
	for i, v := range x[:rows*k] {
		mo.squares[i%k] += float64(v) * float64(v)
	}
	if !mo.whole || rows == 0 {
		return
	}
	mo.transposed = slices.Grow(mo.transposed[:0], rows*k)[:rows*k]
	for r := range rows {
		for i, v := range x[r*k : (r+1)*k] {
			mo.transposed[i*rows+r] = v
		}
	}
	if mo.product == nil {
		mo.product = make([]float32, k*k)
		mo.scratch = make([][]byte, mo.pool.Threads())
	}
	need := kernels.GemmScratchBytes(k, rows)
	mo.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(k, kernels.PanelRows, part, parts)
		if lo == hi {
			return
		}
		if len(mo.scratch[part]) < need {
			mo.scratch[part] = tensor.AlignedBytes(need)
		}
		kernels.Gemm(mo.product[lo*k:hi*k], k, mo.transposed[lo*rows:hi*rows], rows, x, k, false, hi-lo, k, rows, mo.scratch[part])
		kernels.Add(mo.sum[lo*k:hi*k], mo.sum[lo*k:hi*k], mo.product[lo*k:hi*k])
	}))
}

// group are the products, with rows of k elements, that read the same.
type group struct {
	nodes  []*model.Node
	k      int
	moment *moment
}

// readers groups the products that a mask changes by what they read, in the order of the graph.
func readers(g *model.Graph) []*group {
	of := map[string]*group{}
	var list []*group
	for _, n := range maskable(g) {
		shape := g.Init[n.In(1)].Shape
		_, k := tensor.Matrix(shape)
		key := n.In(0)
		if n.Op == "Conv" {
			key = fmt.Sprint(n.In(0), shape[1:], n.Ints("strides"), n.Ints("pads"), n.Ints("dilations"), n.Str("auto_pad", ""))
		}
		if of[key] == nil {
			of[key] = &group{k: k}
			list = append(list, of[key])
		}
		of[key].nodes = append(of[key].nodes, n)
	}
	return list
}

// maskable lists the products whose weights a mask changes, each weight once.
func maskable(g *model.Graph) []*model.Node {
	kept := map[string]bool{}
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if !makes(n) || i != 1 {
				kept[in] = true
			}
		}
	}
	var list []*model.Node
	for _, n := range g.Nodes {
		if makes(n) && g.Init[n.In(1)] != nil && !kept[n.In(1)] && !isOutput(g, n.Outputs[0]) && n.Int("group", 1) == 1 {
			kept[n.In(1)] = true
			list = append(list, n)
		}
	}
	return list
}

func isOutput(g *model.Graph, name string) bool {
	return slices.ContainsFunc(g.Outputs, func(v model.Value) bool { return v.Name == name })
}

// zeros counts the zeros among the weights of products.
func zeros(g *model.Graph) (count int64) {
	for _, n := range maskable(g) {
		w, err := grad.Widen(g.Init[n.In(1)])
		if err != nil {
			return 0
		}
		for _, v := range w.F32() {
			if v == 0 {
				count++
			}
		}
	}
	return count
}
