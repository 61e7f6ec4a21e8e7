package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, map[string]Binder{"Linear": widened(bindLinear)})

var _ = register("", rowMajor(map[string]Binder{
	"MatMul": bindMatMul,
	"Gemm":   bindGemm,
}))

// bindLinear binds dsk.Linear: Y = act(X W^T + B) with W[N,K]; the leading axes of X are rows.
func bindLinear(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 2); err != nil {
		return nil, err
	}
	x, w, y := b.In[0], b.In[1], b.Out[0]
	if len(w.Shape) != 2 || len(x.Shape) == 0 || x.Shape[len(x.Shape)-1] != w.Shape[1] {
		return nil, b.errorf("cannot multiply %v by the rows of %v", x.Shape, w.Shape)
	}
	n, k, lead := w.Shape[0], w.Shape[1], x.Shape[:len(x.Shape)-1]
	if err := needShape(b, "the output", y, append(append([]int(nil), lead...), n)...); err != nil {
		return nil, err
	}
	rows := product(lead)
	act, err := fusedActivation(b)
	if err != nil {
		return nil, err
	}
	p, err := newRowProduct(b, b.Pool, 1, 2, n, k, act)
	if err != nil {
		return nil, err
	}
	if p.fixed == nil {
		g := &gemms{a: x, b: w, y: y, m: rows, n: n, k: k, ldb: k, transB: true,
			offA: []int{0}, offB: []int{0}, after: p}
		return g.bind(b), nil
	}
	b.linear = &linearStep{p: p, x: x, y: y, rows: rows, scratch: b.Scratch(p.scratchBytes(rows))}
	return b.linear.run, nil
}

// gemms is a batch of float products Y = A B of the same size whose second operand is not constant. The
// pool splits it by product, by rows and, for few rows, by columns.
type gemms struct {
	a, b, y    *tensor.Tensor
	m, n, k    int
	ldb        int
	transB     bool
	offA, offB []int       // per product: where its operands begin
	after      *rowProduct // bias and activation, or nil

	rowBlock, colBlock int
	rowBlocks          int
	colBlocks          int
	scratch            *tensor.Tensor
	scratchBytes       int
}

// The blocks in which a product is given to threads: large enough to repay the packing of B.
const (
	gemmRowBlock = 64
	gemmColBlock = 256
)

func (g *gemms) bind(b *Bind) Run {
	g.rowBlock, g.colBlock = gemmRowBlock, max(g.n, 1)
	if g.m <= gemmRowBlock && g.after == nil {
		g.colBlock = gemmColBlock
	}
	g.rowBlocks = (g.m + g.rowBlock - 1) / g.rowBlock
	g.colBlocks = (g.n + g.colBlock - 1) / g.colBlock
	g.scratchBytes = (kernels.GemmScratchBytes(g.n, g.k) + 63) &^ 63
	g.scratch = b.Scratch(g.scratchBytes * b.parts())
	run := b.split(len(g.offA)*g.rowBlocks*g.colBlocks, 1, g.rowBlock*g.colBlock*max(g.k, 1)/8, g.do)
	return simple(run)
}

func (g *gemms) do(part, lo, hi int) {
	scratch := g.scratch.Data[part*g.scratchBytes : (part+1)*g.scratchBytes]
	a, bb, y := g.a.F32(), g.b.F32(), g.y.F32()
	for u := lo; u < hi; u++ {
		col := u % g.colBlocks * g.colBlock
		row := u / g.colBlocks % g.rowBlocks * g.rowBlock
		batch := u / (g.colBlocks * g.rowBlocks)
		rows, cols := min(g.rowBlock, g.m-row), min(g.colBlock, g.n-col)
		first := g.offB[batch] + col
		if g.transB {
			first = g.offB[batch] + col*g.ldb
		}
		var right []float32
		if g.k > 0 {
			right = bb[first:]
		}
		dst := y[(batch*g.m+row)*g.n+col:]
		kernels.Gemm(dst, g.n, a[g.offA[batch]+row*g.k:], g.k, right, g.ldb, g.transB, rows, cols, g.k, scratch)
		if g.after != nil {
			g.after.epilogue(dst, g.n, rows)
		}
	}
}

