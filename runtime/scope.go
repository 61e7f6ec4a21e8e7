package runtime

import (
	"context"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// scope maps value names to tensors for nodes that are bound when they run: those whose
// shapes depend on data, and all nodes of subgraphs. A subgraph's scope sees the scopes
// around it.
type scope struct {
	values map[string]*tensor.Tensor
	outer  *scope
	ctx    context.Context // of the run; ends loops
}

func (s *scope) lookup(name string) *tensor.Tensor {
	for ; s != nil; s = s.outer {
		if t, ok := s.values[name]; ok {
			return t
		}
	}
	return nil
}

// run executes g in a scope of its own inside s.
func (s *scope) run(g *model.Graph, in []*tensor.Tensor, pool *kernels.Pool) ([]*tensor.Tensor, error) {
	inner := &scope{values: make(map[string]*tensor.Tensor, len(g.Nodes)+len(in)), outer: s, ctx: s.ctx}
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("subgraph %s takes %d inputs, got %d", g.Name, len(g.Inputs), len(in))
	}
	for i, v := range g.Inputs {
		inner.values[v.Name] = in[i]
	}
	for name, t := range g.Init {
		if err := t.Load(); err != nil {
			return nil, err
		}
		inner.values[name] = t
	}
	if s.ctx != nil && s.ctx.Err() != nil {
		return nil, s.ctx.Err()
	}
	for _, n := range g.Nodes {
		out := make([]*tensor.Tensor, len(n.Outputs))
		for i, name := range n.Outputs {
			if name != "" {
				out[i] = &tensor.Tensor{}
				inner.values[name] = out[i]
			}
		}
		if err := inner.runNode(n, out, pool); err != nil {
			return nil, err
		}
	}
	out := make([]*tensor.Tensor, len(g.Outputs))
	for i, v := range g.Outputs {
		t := inner.lookup(v.Name)
		if t == nil {
			return nil, fmt.Errorf("subgraph %s: output %q is never written", g.Name, v.Name)
		}
		// A branch may hand out a view of an outer value, whose memory the plan reuses.
		out[i] = t.Clone()
	}
	return out, nil
}

// runNode infers, binds and runs one node whose inputs' values are all at hand, on memory of its own.
func (s *scope) runNode(n *model.Node, out []*tensor.Tensor, pool *kernels.Pool) error {
	in := make([]*tensor.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if in[i] = s.lookup(name); in[i] == nil {
			return fmt.Errorf("node %v: input %q is never written", n, name)
		}
	}
	return evalNode(n, in, out, s, pool)
}

// evalNode fills out, whose tensors may be empty, from in, whose values are all at hand.
func evalNode(n *model.Node, in, out []*tensor.Tensor, s *scope, pool *kernels.Pool) error {
	c := &model.Inference{Node: n, In: make([]model.Type, len(in)), Val: in, Sym: make([][]model.Dim, len(in))}
	constant := make([]bool, len(in))
	for i, t := range in {
		if t != nil {
			c.In[i] = model.TypeOf(t)
			constant[i] = true
		}
	}
	if len(n.Subgraphs()) > 0 {
		c.Outer = s.types()
	}
	if err := model.InferNode(c); err != nil {
		return err
	}
	for i, o := range out {
		if o == nil {
			continue
		}
		o.DType, o.Shape, o.Data, o.Layout = c.Out[i].DType, nil, nil, tensor.RowMajor
		if shape, ok := c.Out[i].Static(); ok {
			o.Shape = shape
		}
	}
	b := newBind(n, in, out, pool, constant, s)
	run, err := bindNode(b)
	if err != nil {
		return err
	}
	total := 0
	for i, o := range out {
		switch {
		case o == nil || o.Shape == nil:
		case b.alias[i] >= 0:
			o.Data = in[b.alias[i]].Data
		default:
			size, err := tensor.ByteSize(o.DType, o.Shape, o.Layout)
			if err == nil {
				total = min(total, math.MaxInt-size) + size
				err = room(total, "its result")
			}
			if err != nil {
				return fmt.Errorf("node %v: %w", n, err)
			}
			o.Data = tensor.AlignedBytes(size)
		}
	}
	for _, t := range b.scratch {
		total = min(total, math.MaxInt-t.Shape[0]) + t.Shape[0]
		if err := room(total, "its scratch space"); err != nil {
			return fmt.Errorf("node %v: %w", n, err)
		}
		t.Data = tensor.AlignedBytes(t.Shape[0])
	}
	if run == nil {
		return nil
	}
	if err := run(); err != nil {
		return fmt.Errorf("node %v: %w", n, err)
	}
	for i, o := range out {
		if o != nil && o.Shape == nil {
			return fmt.Errorf("node %v: output %d was not set", n, i)
		}
	}
	return nil
}

// types gives the types of all values that a subgraph can capture.
func (s *scope) types() map[string]model.Type {
	out := map[string]model.Type{}
	for ; s != nil; s = s.outer {
		for name, t := range s.values {
			if _, ok := out[name]; !ok && t != nil && (t.Shape != nil || t.Data != nil) {
				out[name] = model.TypeOf(t)
			}
		}
	}
	return out
}

// Eval computes one node's outputs from given values: what constant folding needs.
func Eval(n *model.Node, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	for _, t := range in {
		if t != nil {
			if err := t.Load(); err != nil {
				return nil, err
			}
		}
	}
	out := make([]*tensor.Tensor, len(n.Outputs))
	for i, name := range n.Outputs {
		if name != "" {
			out[i] = &tensor.Tensor{}
		}
	}
	pool := kernels.NewPool(1)
	defer pool.Close()
	return out, guard(func() error { return evalNode(n, in, out, &scope{}, pool) })
}

func newBind(n *model.Node, in, out []*tensor.Tensor, pool *kernels.Pool, constant []bool, s *scope) *Bind {
	b := &Bind{Node: n, In: in, Out: out, Pool: pool, constant: constant, scope: s,
		alias: make([]int, len(out)), inPlace: make([]int, len(out)), state: make([]bool, len(in)), cache: make([]*cacheRows, len(in))}
	for i := range out {
		b.alias[i], b.inPlace[i] = -1, -1
	}
	return b
}

func bindNode(b *Bind) (Run, error) {
	fn := binders[opKey{b.Node.Domain, b.Node.Op}]
	if fn == nil {
		return nil, fmt.Errorf("node %v: the runtime has no such operator", b.Node)
	}
	// Binders make tables as long as their outputs' axes, even where another axis is empty.
	for i, o := range b.Out {
		if o == nil || o.Shape == nil {
			continue
		}
		size, err := tensor.ByteSize(o.DType, o.Shape, o.Layout)
		for _, n := range o.Shape {
			size = max(size, min(n, math.MaxInt/8)*8)
		}
		if err == nil && size > smallBytes {
			err = room(size, fmt.Sprintf("output %d, %v,", i, o))
		}
		if err != nil {
			return nil, fmt.Errorf("node %v: %w", b.Node, err)
		}
	}
	return fn(b)
}
