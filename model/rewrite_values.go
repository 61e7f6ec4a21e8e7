package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/tensor"
)

// typeOf returns the inferred type of a value, wherever it is defined.
func (r *rewriter) typeOf(name string) Type {
	for s := r; s != nil; s = s.parent {
		if t, ok := s.g.Types[name]; ok {
			return t
		}
	}
	if t := r.top.Init[name]; t != nil {
		return TypeOf(t)
	}
	return Type{}
}

// constant returns the initializer of that name, if it is row-major, or nil.
func (r *rewriter) constant(name string) *tensor.Tensor {
	if name == "" {
		return nil
	}
	if t := r.top.Init[name]; t != nil && t.Layout == tensor.RowMajor {
		return t
	}
	return nil
}

// real reports whether dt is a type that products are computed in or from: F32, F16 or BF16.
func real(dt tensor.DType) bool { return dt == tensor.F32 || dt == tensor.F16 || dt == tensor.BF16 }

// floatConst returns the elements of a constant F32, F16 or BF16 tensor.
func (r *rewriter) floatConst(name string) ([]float64, bool) {
	t := r.constant(name)
	if t == nil || !real(t.DType) {
		return nil, false
	}
	return floatsOf(t)
}

// scalarConst returns the value of a constant with one element, of any numeric type.
func (r *rewriter) scalarConst(name string) (float64, bool) {
	t := r.constant(name)
	if t == nil || t.Len() != 1 {
		return 0, false
	}
	if t.Load() != nil {
		return 0, false
	}
	if f, ok := floatsOf(t); ok {
		return f[0], true
	}
	if t.DType.IsInteger() {
		return float64(convertInts(t)[0]), true
	}
	return 0, false
}

// intsConst returns the elements of a constant integer tensor.
func (r *rewriter) intsConst(name string) ([]int64, bool) {
	t := r.constant(name)
	if t == nil || !t.DType.IsInteger() || t.Len() > smallValue || t.Load() != nil {
		return nil, false
	}
	return convertInts(t), true
}

// near reports whether two numbers agree as constants of exporters do: to float32 rounding.
func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-5*math.Max(math.Abs(a), math.Abs(b))
}

// unique returns base, or base with a number, so that no value of the model has the name.
func (r *rewriter) unique(base string) string {
	root := r
	for root.parent != nil {
		root = root.parent
	}
	return numbered(base, func(name string) bool { return root.top.Init[name] != nil || root.g.defines(name) })
}

// Fresh returns base, or base with a number, so that no constant and no value of the graph or its subgraphs has the name.
func (g *Graph) Fresh(base string) string {
	return numbered(base, func(name string) bool { return g.Init[name] != nil || g.defines(name) })
}

// numbered returns base, or base with the first number that is not taken.
func numbered(base string, taken func(name string) bool) string {
	name := base
	for i := 1; taken(name); i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	return name
}

// defines reports whether a graph or one of its subgraphs writes a name.
func (g *Graph) defines(name string) bool {
	for _, v := range g.Inputs {
		if v.Name == name {
			return true
		}
	}
	for _, s := range g.States {
		if s.Input.Name == name {
			return true
		}
	}
	if _, ok := g.Types[name]; ok {
		return true
	}
	for _, n := range g.Nodes {
		if slices.Contains(n.Outputs, name) {
			return true
		}
		for _, sub := range n.Subgraphs() {
			if sub.defines(name) {
				return true
			}
		}
	}
	return false
}

// addInit adds a constant under a name like base and returns the name. The key says how it was
// made: the same key gives the same constant again.
func (r *rewriter) addInit(base, key string, t func() (*tensor.Tensor, error)) (string, error) {
	if key != "" {
		if name, ok := r.derived[key]; ok && r.top.Init[name] != nil {
			return name, nil
		}
	}
	v, err := t()
	if err != nil {
		return "", err
	}
	name := r.unique(base)
	if r.top.Init == nil {
		r.top.Init = map[string]*tensor.Tensor{}
	}
	r.top.Init[name] = v
	if r.top.Types != nil {
		r.top.Types[name] = TypeOf(v)
	}
	if key != "" {
		r.derived[key] = name
	}
	return name, nil
}

// addFloats adds a constant tensor of a real type, rounding from float64.
func (r *rewriter) addFloats(base string, dt tensor.DType, v []float64, shape ...int) string {
	name, _ := r.addInit(base, "", func() (*tensor.Tensor, error) { return newFloats(dt, v, shape...), nil })
	return name
}

func newFloats(dt tensor.DType, v []float64, shape ...int) *tensor.Tensor {
	t := tensor.New(dt, shape...)
	putFloats(t, v)
	return t
}

// putFloats rounds v to the elements of t, of a real type.
func putFloats(t *tensor.Tensor, v []float64) {
	switch t.DType {
	case tensor.F32:
		for i, x := range v {
			t.F32()[i] = float32(x)
		}
	case tensor.F16:
		d := tensor.View[uint16](t)
		for i, x := range v {
			d[i] = float16.Fromfloat32(float32(x)).Bits()
		}
	case tensor.BF16:
		d := tensor.View[uint16](t)
		for i, x := range v {
			b := math.Float32bits(float32(x))
			d[i] = uint16((b + 0x7fff + b>>16&1) >> 16) // to the nearest, ties to even
		}
	}
}

// scaled returns w, of a real type, with element i multiplied by scale[index(i)] in float64.
func scaled(w *tensor.Tensor, scale []float64, index func(i int) int) *tensor.Tensor {
	return tensor.Deferred(w.DType, w.Shape, tensor.RowMajor, nil, func(dst []byte) error {
		src, err := w.Loaded()
		if err != nil {
			return err
		}
		v, ok := floatsOf(src)
		if !ok {
			return fmt.Errorf("%v has no float elements", w)
		}
		for i := range v {
			v[i] = float64(v[i] * scale[index(i)])
		}
		copy(dst, newFloats(w.DType, v, w.Shape...).Data)
		return nil
	})
}
