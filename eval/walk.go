package eval

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// walkBytes bounds the intermediate values that a Walk keeps.
const walkBytes = 1 << 29

// Walk shows what the nodes of a model read, one node after the other, and keeps the values on the way: all of them together take one run of the model,
// and the weights of a node may be set by what it reads before it runs. Text runs from the beginning for each node.
type Walk struct {
	p      *Probe
	inputs []int    // of the probe
	kept   []sample // by input: the graph's inputs and the values that later nodes read
	at     int      // so many nodes have run
}

// Walk begins a walk through m, or through what a cut leaves of m: it takes the same inputs then.
func (p *Probe) Walk(m *model.Model) *Walk {
	w := &Walk{p: p}
	if p.windows != nil {
		w.inputs = p.watched()
		return w
	}
	most := 1
	for i := range m.Graph.Nodes {
		bytes := 0
		for name := range live(m.Graph, i) {
			bytes += typeBytes(m.Graph.Types[name])
		}
		most = max(most, bytes)
	}
	w.inputs = p.shown()
	w.inputs = w.inputs[:min(len(w.inputs), max(1, walkBytes/most))]
	for _, i := range w.inputs {
		w.kept = append(w.kept, p.samples[i])
	}
	return w
}

// Inputs returns how many inputs a walk shows.
func (w *Walk) Inputs() int { return len(w.inputs) }

// At calls see with the operands of node number node of m for each input, in order, and the number of the window or image that this is or is a view of. It
// must not keep or change them. A walk goes forward: between
// calls nothing may change in m that nodes before the last one shown have read.
func (w *Walk) At(ctx context.Context, m *model.Model, node int, see func(unit int, in []*tensor.Tensor)) error {
	n := m.Graph.Nodes[node]
	if w.p.windows != nil {
		return w.p.Watch(ctx, m, func(i int, now *model.Node, in []*tensor.Tensor) bool {
			if now.Outputs[0] != n.Outputs[0] {
				return true
			}
			see(i, in)
			return false
		})
	}
	if err := w.advance(ctx, m, node); err != nil {
		return err
	}
	in := make([]*tensor.Tensor, len(n.Inputs))
	for i, values := range w.kept {
		for j, name := range n.Inputs {
			if in[j] = values[name]; in[j] == nil {
				in[j] = m.Graph.Init[name]
			}
		}
		see(w.p.image[w.inputs[i]], in)
	}
	return nil
}

// advance runs the nodes before number to that have not run.
func (w *Walk) advance(ctx context.Context, m *model.Model, to int) error {
	if to < w.at {
		return fmt.Errorf("a walk at node %d does not go back to node %d", w.at, to)
	}
	if to == w.at || len(w.kept) == 0 {
		return nil
	}
	wanted := live(m.Graph, to)
	part := *m
	part.Graph = stretch(m.Graph, to, wanted, w.kept[0])
	w.at = to
	var s *runtime.Session
	if len(part.Graph.Outputs) > 0 {
		var err error
		if s, err = runtime.NewSession(&part, runtime.Options{Threads: w.p.o.Threads}); err != nil {
			return err
		}
		defer s.Close()
	}
	for i, values := range w.kept {
		next := maps.Clone(w.p.samples[w.inputs[i]])
		for name, t := range values {
			if wanted[name] {
				next[name] = t
			}
		}
		if s != nil {
			in := sample{}
			for _, v := range part.Graph.Inputs {
				in[v.Name] = values[v.Name]
			}
			out, err := s.Run(ctx, in)
			if err != nil {
				return err
			}
			for j, v := range part.Graph.Outputs {
				next[v.Name] = out[j].Clone()
			}
		}
		w.kept[i] = next
	}
	return nil
}

// live returns the values of floats made before node number at that it or a later node reads. Integers, which are often shapes, are computed again.
func live(g *model.Graph, at int) map[string]bool {
	maker := map[string]int{}
	for i, n := range g.Nodes[:at] {
		for _, out := range n.Outputs {
			maker[out] = i
		}
	}
	found, seen := map[string]bool{}, map[int]bool{}
	var visit func(n *model.Node)
	visit = func(n *model.Node) {
		eachRead(n, func(name string) {
			i, made := maker[name]
			switch {
			case !made || name == "":
			case g.Types[name].DType.IsFloat():
				found[name] = true
			case !seen[i]:
				seen[i] = true
				visit(g.Nodes[i])
			}
		})
	}
	for _, n := range g.Nodes[at:] {
		visit(n)
	}
	return found
}

// stretch returns the part of the nodes before number to that makes the wanted values out of those that are kept.
func stretch(g *model.Graph, to int, wanted map[string]bool, kept sample) *model.Graph {
	maker := map[string]int{}
	for i, n := range g.Nodes[:to] {
		for _, out := range n.Outputs {
			maker[out] = i
		}
	}
	part := &model.Graph{Name: g.Name, Init: map[string]*tensor.Tensor{}}
	inputs, used := map[string]bool{}, map[int]bool{}
	var need func(name string)
	need = func(name string) {
		if t := kept[name]; t != nil {
			if !inputs[name] {
				inputs[name] = true
				part.Inputs = append(part.Inputs, model.Value{Name: name, Type: model.Type{DType: t.DType}})
			}
			return
		}
		if t := g.Init[name]; t != nil {
			part.Init[name] = t
			return
		}
		if i, made := maker[name]; made && !used[i] {
			used[i] = true
			eachRead(g.Nodes[i], need)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if kept[name] == nil {
			part.Outputs = append(part.Outputs, model.Value{Name: name, Type: g.Types[name]})
			need(name)
		}
	}
	for i, n := range g.Nodes[:to] {
		if used[i] {
			part.Nodes = append(part.Nodes, n)
		}
	}
	return part
}

// eachRead calls f with the names that a node reads.
func eachRead(n *model.Node, f func(name string)) {
	for _, name := range n.Inputs {
		f(name)
	}
	for _, sub := range n.Subgraphs() {
		for _, name := range sub.Captures() {
			f(name)
		}
	}
}

// typeBytes returns what a value takes, with 1 for dimensions that are not known.
func typeBytes(t model.Type) int {
	n := t.DType.Size()
	for _, d := range t.Shape {
		n *= max(1, d.N)
	}
	return n
}
