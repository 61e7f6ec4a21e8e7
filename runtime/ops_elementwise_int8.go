package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, rowMajor(map[string]Binder{"ByteTable": bindByteTable, "QAdd": bindQSum, "QMul": bindQSum}))

// table reads a constant table of all bytes.
func (b *Bind) table(i int) (*kernels.ByteMap, error) {
	if !b.IsConst(i) || b.In[i].DType != tensor.U8 || b.In[i].Len() != 256 {
		return nil, b.errorf("want a constant table of 256 bytes, not %v", b.In[i])
	}
	return (*kernels.ByteMap)(b.In[i].Data), nil
}

// bindByteTable binds dsk.ByteTable: see model/ops_elementwise_int.go.
func bindByteTable(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	if x.DType != tensor.U8 || y.DType != tensor.U8 {
		return nil, b.unsupportedType(x.DType)
	}
	t, err := b.table(1)
	if err != nil {
		return nil, err
	}
	b.InPlace(0, 0)
	return simple(b.split(x.Len(), 64, 1, func(_, lo, hi int) { kernels.ByteTable(y.Data[lo:hi], x.Data[lo:hi], t) })), nil
}

// bindQSum binds dsk.QAdd and dsk.QMul.
func bindQSum(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	x, z, y := b.In[0], b.In[1], b.Out[0]
	for _, t := range []*tensor.Tensor{x, z, y} {
		if t.DType != tensor.U8 {
			return nil, b.unsupportedType(t.DType)
		}
	}
	same := tensor.SameShape(x.Shape, z.Shape)
	pixel := len(x.Shape) == 4 && len(z.Shape) == 4 && tensor.SameShape(z.Shape, []int{x.Shape[0], 1, 1, x.Shape[3]})
	if !same && !pixel || !tensor.SameShape(x.Shape, y.Shape) {
		return nil, b.errorf("operands %v and %v do not fit", x, z)
	}
	var q [3]kernels.Quantized
	for i, name := range []string{"a", "b", "y"} {
		var err error
		if q[i], err = b.quantized(name); err != nil {
			return nil, err
		}
	}
	relu := b.Node.Str("activation", model.ActNone) == model.ActRelu
	f := kernels.IntAdd
	if b.Node.Op == "QMul" {
		f = kernels.IntMul
	}
	b.InPlace(0, 0)
	if !same {
		c, pixels := x.Shape[3], x.Shape[1]*x.Shape[2]
		return simple(b.split(x.Len()/max(c, 1), 1, c, func(_, lo, hi int) {
			for lo < hi {
				image := lo / pixels
				n := min(hi, (image+1)*pixels)
				f(y.Data[lo*c:n*c], x.Data[lo*c:n*c], z.Data[image*c:(image+1)*c], q[0], q[1], q[2], relu)
				lo = n
			}
		})), nil
	}
	return simple(b.split(x.Len(), 64, 1, func(_, lo, hi int) {
		f(y.Data[lo:hi], x.Data[lo:hi], z.Data[lo:hi], q[0], q[1], q[2], relu)
	})), nil
}
