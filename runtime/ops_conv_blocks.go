package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// isBlocked reports whether kernels.BlockConv serves: dense quantized filters, and an output with its channels last. The input
// may have its channels first.
func (c *conv) isBlocked(b *Bind, w *tensor.Tensor, constant bool) bool {
	_, flat := c.geo.plane()
	return c.yLast && constant && flat && c.isCompact() && c.groups == 1 && c.c > 0 && w.DType.IsQuantized() && !floatActs(b) &&
		(c.bias == nil || b.IsConst(2)) && c.geo.outSize >= fewOutputs
}

func (c *conv) bindBlocks(b *Bind, w *tensor.Tensor) (func(), error) {
	k := c.cg * c.geo.winSize
	panels, err := weightPanels(b, w, c.m, k, k, 1)
	if err != nil {
		return nil, err
	}
	var bias []float32
	if c.bias != nil {
		bias = c.bias.F32()
	}
	g, _ := c.geo.plane()
	parts := b.parts()
	v := kernels.NewBlockConv(&g, c.c, panels, bias, c.act, !c.xLast, parts)
	perPart := (v.ScratchBytes() + 63) &^ 63
	scratch := b.Scratch(perPart * parts)
	return c.splitImages(b, v.Units(), v.Panels(), func(part, image, lo, hi, p0, p1 int) {
		x, y := c.x.F32()[image*c.c*c.geo.inSize:], c.y.F32()[image*c.m*c.geo.outSize:]
		var z []float32
		if c.z != nil {
			z = c.z.F32()[image*c.m*c.geo.outSize:]
		}
		v.Run(part, y, x, z, lo, hi, p0, p1, scratch.Data[part*perPart:(part+1)*perPart])
	}), nil
}
