package model

import "fmt"

// captured returns the names that a node reads: its inputs, then what its subgraphs
// take from the outside, in order of occurrence and each once.
func captured(n *Node) []string {
	var names []string
	seen := map[string]bool{"": true}
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			names = append(names, s)
		}
	}
	for _, in := range n.Inputs {
		add(in)
	}
	for _, g := range n.Subgraphs() {
		for _, s := range g.Captures() {
			add(s)
		}
	}
	return names
}

// Captures returns the names that the graph uses but does not define itself, in order of
// first use: what a subgraph takes from the graphs around it.
func (g *Graph) Captures() []string {
	own := map[string]bool{"": true}
	for _, v := range g.Inputs {
		own[v.Name] = true
	}
	for _, s := range g.States {
		own[s.Input.Name] = true
	}
	for name := range g.Init {
		own[name] = true
	}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			own[out] = true
		}
	}
	var names []string
	add := func(s string) {
		if !own[s] {
			own[s] = true
			names = append(names, s)
		}
	}
	for _, n := range g.Nodes {
		for _, s := range captured(n) {
			add(s)
		}
	}
	for _, out := range g.Outputs {
		add(out.Name)
	}
	for _, s := range g.States {
		add(s.Output)
	}
	return names
}

// Sort brings the nodes of the graph and its subgraphs into topological order. It is stable:
// of the nodes that are ready, the one that stood first comes first. It fails on a cycle.
func (g *Graph) Sort() error {
	for _, n := range g.Nodes {
		for _, sub := range n.Subgraphs() {
			if err := sub.Sort(); err != nil {
				return err
			}
		}
	}
	maker := map[string]int{}
	for i, n := range g.Nodes {
		for _, out := range n.Outputs {
			if out != "" {
				maker[out] = i
			}
		}
	}
	waits := make([]int, len(g.Nodes))
	users := make([][]int, len(g.Nodes))
	for i, n := range g.Nodes {
		for _, in := range captured(n) {
			if m, ok := maker[in]; ok {
				waits[i]++
				users[m] = append(users[m], i)
			}
		}
	}
	var ready intHeap
	for i, w := range waits {
		if w == 0 {
			ready.push(i)
		}
	}
	sorted := make([]*Node, 0, len(g.Nodes))
	for len(ready) > 0 {
		i := ready.pop()
		sorted = append(sorted, g.Nodes[i])
		for _, u := range users[i] {
			if waits[u]--; waits[u] == 0 {
				ready.push(u)
			}
		}
	}
	if len(sorted) < len(g.Nodes) {
		for i, w := range waits {
			if w > 0 {
				return fmt.Errorf("graph %q: node %v is part of a cycle or depends on one", g.Name, g.Nodes[i])
			}
		}
	}
	g.Nodes = sorted
	return nil
}

// intHeap is a binary min-heap.
type intHeap []int

func (h *intHeap) push(x int) {
	*h = append(*h, x)
	s := *h
	for i := len(s) - 1; i > 0; {
		p := (i - 1) / 2
		if s[p] <= s[i] {
			return
		}
		s[p], s[i] = s[i], s[p]
		i = p
	}
}

func (h *intHeap) pop() int {
	s := *h
	top, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && s[c+1] < s[c] {
			c++
		}
		if s[i] <= s[c] {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	*h = s
	return top
}
