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
	p.m, p.n, p.k, p.transB, p.beta = m, n, k, transB, beta
	p.a, p.lda, p.b, p.ldb, p.c, p.ldc = a, lda, b, ldb, c, ldc
	if transA || alpha != 1 {
		p.copyA(transA, alpha)
	}
	threads := 1
	if impl.pool != nil && m*n*k >= pooledProduct {
		threads = impl.pool.Threads()
	}
	p.scratchBytes = (kernels.GemmPackBytes(m, n, k) + kernels.LineBytes - 1) / kernels.LineBytes * kernels.LineBytes
	if need := threads * p.scratchBytes; cap(p.scratch) < need {
		p.scratch = make([]byte, need)
	}
	if threads == 1 {
		p.Do(0, 1)
	} else {
		impl.pool.Run(p)
	}
	p.a, p.b, p.c = nil, nil, nil
	impl.products.Put(p)
}

// product is a running Sgemm.
type product struct {
	m, n, k       int
	transB        bool
	beta          float32
	a, b, c       []float32
	lda, ldb, ldc int

	copied       []float32 // alpha op(A)
	scratch      []byte
	scratchBytes int // of a part
}

// copyA replaces A by alpha op(A).
func (p *product) copyA(trans bool, alpha float32) {
	if cap(p.copied) < p.m*p.k {
		p.copied = make([]float32, p.m*p.k)
	}
	p.copied = p.copied[:p.m*p.k]
	if trans {
		kernels.Transpose(p.copied, p.k, p.a, p.lda, p.k, p.m)
		if alpha != 1 {
			kernels.Scale(p.copied, p.copied, alpha)
		}
	} else {
		for i := range p.m {
			kernels.Scale(p.copied[i*p.k:(i+1)*p.k], p.a[i*p.lda:], alpha)
		}
	}
	p.a, p.lda = p.copied, p.k
}

// Do computes a share of the rows, or of the columns if there are more tiles of those.
func (p *product) Do(part, parts int) {
	scratch := p.scratch[:cap(p.scratch)][part*p.scratchBytes:][:p.scratchBytes]
	row, rowEnd, col, colEnd := 0, p.m, 0, p.n
	if p.m/rowUnit >= p.n/colUnit {
		row, rowEnd = kernels.Span(p.m, rowUnit, part, parts)
	} else {
		col, colEnd = kernels.Span(p.n, colUnit, part, parts)
	}
	if row >= rowEnd || col >= colEnd {
		return
	}
	c, b := p.c[row*p.ldc+col:], p.b[col:]
	if p.transB {
		b = p.b[col*p.ldb:]
	}
	gemm := kernels.GemmAdd
	switch p.beta {
	case 0:
		gemm = kernels.Gemm
	case 1:
	default:
		for i := range rowEnd - row {
			line := c[i*p.ldc:][:colEnd-col]
			kernels.Scale(line, line, p.beta)
		}
	}
	gemm(c, p.ldc, p.a[row*p.lda:], p.lda, b, p.ldb, p.transB, rowEnd-row, colEnd-col, p.k, scratch)
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
