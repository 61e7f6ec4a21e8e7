package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, rowMajor(map[string]Binder{"QAveragePool": bindQPool, "QGlobalAveragePool": bindQPool}))

// bindQPool binds dsk.QAveragePool, dsk.QGlobalAveragePool, and dsk.MaxPool of bytes: see model/ops_pool_int.go.
func bindQPool(b *Bind) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	if x.DType != tensor.U8 || y.DType != tensor.U8 {
		return nil, b.unsupportedType(x.DType)
	}
	if len(x.Shape) != 4 || len(y.Shape) != 4 || x.Shape[0] != y.Shape[0] || x.Shape[3] != y.Shape[3] {
		return nil, b.errorf("cannot pool %v to %v", x.Shape, y.Shape)
	}
	c := x.Shape[3]
	g := kernels.Window{H: x.Shape[1], W: x.Shape[2], KH: x.Shape[1], KW: x.Shape[2], OH: 1, OW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	if b.Node.Op != "QGlobalAveragePool" {
		geo, err := newSliding(b, x.Shape[1:3], y.Shape[1:3], nil)
		if err != nil {
			return nil, err
		}
		g, _ = geo.plane()
	}
	if y.Len() == 0 {
		return simple(func() {}), nil
	}
	var pool *kernels.IntPool
	if b.Node.Op == "MaxPool" {
		same := kernels.Quantized{Scale: 1}
		pool = kernels.NewIntMaxPool(&g, c, same, same)
	} else {
		qx, err := b.quantized("x")
		if err != nil {
			return nil, err
		}
		qy, err := b.quantized("y")
		if err != nil {
			return nil, err
		}
		pool = kernels.NewIntMeanPool(&g, c, qx, qy, b.Node.Int("count_include_pad", 0) != 0)
	}
	in, out := g.H*g.W*c, g.OH*g.OW*c
	return simple(b.split(x.Shape[0]*g.OH, 1, g.OW*c*g.KH*g.KW/16, func(_, lo, hi int) {
		for lo < hi {
			image, u := lo/g.OH, lo%g.OH
			n := min(hi-lo, g.OH-u)
			pool.Run(y.Data[image*out:], x.Data[image*in:], u, u+n)
			lo += n
		}
	})), nil
}
