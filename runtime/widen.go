package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// widened makes a binder for F32 serve F16, BF16 and F64 too: operands of those types are
// converted to F32 in scratch memory, and results are rounded to the outputs' types. Weights in
// panels stay as they are, since the kernels read their types.
func widened(fn Binder) Binder {
	return func(b *Bind) (Run, error) {
		if !needsWidening(b) {
			return fn(b)
		}
		inner := newBind(b.Node, make([]*tensor.Tensor, len(b.In)), make([]*tensor.Tensor, len(b.Out)),
			b.Pool, b.constant, b.scope)
		copy(inner.state, b.state)
		copy(inner.cache, b.cache)
		var loads, stores []conversion
		for i, t := range b.In {
			if inner.In[i] = t; t == nil || !isWidened(t) {
				continue
			}
			wide := &tensor.Tensor{DType: tensor.F32, Shape: t.Shape}
			inner.In[i] = wide
			if b.IsConst(i) {
				wide.Data = tensor.AlignedBytes(t.Len() * 4)
				loadF32(wide.F32(), t)
				continue
			}
			loads = append(loads, conversion{wide: wide, scratch: b.Scratch(t.Len() * 4), narrow: t})
		}
		for i, t := range b.Out {
			if inner.Out[i] = t; t == nil || !isWidened(t) {
				continue
			}
			wide := &tensor.Tensor{DType: tensor.F32, Shape: t.Shape}
			inner.Out[i] = wide
			stores = append(stores, conversion{wide: wide, scratch: b.Scratch(t.Len() * 4), narrow: t})
		}
		run, err := fn(inner)
		if err != nil || run == nil {
			return run, err
		}
		b.scratch = append(b.scratch, inner.scratch...)
		return func() error {
			for i := range loads {
				c := &loads[i]
				c.wide.Data = c.scratch.Data
				loadF32(c.wide.F32(), c.narrow)
			}
			for i := range stores {
				stores[i].wide.Data = stores[i].scratch.Data
			}
			if err := run(); err != nil {
				return err
			}
			for i := range stores {
				storeF32(stores[i].narrow, stores[i].wide.F32())
			}
			return nil
		}, nil
	}
}

// conversion ties an operand to its F32 form in scratch memory.
type conversion struct{ wide, scratch, narrow *tensor.Tensor }

func isWidened(t *tensor.Tensor) bool {
	return t.DType.IsFloat() && t.DType != tensor.F32 && t.Layout == tensor.RowMajor
}

func needsWidening(b *Bind) bool {
	for _, t := range b.In {
		if t != nil && isWidened(t) {
			return true
		}
	}
	for _, t := range b.Out {
		if t != nil && isWidened(t) {
			return true
		}
	}
	return false
}

// loadF32 converts the row-major float tensor t to F32.
func loadF32(dst []float32, t *tensor.Tensor) {
	switch t.DType {
	case tensor.F32:
		copy(dst, t.F32())
	case tensor.F16:
		kernels.ExpandF16(dst, tensor.View[uint16](t))
	case tensor.BF16:
		kernels.ExpandBF16(dst, tensor.View[uint16](t))
	case tensor.F64:
		for i, v := range tensor.View[float64](t) {
			dst[i] = float32(v)
		}
	default:
		panic("runtime: loadF32 of " + t.String())
	}
}

// storeF32 rounds src to t's float type, half to even.
func storeF32(t *tensor.Tensor, src []float32) {
	switch t.DType {
	case tensor.F32:
		copy(t.F32(), src)
	case tensor.F16:
		kernels.NarrowF16(tensor.View[uint16](t), src)
	case tensor.BF16:
		kernels.NarrowBF16(tensor.View[uint16](t), src)
	case tensor.F64:
		dst := tensor.View[float64](t)
		for i, v := range src {
			dst[i] = float64(v)
		}
	default:
		panic("runtime: storeF32 of " + t.String())
	}
}

// needInputs checks that the first n inputs are present and the first output is wanted.
func needInputs(b *Bind, n int) error {
	for i := range n {
		if !b.Has(i) {
			return b.errorf("input %d is missing", i)
		}
	}
	if !b.HasOut(0) || b.Out[0].Shape == nil {
		return b.errorf("output 0 has no shape")
	}
	return nil
}

// needF32 checks that the given inputs, where present, and all outputs that are floats are F32
// in row-major layout.
func needF32(b *Bind, inputs ...int) error {
	for _, i := range inputs {
		if b.Has(i) && (b.In[i].DType != tensor.F32 || b.In[i].Layout != tensor.RowMajor) {
			return b.unsupportedType(b.In[i].DType)
		}
	}
	if b.HasOut(0) && b.Out[0].DType != tensor.F32 {
		return b.unsupportedType(b.Out[0].DType)
	}
	return nil
}

// needShape checks an operand's shape.
func needShape(b *Bind, what string, t *tensor.Tensor, want ...int) error {
	if !tensor.SameShape(t.Shape, want) {
		return b.errorf("%s has shape %v, want %v", what, t.Shape, want)
	}
	return nil
}

// viewF32 views a piece of scratch memory as floats.
func viewF32(b []byte) []float32 {
	t := tensor.Tensor{Data: b}
	return t.F32()
}

// rowMajor wraps binders that read every operand in row-major order.
func rowMajor(table map[string]Binder) map[string]Binder {
	for op, fn := range table {
		table[op] = func(b *Bind) (Run, error) {
			for _, t := range b.In {
				if t != nil && t.Layout != tensor.RowMajor {
					return nil, b.errorf("no kernel for the %v layout", t.Layout)
				}
			}
			return fn(b)
		}
	}
	return table
}
