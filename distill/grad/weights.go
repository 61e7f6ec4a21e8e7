package grad

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// weightInputs are the inputs of an operator that are weights if they are constants.
var weightInputs = map[opKey][]int{
	{"", "Conv"}: {1, 2}, {model.DomainDsk, "Conv"}: {1, 2}, {model.DomainDsk, "Linear"}: {1, 2},
	{"", "Gemm"}: {0, 1, 2}, {"", "MatMul"}: {0, 1}, {"", "Gather"}: {0}, {"", "PRelu"}: {1},
	{"", "BatchNormalization"}: {1, 2}, {"", "LayerNormalization"}: {1, 2}, {"", "RMSNormalization"}: {1},
}

// Weights returns a function that tells which initializers of a graph are weights by the way they are used: the operands of
// products, normalizations and look-ups, and the vectors that are added to or multiplied with a value. Other constants, such
// as the tables of a rotary embedding, running statistics and the limits of a Clip, are none.
func Weights(g *model.Graph) func(name string) bool {
	is := map[string]bool{}
	for _, n := range g.Nodes {
		for _, i := range weightInputs[opKey{n.Domain, n.Op}] {
			is[n.In(i)] = true
		}
		if n.Is("", "Add") || n.Is("", "Mul") {
			for _, name := range n.Inputs {
				if t := g.Init[name]; t != nil && t.Len() > 1 {
					is[name] = true
				}
			}
		}
	}
	return func(name string) bool { return is[name] }
}

// Widen returns the elements of a float or quantized tensor as row-major F32, in memory of their own.
func Widen(t *tensor.Tensor) (*tensor.Tensor, error) {
	if err := tensor.Room(t.Len()*4, "the weights in F32"); err != nil {
		return nil, err
	}
	src, err := tensor.Unpack(t).Loaded()
	if err != nil {
		return nil, err
	}
	out := tensor.New(tensor.F32, slices.Clone(t.Shape)...)
	dst := out.F32()
	switch {
	case src.DType == tensor.F32:
		copy(dst, src.F32())
	case src.DType == tensor.F16:
		kernels.ExpandF16(dst, tensor.View[uint16](src))
	case src.DType == tensor.BF16:
		kernels.ExpandBF16(dst, tensor.View[uint16](src))
	case src.DType == tensor.F64:
		for i, v := range tensor.View[float64](src) {
			dst[i] = float32(v)
		}
	case src.DType.IsQuantized():
		n, k := tensor.Matrix(src.Shape)
		for i := range n {
			kernels.DequantizeRow(dst[i*k:(i+1)*k], src.Data, src.DType.Format(), src.Levels, i, k)
		}
	default:
		return nil, fmt.Errorf("%v is no float tensor", t)
	}
	return out, nil
}

// constant is a value that is known now.
func (t *Tape) constant(name string, c *tensor.Tensor) *value {
	v := &value{name: name, dtype: c.DType, shape: c.Shape, t: c, constant: true, external: true}
	if c.DType == tensor.F32 {
		v.data = c.F32()
	}
	return v
}

// addWeights makes values of the initializers: parameters, running statistics and constants.
func (t *Tape) addWeights() error {
	g := t.graph
	trainable := t.o.Trainable
	if trainable == nil {
		trainable = Weights(g)
	}
	stats := map[string]bool{}
	for _, n := range g.Nodes {
		if n.Is("", "BatchNormalization") && t.o.BatchStats {
			stats[n.In(3)], stats[n.In(4)] = true, true
		}
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(g.Init)) {
		w := g.Init[name]
		if !w.DType.IsFloat() && !w.DType.IsQuantized() {
			c, err := w.Loaded()
			if err != nil {
				return fmt.Errorf("initializer %s: %w", name, err)
			}
			t.set(t.constant(name, c))
			continue
		}
		c, err := Widen(w)
		if err != nil {
			return fmt.Errorf("initializer %s: %w", name, err)
		}
		v := t.set(t.constant(name, c))
		switch {
		case stats[name]:
			v.constant = false
			t.stats = append(t.stats, Param{Name: name, Shape: c.Shape, Value: v.data})
		case c.Len() > 0 && trainable(name):
			v.constant, v.needs = false, true
			t.params = append(t.params, Param{Name: name, Shape: c.Shape})
			total += v.n
		}
	}
	if err := tensor.Room(total*8, "the parameters and their gradients"); err != nil {
		return err
	}
	t.flat, t.grads = tensor.New(tensor.F32, total).F32(), tensor.New(tensor.F32, total).F32()
	at := 0
	for i := range t.params {
		p := &t.params[i]
		v := t.values[p.Name]
		p.Value, p.Grad = t.flat[at:at+v.n:at+v.n], t.grads[at:at+v.n:at+v.n]
		copy(p.Value, v.data)
		v.data, v.grad = p.Value, p.Grad
		v.t = tensor.FromSlice(p.Value, p.Shape...)
		at += v.n
	}
	return nil
}

// Trained returns a copy of m, the model whose graph New was given, with the parameters and statistics as they are now, as F32.
func (t *Tape) Trained(m *model.Model) *model.Model {
	out := *m
	out.Graph = m.Graph.Clone()
	for _, list := range [][]Param{t.params, t.stats} {
		for _, p := range list {
			out.Graph.Init[p.Name] = tensor.FromSlice(slices.Clone(p.Value), slices.Clone(p.Shape)...)
		}
	}
	return &out
}
