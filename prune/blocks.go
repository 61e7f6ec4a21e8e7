package prune

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// block is a residual branch, y = act(x + f(x)), that can be left out: y = act(x).
type block struct {
	name string // of the value y
	skip string // x
}

// blocks lists a graph's residual branches.
func blocks(g *model.Graph) []block {
	maker := map[string]*model.Node{}
	var list []block
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			maker[out] = n
		}
		y := n.Outputs[0]
		same := func(skip string) bool {
			return g.Init[skip] == nil && g.Types[skip].String() == g.Types[y].String() && g.Types[y].Shape != nil
		}
		switch {
		case n.Is("", "Add"):
			for i, skip := range n.Inputs {
				if other := n.Inputs[1-i]; same(skip) && other != skip && g.Following(skip)[other] {
					list = append(list, block{y, skip})
					break
				}
			}
		case n.Is(model.DomainDsk, "Conv") && n.In(3) != "":
			if skip := n.In(3); same(skip) && g.Following(skip)[n.In(0)] && leavesAs(n, maker[skip]) {
				list = append(list, block{y, skip})
			}
		}
	}
	return list
}

// leavesAs reports whether the activation of n changes nothing in what m makes, or is one that stands alone.
func leavesAs(n, m *model.Node) bool {
	switch act := n.Str("activation", ""); act {
	case model.ActNone, model.ActRelu:
		return true
	case model.ActClip:
		return m != nil && m.Str("activation", "") == act && slices.Equal(m.Floats("activation_params"), n.Floats("activation_params"))
	}
	return false
}

// drop returns a copy of the graph without a residual branch, and without what only that needs.
func drop(g *model.Graph, b block) (*model.Graph, origin, error) {
	out := g.Clone()
	out.Init = maps.Clone(g.Init)
	for i, n := range out.Nodes {
		if n.Outputs[0] != b.name {
			continue
		}
		op := "Identity"
		if n.Str("activation", "") == model.ActRelu {
			op = "Relu"
		}
		out.Nodes[i] = &model.Node{Op: op, Name: n.Name, Inputs: []string{b.skip}, Outputs: []string{b.name}, Attrs: model.Attrs{}}
	}
	sweep(out)
	if _, err := model.Rewrite(out, model.RewriteOptions{}); err != nil {
		return nil, nil, fmt.Errorf("without the branch at %s: %w", b.name, err)
	}
	return out, origin{}, nil
}

// sweep removes the nodes, weights and states that no output needs, of this run or, through a state, of a later one.
func sweep(g *model.Graph) {
	needed := map[string]bool{}
	for _, out := range g.Outputs {
		needed[out.Name] = true
	}
	used := func(n *model.Node) bool {
		return slices.ContainsFunc(n.Outputs, func(out string) bool { return needed[out] })
	}
	for known := -1; known < len(needed); {
		known = len(needed)
		for _, n := range slices.Backward(g.Nodes) {
			if !used(n) {
				continue
			}
			for _, in := range n.Inputs {
				needed[in] = true
			}
			for _, sub := range n.Subgraphs() {
				for _, in := range sub.Captures() {
					needed[in] = true
				}
			}
		}
		for _, s := range g.States {
			if needed[s.Input.Name] {
				needed[s.Output] = true
			}
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *model.Node) bool { return !used(n) })
	g.States = slices.DeleteFunc(g.States, func(s model.State) bool { return !needed[s.Output] })
	maps.DeleteFunc(g.Init, func(name string, _ *tensor.Tensor) bool { return !needed[name] })
}
