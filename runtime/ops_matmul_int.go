package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"MatMulInteger": bindMatMulInteger,
	"QLinearMatMul": bindQLinearMatMul,
}))

// levels is an I8 or U8 operand with its zero points, read as differences from them.
type levels struct {
	t    *tensor.Tensor
	zero *tensor.Tensor // nil for 0; one value, or one per index
}

// newLevels checks an operand and its zero point, which has one value or n.
func newLevels(b *Bind, i, zero, n int) (levels, error) {
	l := levels{t: b.In[i]}
	if l.t.DType != tensor.I8 && l.t.DType != tensor.U8 {
		return l, b.unsupportedType(l.t.DType)
	}
	if b.Has(zero) {
		l.zero = b.In[zero]
		if l.zero.DType != l.t.DType {
			return l, b.errorf("a zero point of type %v for %v", l.zero.DType, l.t.DType)
		}
		if k := l.zero.Len(); k != 1 && k != n {
			return l, b.errorf("a zero point of shape %v for %d", l.zero.Shape, n)
		}
	}
	return l, nil
}

// load writes the differences of elements [at, at+len(dst)) from the zero point of index i.
func (l *levels) load(dst []int32, at, i int) {
	z := l.zeroAt(i)
	if l.t.DType == tensor.I8 {
		for j, v := range tensor.View[int8](l.t)[at : at+len(dst)] {
			dst[j] = int32(v) - z
		}
		return
	}
	for j, v := range tensor.View[uint8](l.t)[at : at+len(dst)] {
		dst[j] = int32(v) - z
	}
}

// loadEach writes differences where every element has a zero point of its own index.
func (l *levels) loadEach(dst []int32, at int) {
	l.load(dst, at, 0)
	if l.zero == nil || l.zero.Len() == 1 {
		return
	}
	first := l.zeroAt(0)
	for j := range dst {
		dst[j] += first - l.zeroAt(j)
	}
}

func (l *levels) zeroAt(i int) int32 {
	switch {
	case l.zero == nil:
		return 0
	case l.zero.Len() == 1:
		i = 0
	}
	if l.zero.DType == tensor.I8 {
		return int32(tensor.View[int8](l.zero)[i])
	}
	return int32(tensor.View[uint8](l.zero)[i])
}

// intProduct is a batch of integer products sum_k (a[i,k]-za[i]) (b[k,j]-zb[j]), row by row.
type intProduct struct {
	shape  matMulShape
	a, b   levels
	wide   *tensor.Tensor // B's differences
	row    *tensor.Tensor // per part: a row of A and a row of sums
	expand func()
}

// newIntProduct binds operands at inputs ai and bi with zero points at za and zb.
func newIntProduct(b *Bind, ai, za, bi, zb int) (*intProduct, error) {
	p := &intProduct{}
	var err error
	if p.shape, err = newMatMulShape(b, b.In[ai].Shape, b.In[bi].Shape, b.Out[0].Shape); err != nil {
		return nil, err
	}
	s := p.shape
	if p.a, err = newLevels(b, ai, za, s.m); err != nil {
		return nil, err
	}
	if p.b, err = newLevels(b, bi, zb, s.n); err != nil {
		return nil, err
	}
	p.wide = b.Scratch(b.In[bi].Len() * 4)
	p.row = b.Scratch(b.parts() * (s.k + s.n) * 4)
	rows := b.In[bi].Len() / max(s.n, 1)
	p.expand = b.split(rows, 1, s.n, func(_, lo, hi int) {
		wide := tensor.View[int32](p.wide)
		for r := lo; r < hi; r++ {
			p.b.loadEach(wide[r*s.n:(r+1)*s.n], r*s.n)
		}
	})
	return p, nil
}

// sums computes row r of the output; the result is valid until the part's next call.
func (p *intProduct) sums(part, r int) []int32 {
	s := p.shape
	batch, i := r/s.m, r%s.m
	mem := tensor.View[int32](p.row)[part*(s.k+s.n) : (part+1)*(s.k+s.n)]
	left, sums := mem[:s.k], mem[s.k:]
	p.a.load(left, s.offA[batch]+i*s.k, i)
	clear(sums)
	wide := tensor.View[int32](p.wide)
	for k, v := range left {
		if v == 0 {
			continue
		}
		right := wide[s.offB[batch]+k*s.n:][:len(sums)]
		for j := range sums {
			sums[j] += v * right[j]
		}
	}
	return sums
}

