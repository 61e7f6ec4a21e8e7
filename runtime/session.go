package runtime

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options are a session's settings.
type Options struct {
	Threads int // 0: all cores
	// Context is the capacity of the caches in tokens, for graphs that have states; 0: the
	// model's own context length.
	Context int
	// Cache is how the keys and values of attention are kept: "" or CacheF32, CacheF16, CacheI8.
	Cache CacheType
	// Sequences is how many texts the caches hold, for Batch; 0: one.
	Sequences int
	// Observe, if set, sees every planned node's operands just before it runs: how
	// calibration reads activations. It must not keep or change them.
	Observe func(n *model.Node, in []*tensor.Tensor)
}

// maxPlans is how many input shapes a session keeps plans for.
const maxPlans = 8

// Session is one run's state of a model: plans, arena, caches, workers. It is not safe for
// concurrent use; several sessions may share a model.
type Session struct {
	model     *model.Model
	pool      *kernels.Pool
	plans     []*cachedPlan // most recently used first
	arena     []byte
	states    map[string]*state
	ctx       int
	sequences int    // texts that the caches hold
	shared    int64  // bytes of states that belong to another session
	needs     *needs // of the budget
	cacheType CacheType

	observe func(n *model.Node, in []*tensor.Tensor)
}

type cachedPlan struct {
	key  string
	plan *plan
}

// NewSession prepares a model for running. The model must outlive the session and not change.
// A graph that is broken in its form is a *fault.Format.
func NewSession(m *model.Model, o Options) (*Session, error) { return newSession(m, o, nil) }

// newSession is NewSession with states that belong to another session as well.
func newSession(m *model.Model, o Options, shared map[string]*state) (*Session, error) {
	if err := checkGraph(m.Graph); err != nil {
		return nil, err
	}
	s := &Session{model: m, ctx: o.Context, sequences: max(1, o.Sequences), observe: o.Observe}
	if s.ctx == 0 && m.Meta.LM != nil {
		s.ctx = m.Meta.LM.ContextLength
	}
	threads := o.Threads
	if threads <= 0 {
		threads = goruntime.NumCPU()
	}
	if err := s.makeStates(o.Cache, s.sequences, shared); err != nil {
		return nil, err
	}
	if err := s.reserve(0); err != nil {
		s.release()
		return nil, err
	}
	s.pool = kernels.NewPool(threads)
	return s, nil
}

// state is the memory of one of the graph's states.
type state struct {
	*tensor.Tensor
	cache *cacheRows // how a cache is kept that does not lie as the graph says, or nil
}

// makeStates allocates the caches that are not shared; their unknown dimensions are "batch" and "ctx".
func (s *Session) makeStates(cache CacheType, batch int, shared map[string]*state) error {
	cache, err := ParseCacheType(string(cache))
	if err != nil {
		return err
	}
	s.cacheType = cache
	heads := map[string]int{}
	if cache != CacheF32 {
		heads = cacheHeads(s.model.Graph)
	}
	s.states = make(map[string]*state, len(s.model.Graph.States))
	total := 0
	for _, st := range s.model.Graph.States {
		if t := shared[st.Input.Name]; t != nil {
			s.states[st.Input.Name] = t
			s.shared += int64(len(t.Data))
			continue
		}
		shape := make([]int, len(st.Input.Type.Shape))
		for i, d := range st.Input.Type.Shape {
			switch {
			case d.IsKnown():
				shape[i] = d.N
			case d.Sym == "batch":
				shape[i] = batch
			case d.Sym == "ctx" && s.ctx > 0:
				shape[i] = s.ctx
			default:
				return fault.Formatf("state "+st.Input.Name, "dimension %v has no size", d)
			}
		}
		kept := &state{Tensor: &tensor.Tensor{DType: st.Input.Type.DType, Shape: shape}}
		if n := heads[st.Input.Name]; n > 0 {
			kept.cache = &cacheRows{kind: cache.rows(), shape: shape, heads: n, dim: shape[2] / n}
			kept.DType, kept.Shape = tensor.U8, kept.cache.tensorShape()
		}
		size, err := tensor.ByteSize(kept.DType, kept.Shape, tensor.RowMajor)
		if err != nil {
			return fault.Formatf("state "+st.Input.Name, "%v", err)
		}
		if size > math.MaxInt-total {
			return fault.Formatf("state "+st.Input.Name, "its size is out of range")
		}
		total += size
		if err := room(total, "the cache"); err != nil {
			return err
		}
		kept.Data = tensor.AlignedBytes(size)
		s.states[st.Input.Name] = kept
	}
	return nil
}

// Close ends the session's workers.
func (s *Session) Close() {
	s.release()
	s.pool.Close()
}

// Threads returns the number of workers.
func (s *Session) Threads() int { return s.pool.Threads() }

