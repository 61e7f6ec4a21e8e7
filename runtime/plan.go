package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxFoldBytes bounds what a plan computes ahead of a run: index arithmetic and small
// constants, not weights.
const maxFoldBytes = 1 << 20

// plan is a graph prepared for given input shapes: every node bound in order, every
// intermediate value at its place in one arena. Nodes whose shapes depend on data are
// left to be bound when they run, on memory of their own.
type plan struct {
	graph   *model.Graph
	pool    *kernels.Pool
	steps   []step
	values  map[string]*value
	scope   *scope
	inputs  []*tensor.Tensor // as graph.Inputs; Data is the caller's, set at each run
	outputs []*tensor.Tensor // as graph.Outputs
	arena   int              // bytes
	bound   []byte           // the arena that tensors point into now
	place   []placement
	follow  []follower
	updates []follower // states that are copied from a value at the end of a run
	// lastRead is the last node that reads a name; len(graph.Nodes) for outputs.
	lastRead map[string]int
	prefetch *prefetcher // nil if the weights fit into memory
}

type step struct {
	node *model.Node
	run  Run   // nil if there is nothing to do
	bind *Bind // nil for a late step
	in   []*tensor.Tensor
	out  []*tensor.Tensor
	late bool // bound when it runs
}

// value is what the plan knows of a name.
type value struct {
	t        *tensor.Tensor
	constant bool
	late     bool       // shape or memory known only when it runs
	buf      *buffer    // nil for constants and late values
	cache    *cacheRows // how t keeps a cache, if not as the graph says
}

// buffer is memory that one value, or several that are views of each other, lie in.
type buffer struct {
	size     int
	first    int // the node that writes it
	lastRead int // the last node that reads any value in it
	external bool
	offset   int
}

type placement struct {
	t   *tensor.Tensor
	buf *buffer
}

// follower is a view of an external tensor (an input or a state): its Data follows at each run.
type follower struct{ view, of *tensor.Tensor }

// newPlan prepares g for inputs of the given types. states maps the inputs of
// g.States to the session's buffers.
func newPlan(g *model.Graph, shapes map[string][]int, states map[string]*state, pool *kernels.Pool) (*plan, error) {
	p := &plan{graph: g, pool: pool, values: make(map[string]*value, len(g.Nodes)+len(g.Init))}
	p.scope = &scope{values: make(map[string]*tensor.Tensor, len(g.Nodes)+len(g.Init))}
	p.findReaders()
	for name, t := range g.Init {
		if err := t.Load(); err != nil {
			return nil, err
		}
		p.set(name, &value{t: t, constant: true})
	}
	for _, in := range g.Inputs {
		t := &tensor.Tensor{DType: in.Type.DType, Shape: shapes[in.Name]}
		p.inputs = append(p.inputs, t)
		p.set(in.Name, &value{t: t, buf: &buffer{external: true}})
	}
	for _, st := range g.States {
		kept := states[st.Input.Name]
		p.set(st.Input.Name, &value{t: kept.Tensor, buf: &buffer{external: true}, cache: kept.cache})
	}
	for i, n := range g.Nodes {
		if err := p.addNode(i, n); err != nil {
			return nil, err
		}
	}
	if err := p.addOutputs(); err != nil {
		return nil, err
	}
	p.layout()
	p.prefetch = newPrefetcher(g, p.steps)
	return p, nil
}

func (p *plan) set(name string, v *value) {
	p.values[name] = v
	p.scope.values[name] = v.t
}

