package model

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/tensor"
)

// DomainDsk is the domain of our own operators:
//
//	Linear(X[...,K], W[N,K], B[N]?) -> Y[...,N]
//	    Y = act(X W^T + B)
//	Conv(X[B,C,H,W], W[M,kh,kw,C/group], B[M]?, Z?) -> Y
//	    as ONNX Conv (kernel_shape, strides, pads, dilations, group), then Y = act(Y + Z);
//	    1-D and 3-D likewise. W has the channels last, so that a Panel16 row is one
//	    receptive field in (kh, kw, c) order. With layout="NHWC" X, Z and Y have the channels
//	    last too: X[B,H,W,C]; input_layout, if it is set, says how X alone lies.
//	MaxPool(X[B,H,W,C]) -> Y, AveragePool(X[B,H,W,C]) -> Y
//	    as in ONNX, but for the channels, which are last.
//
// Linear and Conv take the attributes activation (an Activation), activation_params and act_bits: 32 keeps the activations floats
// where W is quantized, 8 (the default) quantizes them as well.
const DomainDsk = "dsk"

// The activations that Linear and Conv can apply, with their activation_params.
const (
	ActNone      = ""
	ActRelu      = "Relu"
	ActLeakyRelu = "LeakyRelu" // alpha
	ActClip      = "Clip"      // min, max
	ActSigmoid   = "Sigmoid"
	ActTanh      = "Tanh"
	ActSwish     = "Swish" // x sigmoid(x)
	ActHardSwish = "HardSwish"
	ActGelu      = "Gelu"     // erf form
	ActGeluTanh  = "GeluTanh" // tanh approximation
)

// Graph is a list of nodes in topological order. Values are identified by name;
// each name is written once (SSA) across the graph and all its subgraphs.
type Graph struct {
	Name    string
	Inputs  []Value
	Outputs []Value
	// States are caches that live in a session between runs: the value Input is the
	// cache, Output is the graph's updated version of it. A session keeps the buffer, and
	// the two may share memory. Input and Output are listed here only, not in Inputs/Outputs.
	States []State
	Nodes  []*Node
	// Init holds the weights and constants by value name. Subgraphs have none: importers
	// lift theirs to the top graph.
	Init map[string]*tensor.Tensor
	// Types is what Infer found; it covers inputs, states, initializers and every node output
	// whose type is known.
	Types map[string]Type
}

// Value is a named, typed graph input or output.
type Value struct {
	Name string
	Type Type
}

// State is a cache: see Graph.States.
type State struct {
	Input  Value
	Output string
}

// Type is an element type and a shape whose dimensions may be unknown.
type Type struct {
	DType tensor.DType
	// Shape is nil if even the rank is unknown; a scalar has an empty, non-nil Shape.
	Shape []Dim
}

// Dim is one dimension: a number, a named unknown, or (both zero values aside) unknown.
type Dim struct {
	N   int    // >= 0; -1 if not known as a number
	Sym string // name of an unknown dimension ("batch"), "" if it has none
}

// Node applies an operator. An absent optional input or output has the name "".
type Node struct {
	Domain  string // "" for ai.onnx
	Op      string
	Name    string
	Inputs  []string
	Outputs []string
	Attrs   Attrs
}

// Attrs are a node's attributes by name.
type Attrs map[string]Attr

// Attr is one attribute; exactly one field is in use, as Kind says.
type Attr struct {
	Kind   AttrKind
	Int    int64
	Float  float32
	Str    string
	Ints   []int64
	Floats []float32
	Strs   []string
	Tensor *tensor.Tensor
	Graph  *Graph
}

// AttrKind says which field of an Attr is in use.
type AttrKind uint8

// The kinds.
const (
	AttrInt AttrKind = iota + 1
	AttrFloat
	AttrString
	AttrInts
	AttrFloats
	AttrStrings
	AttrTensor
	AttrGraph
)

// Known returns a dimension of n.
func Known(n int) Dim { return Dim{N: n} }

// Sym returns an unknown dimension with a name.
func Sym(name string) Dim { return Dim{N: -1, Sym: name} }

// Unknown is a dimension of which nothing is known.
var Unknown = Dim{N: -1}

// IsKnown reports whether d is a number.
func (d Dim) IsKnown() bool { return d.N >= 0 }

// String returns the number, the name or "?".
func (d Dim) String() string {
	switch {
	case d.N >= 0:
		return strconv.Itoa(d.N)
	case strings.HasPrefix(d.Sym, "="): // see IntValue
		return d.Sym[1:]
	case d.Sym != "":
		return d.Sym
	}
	return "?"
}

