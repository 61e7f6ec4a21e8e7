package onnx

import (
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// sortNodes returns the nodes in an order in which every value is made before it is
// used, which ONNX demands but not every exporter keeps. Nodes in order stay as they are.
func sortNodes(nodes []*protoNode) ([]*protoNode, error) {
	maker := map[string]int{}
	for i, n := range nodes {
		for _, o := range n.outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	needs := make([][]int, len(nodes))
	sorted := true
	for i, n := range nodes {
		seen := map[int]bool{}
		n.uses(func(name string) {
			if j, ok := maker[name]; ok && !seen[j] {
				seen[j] = true
				needs[i] = append(needs[i], j)
				sorted = sorted && j < i
			}
		})
	}
	if sorted {
		return nodes, nil
	}
	out := make([]*protoNode, 0, len(nodes))
	state := make([]uint8, len(nodes)) // 1 = on the stack, 2 = done
	type frame struct{ node, next int }
	for root := range nodes {
		if state[root] != 0 {
			continue
		}
		state[root] = 1
		stack := []frame{{root, 0}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(needs[f.node]) {
				state[f.node] = 2
				out = append(out, nodes[f.node])
				stack = stack[:len(stack)-1]
				continue
			}
			j := needs[f.node][f.next]
			f.next++
			switch state[j] {
			case 0:
				state[j] = 1
				stack = append(stack, frame{j, 0})
			case 1:
				return nil, fault.Formatf("node "+nodes[j].name+" ("+nodes[j].op+")", "it depends on its own output")
			}
		}
	}
	return out, nil
}

// uses calls fn for every value that the node reads, those that its subgraphs capture too.
func (n *protoNode) uses(fn func(name string)) {
	for _, in := range n.inputs {
		if in != "" {
			fn(in)
		}
	}
	for _, a := range n.attrs {
		if a.g != nil {
			a.g.captures(fn)
		}
	}
}

// captures calls fn for every value that a graph reads but does not make.
func (g *protoGraph) captures(fn func(name string)) {
	own := map[string]bool{}
	for _, v := range g.inputs {
		own[v.name] = true
	}
	for _, t := range g.inits {
		own[t.name] = true
	}
	for _, n := range g.nodes {
		for _, o := range n.outputs {
			own[o] = true
		}
	}
	outer := func(name string) {
		if !own[name] {
			fn(name)
		}
	}
	for _, n := range g.nodes {
		n.uses(outer)
	}
	for _, v := range g.outputs {
		outer(v.name)
	}
}
