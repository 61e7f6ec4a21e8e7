package runtime

import (
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// widened makes a binder for F32 serve F16, BF16 and F64 too: operands of those types are
// converted to F32 in scratch memory, and results are rounded to the outputs' types. Weights in
// panels stay as they are, since the kernels read their types.
func widened(fn Binder) Binder {
	return through(fn, tensor.F32, isWidened,
		func(wide, narrow *tensor.Tensor) { loadF32(wide.F32(), narrow) },
		func(narrow, wide *tensor.Tensor) { storeF32(narrow, wide.F32()) })
}

// widenedIntegers makes a binder for I32, I64 and U64 serve the integers that I64 holds, too: what a product, a sum or a shift of them
// loses above their width it loses when it is stored. Networks spend no time in such operators.
func widenedIntegers(fn Binder) Binder {
	return through(fn, tensor.I64, isNarrowInteger, loadI64, storeI64)
}

func isNarrowInteger(t *tensor.Tensor) bool {
	switch t.DType {
	case tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.U32:
		return t.Layout == tensor.RowMajor
	}
	return false
}

func loadI64(wide, narrow *tensor.Tensor) {
	if read, _ := wideFrom(narrow.DType); read != nil {
		read(tensor.View[uint64](wide), narrow, 0)
	}
}

func storeI64(narrow, wide *tensor.Tensor) {
	integerWriter(narrow.DType.Size())(narrow, 0, tensor.View[uint64](wide))
}

// through makes a binder for a wide type serve tensors of narrower ones: they are converted in scratch memory before and after.
func through(fn Binder, wide tensor.DType, isNarrow func(*tensor.Tensor) bool, load, store func(to, from *tensor.Tensor)) Binder {
	return func(b *Bind) (Run, error) {
		if !anyOf(b.In, isNarrow) && !anyOf(b.Out, isNarrow) {
			return fn(b)
		}
		inner := newBind(b.Node, make([]*tensor.Tensor, len(b.In)), make([]*tensor.Tensor, len(b.Out)),
			b.Pool, b.constant, b.scope)
		copy(inner.state, b.state)
		copy(inner.cache, b.cache)
		var loads, stores []conversion
		for i, t := range b.In {
			if inner.In[i] = t; t == nil || !isNarrow(t) {
				continue
			}
			w := &tensor.Tensor{DType: wide, Shape: t.Shape}
			inner.In[i] = w
			if b.IsConst(i) {
				w.Data = tensor.AlignedBytes(t.Len() * wide.Size())
				load(w, t)
				continue
			}
			loads = append(loads, conversion{wide: w, scratch: b.Scratch(t.Len() * wide.Size()), narrow: t})
		}
		for i, t := range b.Out {
			if inner.Out[i] = t; t == nil || !isNarrow(t) {
				continue
			}
			w := &tensor.Tensor{DType: wide, Shape: t.Shape}
			inner.Out[i] = w
			stores = append(stores, conversion{wide: w, scratch: b.Scratch(t.Len() * wide.Size()), narrow: t})
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
				load(c.wide, c.narrow)
			}
			for i := range stores {
				stores[i].wide.Data = stores[i].scratch.Data
			}
			if err := run(); err != nil {
				return err
			}
			for i := range stores {
				store(stores[i].narrow, stores[i].wide)
			}
			return nil
		}, nil
	}
}

// conversion ties an operand to its wide form in scratch memory.
type conversion struct{ wide, scratch, narrow *tensor.Tensor }

func isWidened(t *tensor.Tensor) bool {
	return t.DType.IsFloat() && t.DType != tensor.F32 && t.Layout == tensor.RowMajor
}

func anyOf(list []*tensor.Tensor, is func(*tensor.Tensor) bool) bool {
	return slices.ContainsFunc(list, func(t *tensor.Tensor) bool { return t != nil && is(t) })
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