// matMulShape is a batch of products after NumPy's matmul: 1-D operands are a row or a column, and
// batch axes broadcast.
type matMulShape struct {
	m, n, k    int
	offA, offB []int // per product of the batch: first element of the operand
}

func newMatMulShape(b *Bind, as, bs, ys []int) (matMulShape, error) {
	var s matMulShape
	if len(as) == 0 || len(bs) == 0 {
		return s, b.errorf("cannot multiply %v by %v", as, bs)
	}
	rowVector, colVector := len(as) == 1, len(bs) == 1
	if rowVector {
		as = []int{1, as[0]}
	}
	if colVector {
		bs = []int{bs[0], 1}
	}
	ra, rb := len(as), len(bs)
	s.m, s.k, s.n = as[ra-2], as[ra-1], bs[rb-1]
	batch, ok := broadcastDims(as[:ra-2], bs[:rb-2])
	if !ok || bs[rb-2] != s.k {
		return s, b.errorf("cannot multiply %v by %v", as, bs)
	}
	want := append([]int(nil), batch...)
	if !rowVector {
		want = append(want, s.m)
	}
	if !colVector {
		want = append(want, s.n)
	}
	if !tensor.SameShape(want, ys) {
		return s, b.errorf("the output has shape %v, want %v", ys, want)
	}
	s.offA = batchOffsets(batch, as[:ra-2], s.m*s.k)
	s.offB = batchOffsets(batch, bs[:rb-2], s.k*s.n)
	return s, nil
}

// broadcastDims broadcasts two shapes; false if they do not fit.
func broadcastDims(x, y []int) ([]int, bool) {
	if len(x) < len(y) {
		x, y = y, x
	}
	out := append([]int(nil), x...)
	off := len(x) - len(y)
	for i, d := range y {
		switch e := out[off+i]; {
		case e == d || d == 1:
		case e == 1:
			out[off+i] = d
		default:
			return nil, false
		}
	}
	return out, true
}

// batchOffsets returns, for every element of batch, where the operand with axes dims broadcast to
// batch has its block of the given size.
func batchOffsets(batch, dims []int, size int) []int {
	off := make([]int, product(batch))
	st := strides(dims)
	pad := len(batch) - len(dims)
	for i := range off {
		rest := i
		for a := len(batch) - 1; a >= 0; a-- {
			c := rest % batch[a]
			rest /= batch[a]
			if a >= pad && dims[a-pad] != 1 {
				off[i] += c * st[a-pad] * size
			}
		}
	}
	return off
}

// bindMatMul binds MatMul: a batch of products with NumPy's broadcasting.
func bindMatMul(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	x, w, y := b.In[0], b.In[1], b.Out[0]
	if x.DType != w.DType || x.DType != y.DType {
		return nil, b.errorf("operands of types %v and %v, output %v", x.DType, w.DType, y.DType)
	}
	s, err := newMatMulShape(b, x.Shape, w.Shape, y.Shape)
	if err != nil {
		return nil, err
	}
	switch x.DType {
	case tensor.F32:
		return bindMatMulF32(b, s)
	case tensor.F16, tensor.BF16:
		return widened(bindMatMul)(b)
	case tensor.F64:
		return matMulLoop[float64](b, s), nil
	case tensor.I32:
		return matMulLoop[int32](b, s), nil
	case tensor.I64:
		return matMulLoop[int64](b, s), nil
	case tensor.U32:
		return matMulLoop[uint32](b, s), nil
	case tensor.U64:
		return matMulLoop[uint64](b, s), nil
	}
	return nil, b.unsupportedType(x.DType)
}

