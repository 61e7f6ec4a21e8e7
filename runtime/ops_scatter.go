package runtime

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that write updates into a copy of their data, which may be the data itself.

var _ = register("", operands(3, map[string]Binder{
	"ScatterElements": bindScatterElements,
	"ScatterND":       bindScatterND,
}))

// reduction returns how an update is joined to what is there: f[T](old, update), nil for "none".
func reduction[T number](name string) func(x, y T) T {
	if op, ok := map[string]string{"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}[name]; ok {
		return numberPair[T](op)
	}
	return nil
}

// scatter is one pass of updates: n updates of slice elements each, update i going to offset(i).
type scatter struct {
	n, slice int
	offset   func(i int) (int, error)
}

// bindScatter binds the copy of the data and the pass of updates, input 2.
func bindScatter(b *Bind, s scatter) (Run, error) {
	name := b.Node.Str("reduction", "none")
	dt := b.In[0].DType
	if b.In[2].DType != dt {
		return nil, b.errorf("updates %v of data %v", b.In[2], b.In[0])
	}
	switch name {
	case "none":
		switch dt.Size() {
		case 1:
			return runScatter[uint8](b, s, nil), nil
		case 2:
			return runScatter[uint16](b, s, nil), nil
		case 4:
			return runScatter[uint32](b, s, nil), nil
		}
		return runScatter[uint64](b, s, nil), nil
	case "add", "mul", "max", "min":
	default:
		return nil, b.errorf("reduction %q", name)
	}
	switch dt {
	case tensor.F32:
		return runScatter(b, s, reduction[float32](name)), nil
	case tensor.F64:
		return runScatter(b, s, reduction[float64](name)), nil
	case tensor.F16, tensor.BF16:
		h, f := halfOf(dt), reduction[float32](name)
		return runScatter(b, s, func(x, y uint16) uint16 { return h.to(f(h.from(x), h.from(y))) }), nil
	case tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.U32:
		return widenedIntegers(func(b *Bind) (Run, error) { return bindScatter(b, s) })(b)
	case tensor.I32:
		return runScatter(b, s, reduction[int32](name)), nil
	case tensor.I64:
		return runScatter(b, s, reduction[int64](name)), nil
	case tensor.U64:
		return runScatter(b, s, reduction[uint64](name)), nil
	case tensor.BOOL: // add is or, mul is and
		f := func(x, y uint8) uint8 { return x | y }
		if name == "mul" || name == "min" {
			f = func(x, y uint8) uint8 { return x & y }
		}
		return runScatter(b, s, f), nil
	}
	return nil, b.unsupportedType(dt)
}

func runScatter[T tensor.Element](b *Bind, s scatter, f func(x, y T) T) Run {
	data, updates, out := b.In[0], b.In[2], b.Out[0]
	b.InPlace(0, 0)
	return func() error {
		if len(out.Data) > 0 && &out.Data[0] != &data.Data[0] {
			copy(out.Data, data.Data)
		}
		dst, src := tensor.View[T](out), tensor.View[T](updates)
		for i := range s.n {
			off, err := s.offset(i)
			if err != nil {
				return err
			}
			d, u := dst[off:off+s.slice], src[i*s.slice:(i+1)*s.slice]
			if f == nil {
				copy(d, u)
				continue
			}
			for j, v := range u {
				d[j] = f(d[j], v)
			}
		}
		return nil
	}
}

// bindScatterElements binds out = data; out[i, indices[i, j, k], k] = updates[i, j, k] for axis 1.
func bindScatterElements(b *Bind) (Run, error) {
	idx, err := b.indices(1)
	if err != nil {
		return nil, err
	}
	axis, err := b.axis("axis", 0, len(b.In[0].Shape))
	if err != nil {
		return nil, err
	}
	if err := b.checkElementIndices(axis); err != nil {
		return nil, err
	}
	if !tensor.SameShape(b.In[1].Shape, b.In[2].Shape) {
		return nil, b.errorf("updates %v for indices %v", b.In[2], b.In[1])
	}
	st, d := strides(b.In[0].Shape), b.In[0].Shape[axis]
	walk := &elementWalk{}
	n := idx.t.Len()
	return bindScatter(b, scatter{n: n, slice: 1, offset: func(i int) (int, error) {
		if i == 0 {
			*walk = newElementWalk(idx.t.Shape, st, axis, 0)
		} else {
			walk.next()
		}
		v := int(loadInt(idx.t, i))
		if v < -d || v >= d {
			return 0, errOutOfRange("index", v, -d, d-1)
		}
		if v < 0 {
			v += d
		}
		return walk.off + v*st[axis], nil
	}})
}

// bindScatterND writes each slice of the updates where an index tuple says.
func bindScatterND(b *Bind) (Run, error) {
	t, err := b.tuples(0)
	if err != nil {
		return nil, err
	}
	if b.In[2].Len() != t.each*t.slice {
		return nil, b.errorf("updates %v for %d slices of %d elements", b.In[2], t.each, t.slice)
	}
	return bindScatter(b, scatter{n: t.each, slice: t.slice, offset: t.offset})
}