func (p *plan) addNode(i int, n *model.Node) error {
	s := step{node: n, in: make([]*tensor.Tensor, len(n.Inputs)), out: make([]*tensor.Tensor, len(n.Outputs))}
	constant := make([]bool, len(n.Inputs))
	allConst := true
	c := &model.Inference{Node: n, In: make([]model.Type, len(n.Inputs)),
		Val: make([]*tensor.Tensor, len(n.Inputs)), Sym: make([][]model.Dim, len(n.Inputs))}
	for j, name := range n.Inputs {
		if name == "" {
			continue
		}
		v := p.values[name]
		if v == nil {
			return fmt.Errorf("node %v: input %q is never written", n, name)
		}
		s.in[j] = v.t
		switch {
		case v.late:
			s.late = true
		case v.cache != nil:
			c.In[j] = v.cache.declared()
		default:
			c.In[j] = model.TypeOf(v.t)
		}
		if constant[j] = v.constant; v.constant {
			c.Val[j] = v.t
		} else {
			allConst = false
		}
	}
	for j, name := range n.Outputs {
		if name != "" {
			s.out[j] = &tensor.Tensor{}
		}
	}
	if len(n.Subgraphs()) > 0 {
		s.late, allConst = true, false
	}
	if !s.late {
		if err := model.InferNode(c); err != nil {
			return err
		}
		for j, o := range s.out {
			if o == nil {
				continue
			}
			shape, ok := c.Out[j].Static()
			if !ok {
				s.late = true
				break
			}
			o.DType, o.Shape = c.Out[j].DType, shape
		}
	}
	// Shapes are known here though values are not: arithmetic on them folds.
	if n.Is("", "Shape") || n.Is("", "Size") {
		allConst = true
	}
	if !s.late && allConst && p.foldable(n, s.out) {
		if err := evalNode(n, s.in, s.out, p.scope, p.pool); err != nil {
			return err
		}
		for j, name := range n.Outputs {
			if name != "" {
				p.set(name, &value{t: s.out[j], constant: true})
			}
		}
		return nil
	}
	if !s.late {
		s.bind = newBind(n, s.in, s.out, p.pool, constant, p.scope)
		for j, name := range n.Inputs {
			s.bind.state[j] = p.isState(name)
			if name != "" {
				s.bind.cache[j] = p.values[name].cache
			}
		}
		run, err := bindNode(s.bind)
		switch {
		case errors.Is(err, errNeedsValue):
			s.late, s.bind = true, nil
		case err != nil:
			return err
		}
		s.run = run
	}
	p.joinLinear(i, &s)
	if s.late {
		for j, name := range n.Outputs {
			if name != "" {
				p.set(name, &value{t: s.out[j], late: true})
			}
		}
		// A late node's outputs may turn out to be views of its inputs.
		for _, name := range n.Inputs {
			if name != "" && p.values[name].buf != nil {
				p.values[name].buf.lastRead = len(p.graph.Nodes)
			}
		}
	} else if err := p.placeOutputs(i, &s); err != nil {
		return err
	}
	if s.late || s.run != nil {
		p.steps = append(p.steps, s)
	}
	return nil
}

// foldable says whether a node of constants may be computed ahead.
func (p *plan) foldable(n *model.Node, out []*tensor.Tensor) bool {
	switch n.Op {
	case "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli":
		return false
	}
	total := 0
	for _, o := range out {
		if o == nil {
			continue
		}
		size, err := tensor.ByteSize(o.DType, o.Shape, tensor.RowMajor)
		if err != nil {
			return false
		}
		total += size
	}
	return total <= maxFoldBytes
}

func (p *plan) isState(name string) bool {
	for _, st := range p.graph.States {
		if st.Input.Name == name {
			return true
		}
	}
	return false
}

// placeOutputs gives the outputs and scratch of step i their buffers.
func (p *plan) placeOutputs(i int, s *step) error {
	for j, name := range s.node.Outputs {
		if name == "" {
			continue
		}
		o := s.out[j]
		v := &value{t: o}
		if a := s.bind.alias[j]; a >= 0 && s.bind.cache[a] != nil {
			v.cache, o.DType, o.Shape = s.bind.cache[a], s.in[a].DType, s.in[a].Shape
		}
		size, err := tensor.ByteSize(o.DType, o.Shape, o.Layout)
		if err != nil {
			return fmt.Errorf("node %v: %w", s.node, err)
		}
		if a := s.bind.alias[j]; a >= 0 {
			p.placeAlias(v, p.values[s.node.Inputs[a]])
		} else {
			v.buf = p.overwritten(s, j, i, size)
			if v.buf == nil {
				v.buf = &buffer{size: size, first: i, lastRead: i}
			}
			p.place = append(p.place, placement{o, v.buf})
		}
		if v.buf != nil {
			v.buf.lastRead = max(v.buf.lastRead, p.lastRead[name])
		}
		p.set(name, v)
	}
	for _, t := range s.bind.scratch {
		p.place = append(p.place, placement{t, &buffer{size: t.Shape[0], first: i, lastRead: i}})
	}
	return nil
}