func bindMatMulF32(b *Bind, s matMulShape) (Run, error) {
	x, w, y := b.In[0], b.In[1], b.Out[0]
	if len(w.Shape) > 2 || len(w.Shape) == 1 && len(s.offA) > 1 || !contiguousBatch(s.offA, s.m*s.k) {
		g := &gemms{a: x, b: w, y: y, m: s.m, n: s.n, k: s.k, ldb: s.n, offA: s.offA, offB: s.offB}
		return g.bind(b), nil
	}
	// One matrix for the whole batch: all rows in one product.
	rows := s.m * len(s.offA)
	if !b.IsConst(1) || b.IsConst(0) {
		g := &gemms{a: x, b: w, y: y, m: rows, n: s.n, k: s.k, ldb: s.n, offA: []int{0}, offB: []int{0}}
		return g.bind(b), nil
	}
	panels, err := weightPanels(b, w, s.n, s.k, 1, s.n)
	if err != nil {
		return nil, err
	}
	p := &rowProduct{n: s.n, k: s.k}
	p.fix(b.Pool, panels, false)
	scratch := b.Scratch(p.scratchBytes(rows))
	return func() error {
		p.run(y.F32(), s.n, x.F32(), s.k, rows, scratch.Data)
		return nil
	}, nil
}

func contiguousBatch(off []int, size int) bool {
	for i, o := range off {
		if o != i*size {
			return false
		}
	}
	return true
}

// matMulLoop is MatMul for the types that have no kernel.
func matMulLoop[T float64 | int32 | int64 | uint32 | uint64](b *Bind, s matMulShape) Run {
	x, w, y := b.In[0], b.In[1], b.Out[0]
	return simple(b.split(len(s.offA)*s.m, 1, s.n*max(s.k, 1), func(_, lo, hi int) {
		xs, ws, ys := tensor.View[T](x), tensor.View[T](w), tensor.View[T](y)
		for r := lo; r < hi; r++ {
			batch, i := r/s.m, r%s.m
			dst := ys[r*s.n : (r+1)*s.n]
			clear(dst)
			for k := range s.k {
				v := xs[s.offA[batch]+i*s.k+k]
				for j, u := range ws[s.offB[batch]+k*s.n:][:s.n] {
					dst[j] += T(v * u)
				}
			}
		}
	}))
}

// bindGemm binds Gemm: Y = alpha A' B' + beta C, where A' is A or its transpose, B' likewise, and C
// broadcasts to Y.
func bindGemm(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	x, w, y := b.In[0], b.In[1], b.Out[0]
	if len(x.Shape) != 2 || len(w.Shape) != 2 {
		return nil, b.errorf("operands must be matrices, not %v and %v", x.Shape, w.Shape)
	}
	g := gemmShape{transA: b.Node.Int("transA", 0) != 0, transB: b.Node.Int("transB", 0) != 0,
		alpha: b.Node.Float("alpha", 1), beta: b.Node.Float("beta", 1)}
	var kb int
	if g.m, g.k = x.Shape[0], x.Shape[1]; g.transA {
		g.m, g.k = g.k, g.m
	}
	if kb, g.n = w.Shape[0], w.Shape[1]; g.transB {
		kb, g.n = g.n, kb
	}
	if kb != g.k {
		return nil, b.errorf("cannot multiply %v by %v (transA %v, transB %v)", x.Shape, w.Shape, g.transA, g.transB)
	}
	if err := needShape(b, "the output", y, g.m, g.n); err != nil {
		return nil, err
	}
	for _, t := range []*tensor.Tensor{w, y} {
		if t.DType != x.DType {
			return nil, b.errorf("operands of types %v and %v", x.DType, t.DType)
		}
	}
	if b.Has(2) {
		c := b.In[2]
		if dims, ok := broadcastDims(c.Shape, y.Shape); !ok || !tensor.SameShape(dims, y.Shape) {
			return nil, b.errorf("C of shape %v does not broadcast to %v", c.Shape, y.Shape)
		}
		if c.DType != x.DType {
			return nil, b.errorf("C of type %v, A of type %v", c.DType, x.DType)
		}
		g.rowC, g.colC = gemmStrides(c.Shape)
	}
	switch x.DType {
	case tensor.F32:
		return bindGemmF32(b, g)
	case tensor.F16, tensor.BF16:
		return widened(bindGemm)(b)
	case tensor.F64:
		return gemmLoop[float64](b, g), nil
	case tensor.I32:
		return gemmLoop[int32](b, g), nil
	case tensor.I64:
		return gemmLoop[int64](b, g), nil
	case tensor.U32:
		return gemmLoop[uint32](b, g), nil
	case tensor.U64:
		return gemmLoop[uint64](b, g), nil
	}
	return nil, b.unsupportedType(x.DType)
}

