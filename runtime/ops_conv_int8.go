package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, rowMajor(map[string]Binder{"QConv": bindQConv}))

// quantized reads the attributes NAME_scale and NAME_zero.
func (b *Bind) quantized(name string) (kernels.Quantized, error) {
	q := kernels.Quantized{Scale: b.Node.Float(name+"_scale", 0)}
	zero := b.Node.Int(name+"_zero", 0)
	if zero < 0 || zero > 255 || !(q.Scale > 1e-30) || q.Scale > 1e30 {
		return q, b.errorf("%s is quantized with scale %g and zero point %d", name, q.Scale, zero)
	}
	q.Zero = uint8(zero)
	return q, nil
}

// bindQConv binds dsk.QConv: see model/ops_conv_int.go.
func bindQConv(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	x, w, scale := b.In[0], b.In[1], b.In[2]
	for i, want := range []tensor.DType{tensor.U8, tensor.I8, tensor.F32, tensor.F32, tensor.U8, tensor.U8} {
		if b.Has(i) && b.In[i].DType != want {
			return nil, b.unsupportedType(b.In[i].DType)
		}
	}
	if len(x.Shape) != 4 || len(w.Shape) != 4 || !b.IsConst(1) || !b.IsConst(2) || b.Has(3) && !b.IsConst(3) {
		return nil, b.errorf("want an image, and constant weights, scales and bias, not %v and %v", x, w)
	}
	operands := *b
	node := b.Node.Clone()
	node.Attrs["layout"] = model.StringAttr(model.LayoutNHWC)
	operands.Node, operands.In = node, []*tensor.Tensor{x}
	c, err := newConv(&operands, w.Shape[0], w.Shape[3], w.Shape[1:3], 0)
	if err != nil {
		return nil, err
	}
	if err := needShape(b, "the scale", scale, c.m); err != nil {
		return nil, err
	}
	var bias []float32
	if b.Has(3) {
		if err := needShape(b, "the bias", b.In[3], c.m); err != nil {
			return nil, err
		}
		bias = b.In[3].F32()
	}
	if c.act, err = fusedActivation(b); err != nil {
		return nil, err
	}
	q := &intImages{conv: c}
	if q.qx, err = b.quantized("x"); err != nil {
		return nil, err
	}
	want := tensor.F32
	if b.Node.Has("y_scale") {
		y, err := b.quantized("y")
		if err != nil {
			return nil, err
		}
		q.qy, want = &y, tensor.U8
	}
	if b.Out[0].DType != want {
		return nil, b.unsupportedType(b.Out[0].DType)
	}
	if b.Has(4) {
		if err := needShape(b, "Z", b.In[4], c.y.Shape...); err != nil {
			return nil, err
		}
		c.z = b.In[4]
		if q.qz, err = b.quantized("z"); err != nil {
			return nil, err
		}
	}
	if b.Has(5) {
		if q.table, err = b.table(5); err != nil {
			return nil, err
		}
		if q.qy == nil {
			return nil, b.errorf("a table for an output of floats")
		}
	}
	if c.y.Len() == 0 {
		return simple(func() {}), nil
	}
	g, _ := c.geo.plane()
	filters := tensor.View[int8](w)
	fast := kernels.IntConvFast() && c.c > 0
	switch {
	case fast && c.groups == 1 && g.DilationW == 1:
		return q.bindDense(b, &g, filters, scale.F32(), bias), nil
	case fast && c.cg == 1 && c.mg == 1 && c.z == nil && q.qy != nil && kernels.IntTapsFit(&g, c.act):
		return q.bindChannelwise(b, &g, filters, scale.F32(), bias), nil
	}
	return q.bindFloats(b, node, filters, scale.F32())
}

// intImages is a convolution of quantized images.
type intImages struct {
	*conv
	qx, qz kernels.Quantized
	qy     *kernels.Quantized
	table  *kernels.ByteMap // nil: the bytes stay as they are
}

// look takes bytes [lo, hi) of each of pixels from number at on through the table.
func (q *intImages) look(y []byte, at, pixels, lo, hi int) {
	if q.table == nil {
		return
	}
	if m := q.conv.m; lo > 0 || hi < m {
		for i := at; i < at+pixels; i++ {
			row := y[i*m+lo : i*m+hi]
			kernels.ByteTable(row, row, q.table)
		}
		return
	}
	row := y[at*q.conv.m : (at+pixels)*q.conv.m]
	kernels.ByteTable(row, row, q.table)
}

