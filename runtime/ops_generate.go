package runtime

import (
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that make tensors from little or nothing.

var _ = register("", operands(0, map[string]Binder{"Constant": bindConstant}))

var _ = register("", operands(1, map[string]Binder{
	"ConstantOfShape": bindConstantOfShape,
	"EyeLike":         bindEyeLike,
}))

var _ = register("", operands(3, map[string]Binder{
	"Range":  bindRange,
	"OneHot": bindOneHot,
}))

// bindConstant copies the value that an attribute holds.
func bindConstant(b *Bind) (Run, error) {
	t, err := model.ConstantValue(b.Node)
	if err != nil {
		return nil, err
	}
	if err := t.Load(); err != nil {
		return nil, err
	}
	return simple(func() { copy(b.Out[0].Data, t.Data) }), nil
}

func bindConstantOfShape(b *Bind) (Run, error) {
	out, size := b.Out[0], b.Out[0].DType.Size()
	value := make([]byte, size)
	if v := b.Node.Attrs["value"].Tensor; v != nil {
		if err := v.Load(); err != nil {
			return nil, err
		}
		if v.Len() != 1 || v.DType != out.DType {
			return nil, b.errorf("value %v for a tensor %v", v, out)
		}
		value = v.Data
	}
	return simple(func() { setFrom(out.Data, value, size) }), nil
}

// oneBytes returns the number 1 as an element of dt.
func oneBytes(dt tensor.DType) []byte {
	t := tensor.New(dt, 1)
	if dt == tensor.BOOL {
		t.Data[0] = 1
	} else if store := storerOf(dt); store != nil {
		store(t, 0, 1)
	}
	return t.Data
}

func bindEyeLike(b *Bind) (Run, error) {
	out := b.Out[0]
	if len(out.Shape) != 2 {
		return nil, b.errorf("the operand %v is no matrix", b.In[0])
	}
	k := int(b.Node.Int("k", 0))
	one, size := oneBytes(out.DType), out.DType.Size()
	rows, cols := out.Shape[0], out.Shape[1]
	return simple(func() {
		clear(out.Data)
		for r := range rows {
			if c := r + k; c >= 0 && c < cols {
				copy(out.Data[(r*cols+c)*size:], one)
			}
		}
	}), nil
}

// bindRange binds start + i delta; inputs start, limit, delta.
func bindRange(b *Bind) (Run, error) {
	out := b.Out[0]
	if b.In[0].DType != out.DType || b.In[2].DType != out.DType || b.In[0].Len() != 1 || b.In[2].Len() != 1 {
		return nil, b.errorf("operands %v and %v for a result %v", b.In[0], b.In[2], out)
	}
	if out.DType.IsInteger() {
		return simple(func() {
			v, d := loadInt(b.In[0], 0), loadInt(b.In[2], 0)
			for i := range out.Len() {
				storeInt(out, i, v)
				v += d
			}
		}), nil
	}
	load, store := loaderOf(out.DType), storerOf(out.DType)
	if load == nil || store == nil {
		return nil, b.unsupportedType(out.DType)
	}
	return simple(func() {
		v, d := load(b.In[0], 0), load(b.In[2], 0)
		for i := range out.Len() {
			store(out, i, v+float64(i)*d)
		}
	}), nil
}

// bindOneHot sets values[1] at each index along a new axis and values[0] elsewhere; an index
// outside the depth sets nothing. Inputs: indices, depth, values.
func bindOneHot(b *Bind) (Run, error) {
	indices, values, out := b.In[0], b.In[2], b.Out[0]
	axis, err := b.axis("axis", -1, len(out.Shape))
	if err != nil {
		return nil, err
	}
	load := loaderOf(indices.DType)
	if load == nil || values.DType != out.DType || values.Len() != 2 {
		return nil, b.errorf("no kernel for indices %v with values %v", indices, values)
	}
	depth, inner, size := out.Shape[axis], product(out.Shape[axis+1:]), out.DType.Size()
	if want := slices.Delete(slices.Clone(out.Shape), axis, axis+1); !tensor.SameShape(want, indices.Shape) {
		return nil, b.errorf("indices %v for a result %v", indices, out)
	}
	return simple(func() {
		setFrom(out.Data, values.Data[:size], size)
		for i := range indices.Len() {
			k := int(truncate64(load(indices, i)))
			if k < 0 {
				k += depth
			}
			if k >= 0 && k < depth {
				copy(out.Data[((i/inner*depth+k)*inner+i%inner)*size:], values.Data[size:2*size])
			}
		}
	}), nil
}
