package model

import (
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Part returns the graph of what the outputs and the new values of the states need of g. Nodes that read a name in read get the value that
// it maps to instead: how a part reads a state as another part left it. Nodes and tensors are shared with g where they do not change.
func (g *Graph) Part(outputs []Value, states []State, read map[string]string) *Graph {
	p := &Graph{Name: g.Name, Outputs: outputs, Init: map[string]*tensor.Tensor{}, Types: maps.Clone(g.Types)}
	needed := map[string]bool{}
	for _, v := range outputs {
		needed[v.Name] = true
	}
	for _, s := range states {
		needed[s.Output] = true
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		if !slices.ContainsFunc(n.Outputs, func(out string) bool { return out != "" && needed[out] }) {
			continue
		}
		renamed := slices.ContainsFunc(n.Inputs, func(in string) bool { return read[in] != "" })
		if renamed {
			n = n.Clone()
			for j, in := range n.Inputs {
				if read[in] != "" {
					n.Inputs[j] = read[in]
				}
			}
		}
		for _, name := range captured(n) {
			needed[name] = true
		}
		p.Nodes = append(p.Nodes, n)
	}
	slices.Reverse(p.Nodes)
	for _, v := range g.Inputs {
		if needed[v.Name] {
			p.Inputs = append(p.Inputs, v)
		}
	}
	for _, s := range g.States {
		if i := slices.IndexFunc(states, func(own State) bool { return own.Input.Name == s.Input.Name }); i >= 0 {
			p.States = append(p.States, states[i])
		} else if needed[s.Input.Name] {
			p.States = append(p.States, State{Input: s.Input, Output: s.Input.Name})
		}
	}
	for name, t := range g.Init {
		if needed[name] {
			p.Init[name] = t
		}
	}
	return p
}

// Following returns the names of the values that depend on one of the inputs.
func (g *Graph) Following(inputs ...string) map[string]bool {
	after := map[string]bool{}
	for _, name := range inputs {
		after[name] = true
	}
	for _, n := range g.Nodes {
		if slices.ContainsFunc(captured(n), func(in string) bool { return after[in] }) {
			for _, out := range n.Outputs {
				if out != "" {
					after[out] = true
				}
			}
		}
	}
	return after
}
