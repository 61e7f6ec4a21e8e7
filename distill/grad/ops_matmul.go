package grad

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register("", map[string]binder{"MatMul": bindMatMul, "Gemm": bindGemm})
	_ = register(model.DomainDsk, map[string]binder{"Linear": bindLinear})
)

// gemm is c = alpha op(a) op(b) + beta c through blas32, for row-major matrices with strides: op(a) is m x k, op(b) k x n.
func gemm(ta, tb blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	general := func(t blas.Transpose, rows, cols int, x []float32, ld int) blas32.General {
		if t == blas.Trans {
			rows, cols = cols, rows
		}
		return blas32.General{Rows: rows, Cols: cols, Data: x, Stride: ld}
	}
	blas32.Gemm(ta, tb, alpha, general(ta, m, k, a, lda), general(tb, k, n, b, ldb), beta, general(blas.NoTrans, m, n, c, ldc))
}

func flip(t blas.Transpose) blas.Transpose {
	if t == blas.Trans {
		return blas.NoTrans
	}
	return blas.Trans
}

// matmul is Y_i = alpha op(A_i) op(B_i) + bias for a batch of matrices. A and B are input 0 and 1, the bias [n] is input 2.
type matmul struct {
	m, n, k int
	ta, tb  blas.Transpose
	alpha   float32
	a, b    []int // where the matrices of each product begin in their operands
	shared  bool  // an operand's matrix is used by several products
}

func (p *matmul) bind(b *binding, s *step) error {
	if err := b.floats(0, 1, 2); err != nil {
		return err
	}
	A, B, y := b.in[0], b.in[1], b.out[0]
	lda, ldb := p.k, p.n
	if p.ta == blas.Trans {
		lda = p.m
	}
	if p.tb == blas.Trans {
		ldb = p.k
	}
	var bias *operand
	if b.has(2) {
		bias = b.in[2]
	}
	sizeA, sizeB, size := p.m*p.k, p.k*p.n, p.m*p.n
	// Few products share the pool one after the other; many are spread over it.
	products := func(shared bool, f func(i int)) func() {
		if len(p.a) < b.parts() || shared {
			return func() {
				for i := range p.a {
					f(i)
				}
			}
		}
		return b.split(len(p.a), size*p.k/8, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				f(i)
			}
		})
	}
	s.forward = run(products(false, func(i int) {
		beta, out := float32(0), y.x()[i*size:(i+1)*size]
		if bias != nil {
			beta = 1
			for r := range p.m {
				copy(out[r*p.n:(r+1)*p.n], bias.x())
			}
		}
		gemm(p.ta, p.tb, p.m, p.n, p.k, p.alpha, A.x()[p.a[i]:][:sizeA], lda, B.x()[p.b[i]:][:sizeB], ldb, beta, out, p.n)
	}))
	var backA, backB, backBias func()
	prepare := func(o *operand) func() { return b.elements(o.n, func(lo, hi int) { o.sink(lo, hi) }) }
	if A.needs {
		back := products(p.shared, func(i int) {
			dy, x, beta := y.dy()[i*size:(i+1)*size], B.x()[p.b[i]:][:sizeB], float32(1)
			if !p.shared {
				beta = A.beta()
			}
			if dst := A.root.grad[p.a[i]:][:sizeA]; p.ta == blas.Trans {
				gemm(p.tb, blas.Trans, p.k, p.m, p.n, p.alpha, x, ldb, dy, p.n, beta, dst, lda)
			} else {
				gemm(blas.NoTrans, flip(p.tb), p.m, p.k, p.n, p.alpha, dy, p.n, x, ldb, beta, dst, lda)
			}
		})
		if backA = back; p.shared {
			backA = all(prepare(A), back)
		}
	}
	if B.needs {
		back := products(p.shared, func(i int) {
			dy, x, beta := y.dy()[i*size:(i+1)*size], A.x()[p.a[i]:][:sizeA], float32(1)
			if !p.shared {
				beta = B.beta()
			}
			if dst := B.root.grad[p.b[i]:][:sizeB]; p.tb == blas.Trans {
				gemm(blas.Trans, p.ta, p.n, p.k, p.m, p.alpha, dy, p.n, x, lda, beta, dst, ldb)
			} else {
				gemm(flip(p.ta), blas.NoTrans, p.k, p.n, p.m, p.alpha, x, lda, dy, p.n, beta, dst, ldb)
			}
		})
		if backB = back; p.shared {
			backB = all(prepare(B), back)
		}
	}
	if b.needs(2) {
		rows := len(p.a) * p.m
		backBias = b.chunked(bias, rows, p.n, func(_ int, sum []float32, lo, hi int) {
			for r := lo; r < hi; r++ {
				kernels.Add(sum, sum, y.dy()[r*p.n:])
			}
		})
	}
	s.backward = all(backA, backB, backBias)
	return nil
}

// bindMatMul binds MatMul of at least rank 2: leading axes broadcast.
func bindMatMul(b *binding, s *step) error {
	sa, sb := b.in[0].shape, b.in[1].shape
	if len(sa) < 2 || len(sb) < 2 {
		return unsupported("a product with a vector")
	}
	ba, bb := sa[:len(sa)-2], sb[:len(sb)-2]
	p := &matmul{m: sa[len(sa)-2], k: sa[len(sa)-1], n: sb[len(sb)-1], ta: blas.NoTrans, tb: blas.NoTrans, alpha: 1}
	if product(bb) == 1 && len(bb) <= len(ba) { // one matrix: all rows at once
		p.m *= product(ba)
		p.a, p.b = []int{0}, []int{0}
		return p.bind(b, s)
	}
	by := b.out[0].shape[:len(b.out[0].shape)-2]
	w := newBroadcast(ba, bb, by)
	for r := range product(w.outer) {
		for j := range w.inner {
			p.a = append(p.a, (w.at(0, r)+j*w.unit[0])*p.m*p.k)
			p.b = append(p.b, (w.at(1, r)+j*w.unit[1])*p.k*p.n)
		}
	}
	p.shared = !w.full[0] || !w.full[1]
	return p.bind(b, s)
}

// bindGemm binds alpha op(A) op(B) + C with a vector C; see open for others.
func bindGemm(b *binding, s *step) error {
	p := &matmul{ta: blas.NoTrans, tb: blas.NoTrans, alpha: b.node.Float("alpha", 1), a: []int{0}, b: []int{0}}
	p.m, p.n = b.out[0].shape[0], b.out[0].shape[1]
	p.k = b.in[0].shape[1]
	if b.node.Int("transA", 0) != 0 {
		p.ta, p.k = blas.Trans, b.in[0].shape[0]
	}
	if b.node.Int("transB", 0) != 0 {
		p.tb = blas.Trans
	}
	if b.has(2) && b.in[2].n != p.n {
		return fmt.Errorf("a bias of %d elements for %d columns", b.in[2].n, p.n)
	}
	return p.bind(b, s)
}

// bindLinear binds X W^T + B.
func bindLinear(b *binding, s *step) error {
	n, k := b.in[1].shape[0], b.in[1].shape[1]
	p := &matmul{m: b.in[0].n / max(k, 1), n: n, k: k, ta: blas.NoTrans, tb: blas.Trans, alpha: 1, a: []int{0}, b: []int{0}}
	return p.bind(b, s)
}
