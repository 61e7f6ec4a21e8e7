package model

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// RewriteOptions says what Rewrite may do.
type RewriteOptions struct {
	// Eval computes a node whose inputs are all constants; nil leaves such nodes, except for a
	// few that are folded without computing. The runtime supplies it.
	Eval func(n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)
	// NoFuse leaves operators as they are: no operators of the dsk domain, no fusing into
	// larger ONNX operators and no packing of weights.
	NoFuse bool
	// MaxFold is the most bytes that one folded node may make; 0 means 16 MiB.
	MaxFold int
}

// RewriteCount says how often a pass changed the graph.
type RewriteCount struct {
	Pass  string `json:"pass"`
	Count int    `json:"count"`
}

// pass changes a graph and returns how many times it did.
type pass struct {
	name string
	fuse bool // belongs to what NoFuse switches off
	run  func(*rewriter) (int, error)
}

// passes run in this order, again and again until none changes anything.
var passes = []pass{
	{"dead-code", false, (*rewriter).deadCode},
	{"constants", false, (*rewriter).constants},
	{"identities", false, (*rewriter).identities},
	{"known-branches", false, (*rewriter).knownBranches},
	{"common-nodes", false, (*rewriter).commonNodes},
	{"quantized-operators", true, (*rewriter).quantizedOperators},
	{"activation-chains", true, (*rewriter).activationChains},
	{"norm-chains", true, (*rewriter).normChains},
	{"attention-chains", true, (*rewriter).attentionChains},
	{"attention-heads", true, (*rewriter).attentionHeads},
	{"batch-norms", true, (*rewriter).batchNorms},
	{"paddings", true, (*rewriter).paddings},
	{"linear", true, (*rewriter).linear},
	{"conv", true, (*rewriter).conv},
	{"channel-constants", true, (*rewriter).channelConstants},
	{"residuals", true, (*rewriter).residuals},
	{"activations", true, (*rewriter).activations},
	{"fold", false, (*rewriter).fold},
}

// layoutPass runs when the others have settled, and they once more behind it.
var layoutPass = pass{"layout", true, (*rewriter).layout}

// maxRounds ends a rewrite that does not settle, which would be a fault of a pass.
const maxRounds = 50

// Rewrite simplifies and fuses a graph in place without changing what it computes, up to
// rounding: names, types and number of its outputs stay. It infers types first, and again
// after every round, and packs the weights last (PackWeights). The same graph gives the same
// result on every machine.
func Rewrite(g *Graph, o RewriteOptions) ([]RewriteCount, error) {
	if o.MaxFold == 0 {
		o.MaxFold = 16 << 20
	}
	counts := make([]RewriteCount, len(passes))
	for i, p := range passes {
		counts[i].Pass = p.name
	}
	w := &rewrite{g: g, o: &o, derived: map[string]string{}}
	if err := w.settle(counts); err != nil {
		return nil, err
	}
	if !o.NoFuse {
		n, err := w.run(layoutPass)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			counts = append(counts, RewriteCount{layoutPass.name, n})
			if err := w.settle(counts); err != nil {
				return nil, err
			}
		}
		ints, err := w.quantize()
		if err != nil {
			return nil, err
		}
		counts = append(counts, ints...)
		if _, err := w.run(passes[0]); err != nil {
			return nil, err
		}
	}
	if err := g.Infer(); err != nil {
		return nil, err
	}
	if !o.NoFuse {
		if err := PackWeights(g); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(counts, func(c RewriteCount) bool { return c.Count == 0 }), nil
}

// rewrite is a call of Rewrite.
type rewrite struct {
	g       *Graph
	o       *RewriteOptions
	derived map[string]string
	known   *env // what inference knows; nil when the graph has changed
}

// settle runs the passes until none changes anything, and adds to their counts.
func (w *rewrite) settle(counts []RewriteCount) error {
	for range maxRounds {
		changed := false
		for i, p := range passes {
			if p.fuse && w.o.NoFuse {
				continue
			}
			n, err := w.run(p)
			if err != nil {
				return err
			}
			counts[i].Count += n
			changed = changed || n > 0
		}
		if !changed {
			return nil
		}
	}
	return fmt.Errorf("rewriting graph %q does not end", w.g.Name)
}

// run runs one pass.
func (w *rewrite) run(p pass) (int, error) {
	if w.known == nil {
		var err error
		if w.known, err = w.g.inferScope(&env{}, true); err != nil {
			return 0, err
		}
	}
	n, err := rewriteGraph(&rewriter{g: w.g, top: w.g, o: w.o, derived: w.derived, env: w.known}, p)
	if err != nil {
		return 0, fmt.Errorf("pass %s: %w", p.name, err)
	}
	if n > 0 {
		w.known = nil
	}
	return n, nil
}