type gemmShape struct {
	m, n, k        int
	transA, transB bool
	alpha, beta    float32
	rowC, colC     int // strides of C; 0 along a broadcast axis
}

// gemmStrides returns the row and column stride of a C of at most two axes.
func gemmStrides(c []int) (row, col int) {
	if len(c) > 0 && c[len(c)-1] != 1 {
		col = 1
	}
	if len(c) > 1 && c[0] != 1 {
		row = c[1]
	}
	return row, col
}

func bindGemmF32(b *Bind, g gemmShape) (Run, error) {
	x, w, y := b.In[0], b.In[1], b.Out[0]
	left, transpose := x, func() {}
	if g.transA {
		left = b.Scratch(g.m * g.k * 4)
		transpose = b.split(g.m, 16, 4*g.k, func(_, lo, hi int) {
			kernels.Transpose(left.F32()[lo*g.k:], g.k, x.F32()[lo:], g.m, g.k, hi-lo)
		})
	}
	var multiply func()
	if b.IsConst(1) && !b.IsConst(0) {
		rowStride, colStride := 1, g.n
		if g.transB {
			rowStride, colStride = g.k, 1
		}
		panels, err := weightPanels(b, w, g.n, g.k, rowStride, colStride)
		if err != nil {
			return nil, err
		}
		p := &rowProduct{n: g.n, k: g.k}
		p.fix(b.Pool, panels, false)
		scratch := b.Scratch(p.scratchBytes(g.m))
		multiply = func() { p.run(y.F32(), g.n, left.F32(), g.k, g.m, scratch.Data) }
	} else {
		ldb := g.n
		if g.transB {
			ldb = g.k
		}
		run := (&gemms{a: left, b: w, y: y, m: g.m, n: g.n, k: g.k, ldb: ldb, transB: g.transB,
			offA: []int{0}, offB: []int{0}}).bind(b)
		multiply = func() { _ = run() }
	}
	return func() error {
		transpose()
		multiply()
		var c []float32
		if b.Has(2) {
			c = b.In[2].F32()
		}
		g.addC(y.F32(), c)
		return nil
	}, nil
}

// addC computes y = alpha y + beta C.
func (g *gemmShape) addC(y, c []float32) {
	if c == nil && g.alpha == 1 {
		return
	}
	for i := range g.m {
		row := y[i*g.n : (i+1)*g.n]
		if g.alpha != 1 {
			kernels.Scale(row, row, g.alpha)
		}
		switch {
		case c == nil:
		case g.colC == 1:
			kernels.Axpy(row, c[i*g.rowC:][:g.n], g.beta)
		default:
			v := g.beta * c[i*g.rowC]
			for j := range row {
				row[j] += v
			}
		}
	}
}

// gemmLoop is Gemm for the types that have no kernel. Integers are scaled in double precision.
func gemmLoop[T float64 | int32 | int64 | uint32 | uint64](b *Bind, g gemmShape) Run {
	x, w, y := b.In[0], b.In[1], b.Out[0]
	rowA, colA, rowB, colB := g.k, 1, g.n, 1
	if g.transA {
		rowA, colA = 1, g.m
	}
	if g.transB {
		rowB, colB = 1, g.k
	}
	return simple(b.split(g.m, 1, g.n*max(g.k, 1), func(_, lo, hi int) {
		xs, ws, ys := tensor.View[T](x), tensor.View[T](w), tensor.View[T](y)
		for i := lo; i < hi; i++ {
			for j := range g.n {
				var sum T
				for k := range g.k {
					sum += T(xs[i*rowA+k*colA] * ws[k*rowB+j*colB])
				}
				if g.alpha != 1 {
					sum = T(float64(g.alpha) * float64(sum))
				}
				if b.Has(2) {
					c := tensor.View[T](b.In[2])[i*g.rowC+j*g.colC]
					if g.beta != 1 {
						c = T(float64(g.beta) * float64(c))
					}
					sum += c
				}
				ys[i*g.n+j] = sum
			}
		}
	}))
}
