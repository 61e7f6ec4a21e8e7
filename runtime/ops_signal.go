package runtime

import (
	"fmt"
	"math"
	"math/cmplx"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(1, map[string]Binder{"DFT": bindDFT}))

var _ = register("", operands(5, map[string]Binder{"MelWeightMatrix": bindMel}))

// bindDFT is the discrete Fourier transform along an axis, computed in float64: y[k] = sum x[n] exp(-2 pi i k n / N), with +
// and divided by N for the inverse. onesided leaves out the half that follows from the other for real numbers; the inverse
// of such a half is real.
func bindDFT(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if b.Has(1) && !b.IsConst(1) || b.Has(2) && !b.IsConst(2) {
		return nil, errNeedsValue
	}
	rank := len(in.Shape)
	axis := rank - 2
	if v, err := b.constInts(2); err != nil {
		return nil, err
	} else if len(v) == 1 {
		if axis, err = b.normAxis(v[0], rank); err != nil {
			return nil, err
		}
	}
	load, store := loaderOf(in.DType), storerOf(out.DType)
	if load == nil || store == nil || !in.DType.IsFloat() {
		return nil, b.unsupportedType(in.DType)
	}
	inverse, oneSided := b.Node.Int("inverse", 0) != 0, b.Node.Int("onesided", 0) != 0
	have, parts := in.Shape[axis], in.Shape[rank-1]
	made, outParts := out.Shape[axis], out.Shape[rank-1]
	n := made
	if v, err := b.constInts(1); err != nil {
		return nil, err
	} else if len(v) == 1 {
		n = v[0]
	} else if !inverse {
		n = have
	}
	if n < 1 {
		return nil, b.errorf("a transform of %d elements", n)
	}
	outer, inner := product(in.Shape[:axis]), product(in.Shape[axis+1:rank-1])
	f := newFourier(n, inverse)
	return simple(func() {
		row := make([]complex128, n)
		for o := range outer {
			for i := range inner {
				clear(row)
				for k := range min(n, have) {
					at := ((o*have+k)*inner + i) * parts
					re, im := load(in, at), 0.0
					if parts == 2 {
						im = load(in, at+1)
					}
					row[k] = complex(re, im)
				}
				if inverse && oneSided {
					for k := have; k < n; k++ {
						row[k] = cmplx.Conj(row[n-k])
					}
				}
				y := f.transform(row)
				for k := range made {
					at := ((o*made+k)*inner + i) * outParts
					store(out, at, real(y[k]))
					if outParts == 2 {
						store(out, at+1, imag(y[k]))
					}
				}
			}
		}
	}), nil
}

// fourier transforms rows of n numbers by splitting n into its prime factors (Cooley and Tukey, 1965).
type fourier struct {
	n      int
	roots  []complex128 // exp(-+ 2 pi i k / n)
	factor []int
	scale  complex128
	work   []complex128
}

func newFourier(n int, inverse bool) *fourier {
	f := &fourier{n: n, roots: make([]complex128, n), scale: 1, work: make([]complex128, n)}
	sign := -1.0
	if inverse {
		sign, f.scale = 1, complex(1/float64(n), 0)
	}
	for k := range f.roots {
		// Eighths of a turn are computed from the first, so that what should vanish does.
		s, c := sinCosTurn(k, n)
		f.roots[k] = complex(c, sign*s)
	}
	for p, left := 2, n; left > 1; p++ {
		if p*p > left {
			p = left
		}
		for left%p == 0 {
			f.factor = append(f.factor, p)
			left /= p
		}
	}
	return f
}

// sinCosTurn returns the sine and cosine of k/n turns, exact at quarters.
func sinCosTurn(k, n int) (s, c float64) {
	quarter, rest := 4*k/n, 4*k%n
	s, c = math.Sincos(math.Pi / 2 * float64(rest) / float64(n))
	switch quarter {
	case 1:
		s, c = c, -s
	case 2:
		s, c = -s, -c
	case 3:
		s, c = -c, s
	}
	return s, c
}

// transform overwrites row and returns the result, which lies in row or in memory of f.
func (f *fourier) transform(row []complex128) []complex128 {
	f.split(row, f.work, f.factor, 1)
	for i := range row {
		row[i] *= f.scale
	}
	return row
}

// split transforms x in place; stride is the step of the roots at this depth. For n = p m, row r of the p rows x[r], x[r+p], ...
// is transformed, then y[k] = sum_r root(r k) row_r[k mod m].
func (f *fourier) split(x, work []complex128, factor []int, stride int) {
	n := len(x)
	if n == 1 {
		return
	}
	p := factor[0]
	m := n / p
	for r := range p {
		for j := range m {
			work[r*m+j] = x[r+j*p]
		}
	}
	for r := range p {
		f.split(work[r*m:(r+1)*m], x[r*m:(r+1)*m], factor[1:], stride*p)
	}
	for k := range n {
		var sum complex128
		for r := range p {
			sum += f.roots[r*k%n*stride] * work[r*m+k%m]
		}
		x[k] = sum
	}
}

