package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{"ConvTranspose": widened(bindConvTranspose)}))

// convTranspose is the transpose of a convolution: input i adds W[c,m,j] X[b,c,i] to the output
// i*stride - pad + j*dilation. Its geometry is that of the convolution that goes back, so in and out are swapped.
type convTranspose struct {
	geo     *sliding // in: the output Y, out: the input X
	c, m    int
	cg, mg  int
	x, w, y *tensor.Tensor
	bias    *tensor.Tensor
	filters *tensor.Tensor // [M][window][C/g]
	scratch *tensor.Tensor
	perPart int
	columns int // floats of a part's products
}

func bindConvTranspose(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2); err != nil {
		return nil, err
	}
	t := &convTranspose{x: b.In[0], w: b.In[1], y: b.Out[0]}
	xs, ws, ys := t.x.Shape, t.w.Shape, t.y.Shape
	if len(xs) < 3 || len(ws) != len(xs) || len(ys) != len(xs) || ws[0] != xs[1] {
		return nil, b.errorf("cannot convolve %v with %v to %v", xs, ws, ys)
	}
	groups := int(b.Node.Int("group", 1))
	if groups < 1 || xs[1] == 0 || xs[1]%groups != 0 {
		return nil, b.errorf("%d groups of %d channels", groups, xs[1])
	}
	t.c, t.cg, t.mg, t.m = xs[1], xs[1]/groups, ws[1], ws[1]*groups
	if ys[0] != xs[0] || ys[1] != t.m {
		return nil, b.errorf("the output has shape %v, want [%d,%d,...]", ys, xs[0], t.m)
	}
	if b.Has(2) {
		t.bias = b.In[2]
		if err := needShape(b, "the bias", t.bias, t.m); err != nil {
			return nil, err
		}
	}
	var err error
	if t.geo, err = transposedSliding(b, xs[2:], ys[2:], ws[2:]); err != nil {
		return nil, err
	}
	g := t.geo
	t.columns = g.winSize * g.outSize
	floatBytes := (t.columns*4 + 63) &^ 63
	t.perPart = floatBytes + (kernels.GemmScratchBytes(g.outSize, t.cg)+63)&^63
	t.filters = &tensor.Tensor{DType: tensor.F32, Data: tensor.AlignedBytes(t.w.Len() * 4)}
	if b.IsConst(1) {
		t.turnFilters()
	}
	t.scratch = b.Scratch(t.perPart * b.parts())
	run := b.split(xs[0]*t.m, 1, t.columns*max(t.cg, 1), t.do)
	return func() error {
		if !b.IsConst(1) {
			t.turnFilters()
		}
		run()
		return nil
	}, nil
}

// turnFilters orders the weights [C][M/g][window] as [M][window][C/g], so that an output channel's filters are
// rows of a matrix.
func (t *convTranspose) turnFilters() {
	k := t.mg * t.geo.winSize
	dst, src := t.filters.F32(), t.w.F32()
	for g := range t.c / t.cg {
		kernels.Transpose(dst[g*k*t.cg:], t.cg, src[g*t.cg*k:], k, t.cg, k)
	}
}

// do computes planes of the output: the products of all inputs with the plane's filters, then their sums.
func (t *convTranspose) do(part, lo, hi int) {
	g := t.geo
	mem := t.scratch.Data[part*t.perPart : (part+1)*t.perPart]
	products := viewF32(mem[:t.columns*4])
	scratch := mem[(t.columns*4+63)&^63:]
	x, y, f := t.x.F32(), t.y.F32(), t.filters.F32()
	k := g.winSize * t.cg
	for u := lo; u < hi; u++ {
		image, m := u/t.m, u%t.m
		plane := y[u*g.inSize : (u+1)*g.inSize]
		var bias float32
		if t.bias != nil {
			bias = t.bias.F32()[m]
		}
		fillSlice(plane, bias)
		if g.outSize == 0 {
			continue
		}
		first := (image*t.c + m/t.mg*t.cg) * g.outSize
		kernels.Gemm(products, g.outSize, f[m*k:], t.cg, x[first:], g.outSize, false, g.winSize, g.outSize, t.cg, scratch)
		for w := range g.winSize {
			g.spread(plane, products[w*g.outSize:(w+1)*g.outSize], w)
		}
	}
}