// Run computes the graph's outputs, in the order of Graph.Outputs. They are valid until
// the next Run. The inputs are given by name; all must be there, with the element types
// that the graph states and shapes that fit it.
func (s *Session) Run(ctx context.Context, in map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	p, err := s.planFor(in)
	if err != nil {
		return nil, err
	}
	for i, v := range s.model.Graph.Inputs {
		p.inputs[i].Data, p.inputs[i].Items = in[v.Name].Align().Data, in[v.Name].Items
	}
	if err := s.execute(ctx, p); err != nil {
		return nil, err
	}
	return p.outputs, nil
}

// execute runs p in the session's arena.
func (s *Session) execute(ctx context.Context, p *plan) error {
	return guard(func() error {
		if len(s.arena) < p.arena {
			if err := room(p.arena, "the space for intermediate values"); err != nil {
				return err
			}
			s.arena = tensor.AlignedBytes(p.arena)
		}
		p.bindArena(s.arena)
		return p.run(ctx, s.observe)
	})
}

// newPlan prepares the model's graph for inputs of these shapes.
func (s *Session) newPlan(shapes map[string][]int, states map[string]*state) (p *plan, err error) {
	err = guard(func() error {
		p, err = newPlan(s.model.Graph, shapes, states, s.pool)
		return err
	})
	if err == nil {
		err = s.reserve(p.arena)
	}
	return p, err
}

// planFor returns the plan for the inputs' shapes.
func (s *Session) planFor(in map[string]*tensor.Tensor) (*plan, error) {
	g := s.model.Graph
	var key strings.Builder
	for _, v := range g.Inputs {
		t := in[v.Name]
		if t == nil {
			return nil, &fault.Usage{What: fmt.Sprintf("input %q (%v) is missing; the graph's inputs are %s", v.Name, v.Type, inputNames(g))}
		}
		fmt.Fprint(&key, t.DType, t.Shape)
	}
	if len(in) > len(g.Inputs) {
		for name := range in {
			if !hasInput(g, name) {
				return nil, &fault.Usage{What: fmt.Sprintf("the graph has no input %q; its inputs are %s", name, inputNames(g))}
			}
		}
	}
	for i, c := range s.plans {
		if c.key == key.String() {
			copy(s.plans[1:i+1], s.plans[:i])
			s.plans[0] = c
			return c.plan, nil
		}
	}
	shapes := make(map[string][]int, len(in))
	syms := map[string]int{}
	for _, v := range g.Inputs {
		if err := fits(v, in[v.Name], syms); err != nil {
			return nil, err
		}
		shapes[v.Name] = append([]int{}, in[v.Name].Shape...)
	}
	p, err := s.newPlan(shapes, s.states)
	if err != nil {
		return nil, err
	}
	if len(s.plans) == maxPlans {
		s.plans = s.plans[:maxPlans-1]
	}
	s.plans = append([]*cachedPlan{{key.String(), p}}, s.plans...)
	return p, nil
}

// fits checks a given input against what the graph declares; equal names must be equal sizes.
func fits(v model.Value, t *tensor.Tensor, syms map[string]int) error {
	bad := func(why string) error {
		return &fault.Usage{What: fmt.Sprintf("input %q must be %v, got %v: %s", v.Name, v.Type, t, why)}
	}
	if t.DType != v.Type.DType {
		return bad("element types differ")
	}
	if v.Type.Shape == nil {
		return nil
	}
	if len(t.Shape) != len(v.Type.Shape) {
		return bad("ranks differ")
	}
	for i, d := range v.Type.Shape {
		n := t.Shape[i]
		if d.IsKnown() && d.N != n {
			return bad(fmt.Sprintf("dimension %d is %d", i, n))
		}
		if d.Sym != "" {
			if old, ok := syms[d.Sym]; ok && old != n {
				return bad(fmt.Sprintf("dimension %q is %d here and %d elsewhere", d.Sym, n, old))
			}
			syms[d.Sym] = n
		}
	}
	return nil
}

func hasInput(g *model.Graph, name string) bool {
	for _, v := range g.Inputs {
		if v.Name == name {
			return true
		}
	}
	return false
}

func inputNames(g *model.Graph) string {
	var names []string
	for _, v := range g.Inputs {
		names = append(names, fmt.Sprintf("%s %v", v.Name, v.Type))
	}
	return strings.Join(names, ", ")
}

// Memory is what a session holds beside the weights.
type Memory struct {
	ArenaBytes int64 `json:"arena_bytes"` // intermediate values of the largest plan so far
	StateBytes int64 `json:"state_bytes"` // caches
}

// Memory returns the session's memory; plans are made by Run.
func (s *Session) Memory() Memory {
	m := Memory{ArenaBytes: int64(len(s.arena))}
	for _, t := range s.states {
		m.StateBytes += int64(len(t.Data))
	}
	return m
}
