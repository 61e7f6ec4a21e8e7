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
	Sym [][]Dim
	// Out must be set to the outputs' types, one for each of Node.Outputs. It starts as
	// Invalid; a type left Invalid is an error, a nil Shape is an unknown rank.
	Out []Type
	// OutSym may be set to what is known of an output that is a small integer vector or scalar.
	OutSym [][]Dim
	// Outer gives the types of values that a subgraph captures.
	Outer map[string]Type
}

// InferFunc is an operator's inference.
type InferFunc func(*Inference) error

type opKey struct{ domain, op string }

var opTable = map[opKey]InferFunc{}

// registerOp is called by the ops_*.go files' tables.
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
