package runtime

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"CausalConvWithState": widened(bindCausalConv),
	"DeformConv":          widened(bindDeformConv),
	"MaxUnpool":           widened(bindMaxUnpool),
}))

// bindCausalConv binds CausalConvWithState: a depthwise convolution of X[batch, C, L] with W[C, 1, k] that sees the
// past_state[batch, C, k-1] (or zeros) before X, and returns the last k-1 values as present_state.
func bindCausalConv(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2, 3); err != nil {
		return nil, err
	}
	x, w, y := b.In[0], b.In[1], b.Out[0]
	if len(x.Shape) != 3 || len(w.Shape) != 3 || w.Shape[0] != x.Shape[1] || w.Shape[1] != 1 || w.Shape[2] < 1 {
		return nil, b.errorf("cannot convolve %v with %v", x.Shape, w.Shape)
	}
	batch, c, n, k := x.Shape[0], x.Shape[1], x.Shape[2], w.Shape[2]
	if err := needShape(b, "the output", y, x.Shape...); err != nil {
		return nil, err
	}
	if b.Has(2) {
		if err := needShape(b, "the bias", b.In[2], c); err != nil {
			return nil, err
		}
	}
	if b.Has(3) {
		if err := needShape(b, "past_state", b.In[3], batch, c, k-1); err != nil {
			return nil, err
		}
	}
	if b.HasOut(1) {
		if err := needShape(b, "present_state", b.Out[1], batch, c, k-1); err != nil {
			return nil, err
		}
	}
	act := kernels.Activation{}
	switch name := b.Node.Str("activation", "none"); name {
	case "none", "":
	case "silu", "swish":
		act.Kind = kernels.ActSwish
	default:
		return nil, b.errorf("unknown activation %q", name)
	}
	// Rows are whole vectors, so that an element's bits do not depend on where the sequence was cut.
	wide := (n + 15) &^ 15
	perPart := wide + k - 1 + wide
	padded := b.Scratch(b.parts() * perPart * 4)
	return simple(b.split(batch*c, 1, n*k, func(part, lo, hi int) {
		scratch := padded.F32()[part*perPart:][:perPart]
		line, row := scratch[:wide+k-1], scratch[wide+k-1:]
		for u := lo; u < hi; u++ {
			clear(line)
			if b.Has(3) {
				copy(line, b.In[3].F32()[u*(k-1):(u+1)*(k-1)])
			}
			copy(line[k-1:], x.F32()[u*n:(u+1)*n])
			var bias float32
			if b.Has(2) {
				bias = b.In[2].F32()[u%c]
			}
			fillSlice(row, bias)
			for i, v := range w.F32()[u%c*k:][:k] {
				kernels.Axpy(row, line[i:i+wide], v)
			}
			if act.Kind != kernels.ActNone {
				kernels.Activate(row, row, act)
			}
			copy(y.F32()[u*n:(u+1)*n], row)
			if b.HasOut(1) {
				copy(b.Out[1].F32()[u*(k-1):(u+1)*(k-1)], line[n:])
			}
		}
	})), nil
}

// deformConv is DeformConv (Dai et al. 2017; Zhu et al. 2019): a 2-D convolution whose window element i reads the
// input at its place plus an offset (y, x), bilinearly between elements, times a mask.
type deformConv struct {
	geo              *sliding
	c, m, groups     int
	offsetGroups     int
	x, w, offset     *tensor.Tensor
	bias, mask, y    *tensor.Tensor
	samples          *tensor.Tensor // per part: [C][window]
	sampled, offsets int            // floats of samples; window elements of an offset group
}

func bindDeformConv(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2, 3, 4); err != nil {
		return nil, err
	}
	d := &deformConv{x: b.In[0], w: b.In[1], offset: b.In[2], y: b.Out[0], groups: int(b.Node.Int("group", 1)),
		offsetGroups: int(b.Node.Int("offset_group", 1))}
	xs, ws, ys := d.x.Shape, d.w.Shape, d.y.Shape
	if len(xs) != 4 || len(ws) != 4 || len(ys) != 4 {
		return nil, b.errorf("%v with %v to %v: only images are supported", xs, ws, ys)
	}
	d.c, d.m = xs[1], ws[0]
	if d.groups < 1 || d.offsetGroups < 1 || d.c != ws[1]*d.groups || d.m%d.groups != 0 || d.c%d.offsetGroups != 0 ||
		ys[0] != xs[0] || ys[1] != d.m {
		return nil, b.errorf("%v with %v to %v in %d groups and %d offset groups", xs, ws, ys, d.groups, d.offsetGroups)
	}
	var err error
	if d.geo, err = newSliding(b, xs[2:], ys[2:], ws[2:]); err != nil {
		return nil, err
	}
	d.offsets, d.sampled = d.geo.winSize, d.c*d.geo.winSize
	if err := needShape(b, "the offsets", d.offset, xs[0], d.offsetGroups*d.offsets*2, ys[2], ys[3]); err != nil {
		return nil, err
	}
	if b.Has(3) {
		d.bias = b.In[3]
		if err := needShape(b, "the bias", d.bias, d.m); err != nil {
			return nil, err
		}
	}
	if b.Has(4) {
		d.mask = b.In[4]
		if err := needShape(b, "the mask", d.mask, xs[0], d.offsetGroups*d.offsets, ys[2], ys[3]); err != nil {
			return nil, err
		}
	}
	d.samples = b.Scratch(b.parts() * d.sampled * 4)
	return simple(b.split(xs[0]*d.geo.outSize, 1, d.sampled*(d.m/d.groups+8), func(part, lo, hi int) {
		samples := d.samples.F32()[part*d.sampled : (part+1)*d.sampled]
		for u := lo; u < hi; u++ {
			d.output(samples, u/d.geo.outSize, u%d.geo.outSize)
		}
	})), nil
}

