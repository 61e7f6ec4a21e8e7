package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(2, map[string]Binder{"Pow": bindPow}))

// bindPow binds x^y; y may have another type than x, and the result has x's. Where both are
// integers the power is exact; else it is computed in float64 and cut off as Cast does.
func bindPow(b *Bind) (Run, error) {
	base, exp := b.In[0], b.In[1]
	if base.DType == tensor.F32 && exp.DType == tensor.F32 {
		return bindRows(b, 60, rowFunc[float32, float32](powRow))
	}
	load0, load1 := loaderOf(base.DType), loaderOf(exp.DType)
	store := storerOf(base.DType)
	if load0 == nil || load1 == nil || store == nil {
		return nil, b.errorf("no kernel for element types %v and %v", base.DType, exp.DType)
	}
	out := b.Out[0]
	w := newBroadcast(out.Shape, base.Shape, exp.Shape)
	if w == nil {
		return nil, b.errorf("shapes %v and %v do not broadcast to %v", base.Shape, exp.Shape, out.Shape)
	}
	exact := base.DType.IsInteger() && exp.DType.IsInteger()
	return simple(b.split(out.Len(), 64, 100, func(_, lo, hi int) {
		var c cursor
		for c.seek(w, lo); lo < hi; lo++ {
			i, j := c.at(0), c.at(1)
			if exact {
				storeInt(out, lo, powInt(loadInt(base, i), loadInt(exp, j)))
			} else {
				store(out, lo, math.Pow(load0(base, i), load1(exp, j)))
			}
			c.advance(1)
		}
	})), nil
}

// powRow is x^y on F32, without math.Pow for the exponents that models write.
func powRow(dst, x, y []float32, ix, iy int) {
	if iy == 0 && ix == 1 {
		x = x[:len(dst)]
		switch y[0] {
		case 1:
			copy(dst, x)
			return
		case 2:
			kernels.Mul(dst, x, x)
			return
		case 3:
			for i, v := range x {
				dst[i] = v * v * v
			}
			return
		case 0.5:
			kernels.Sqrt(dst, x)
			return
		case -1:
			for i, v := range x {
				dst[i] = 1 / v
			}
			return
		}
	}
	for i := range dst {
		dst[i] = float32(math.Pow(float64(x[i*ix]), float64(y[i*iy])))
	}
}

// powInt wraps around as two's complement does; a negative power is 0 unless the base is 1 or -1.
func powInt(x, y int64) int64 {
	if y < 0 {
		switch {
		case x == 1 || x == -1 && y%2 == 0:
			return 1
		case x == -1:
			return -1
		}
		return 0
	}
	r := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 != 0 {
			r *= x
		}
		x *= x
	}
	return r
}
