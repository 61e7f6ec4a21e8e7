// Package blas gives gonum's blas32 the float32 kernels of dsk.
//
//	blas.Use(nil)                           // one thread
//	blas.Use(kernels.NewPool(0))            // all cores
//
// From then on blas32.Gemm, and what is built on it, runs the micro-kernels of package kernels. Gemm, Gemv, Dot, Axpy and Scal
// are ours for real vectors without gaps; everything else, and every call with arguments that are not valid, goes to gonum's
// own implementation, whose results and panics are the reference.
package blas

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Implementation is a blas.Float32 for blas32.Use. It is safe for concurrent use; calls that find the pool busy run on their
// own goroutine.
type Implementation struct {
	gonum.Implementation
	pool     *kernels.Pool
	products sync.Pool // of *product
}

var _ blas.Float32 = (*Implementation)(nil)

// New returns an implementation that spreads matrix products over pool, or none if it is nil. The results do not depend on
// the pool.
func New(pool *kernels.Pool) *Implementation {
	impl := &Implementation{pool: pool}
	impl.products.New = func() any { return new(product) }
	return impl
}

// Use makes gonum's blas32 use New(pool). It must not run beside functions of blas32.
func Use(pool *kernels.Pool) { blas32.Use(New(pool)) }

const (
	// smallProduct is the number of multiplications below which gonum's loops cost less than the call.
	smallProduct = 16 * 16 * 16
	// pooledProduct is the number from which on a pool is woken.
	pooledProduct = 1 << 18
	// rowUnit and colUnit are the sizes of the micro-kernels' tile: shares of a product are multiples.
	rowUnit, colUnit = 12, 32
)

// transposes reports what t asks for, and whether it is valid.
func transposes(t blas.Transpose) (trans, ok bool) {
	switch t {
	case blas.NoTrans:
		return false, true
	case blas.Trans, blas.ConjTrans:
		return true, true
	}
	return false, false
}

// holds reports whether x holds a rows x cols matrix (swapped if trans) with stride ld.
func holds(x []float32, ld, rows, cols int, trans bool) bool {
	if trans {
		rows, cols = cols, rows
	}
	return ld >= cols && len(x) >= (rows-1)*ld+cols
}

// Sgemm computes C = alpha op(A) op(B) + beta C, where op(X) is X or its transpose, op(A) is m x k, op(B) is k x n and C is
// m x n, all row-major. C is not read if beta is 0.
func (impl *Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	transA, okA := transposes(tA)
	transB, okB := transposes(tB)
	if !okA || !okB || m <= 0 || n <= 0 || k <= 0 || alpha == 0 || m*n*k < smallProduct ||
		!holds(a, lda, m, k, transA) || !holds(b, ldb, k, n, transB) || !holds(c, ldc, m, n, false) {
		impl.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	p := impl.products.Get().(*product)
	p.Product = kernels.Product{M: m, N: n, K: k, A: a, LDA: lda, TransA: transA, B: b, LDB: ldb, TransB: transB,
		C: c, LDC: ldc, Add: beta != 0, Alpha: alpha}
	p.beta = beta
	threads := 1
	if impl.pool != nil && m*n*k >= pooledProduct {
		threads = impl.pool.Threads()
	}
	p.scratchBytes = (p.ScratchBytes() + kernels.LineBytes - 1) / kernels.LineBytes * kernels.LineBytes
	if need := threads * p.scratchBytes; cap(p.scratch) < need {
		p.scratch = make([]byte, need)
	}
	if threads == 1 {
		p.Do(0, 1)
	} else {
		impl.pool.Run(p)
	}
	p.Product = kernels.Product{}
	impl.products.Put(p)
}

// product is a running Sgemm.
type product struct {
	kernels.Product
	beta         float32
	scratch      []byte
	scratchBytes int // of a part
}

// Do computes a share of the rows, or of the columns if there are more tiles of those.
func (p *product) Do(part, parts int) {
	row, rowEnd, col, colEnd := 0, p.M, 0, p.N
	if p.M/rowUnit >= p.N/colUnit {
		row, rowEnd = kernels.Span(p.M, rowUnit, part, parts)
	} else {
		col, colEnd = kernels.Span(p.N, colUnit, part, parts)
	}
	if row >= rowEnd || col >= colEnd {
		return
	}
	share := p.Product
	share.M, share.N = rowEnd-row, colEnd-col
	share.C = p.C[row*p.LDC+col:]
	atA, atB := row*p.LDA, col
	if p.TransA {
		atA = row
	}
	if p.TransB {
		atB = col * p.LDB
	}
	share.A, share.B = p.A[atA:], p.B[atB:]
	if p.beta != 0 && p.beta != 1 {
		for i := range share.M {
			line := share.C[i*p.LDC:][:share.N]
			kernels.Scale(line, line, p.beta)
		}
	}
	share.Run(p.scratch[:cap(p.scratch)][part*p.scratchBytes:][:p.scratchBytes])
}

// Sgemv computes y = alpha op(A) x + beta y, where A is m x n. y is not read if beta is 0.
func (impl *Implementation) Sgemv(t blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	trans, ok := transposes(t)
	inputs, outputs := n, m
	if trans {
		inputs, outputs = m, n
	}
	if !ok || m <= 0 || n <= 0 || alpha == 0 || incX != 1 || incY != 1 || len(x) < inputs || len(y) < outputs || !holds(a, lda, m, n, false) {
		impl.Implementation.Sgemv(t, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	y = y[:outputs]
	switch beta {
	case 0:
		clear(y)
	case 1:
	default:
		kernels.Scale(y, y, beta)
	}
	for i := range m {
		if row := a[i*lda:][:n]; trans {
			kernels.Axpy(y, row, alpha*x[i])
		} else {
			y[i] += alpha * kernels.Dot(row, x)
		}
	}
}

// Sdot returns sum_i x[i*incX] y[i*incY] for i < n.
func (impl *Implementation) Sdot(n int, x []float32, incX int, y []float32, incY int) float32 {
	if n <= 0 || incX != 1 || incY != 1 || len(x) < n || len(y) < n {
		return impl.Implementation.Sdot(n, x, incX, y, incY)
	}
	return kernels.Dot(x[:n], y)
}

// Saxpy computes y[i*incY] += alpha x[i*incX] for i < n.
func (impl *Implementation) Saxpy(n int, alpha float32, x []float32, incX int, y []float32, incY int) {
	if n <= 0 || alpha == 0 || incX != 1 || incY != 1 || len(x) < n || len(y) < n {
		impl.Implementation.Saxpy(n, alpha, x, incX, y, incY)
		return
	}
	kernels.Axpy(y[:n], x, alpha)
}

// Sscal computes x[i*incX] *= alpha for i < n.
func (impl *Implementation) Sscal(n int, alpha float32, x []float32, incX int) {
	if n <= 0 || alpha == 0 || incX != 1 || len(x) < n {
		impl.Implementation.Sscal(n, alpha, x, incX)
		return
	}
	kernels.Scale(x[:n], x, alpha)
}
