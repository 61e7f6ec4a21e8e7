package prune

import (
	"gonum.org/v1/gonum/mat"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// fitDamping is added to the diagonal of the rows' second moment, as a part of its mean: a fit on few rows stays near the
	// weights that are there.
	fitDamping = 0.05
	// fitBlock is how many rows are summed up in float32; blocks of them are in float64. Not a power of two: columns of them share the cache then.
	fitBlock = 496
)

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

// correct adds D to the weights w [outs, wide] that minimises |X D^T - miss|^2 + damping |D|^2 for rows X [count, wide] and miss [count, outs]. It
// reports whether there is one.
func (f *fitter) correct(w *tensor.Tensor, have *rows, miss []float32) bool {
	outs, wide := w.Shape[0], w.Shape[1]
	count := len(have.x) / wide
	moment, toward := make([]float64, wide*wide), make([]float64, wide*outs)
	f.transposed = make([]float32, wide*min(count, fitBlock))
	f.partial = make([]float32, wide*max(wide, outs))
	for lo := 0; lo < count; lo += fitBlock {
		n := min(fitBlock, count-lo)
		x := have.x[lo*wide:][:n*wide]
		turn(f.transposed, x, n, wide)
		f.addProduct(moment, x, wide, wide, n)
		f.addProduct(toward, miss[lo*outs:][:n*outs], wide, outs, n)
	}
	sum := mat.NewSymDense(wide, moment)
	mean := mat.Trace(sum) / float64(wide)
	for i := range wide {
		sum.SetSym(i, i, sum.At(i, i)+float64(fitDamping*mean))
	}
	var step mat.Dense
	var factors mat.Cholesky
	if !factors.Factorize(sum) || factors.SolveTo(&step, mat.NewDense(wide, outs, toward)) != nil {
		return false
	}
	for r := range outs {
		for j, v := range w.F32()[r*wide : (r+1)*wide] {
			w.F32()[r*wide+j] = v + float32(step.At(j, r))
		}
	}
	return true
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