// spread adds the products with window element w to the places that they reach.
func (g *sliding) spread(plane, products []float32, w int) {
	kc := [3]int{w / (g.kernel[1] * g.kernel[2]), w / g.kernel[2] % g.kernel[1], w % g.kernel[2]}
	var at [3]int
	for a := range 3 {
		at[a] = kc[a]*g.dilation[a] - g.pad[a]
	}
	for i := range g.out[0] {
		z := at[0] + i*g.stride[0]
		if z < 0 || z >= g.in[0] {
			continue
		}
		for j := range g.out[1] {
			y := at[1] + j*g.stride[1]
			if y < 0 || y >= g.in[1] {
				continue
			}
			row := plane[(z*g.in[1]+y)*g.in[2]:][:g.in[2]]
			x := at[2]
			for _, v := range products[(i*g.out[1]+j)*g.out[2]:][:g.out[2]] {
				if x >= 0 && x < len(row) {
					row[x] += v
				}
				x += g.stride[2]
			}
		}
	}
}

// transposedSliding reads the attributes of ConvTranspose for an input X of extent in and an output Y of extent
// out. Pads follow from output_shape or auto_pad where those are given.
func transposedSliding(b *Bind, in, out, kernel []int) (*sliding, error) {
	rank := len(in)
	if rank > 3 {
		return nil, b.errorf("%d spatial axes: 1 to 3 are supported", rank)
	}
	strides, err := positives(b, "strides", rank)
	if err != nil {
		return nil, err
	}
	dilations, err := positives(b, "dilations", rank)
	if err != nil {
		return nil, err
	}
	pads, extra, want := b.Node.Ints("pads"), b.Node.Ints("output_padding"), b.Node.Ints("output_shape")
	if pads != nil && len(pads) != 2*rank || extra != nil && len(extra) != rank || want != nil && len(want) != rank {
		return nil, b.errorf("pads %v, output_padding %v, output_shape %v for %d spatial axes", pads, extra, want, rank)
	}
	if ks := b.Node.Ints("kernel_shape"); ks != nil && len(ks) != rank {
		return nil, b.errorf("kernel_shape %v for %d spatial axes", ks, rank)
	}
	mode := b.Node.Str("auto_pad", "NOTSET")
	g := &sliding{rank: rank}
	for a := range 3 {
		g.in[a], g.out[a], g.kernel[a], g.stride[a], g.dilation[a] = 1, 1, 1, 1, 1
	}
	for i := range rank {
		a := 3 - rank + i
		if kernel[i] < 1 {
			return nil, b.errorf("kernel of extent %d", kernel[i])
		}
		g.in[a], g.out[a], g.kernel[a], g.stride[a], g.dilation[a] = out[i], in[i], kernel[i], strides[i], dilations[i]
		full := (in[i]-1)*strides[i] + (kernel[i]-1)*dilations[i] + 1
		if extra != nil {
			full += int(extra[i])
		}
		same := mode == "SAME_UPPER" || mode == "SAME_LOWER"
		var total int
		switch {
		case want != nil:
			total = full - int(want[i])
		case same:
			total = full - in[i]*strides[i]
		case pads != nil && mode != "VALID":
			g.pad[a], g.padEnd[a] = int(pads[i]), int(pads[rank+i])
			if out[i] != full-g.pad[a]-g.padEnd[a] {
				return nil, b.errorf("output axis %d has extent %d, want %d", i, out[i], full-g.pad[a]-g.padEnd[a])
			}
			continue
		default:
			if out[i] != full {
				return nil, b.errorf("output axis %d has extent %d, want %d", i, out[i], full)
			}
			continue
		}
		total = max(total, 0)
		g.pad[a] = total - total/2
		if mode == "SAME_UPPER" {
			g.pad[a] = total / 2
		}
		g.padEnd[a] = total - g.pad[a]
	}
	g.inSize, g.outSize, g.winSize = product(g.in[:]), product(g.out[:]), product(g.kernel[:])
	return g, nil
}
