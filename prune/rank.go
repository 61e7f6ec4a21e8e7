package prune

import (
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// momentsMemory bounds what the second moments take that a search keeps of all products.
const momentsMemory = 1 << 30

// reader is a product that reads the units of a family, with what is known of the rows that it reads. With their second moment H^-1, damped, and the
// columns u of its weights W that read a unit, leaving these out costs
//
//	tr(W_u H_uu^-1 W_u^T)
//
// when the other columns make good what they can, which is when W_u H_uu^-1 H_u is taken from W (LeCun et al., "Optimal brain damage", 1989;
// Hassibi and Stork, "Optimal brain surgeon", 1992, for single weights).
type reader struct {
	node    *model.Node
	columns map[int32][]int // by unit
	w       *mat.Dense      // [outputs, columns and the bias]
	inverse *mat.Dense      // H
	energy  float64         // of what it makes
}

// readersOf returns the products that read units of f, nil if of one of them nothing is known.
func (r *repairer) readersOf(t *tracer, f *family) ([]*reader, error) {
	var list []*reader
	for _, n := range t.g.Nodes {
		if !fitted(t.g, n) {
			continue
		}
		shape := t.g.Init[n.In(1)].Shape
		last := len(shape) - 1
		_, k := tensor.Matrix(shape)
		columns := map[int32][]int{}
		for at, number := range t.weights[n.In(1)][last] {
			u := t.unit(number)
			if _, ours := f.slices[u]; !ours {
				continue
			}
			for tap := range k / shape[last] {
				columns[u] = append(columns[u], tap*shape[last]+at)
			}
		}
		if len(columns) == 0 {
			continue
		}
		moment := r.moments[n.Outputs[0]]
		if !r.fits(t.g, n) || moment == nil || moment.SymmetricDim() != k+1 {
			return nil, nil
		}
		w, err := r.weights(t.g, n)
		if err != nil {
			return nil, err
		}
		read := &reader{node: n, columns: columns, w: mat.NewDense(w.Shape[0], k+1, widen(w.F32()))}
		if !read.invert(moment, min(r.dampingOf(n), slices.Max(dampings))) {
			return nil, nil
		}
		list = append(list, read)
	}
	return list, nil
}

// invert sets the inverse of a moment and the energy, and reports whether there is one.
func (r *reader) invert(moment *mat.SymDense, damping float64) bool {
	var made mat.Dense
	made.Mul(r.w, moment)
	made.MulElem(&made, r.w)
	r.energy = mat.Sum(&made)
	var factors mat.Cholesky
	var inverse mat.SymDense
	if !factors.Factorize(damped(moment, damping)) || factors.InverseTo(&inverse) != nil {
		return false
	}
	r.inverse = mat.DenseCopyOf(&inverse)
	return r.energy > 0
}

// solve returns H_uu^-1 H_u and the weights W_u.
func (r *reader) solve(columns []int) (rows, weights *mat.Dense, ok bool) {
	_, wide := r.w.Dims()
	outs, _ := r.w.Dims()
	block := mat.NewSymDense(len(columns), nil)
	h := mat.NewDense(len(columns), wide, nil)
	weights = mat.NewDense(outs, len(columns), nil)
	for i, c := range columns {
		for j := i; j < len(columns); j++ {
			block.SetSym(i, j, r.inverse.At(c, columns[j]))
		}
		copy(h.RawRowView(i), r.inverse.RawRowView(c))
		for o := range outs {
			weights.Set(o, i, r.w.At(o, c))
		}
	}
	var factors mat.Cholesky
	rows = &mat.Dense{}
	if !factors.Factorize(block) || factors.SolveTo(rows, h) != nil {
		return nil, nil, false
	}
	return rows, weights, true
}

// cost returns the part of the product's energy that is lost for good without a unit.
func (r *reader) cost(u int32) float64 {
	columns := r.columns[u]
	if len(columns) == 0 {
		return 0
	}
	outs, _ := r.w.Dims()
	if len(columns) == 1 {
		c, sum := columns[0], 0.0
		for o := range outs {
			v := r.w.At(o, c)
			sum += float64(v * v)
		}
		return sum / r.inverse.At(c, c) / r.energy
	}
	block := mat.NewSymDense(len(columns), nil)
	weights := mat.NewDense(len(columns), outs, nil)
	for i, c := range columns {
		for j := i; j < len(columns); j++ {
			block.SetSym(i, j, r.inverse.At(c, columns[j]))
		}
		for o := range outs {
			weights.Set(i, o, r.w.At(o, c))
		}
	}
	var factors mat.Cholesky
	var solved mat.Dense
	if !factors.Factorize(block) || factors.SolveTo(&solved, weights) != nil {
		return math.Inf(1)
	}
	solved.MulElem(&solved, weights)
	return mat.Sum(&solved) / r.energy
}

// leave takes a unit out of the weights and lets the others make it good.
func (r *reader) leave(u int32) bool {
	if len(r.columns[u]) == 0 {
		return true
	}
	rows, weights, ok := r.solve(r.columns[u])
	if !ok {
		return false
	}
	var change mat.Dense
	change.Mul(weights, rows)
	r.w.Sub(r.w, &change)
	_, wide := r.w.Dims()
	across := mat.NewDense(wide, len(r.columns[u]), nil)
	for i, c := range r.columns[u] {
		across.SetCol(i, r.inverse.RawRowView(c))
	}
	change.Reset()
	change.Mul(across, rows)
	r.inverse.Sub(r.inverse, &change)
	return true
}

// choose returns the count units of a family that the products that read them need least, one after the other, and those products' weights
// without them. It returns none if not enough is known.
func (r *repairer) choose(t *tracer, f *family, count int) (map[int32]bool, map[string]*tensor.Tensor, error) {
	readers, err := r.readersOf(t, f)
	if err != nil || len(readers) == 0 {
		return nil, nil, err
	}
	gone := map[int32]bool{}
	for len(gone) < count {
		best, least := int32(-1), math.Inf(1)
		for _, u := range f.units {
			if gone[u] {
				continue
			}
			cost := 0.0
			for _, read := range readers {
				cost += read.cost(u)
			}
			if cost < least {
				best, least = u, cost
			}
		}
		if best < 0 {
			return nil, nil, nil
		}
		gone[best] = true
		for _, read := range readers {
			if !read.leave(best) {
				return nil, nil, nil
			}
		}
	}
	weights := map[string]*tensor.Tensor{}
	for _, read := range readers {
		outs, wide := read.w.Dims()
		w := tensor.New(tensor.F32, outs, wide)
		for o := range outs {
			for j, v := range read.w.RawRowView(o) {
				w.F32()[o*wide+j] = float32(v)
			}
		}
		r.part(t.g, read.node, w, weights)
	}
	return gone, weights, nil
}

// with returns the tracer of the same graph with other weights.
func (t *tracer) with(weights map[string]*tensor.Tensor) *tracer {
	changed, graph := *t, *t.g
	graph.Init = maps.Clone(t.g.Init)
	maps.Copy(graph.Init, weights)
	changed.g = &graph
	return &changed
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