// bindMatMulInteger binds MatMulInteger: A, B, a_zero_point, b_zero_point to I32 sums.
func bindMatMulInteger(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	p, err := newIntProduct(b, 0, 2, 1, 3)
	if err != nil {
		return nil, err
	}
	y, s := b.Out[0], p.shape
	if y.DType != tensor.I32 {
		return nil, b.unsupportedType(y.DType)
	}
	multiply := b.split(len(s.offA)*s.m, 1, s.n*s.k, func(part, lo, hi int) {
		dst := tensor.View[int32](y)
		for r := lo; r < hi; r++ {
			copy(dst[r*s.n:(r+1)*s.n], p.sums(part, r))
		}
	})
	return func() error {
		p.expand()
		multiply()
		return nil
	}, nil
}

// bindQLinearMatMul binds QLinearMatMul: the sums are scaled by a_scale b_scale / y_scale, rounded half to even,
// moved by y_zero_point and saturated.
func bindQLinearMatMul(b *Bind) (Run, error) {
	if err := needInputs(b, 8); err != nil {
		return nil, err
	}
	p, err := newIntProduct(b, 0, 2, 3, 5)
	if err != nil {
		return nil, err
	}
	s := p.shape
	q, err := newRequantizer(b, [3]int{1, 4, 6}, 7, [3]int{s.m, s.n, 1})
	if err != nil {
		return nil, err
	}
	multiply := b.split(len(s.offA)*s.m, 1, s.n*s.k, func(part, lo, hi int) {
		for r := lo; r < hi; r++ {
			for j, v := range p.sums(part, r) {
				q.store(r*s.n+j, v, r%s.m, j)
			}
		}
	})
	return func() error {
		p.expand()
		q.load()
		multiply()
		return nil
	}, nil
}

// requantizer turns sums of products of levels into levels of the output.
type requantizer struct {
	scales [3]*tensor.Tensor // of the first operand, the second and the output
	wide   [3]*tensor.Tensor // the same in F32
	y      *tensor.Tensor
	zero   levels
}

// newRequantizer checks three scales, which have one value or as many as sizes says, and the output with
// its zero point.
func newRequantizer(b *Bind, scales [3]int, zero int, sizes [3]int) (*requantizer, error) {
	q := &requantizer{y: b.Out[0]}
	for i, in := range scales {
		t := b.In[in]
		if !t.DType.IsFloat() {
			return nil, b.unsupportedType(t.DType)
		}
		if n := t.Len(); n != 1 && n != sizes[i] {
			return nil, b.errorf("a scale of shape %v for %d", t.Shape, sizes[i])
		}
		q.scales[i], q.wide[i] = t, b.Scratch(t.Len()*4)
	}
	if q.y.DType != tensor.I8 && q.y.DType != tensor.U8 {
		return nil, b.unsupportedType(q.y.DType)
	}
	q.zero.t = q.y
	if b.Has(zero) {
		q.zero.zero = b.In[zero]
		if q.zero.zero.DType != q.y.DType || q.zero.zero.Len() != 1 {
			return nil, b.errorf("a zero point %v for an output of type %v", q.zero.zero, q.y.DType)
		}
	}
	return q, nil
}

// load reads the scales; it comes before store in a Run.
func (q *requantizer) load() {
	for i, t := range q.scales {
		loadF32(q.wide[i].F32(), t)
	}
}

// store writes element at of the output from a sum whose operands have scales i and j.
func (q *requantizer) store(at int, sum int32, i, j int) {
	a, b := q.wide[0].F32(), q.wide[1].F32()
	if len(a) == 1 {
		i = 0
	}
	if len(b) == 1 {
		j = 0
	}
	v := math.RoundToEven(float64(sum)*float64(float32(a[i]*b[j])/q.wide[2].F32()[0])) + float64(q.zero.zeroAt(0))
	if q.y.DType == tensor.I8 {
		tensor.View[int8](q.y)[at] = int8(min(max(v, math.MinInt8), math.MaxInt8))
	} else {
		tensor.View[uint8](q.y)[at] = uint8(min(max(v, 0), math.MaxUint8))
	}
}
