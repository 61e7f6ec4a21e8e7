package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Inference is what an operator's inference function works on: it reads Node, In and
// the known values, and sets Out. The same functions serve a whole graph with unknown
// dimensions (Graph.Infer) and the runtime, which calls InferNode with every shape a number.
type Inference struct {
	Node *Node
	// In holds the inputs' types; DType is Invalid for an absent optional input.
	In []Type
	// Val holds the values of inputs that are constants (small ones only), else nil.
	Val []*tensor.Tensor
	// Sym holds the values of inputs that are vectors of dimensions known in part: what Shape,
	// Gather, Concat and arithmetic on them yield while some dimension has only a name. nil if unknown.
	// A negative value is a Dim too: see IntValue.
	Sym [][]Dim
	// Out must be set to the outputs' types, one for each of Node.Outputs. It starts as
	// Invalid; a type left Invalid is an error, a nil Shape is an unknown rank.
	Out []Type
	// OutSym may be set to what is known of an output that is a small integer vector or scalar.
	OutSym [][]Dim
	// Outer gives the types of values that a subgraph captures.
	Outer map[string]Type
	// OuterVal and OuterSym give what is known of the captured values; both may be nil.
	OuterVal map[string]*tensor.Tensor
	OuterSym map[string][]Dim

	// keep makes operators with subgraphs store the types they find in Graph.Types.
	keep bool
}

// InferFunc is an operator's inference.
type InferFunc func(*Inference) error

type opKey struct{ domain, op string }

var opTable = map[opKey]InferFunc{}

// registerOps is called by the ops_*.go files' tables.
func registerOps(domain string, fns map[string]InferFunc) struct{} {
	for op, fn := range fns {
		k := opKey{domain, op}
		if _, dup := opTable[k]; dup {
			panic("model: operator registered twice: " + op)
		}
		opTable[k] = fn
	}
	return struct{}{}
}

// KnownOp reports whether the graph language has the operator.
func KnownOp(domain, op string) bool { _, ok := opTable[opKey{domain, op}]; return ok }

// InferNode runs the inference of one node. It checks that every output got a type.
func InferNode(c *Inference) error {
	fn := opTable[opKey{c.Node.Domain, c.Node.Op}]
	if fn == nil {
		return fmt.Errorf("node %v: unknown operator", c.Node)
	}
	for i := range c.In {
		if c.In[i].DType == tensor.Invalid && c.Node.In(i) != "" {
			return fmt.Errorf("node %v: input %d (%s) has no type", c.Node, i, c.Node.In(i))
		}
	}
	c.Out = make([]Type, len(c.Node.Outputs))
	c.OutSym = make([][]Dim, len(c.Node.Outputs))
	if err := fn(c); err != nil {
		return fmt.Errorf("node %v: %w", c.Node, err)
	}
	for i, name := range c.Node.Outputs {
		if name != "" && c.Out[i].DType == tensor.Invalid {
			return fmt.Errorf("node %v: output %d (%s) has no type", c.Node, i, name)
		}
	}
	return nil
}

// smallValue is the most elements of a constant that inference looks into.
const smallValue = 1024

// Infer sets g.Types, and those of every subgraph, from the types of the inputs, states and
// initializers. Constants and partly known dimension vectors are followed through the graph.
// The types of g.Outputs become what was inferred, completed by what was declared.
func (g *Graph) Infer() error {
	return g.infer(&env{}, true)
}

// env is what is known of the values in scope.
type env struct {
	types map[string]Type
	vals  map[string]*tensor.Tensor
	syms  map[string][]Dim
}

// infer finds the types of g's values inside the scope outer. With keep it stores them.
func (g *Graph) infer(outer *env, keep bool) error {
	e, err := g.inferScope(outer, keep)
	if err != nil {
		return err
	}
	for i, out := range g.Outputs {
		t, ok := e.types[out.Name]
		if !ok {
			return fmt.Errorf("graph %q: output %s is not made by any node", g.Name, out.Name)
		}
		if !keep {
			continue
		}
		if out.Type.DType == tensor.Invalid {
			g.Outputs[i].Type = t
			continue
		}
		merged, err := mergeDeclared(t, out.Type)
		if err != nil {
			return fmt.Errorf("graph %q: output %s: inferred %v, declared %v: %w", g.Name, out.Name, t, out.Type, err)
		}
		g.Outputs[i].Type = merged
	}
	return nil
}

// inferScope runs over the nodes and returns the scope after the last.
func (g *Graph) inferScope(outer *env, keep bool) (*env, error) {
	e := &env{map[string]Type{}, map[string]*tensor.Tensor{}, map[string][]Dim{}}
	for k, v := range outer.types {
		e.types[k] = v
	}
	for k, v := range outer.vals {
		e.vals[k] = v
	}
	for k, v := range outer.syms {
		e.syms[k] = v
	}
	own := map[string]Type{}
	def := func(name string, t Type) {
		e.types[name] = t
		own[name] = t
		delete(e.vals, name)
		delete(e.syms, name)
	}
	for _, in := range g.Inputs {
		def(in.Name, in.Type)
	}
	for _, s := range g.States {
		def(s.Input.Name, s.Input.Type)
	}
	for name, t := range g.Init {
		def(name, TypeOf(t))
		if v := smallConstant(t); v != nil {
			e.vals[name] = v
		}
	}
	for _, n := range g.Nodes {
		c := &Inference{
			Node: n, In: make([]Type, len(n.Inputs)), Val: make([]*tensor.Tensor, len(n.Inputs)),
			Sym: make([][]Dim, len(n.Inputs)), Outer: e.types, OuterVal: e.vals, OuterSym: e.syms, keep: keep,
		}
		for i, in := range n.Inputs {
			if in == "" {
				continue
			}
			t, ok := e.types[in]
			if !ok {
				return nil, fmt.Errorf("node %v: input %s is not defined before its use", n, in)
			}
			c.In[i], c.Val[i], c.Sym[i] = t, e.vals[in], e.syms[in]
		}
		if err := InferNode(c); err != nil {
			return nil, err
		}
		for i, out := range n.Outputs {
			if out == "" {
				continue
			}
			def(out, c.Out[i])
			if c.OutSym[i] != nil {
				e.syms[out] = c.OutSym[i]
			}
		}
		if n.Is("", "Constant") {
			if t, err := ConstantValue(n); err == nil {
				if v := smallConstant(t); v != nil {
					e.vals[n.Outputs[0]] = v
				}
			}
		}
	}
	if keep {
		g.Types = own
	}
	return e, nil
}

// smallConstant returns t if inference may look into it, else nil.
func smallConstant(t *tensor.Tensor) *tensor.Tensor {
	if t.DType.IsQuantized() || t.Layout != tensor.RowMajor || t.Len() > smallValue || t.Load() != nil {
		return nil
	}
	return t
}

// mergeDeclared joins an inferred type with the one that a graph declares. Where they contradict,
// the inferred shape wins: exporters write stale shapes.
func mergeDeclared(inferred, declared Type) (Type, error) {
	if inferred.DType != declared.DType {
		return Type{}, fmt.Errorf("element types differ")
	}
	if inferred.Shape == nil {
		return declared, nil
	}
	shape := cloneDims(inferred.Shape)
	if len(declared.Shape) == len(shape) {
		for i, d := range declared.Shape {
			if u, err := unify(shape[i], d); err == nil {
				shape[i] = u
			}
		}
	}
	return Type{inferred.DType, shape}, nil
}