// Dims turns numbers into dimensions; the result is never nil.
func Dims(shape ...int) []Dim {
	out := make([]Dim, len(shape))
	for i, n := range shape {
		out[i] = Dim{N: n}
	}
	return out
}

// TypeOf returns the type of a tensor.
func TypeOf(t *tensor.Tensor) Type { return Type{DType: t.DType, Shape: Dims(t.Shape...)} }

// Static returns the shape as numbers, and false if any is unknown.
func (t Type) Static() ([]int, bool) {
	if t.Shape == nil {
		return nil, false
	}
	out := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		if d.N < 0 {
			return nil, false
		}
		out[i] = d.N
	}
	return out, true
}

// String returns "F32[batch,3,?]", with "[...]" for an unknown rank.
func (t Type) String() string {
	if t.Shape == nil {
		return t.DType.String() + "[...]"
	}
	s := t.DType.String() + "["
	for i, d := range t.Shape {
		if i > 0 {
			s += ","
		}
		s += d.String()
	}
	return s + "]"
}

// IntAttr makes an integer attribute.
func IntAttr(v int64) Attr { return Attr{Kind: AttrInt, Int: v} }

// FloatAttr makes a float attribute.
func FloatAttr(v float32) Attr { return Attr{Kind: AttrFloat, Float: v} }

// StringAttr makes a string attribute.
func StringAttr(v string) Attr { return Attr{Kind: AttrString, Str: v} }

// IntsAttr makes an attribute of integers.
func IntsAttr(v ...int64) Attr { return Attr{Kind: AttrInts, Ints: v} }

// FloatsAttr makes an attribute of floats.
func FloatsAttr(v ...float32) Attr { return Attr{Kind: AttrFloats, Floats: v} }

// Int returns an integer attribute or def.
func (n *Node) Int(name string, def int64) int64 {
	if a, ok := n.Attrs[name]; ok {
		return a.Int
	}
	return def
}

// Float returns a float attribute or def.
func (n *Node) Float(name string, def float32) float32 {
	if a, ok := n.Attrs[name]; ok {
		return a.Float
	}
	return def
}

// Str returns a string attribute or def.
func (n *Node) Str(name, def string) string {
	if a, ok := n.Attrs[name]; ok {
		return a.Str
	}
	return def
}

// Ints returns an attribute of integers or nil.
func (n *Node) Ints(name string) []int64 { return n.Attrs[name].Ints }

// Floats returns an attribute of floats or nil.
func (n *Node) Floats(name string) []float32 { return n.Attrs[name].Floats }

// Has reports whether the attribute is set.
func (n *Node) Has(name string) bool { _, ok := n.Attrs[name]; return ok }

// In returns the name of input i, or "" if it is absent.
func (n *Node) In(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// Is reports whether the node applies the operator of that domain.
func (n *Node) Is(domain, op string) bool { return n.Op == op && n.Domain == domain }

// Subgraphs returns the node's graph attributes in the order of their names.
func (n *Node) Subgraphs() []*Graph {
	var out []*Graph
	for _, k := range sortedKeys(n.Attrs) {
		if g := n.Attrs[k].Graph; g != nil {
			out = append(out, g)
		}
	}
	return out
}

// String names the node for messages: its name and operator.
func (n *Node) String() string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	name := n.Name
	if name == "" && len(n.Outputs) > 0 {
		name = "-> " + n.Outputs[0]
	}
	return fmt.Sprintf("%s (%s)", name, op)
}

// Clone copies the graph's structure; tensors are shared.
func (g *Graph) Clone() *Graph {
	c := &Graph{
		Name:    g.Name,
		Inputs:  append([]Value(nil), g.Inputs...),
		Outputs: append([]Value(nil), g.Outputs...),
		States:  append([]State(nil), g.States...),
		Nodes:   make([]*Node, len(g.Nodes)),
		Init:    maps.Clone(g.Init),
		Types:   maps.Clone(g.Types),
	}
	for i, n := range g.Nodes {
		c.Nodes[i] = n.Clone()
	}
	return c
}

// Clone copies a node and its subgraphs.
func (n *Node) Clone() *Node {
	c := *n
	c.Inputs = append([]string(nil), n.Inputs...)
	c.Outputs = append([]string(nil), n.Outputs...)
	c.Attrs = make(Attrs, len(n.Attrs))
	for k, a := range n.Attrs {
		if a.Graph != nil {
			a.Graph = a.Graph.Clone()
		}
		c.Attrs[k] = a
	}
	return &c
}