func (q *intImages) bindDense(b *Bind, g *kernels.Window, w []int8, scale, bias []float32) Run {
	c := q.conv
	v := kernels.NewIntConv(g, c.c, c.m, w, scale, bias, q.qx, q.qz, q.qy, c.act)
	parts := b.parts()
	perPart := (v.ScratchBytes() + 63) &^ 63
	scratch := b.Scratch(perPart * parts)
	out := c.y.DType.Size() * c.m * c.geo.outSize
	one := func(part, image, lo, hi, p0, p1 int) {
		var z []byte
		if c.z != nil {
			z = c.z.Data[image*c.m*c.geo.outSize:]
		}
		y := c.y.Data[image*out:]
		v.Run(y, c.x.Data[image*c.c*c.geo.inSize:], z, lo, hi, p0, p1, scratch.Data[part*perPart:(part+1)*perPart])
		pixels := c.geo.outSize / max(v.Units(), 1)
		q.look(y, lo*pixels, (hi-lo)*pixels, p0*kernels.PanelRows, min(p1*kernels.PanelRows, c.m))
	}
	units, pairs := v.Units(), (v.Panels()+1)/2
	k := max(c.cg*c.geo.winSize/4, 1)
	if uneven(c.batch*units, parts) > 1.1 && uneven(pairs, parts) < uneven(c.batch*units, parts) {
		return simple(b.split(pairs, 1, c.batch*c.geo.outSize*k*2*kernels.PanelRows, func(part, lo, hi int) {
			for image := range c.batch {
				one(part, image, 0, units, 2*lo, min(2*hi, v.Panels()))
			}
		}))
	}
	return simple(b.split(c.batch*units, 1, c.geo.outSize/max(units, 1)*c.m*k, func(part, lo, hi int) {
		for lo < hi {
			image, u := lo/units, lo%units
			n := min(hi-lo, units-u)
			one(part, image, u, u+n, 0, v.Panels())
			lo += n
		}
	}))
}

func (q *intImages) bindChannelwise(b *Bind, g *kernels.Window, w []int8, scale, bias []float32) Run {
	c := q.conv
	k := c.geo.winSize
	turned := make([]int8, len(w))
	for m := range c.m {
		for e := range k {
			turned[e*c.m+m] = w[m*k+e]
		}
	}
	v := kernels.NewIntChannelConv(g, c.m, turned, scale, bias, q.qx, *q.qy, c.act)
	line := g.OW * c.m
	return simple(b.split(c.batch*g.OH, 1, line*k/4, func(_, lo, hi int) {
		for lo < hi {
			image, u := lo/g.OH, lo%g.OH
			n := min(hi-lo, g.OH-u)
			y := c.y.Data[image*g.OH*line:]
			v.Run(y, c.x.Data[image*c.c*c.geo.inSize:], u, u+n)
			q.look(y, u*g.OW, n*g.OW, 0, c.m)
			lo += n
		}
	}))
}

// bindFloats computes in float32 where there are no kernels for bytes: the operands are dequantized in scratch memory.
func (q *intImages) bindFloats(b *Bind, node *model.Node, w []int8, scale []float32) (Run, error) {
	c := q.conv
	delete(node.Attrs, "act_bits")
	filters := tensor.New(tensor.F32, b.In[1].Shape...)
	k := len(w) / max(c.m, 1)
	for i, v := range w {
		filters.F32()[i] = float32(v) * scale[i/k]
	}
	float := func(t *tensor.Tensor) *tensor.Tensor {
		if t == nil {
			return nil
		}
		return &tensor.Tensor{DType: tensor.F32, Shape: t.Shape}
	}
	x, y, z := float(c.x), float(c.y), float(c.z)
	var bias *tensor.Tensor
	if b.Has(3) {
		bias = b.In[3]
	}
	inner := newBind(node, []*tensor.Tensor{x, filters, bias, z}, []*tensor.Tensor{y}, b.Pool, []bool{false, true, bias != nil, false}, b.scope)
	run, err := bindDskConv(inner)
	if err != nil {
		return nil, err
	}
	b.scratch = append(b.scratch, inner.scratch...)
	xs, ys := b.Scratch(c.x.Len()*4), b.Scratch(c.y.Len()*4)
	loadX := b.split(c.x.Len(), 64, 1, func(_, lo, hi int) { kernels.DequantizeBytes(x.F32()[lo:hi], c.x.Data[lo:hi], q.qx) })
	zs, loadZ := xs, func() {}
	if z != nil {
		zs = b.Scratch(z.Len() * 4)
		loadZ = b.split(z.Len(), 64, 1, func(_, lo, hi int) { kernels.DequantizeBytes(z.F32()[lo:hi], c.z.Data[lo:hi], q.qz) })
	}
	store := func() { copy(c.y.Data, y.Data) }
	if q.qy != nil {
		store = b.split(y.Len(), 64, 1, func(_, lo, hi int) {
			kernels.QuantizeBytes(c.y.Data[lo:hi], y.F32()[lo:hi], *q.qy)
			if q.table != nil {
				kernels.ByteTable(c.y.Data[lo:hi], c.y.Data[lo:hi], q.table)
			}
		})
	}
	return func() error {
		x.Data, y.Data = xs.Data[:c.x.Len()*4], ys.Data[:c.y.Len()*4]
		loadX()
		if z != nil {
			z.Data = zs.Data[:z.Len()*4]
			loadZ()
		}
		if err := run(); err != nil {
			return err
		}
		store()
		return nil
	}, nil
}
