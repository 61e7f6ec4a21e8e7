package runtime

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"ConvInteger": bindConvInteger,
	"QLinearConv": bindQLinearConv,
}))

// intConv is a convolution of integer levels, plane by plane.
type intConv struct {
	*conv
	in, filters levels
	wide        *tensor.Tensor // the input's differences
	taps        *tensor.Tensor // the filters' differences
	expand      []func()
}

// newIntConv binds the input at xi with zero point zx, and the filters [M,C/g,window] at wi with zero points zw.
func newIntConv(b *Bind, xi, zx, wi, zw int) (*intConv, error) {
	w := b.In[wi]
	if len(w.Shape) != len(b.In[xi].Shape) || len(w.Shape) < 3 {
		return nil, b.errorf("weights of shape %v for an input of shape %v", w.Shape, b.In[xi].Shape)
	}
	operands := *b
	operands.In = []*tensor.Tensor{b.In[xi]}
	base, err := newConv(&operands, w.Shape[0], w.Shape[1], w.Shape[2:], 0)
	if err != nil {
		return nil, err
	}
	c := &intConv{conv: base}
	if c.in, err = newLevels(b, xi, zx, 1); err != nil {
		return nil, err
	}
	if c.filters, err = newLevels(b, wi, zw, c.m); err != nil {
		return nil, err
	}
	c.wide, c.taps = b.Scratch(c.x.Len()*4), b.Scratch(w.Len()*4)
	k := c.cg * c.geo.winSize
	c.expand = []func(){
		b.split(c.batch*c.c, 1, c.geo.inSize, func(_, lo, hi int) {
			n := c.geo.inSize
			c.in.load(tensor.View[int32](c.wide)[lo*n:hi*n], lo*n, 0)
		}),
		b.split(c.m, 1, k, func(_, lo, hi int) {
			for m := lo; m < hi; m++ {
				c.filters.load(tensor.View[int32](c.taps)[m*k:(m+1)*k], m*k, m)
			}
		}),
	}
	return c, nil
}

// plane computes the sums of output plane u = image*M + m. Padding counts as the zero point.
func (c *intConv) plane(dst []int32, u int) {
	g := c.geo
	image, m := u/c.m, u%c.m
	clear(dst)
	x, taps := tensor.View[int32](c.wide), tensor.View[int32](c.taps)
	for ch := range c.cg {
		src := x[(image*c.c+m/c.mg*c.cg+ch)*g.inSize:][:g.inSize]
		w := taps[(m*c.cg+ch)*g.winSize:][:g.winSize]
		for o := range g.out[0] * g.out[1] {
			zlo, zhi, z0 := g.taps(0, o/g.out[1])
			ylo, yhi, y0 := g.taps(1, o%g.out[1])
			row := dst[o*g.out[2] : (o+1)*g.out[2]]
			for i := zlo; i < zhi; i++ {
				for j := ylo; j < yhi; j++ {
					line := ((z0+i*g.dilation[0])*g.in[1] + y0 + j*g.dilation[1]) * g.in[2]
					g.addLine(row, src[line:line+g.in[2]], w[(i*g.kernel[1]+j)*g.kernel[2]:][:g.kernel[2]])
				}
			}
		}
	}
}

// addLine adds the products of one line of the input with one line of the window to a row of outputs.
func (g *sliding) addLine(row, line, w []int32) {
	stride := g.stride[2]
	for k, v := range w {
		offset := k*g.dilation[2] - g.pad[2]
		lo, hi := g.reach(offset, len(line), len(row))
		at := lo*stride + offset
		for i := lo; i < hi; i++ {
			row[i] += v * line[at]
			at += stride
		}
	}
}

// reach returns the outputs [lo, hi) of n for which o*stride+offset lies in [0, size) along the last axis.
func (g *sliding) reach(offset, size, n int) (lo, hi int) {
	stride := g.stride[2]
	if offset < 0 {
		lo = (-offset + stride - 1) / stride
	}
	if size > offset {
		hi = min(n, (size-1-offset)/stride+1)
	}
	return lo, hi
}

// bindConvInteger binds ConvInteger: X, W, x_zero_point, w_zero_point to I32 sums.
func bindConvInteger(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if b.Out[0].DType != tensor.I32 {
		return nil, b.unsupportedType(b.Out[0].DType)
	}
	c, err := newIntConv(b, 0, 2, 1, 3)
	if err != nil {
		return nil, err
	}
	n := c.geo.outSize
	sum := b.split(c.batch*c.m, 1, n*c.cg*c.geo.winSize, func(_, lo, hi int) {
		for u := lo; u < hi; u++ {
			c.plane(tensor.View[int32](c.y)[u*n:(u+1)*n], u)
		}
	})
	return func() error {
		for _, f := range c.expand {
			f()
		}
		sum()
		return nil
	}, nil
}

// bindQLinearConv binds QLinearConv: x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point and an
// optional I32 bias in units of x_scale w_scale.
func bindQLinearConv(b *Bind) (Run, error) {
	if err := needInputs(b, 8); err != nil {
		return nil, err
	}
	c, err := newIntConv(b, 0, 2, 3, 5)
	if err != nil {
		return nil, err
	}
	q, err := newRequantizer(b, [3]int{1, 4, 6}, 7, [3]int{1, c.m, 1})
	if err != nil {
		return nil, err
	}
	var bias *tensor.Tensor
	if b.Has(8) {
		bias = b.In[8]
		if bias.DType != tensor.I32 {
			return nil, b.unsupportedType(bias.DType)
		}
		if err := needShape(b, "the bias", bias, c.m); err != nil {
			return nil, err
		}
	}
	n := c.geo.outSize
	sums := b.Scratch(b.parts() * n * 4)
	sum := b.split(c.batch*c.m, 1, n*c.cg*c.geo.winSize, func(part, lo, hi int) {
		row := tensor.View[int32](sums)[part*n : (part+1)*n]
		for u := lo; u < hi; u++ {
			c.plane(row, u)
			var add int32
			if bias != nil {
				add = tensor.View[int32](bias)[u%c.m]
			}
			for i, v := range row {
				q.store(u*n+i, v+add, 0, u%c.m)
			}
		}
	})
	return func() error {
		for _, f := range c.expand {
			f()
		}
		q.load()
		sum()
		return nil
	}, nil
}