// bindMel makes the matrix of triangles that takes a spectrum to the mel scale, 2595 log10(1 + f / 700).
func bindMel(b *Bind) (Run, error) {
	for i := range 5 {
		if !b.IsConst(i) {
			return nil, errNeedsValue
		}
		if b.In[i].Len() != 1 || loaderOf(b.In[i].DType) == nil {
			return nil, b.errorf("operand %v is not one number", b.In[i])
		}
	}
	number := func(i int) float64 { return loaderOf(b.In[i].DType)(b.In[i], 0) }
	out := b.Out[0]
	store := storerOf(out.DType)
	if store == nil {
		return nil, b.unsupportedType(out.DType)
	}
	rows, bins, length, rate := out.Shape[0], out.Shape[1], number(1), number(2)
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	low, high := mel(number(3)), mel(number(4))
	edge := make([]int, bins+2)
	for i := range edge {
		m := low + float64(i)*(high-low)/float64(len(edge))
		at := math.Floor((length + 1) * 700 * (math.Pow(10, m/2595) - 1) / rate)
		if !(at >= 0 && at < float64(rows)) || i > 0 && int(at) < edge[i-1] {
			return nil, b.errorf("edge %d of the mel bins is at %g of %d frequencies", i, at, rows)
		}
		edge[i] = int(at)
	}
	return func() error {
		clear(out.Data)
		for i := range bins {
			from, top, to := edge[i], edge[i+1], edge[i+2]
			for j := from; j <= top; j++ {
				v := 1.0
				if top > from {
					v = float64(j-from) / float64(top-from)
				}
				store(out, j*bins+i, v)
			}
			for j := top; j < to; j++ {
				store(out, j*bins+i, float64(to-j)/float64(to-top))
			}
		}
		return nil
	}, nil
}

var _ = register("", operands(1, map[string]Binder{"Det": bindDet}))

var _ = register("com.microsoft", operands(1, map[string]Binder{"Inverse": bindInverse}))

// squares returns how a stack of square matrices is read and written, and their size.
func (b *Bind) squares() (load func(*tensor.Tensor, int) float64, store func(*tensor.Tensor, int, float64), n int, err error) {
	in := b.In[0]
	load, store = loaderOf(in.DType), storerOf(b.Out[0].DType)
	if load == nil || store == nil || !in.DType.IsFloat() {
		return nil, nil, 0, b.unsupportedType(in.DType)
	}
	if rank := len(in.Shape); rank < 2 || in.Shape[rank-1] != in.Shape[rank-2] {
		return nil, nil, 0, b.errorf("%v is no stack of square matrices", in)
	}
	return load, store, in.Shape[len(in.Shape)-1], nil
}

// bindDet is the determinant, by elimination with pivots.
func bindDet(b *Bind) (Run, error) {
	load, store, n, err := b.squares()
	if err != nil {
		return nil, err
	}
	return simple(func() {
		a := make([]float64, n*n)
		for m := range b.Out[0].Len() {
			for i := range a {
				a[i] = load(b.In[0], m*n*n+i)
			}
			store(b.Out[0], m, eliminate(a, nil, n))
		}
	}), nil
}

func bindInverse(b *Bind) (Run, error) {
	load, store, n, err := b.squares()
	if err != nil {
		return nil, err
	}
	return func() error {
		a, inv := make([]float64, n*n), make([]float64, n*n)
		for at := 0; at < b.In[0].Len(); at += n * n {
			clear(inv)
			for i := range a {
				a[i] = load(b.In[0], at+i)
			}
			for i := range n {
				inv[i*n+i] = 1
			}
			if eliminate(a, inv, n) == 0 {
				return fmt.Errorf("matrix %d has no inverse", at/(n*n))
			}
			for i, v := range inv {
				store(b.Out[0], at+i, v)
			}
		}
		return nil
	}, nil
}

// eliminate brings the n x n matrix a to the identity, does the same to right if there is one, and returns the determinant.
func eliminate(a, right []float64, n int) float64 {
	det := 1.0
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(a[r*n+c]) > math.Abs(a[pivot*n+c]) {
				pivot = r
			}
		}
		p := a[pivot*n+c]
		if det *= p; det == 0 {
			return 0
		}
		for _, m := range [][]float64{a, right} {
			for k := 0; k < n && m != nil; k++ {
				m[pivot*n+k], m[c*n+k] = m[c*n+k], m[pivot*n+k]/p
			}
		}
		if pivot != c {
			det = -det
		}
		for r := range n {
			f := a[r*n+c]
			if r == c || f == 0 {
				continue
			}
			for _, m := range [][]float64{a, right} {
				for k := 0; k < n && m != nil; k++ {
					m[r*n+k] -= f * m[c*n+k]
				}
			}
		}
	}
	return det
}
