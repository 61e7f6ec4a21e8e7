package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{"If": inferIf, "Loop": inferLoop, "Scan": inferScan})

// inner infers a subgraph whose inputs have the given types, in the scope of the node, and
// returns its outputs' types. syms, if not nil, holds what is known of the inputs' values.
func (c *Inference) inner(g *Graph, in []Type) ([]Type, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("subgraph %q has %d inputs, gets %d", g.Name, len(g.Inputs), len(in))
	}
	typed := *g
	typed.Inputs = make([]Value, len(in))
	for i, v := range g.Inputs {
		typed.Inputs[i] = Value{v.Name, in[i]}
	}
	e, err := typed.inferScope(&env{c.Outer, c.OuterVal, c.OuterSym}, c.keep)
	if err != nil {
		return nil, fmt.Errorf("subgraph %q: %w", g.Name, err)
	}
	if c.keep {
		g.Types = typed.Types
		g.Inputs = typed.Inputs
	}
	out := make([]Type, len(g.Outputs))
	for i, v := range g.Outputs {
		t, ok := e.types[v.Name]
		if !ok {
			return nil, fmt.Errorf("subgraph %q: output %s is not defined", g.Name, v.Name)
		}
		out[i] = t
		if c.keep {
			g.Outputs[i].Type = t
		}
	}
	return out, nil
}

// graph returns a subgraph attribute.
func (c *Inference) graph(name string) (*Graph, error) {
	if g := c.Node.Attrs[name].Graph; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("attribute %s is missing", name)
}

// join returns what two types have in common: what a value that is one or the other has.
func join(a, b Type) (Type, error) {
	if a.DType != b.DType {
		return Type{}, fmt.Errorf("%v and %v have different element types", a, b)
	}
	if a.Shape == nil || b.Shape == nil || len(a.Shape) != len(b.Shape) {
		return Type{a.DType, nil}, nil
	}
	s := cloneDims(a.Shape)
	for i, d := range b.Shape {
		if s[i] != d {
			s[i] = Unknown
		}
	}
	return Type{a.DType, s}, nil
}

func inferIf(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if c.In[0].DType != tensor.BOOL {
		return fmt.Errorf("condition is %v, want BOOL", c.In[0])
	}
	cond, condKnown := c.ints(0)
	condKnown = condKnown && len(cond) == 1
	var out []Type
	for _, name := range []string{"then_branch", "else_branch"} {
		g, err := c.graph(name)
		if err != nil {
			return err
		}
		taken := !condKnown || (cond[0] != 0) == (name == "then_branch")
		// A branch that is known not to run may be ill-typed for these shapes: without keep, as
		// at run time, it is not looked at.
		if !taken && !c.keep {
			continue
		}
		t, err := c.inner(g, nil)
		if err != nil {
			if taken {
				return err
			}
			continue
		}
		if len(t) != len(c.Out) {
			return fmt.Errorf("%s has %d outputs, the node has %d", name, len(t), len(c.Out))
		}
		if !taken {
			continue
		}
		if out == nil {
			out = t
			continue
		}
		for i := range out {
			if out[i], err = join(out[i], t[i]); err != nil {
				return fmt.Errorf("output %d of the branches: %w", i, err)
			}
		}
	}
	copy(c.Out, out)
	return nil
}

// inferLoop: M?, cond?, carried... -> carried..., scanned... The body maps (iteration, cond,
// carried...) to (cond, carried..., scanned...).
func inferLoop(c *Inference) error {
	body, err := c.graph("body")
	if err != nil {
		return err
	}
	if len(c.In) < 2 {
		return fmt.Errorf("has %d inputs, takes at least 2", len(c.In))
	}
	n := len(c.In) - 2
	carried := append([]Type(nil), c.In[2:]...)
	if len(body.Inputs) != n+2 || len(body.Outputs) < n+1 || len(c.Out) != len(body.Outputs)-1 {
		return fmt.Errorf("body has %d inputs and %d outputs for %d carried values and %d outputs",
			len(body.Inputs), len(body.Outputs), n, len(c.Out))
	}
	var out []Type
	// A carried value whose shape changes in the body has that dimension unknown from the
	// start; each round can only lose knowledge, so this ends.
	for {
		in := append([]Type{{tensor.I64, Dims()}, {tensor.BOOL, Dims()}}, carried...)
		if out, err = c.inner(body, in); err != nil {
			return err
		}
		changed := false
		for i := range carried {
			t, err := join(carried[i], out[i+1])
			if err != nil {
				return fmt.Errorf("carried value %d: %w", i, err)
			}
			if !sameType(t, carried[i]) {
				carried[i], changed = t, true
			}
		}
		if !changed {
			break
		}
	}
	copy(c.Out, carried)
	trips := c.trips(body)
	for i, t := range out[n+1:] {
		if t.Shape != nil {
			t.Shape = append([]Dim{trips}, t.Shape...)
		}
		c.Out[n+i] = t
	}
	return nil
}