// rewriter is one pass over one graph: indices of who makes and who uses a value, and the changes.
type rewriter struct {
	g      *Graph
	parent *rewriter // of a subgraph, else nil
	top    *Graph    // holds the initializers
	o      *RewriteOptions
	// derived names the initializers that passes made from others, by a key that says how.
	derived map[string]string

	env    *env // top graph only: what inference knows
	maker  map[string]*Node
	users  map[string][]*Node // once for each use; a node with subgraphs also uses what they capture
	kept   map[string]bool    // outputs of the graph and new values of states
	dead   map[*Node]bool
	insert map[*Node][]*Node // nodes that take the place of a dead one
}

// rewriteGraph runs a pass on r's graph and then on its subgraphs.
func rewriteGraph(r *rewriter, p pass) (int, error) {
	r.index()
	n, err := p.run(r)
	if err != nil {
		return 0, err
	}
	r.commit()
	for _, nd := range r.g.Nodes {
		for _, sub := range nd.Subgraphs() {
			m, err := rewriteGraph(&rewriter{g: sub, parent: r, top: r.top, o: r.o, derived: r.derived}, p)
			if err != nil {
				return 0, err
			}
			n += m
		}
	}
	return n, nil
}

func (r *rewriter) index() {
	r.maker, r.users, r.kept = map[string]*Node{}, map[string][]*Node{}, map[string]bool{}
	r.dead, r.insert = map[*Node]bool{}, map[*Node][]*Node{}
	for _, n := range r.g.Nodes {
		r.link(n)
	}
	for _, out := range r.g.Outputs {
		r.kept[out.Name] = true
	}
	for _, s := range r.g.States {
		r.kept[s.Output] = true
	}
}

// uses returns the names that n reads, once for each use.
func uses(n *Node) []string {
	names := append([]string{}, n.Inputs...)
	for _, g := range n.Subgraphs() {
		names = append(names, g.Captures()...)
	}
	return names
}

func (r *rewriter) link(n *Node) {
	for _, out := range n.Outputs {
		if out != "" {
			r.maker[out] = n
		}
	}
	for _, in := range uses(n) {
		if in != "" {
			r.users[in] = append(r.users[in], n)
		}
	}
}

func (r *rewriter) unlink(n *Node) {
	for _, out := range n.Outputs {
		if r.maker[out] == n {
			delete(r.maker, out)
		}
	}
	for _, in := range uses(n) {
		list := r.users[in]
		if i := slices.Index(list, n); i >= 0 {
			r.users[in] = slices.Delete(slices.Clone(list), i, i+1)
		}
	}
}

// replace removes nodes and puts others where the first of the removed, the root, stood.
func (r *rewriter) replace(gone []*Node, with ...*Node) {
	for _, n := range gone {
		r.dead[n] = true
		r.unlink(n)
	}
	if len(with) > 0 {
		r.insert[gone[0]] = with
	}
	for _, n := range with {
		r.link(n)
	}
}

// edit changes a node in place.
func (r *rewriter) edit(n *Node, f func()) {
	r.unlink(n)
	f()
	r.link(n)
}

// commit makes the list of nodes from what replace noted.
func (r *rewriter) commit() {
	var nodes []*Node
	var add func(n *Node)
	add = func(n *Node) {
		if !r.dead[n] {
			nodes = append(nodes, n)
		}
		for _, w := range r.insert[n] {
			add(w)
		}
	}
	for _, n := range r.g.Nodes {
		add(n)
	}
	r.g.Nodes = nodes
}

// live returns the nodes in order that are not dead; a pass may change the graph while it walks.
func (r *rewriter) live(f func(n *Node) error) error {
	for _, n := range r.g.Nodes {
		if r.dead[n] {
			continue
		}
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}

// renameUses makes every user of the value old read the value now.
func (r *rewriter) renameUses(old, now string) {
	list := slices.Clone(r.users[old])
	for _, n := range list {
		if slices.Contains(uses(n), old) {
			r.edit(n, func() { renameIn(n, old, now) })
		}
	}
}

func renameIn(n *Node, old, now string) {
	for i, in := range n.Inputs {
		if in == old {
			n.Inputs[i] = now
		}
	}
	for _, g := range n.Subgraphs() {
		for _, m := range g.Nodes {
			renameIn(m, old, now)
		}
		for i := range g.Outputs {
			if g.Outputs[i].Name == old {
				g.Outputs[i].Name = now
			}
		}
	}
}

// sole returns the maker of a value that has one use only and is no output, or nil.
func (r *rewriter) sole(name string) *Node {
	if r.kept[name] || len(r.users[name]) != 1 {
		return nil
	}
	return r.maker[name]
}

// soleUser returns the node that alone uses a value, which must not be an output, or nil.
func (r *rewriter) soleUser(name string) *Node {
	if r.kept[name] || len(r.users[name]) != 1 {
		return nil
	}
	return r.users[name][0]
}