func (p *plan) placeAlias(v, of *value) {
	switch {
	case of.constant:
		v.t.Data, v.constant = of.t.Data, true
	case of.buf.external:
		v.buf = of.buf
		p.follow = append(p.follow, follower{v.t, of.t})
	default:
		v.buf = of.buf
		p.place = append(p.place, placement{v.t, v.buf})
	}
}

// overwritten returns the buffer of the input that output j may lie on, or nil.
func (p *plan) overwritten(s *step, j, i, size int) *buffer {
	a := s.bind.inPlace[j]
	if a < 0 {
		return nil
	}
	v := p.values[s.node.Inputs[a]]
	if v.buf == nil || v.buf.external || v.buf.size != size || v.buf.lastRead > i {
		return nil
	}
	for k, in := range s.in {
		// Another operand in the same memory would be overwritten while it is read.
		if k != a && in != nil && p.values[s.node.Inputs[k]].buf == v.buf {
			return nil
		}
	}
	return v.buf
}

// findReaders notes for every name the last node that reads it; graph outputs are read at the end.
func (p *plan) findReaders() {
	p.lastRead = make(map[string]int, len(p.graph.Nodes))
	var visit func(n *model.Node, i int)
	visit = func(n *model.Node, i int) {
		for _, name := range n.Inputs {
			p.lastRead[name] = i
		}
		for _, g := range n.Subgraphs() {
			for _, m := range g.Nodes {
				visit(m, i)
			}
			for _, o := range g.Outputs {
				p.lastRead[o.Name] = i
			}
		}
	}
	for i, n := range p.graph.Nodes {
		visit(n, i)
	}
	for _, o := range p.graph.Outputs {
		p.lastRead[o.Name] = len(p.graph.Nodes)
	}
	for _, st := range p.graph.States {
		p.lastRead[st.Output] = len(p.graph.Nodes)
	}
}

// addOutputs finds the graph's outputs, and the states' new values where they do not lie in the state.
func (p *plan) addOutputs() error {
	for _, o := range p.graph.Outputs {
		v := p.values[o.Name]
		if v == nil {
			return fmt.Errorf("graph output %q is never written", o.Name)
		}
		p.outputs = append(p.outputs, v.t)
	}
	for _, st := range p.graph.States {
		v, old := p.values[st.Output], p.values[st.Input.Name]
		if v == nil {
			return fmt.Errorf("state %q is never written", st.Output)
		}
		if v.buf != old.buf {
			p.updates = append(p.updates, follower{view: old.t, of: v.t})
		}
	}
	return nil
}

// bindArena points every placed tensor into arena.
func (p *plan) bindArena(arena []byte) {
	if p.arena == 0 || len(p.bound) > 0 && len(arena) > 0 && &p.bound[0] == &arena[0] {
		return
	}
	p.bound = arena
	for _, pl := range p.place {
		size := pl.buf.size
		pl.t.Data = arena[pl.buf.offset : pl.buf.offset+size : pl.buf.offset+size]
	}
}

// run executes the plan. The inputs' Data must be set and the arena bound.
func (p *plan) run(ctx context.Context, observe func(*model.Node, []*tensor.Tensor)) error {
	for _, f := range p.follow {
		f.view.Data = f.of.Data
	}
	p.scope.ctx = ctx
	for i := range p.steps {
		s := &p.steps[i]
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.prefetch != nil {
			p.prefetch.before(i)
		}
		if observe != nil {
			observe(s.node, s.in)
		}
		var err error
		if s.late {
			err = evalNode(s.node, s.in, s.out, p.scope, p.pool)
		} else if err = s.run(); err != nil {
			err = fmt.Errorf("node %v: %w", s.node, err)
		}
		if err != nil {
			return err
		}
	}
	for _, u := range p.updates {
		copy(u.view.Data, u.of.Data)
	}
	return nil
}
