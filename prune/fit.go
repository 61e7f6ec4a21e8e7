package prune

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// fitDamping is added to the diagonal of the rows' second moment, as a part of its mean, until another one is found to be better.
	fitDamping = 0.05
	// fitBlock is how many rows are summed up in float32; blocks of them are in float64. Not a power of two: columns of them share the cache then.
	fitBlock = 496
	// fitHeld is every which image or text a damping is judged on, and fitOutputs how many outputs of a product.
	fitHeld    = 4
	fitOutputs = 32
)

// dampings are tried: a fit on few rows has to stay near the weights that are there.
var dampings = []float64{0.003, 0.03, 0.3, 3}

// fitter fits products by least squares.
type fitter struct {
	pool                *kernels.Pool
	scratch             [][]byte
	transposed, partial []float32
}

// gemm calls done, in parts of the m rows of dst, when dst = a b, or a b^T with transB; a is [m, k], dst [m, n].
func (f *fitter) gemm(dst, a, b []float32, transB bool, m, n, k int, done func(lo, hi int)) {
	if f.scratch == nil {
		f.scratch = make([][]byte, f.pool.Threads())
	}
	ldb := n
	if transB {
		ldb = k
	}
	f.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(m, kernels.PanelRows, part, parts)
		if lo == hi {
			return
		}
		if need := kernels.GemmPackBytes(hi-lo, n, k); len(f.scratch[part]) < need {
			f.scratch[part] = tensor.AlignedBytes(need)
		}
		kernels.Gemm(dst[lo*n:hi*n], n, a[lo*k:hi*k], k, b, ldb, transB, hi-lo, n, k, f.scratch[part])
		if done != nil {
			done(lo, hi)
		}
	}))
}

// product returns what weights w [outs, wide] make of rows [count, wide], [count, outs].
func (f *fitter) product(have *rows, w *tensor.Tensor) []float32 {
	outs, wide := w.Shape[0], w.Shape[1]
	count := len(have.x) / wide
	y := make([]float32, count*outs)
	if count == 0 {
		return y
	}
	f.gemm(y, have.x, w.F32(), true, count, outs, wide, nil)
	if len(have.z) == len(y) {
		kernels.Add(y, y, have.z)
	}
	return y
}

// moments are what a fit needs to know of rows X [count, wide] and of what the weights miss there, Y [count, outs].
type moments struct {
	xx *mat.SymDense // X^T X
	xy *mat.Dense    // X^T Y
}

// correct adds D to the weights w [outs, wide] that minimises |X D^T - Y|^2 + damping |D|^2, and reports whether there is a D.
func (m *moments) correct(w *tensor.Tensor, damping float64) bool {
	outs, wide := w.Shape[0], w.Shape[1]
	var step mat.Dense
	var factors mat.Cholesky
	if !factors.Factorize(damped(m.xx, damping)) || factors.SolveTo(&step, m.xy) != nil {
		return false
	}
	for r := range outs {
		for j, v := range w.F32()[r*wide : (r+1)*wide] {
			w.F32()[r*wide+j] = v + float32(step.At(j, r))
		}
	}
	return true
}

// damping returns the damping with which a fit to the rows of m does best on those of held, by some of the outputs; infinite if none does good.
func (m *moments) damping(held *moments) float64 {
	wide, outs := m.xy.Dims()
	some := min(outs, fitOutputs)
	of := func(m *moments) *mat.Dense {
		out := mat.NewDense(wide, some, nil)
		for j := range some {
			for i := range wide {
				out.Set(i, j, m.xy.At(i, j*outs/some))
			}
		}
		return out
	}
	toward, want := of(m), of(held)
	best, least := math.Inf(1), 0.0
	for _, d := range dampings {
		var step, made mat.Dense
		var factors mat.Cholesky
		if !factors.Factorize(damped(m.xx, d)) || factors.SolveTo(&step, toward) != nil {
			continue
		}
		// |X D^T - Y|^2 - |Y|^2 = tr(D X^T X D^T) - 2 tr(D X^T Y)
		made.Mul(held.xx, &step)
		made.Sub(&made, want)
		made.Sub(&made, want)
		made.MulElem(&made, &step)
		if loss := mat.Sum(&made); loss < least {
			best, least = d, loss
		}
	}
	return best
}

// add adds the moments of other rows.
func (m *moments) add(other *moments) {
	m.xx.AddSym(m.xx, other.xx)
	if m.xy != nil {
		m.xy.Add(m.xy, other.xy)
	}
}

// split returns the rows, and what is missed there [count, outs], of most images or texts, and those of every fitHeld-th.
func (have *rows) split(wide int, miss []float32, outs int) (most, held *rows, mostMiss, heldMiss []float32) {
	order := map[int]int{}
	most, held = &rows{}, &rows{}
	for i, unit := range have.unit {
		if _, known := order[unit]; !known {
			order[unit] = len(order)
		}
		to, toMiss := most, &mostMiss
		if order[unit]%fitHeld == fitHeld-1 {
			to, toMiss = held, &heldMiss
		}
		to.x = append(to.x, have.x[i*wide:(i+1)*wide]...)
		*toMiss = append(*toMiss, miss[i*outs:(i+1)*outs]...)
	}
	return most, held, mostMiss, heldMiss
}

// moments returns those of rows of so many columns; without y there is no xy.
func (f *fitter) moments(have *rows, wide int, y []float32, outs int) *moments {
	count := len(have.x) / wide
	moment := make([]float64, wide*wide)
	toward := make([]float64, wide*outs)
	f.transposed = make([]float32, wide*min(count, fitBlock))
	f.partial = make([]float32, wide*max(wide, outs))
	for lo := 0; lo < count; lo += fitBlock {
		n := min(fitBlock, count-lo)
		x := have.x[lo*wide:][:n*wide]
		turn(f.transposed, x, n, wide)
		f.addProduct(moment, x, wide, wide, n)
		if outs > 0 {
			f.addProduct(toward, y[lo*outs:][:n*outs], wide, outs, n)
		}
	}
	m := &moments{xx: mat.NewSymDense(wide, moment)}
	if outs > 0 {
		m.xy = mat.NewDense(wide, outs, toward)
	}
	return m
}

// turn writes the columns of x [n, wide] to the rows of dst, some of them at a time.
func turn(dst, x []float32, n, wide int) {
	const side = 16
	for lo := 0; lo < wide; lo += side {
		hi := min(lo+side, wide)
		for i := range n {
			for j, v := range x[i*wide+lo : i*wide+hi] {
				dst[(lo+j)*n+i] = v
			}
		}
	}
}

// addProduct adds to sum [m, n] the product of the transposed rows [m, k] and b [k, n].
func (f *fitter) addProduct(sum []float64, b []float32, m, n, k int) {
	f.gemm(f.partial[:m*n], f.transposed[:m*k], b, false, m, n, k, func(lo, hi int) {
		for i, v := range f.partial[lo*n : hi*n] {
			sum[lo*n+i] += float64(v)
		}
	})
}

// damped returns a moment with damping times its mean diagonal added to the diagonal.
func damped(moment *mat.SymDense, damping float64) *mat.SymDense {
	n := moment.SymmetricDim()
	out := mat.NewSymDense(n, slices.Clone(moment.RawSymmetric().Data))
	mean := mat.Trace(moment) / float64(n)
	for i := range n {
		out.SetSym(i, i, out.At(i, i)+float64(damping*mean))
	}
	return out
}
