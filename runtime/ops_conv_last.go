package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Convolutions whose output has its channels last, in float32 and without gathering receptive fields.

// fewOutputs is the number of outputs below which filters that must be expanded first are not worth it.
const fewOutputs = 16

// isDirect reports whether kernels.ImageConv serves: dense filters that are multiplied as floats, no gaps along a line. The input may
// have its channels first.
func (c *conv) isDirect(b *Bind, w *tensor.Tensor, constant bool) bool {
	g, flat := c.geo.plane()
	if !c.yLast || !constant || !flat || c.groups != 1 || c.c < 1 || g.DilationW != 1 || !c.isCompact() {
		return false
	}
	// Few outputs are computed as a product of rows, which reads narrow filters as they lie, without preparing them for many.
	return w.DType == tensor.F32 || c.geo.outSize >= fewOutputs && (!w.DType.IsQuantized() || floatActs(b))
}

// isCompact reports whether the part of the padded image that outputs read may be copied: it cannot where strides, gaps or pads are
// beyond all sense.
func (c *conv) isCompact() bool {
	reach := func(axis int) int64 {
		return int64(c.geo.out[axis]-1)*int64(c.geo.stride[axis]) + int64(c.geo.kernel[axis]-1)*int64(c.geo.dilation[axis]) + 1
	}
	lines, columns := reach(1), reach(2)
	return lines <= 1<<30 && columns <= 1<<30 && lines*columns <= 1<<36 && c.c <= 1<<20
}

func (c *conv) bindDirect(b *Bind, w *tensor.Tensor) (func(), error) {
	k := c.cg * c.geo.winSize
	panels, err := weightPanels(b, w, c.m, k, k, 1)
	if err != nil {
		return nil, err
	}
	var bias []float32
	if b.IsConst(2) {
		bias = c.bias.F32()
	} else if c.bias != nil {
		return c.bindGathered(b, w, true)
	}
	g, _ := c.geo.plane()
	v := kernels.NewImageConv(&g, c.c, panels, bias, c.act, !c.xLast)
	parts := b.parts()
	perPart := (v.ScratchBytes() + 63) &^ 63
	scratch := b.Scratch(perPart * parts)
	one := func(part, image, lo, hi, p0, p1 int) {
		x, y := c.x.F32()[image*c.c*c.geo.inSize:], c.y.F32()[image*c.m*c.geo.outSize:]
		var z []float32
		if c.z != nil {
			z = c.z.F32()[image*c.m*c.geo.outSize:]
		}
		v.Run(y, x, z, lo, hi, p0, p1, scratch.Data[part*perPart:(part+1)*perPart])
	}
	return c.splitImages(b, v.Units(), v.Panels(), one), nil
}

// splitImages makes the function that computes the batch by calls of one for units [lo, hi) of an image and panels [p0, p1) of
// filters. Parts are units, or panels where those can be shared more evenly.
func (c *conv) splitImages(b *Bind, units, panels int, one func(part, image, lo, hi, p0, p1 int)) func() {
	k, parts, pairs := c.cg*c.geo.winSize, b.parts(), (panels+1)/2
	if uneven(c.batch*units, parts) > 1.1 && uneven(pairs, parts) < uneven(c.batch*units, parts) {
		return b.split(pairs, 1, c.batch*c.geo.outSize*k*2*kernels.PanelRows, func(part, lo, hi int) {
			for image := range c.batch {
				one(part, image, 0, units, 2*lo, min(2*hi, panels))
			}
		})
	}
	cost := c.geo.outSize / max(units, 1) * c.m * k
	return b.split(c.batch*units, 1, cost, func(part, lo, hi int) {
		for lo < hi {
			image, u := lo/units, lo%units
			n := min(hi-lo, units-u)
			one(part, image, u, u+n, 0, panels)
			lo += n
		}
	})
}

// uneven is how much longer the longest of parts takes than it would if n pieces could be split evenly.
func uneven(n, parts int) float64 {
	return float64((n+parts-1)/parts*parts) / float64(max(n, 1))
}

// isChannelwise reports whether kernels.ChannelConv serves: a filter for each channel, channels last throughout.
func (c *conv) isChannelwise(constant bool) bool {
	_, flat := c.geo.plane()
	return c.xLast && c.yLast && constant && flat && c.cg == 1 && c.mg == 1 && c.c > 0
}

func (c *conv) bindChannelwise(b *Bind, w *tensor.Tensor) (func(), error) {
	var bias []float32
	if b.IsConst(2) {
		bias = c.bias.F32()
	} else if c.bias != nil {
		return c.bindGathered(b, w, true)
	}
	k := c.geo.winSize
	filters, err := weightFloats(b, w, c.m, k)
	if err != nil {
		return nil, err
	}
	turned := make([]float32, len(filters))
	kernels.Transpose(turned, c.m, filters, k, c.m, k)
	act := c.act
	if c.z != nil {
		act = kernels.Activation{}
	}
	g, _ := c.geo.plane()
	v := kernels.NewChannelConv(&g, c.m, turned, bias, act)
	line := g.OW * c.m
	return b.split(c.batch*g.OH, 1, line*k, func(_, lo, hi int) {
		x, y := c.x.F32(), c.y.F32()
		for lo < hi {
			image, u := lo/g.OH, lo%g.OH
			n := min(hi-lo, g.OH-u)
			v.Run(y[image*g.OH*line:], x[image*c.c*c.geo.inSize:], u, u+n)
			if c.z != nil {
				c.finish(y[lo*line:(lo+n)*line], lo*line)
			}
			lo += n
		}
	}), nil
}