func sameType(a, b Type) bool {
	if a.DType != b.DType || (a.Shape == nil) != (b.Shape == nil) || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if a.Shape[i] != b.Shape[i] {
			return false
		}
	}
	return true
}

// trips is the number of iterations of a Loop that cannot end early.
func (c *Inference) trips(body *Graph) Dim {
	if c.has(1) {
		if v, ok := c.ints(1); !ok || len(v) != 1 || v[0] == 0 {
			return Unknown
		}
	}
	m := c.values(0)
	if len(m) != 1 {
		return Unknown
	}
	// The body's condition must be the one that it was given, or a constant.
	name := body.Outputs[0].Name
	for i := len(body.Nodes) - 1; i >= 0; i-- {
		nd := body.Nodes[i]
		if len(nd.Outputs) == 0 || nd.Outputs[0] != name {
			continue
		}
		switch {
		case nd.Is("", "Identity") || nd.Is("", "Cast") && nd.Int("to", 0) == ElemCode(tensor.BOOL):
			name = nd.In(0)
		case nd.Is("", "Constant"):
			t, err := ConstantValue(nd)
			if err != nil {
				return Unknown
			}
			if v, ok := intsOf(t); !ok || len(v) != 1 || v[0] == 0 {
				return Unknown
			}
			return m[0]
		default:
			return Unknown
		}
	}
	if name == body.Inputs[1].Name {
		return m[0]
	}
	if t := c.OuterVal[name]; t != nil {
		if v, ok := intsOf(t); ok && len(v) == 1 && v[0] != 0 {
			return m[0]
		}
	}
	return Unknown
}

// inferScan: states..., scanned inputs... -> states..., scanned outputs...
func inferScan(c *Inference) error {
	body, err := c.graph("body")
	if err != nil {
		return err
	}
	m := int(c.Node.Int("num_scan_inputs", 0))
	n := len(c.In) - m
	if m < 1 || n < 0 || len(body.Inputs) != len(c.In) || len(body.Outputs) != len(c.Out) || len(c.Out) < n {
		return fmt.Errorf("%d inputs, %d of them scanned, and %d outputs do not fit the body's %d and %d",
			len(c.In), m, len(c.Out), len(body.Inputs), len(body.Outputs))
	}
	in := append([]Type(nil), c.In...)
	length := Unknown
	for i := range m {
		t := in[n+i]
		if t.Shape == nil {
			continue
		}
		axis := int64(0)
		if a := c.Node.Ints("scan_input_axes"); i < len(a) {
			axis = a[i]
		}
		k, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return fmt.Errorf("input %d: %w", n+i, err)
		}
		if length, err = unify(length, t.Shape[k]); err != nil {
			return fmt.Errorf("length of scanned input %d, %v: %w", n+i, t, err)
		}
		in[n+i] = Type{t.DType, append(append([]Dim{}, t.Shape[:k]...), t.Shape[k+1:]...)}
	}
	out, err := c.inner(body, in)
	if err != nil {
		return err
	}
	for i, t := range out {
		if i < n {
			if c.Out[i], err = join(in[i], t); err != nil {
				return fmt.Errorf("state %d: %w", i, err)
			}
			continue
		}
		if t.Shape != nil {
			axis := int64(0)
			if a := c.Node.Ints("scan_output_axes"); i-n < len(a) {
				axis = a[i-n]
			}
			k, err := axisOf(axis, len(t.Shape)+1)
			if err != nil {
				return fmt.Errorf("output %d: %w", i, err)
			}
			s := append([]Dim{}, t.Shape[:k]...)
			s = append(s, length)
			t.Shape = append(s, t.Shape[k:]...)
		}
		c.Out[i] = t
	}
	return nil
}