// output computes all channels of output o of an image.
func (d *deformConv) output(samples []float32, image, o int) {
	g := d.geo
	per := d.c / d.offsetGroups
	for og := range d.offsetGroups {
		for i := range d.offsets {
			at := (image*d.offsetGroups+og)*d.offsets + i
			dy, dx := d.offset.F32()[(2*at)*g.outSize+o], d.offset.F32()[(2*at+1)*g.outSize+o]
			y := float32(o/g.out[2]*g.stride[1]-g.pad[1]+i/g.kernel[2]*g.dilation[1]) + dy
			x := float32(o%g.out[2]*g.stride[2]-g.pad[2]+i%g.kernel[2]*g.dilation[2]) + dx
			scale := float32(1)
			if d.mask != nil {
				scale = d.mask.F32()[at*g.outSize+o]
			}
			for ch := og * per; ch < (og+1)*per; ch++ {
				plane := d.x.F32()[(image*d.c+ch)*g.inSize:][:g.inSize]
				samples[ch*g.winSize+i] = scale * bilinear(plane, g.in[1], g.in[2], y, x)
			}
		}
	}
	n := d.sampled / d.groups
	for m := range d.m {
		v := kernels.Dot(d.w.F32()[m*n:(m+1)*n], samples[m/(d.m/d.groups)*n:][:n])
		if d.bias != nil {
			v += d.bias.F32()[m]
		}
		d.y.F32()[(image*d.m+m)*g.outSize+o] = v
	}
}

// bilinear reads a plane between its elements; outside lie zeros.
func bilinear(plane []float32, h, w int, y, x float32) float32 {
	if !(y > -1 && y < float32(h) && x > -1 && x < float32(w)) {
		return 0
	}
	y0, x0 := int(math.Floor(float64(y))), int(math.Floor(float64(x)))
	fy, fx := y-float32(y0), x-float32(x0)
	at := func(y, x int) float32 {
		if y < 0 || y >= h || x < 0 || x >= w {
			return 0
		}
		return plane[y*w+x]
	}
	top := float32(at(y0, x0)*(1-fx)) + float32(at(y0, x0+1)*fx)
	bottom := float32(at(y0+1, x0)*(1-fx)) + float32(at(y0+1, x0+1)*fx)
	return float32(top*(1-fy)) + float32(bottom*fy)
}

// bindMaxUnpool binds MaxUnpool: the values of X go to the places that MaxPool's Indices name, the rest is 0. The
// indices count in the tensor that kernel_shape, strides and pads give back; a larger output_shape keeps coordinates.
func bindMaxUnpool(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	x, indices, y := b.In[0], b.In[1], b.Out[0]
	if err := needShape(b, "the indices", indices, x.Shape...); err != nil {
		return nil, err
	}
	if indices.DType != tensor.I64 {
		return nil, b.unsupportedType(indices.DType)
	}
	rank := len(x.Shape) - 2
	kernel, pads := b.Node.Ints("kernel_shape"), b.Node.Ints("pads")
	if rank < 1 || len(y.Shape) != rank+2 || len(kernel) != rank || pads != nil && len(pads) != 2*rank {
		return nil, b.errorf("cannot unpool %v to %v with kernel %v, pads %v", x.Shape, y.Shape, kernel, pads)
	}
	step, err := positives(b, "strides", rank)
	if err != nil {
		return nil, err
	}
	// The shape in which the indices count, and where its axes lie in the output.
	shape := append([]int(nil), x.Shape...)
	for i := range rank {
		shape[2+i] = (x.Shape[2+i]-1)*step[i] + int(kernel[i])
		if pads != nil {
			shape[2+i] -= int(pads[i] + pads[rank+i])
		}
	}
	for i, n := range shape {
		if n < 0 || n > y.Shape[i] {
			return nil, b.errorf("cannot unpool %v to %v", shape, y.Shape)
		}
	}
	from, to := strides(shape), strides(y.Shape)
	size := int64(product(shape))
	return func() error {
		dst := y.F32()
		clear(dst)
		for i, v := range x.F32() {
			p := indices.I64()[i]
			if p < 0 || p >= size {
				return fmt.Errorf("index %d is %d, but there are %d elements", i, p, size)
			}
			at, rest := 0, int(p)
			for a, s := range from {
				at += rest / s * to[a]
				rest %= s
			}
			dst[at] = v
		}
		return nil
	}, nil
}
