package model

import (
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Check verifies the form of a graph and its subgraphs: every name is written once, every input is
// defined before its use, outputs exist, subgraphs have no initializers. The first fault of form is a
// *fault.Format. Operators that the graph language lacks are listed all in one *fault.Unsupported,
// which comes first.
func (g *Graph) Check() error {
	var unknown []fault.Item
	g.eachNode(func(n *Node) {
		if !KnownOp(n.Domain, n.Op) {
			op := n.Op
			if n.Domain != "" {
				op = n.Domain + "." + op
			}
			unknown = append(unknown, fault.Item{Where: n.Name, What: op})
		}
	})
	if unknown != nil {
		return &fault.Unsupported{Kind: "operator", Items: unknown}
	}
	return g.checkScope(map[string]bool{}, map[string]bool{}, true)
}

// eachNode calls f on every node, those of subgraphs after the node that holds them.
func (g *Graph) eachNode(f func(*Node)) {
	for _, n := range g.Nodes {
		f(n)
		for _, sub := range n.Subgraphs() {
			sub.eachNode(f)
		}
	}
}

// checkScope checks g. visible holds the names that can be read, written all names of the whole model.
func (g *Graph) checkScope(visible, written map[string]bool, top bool) error {
	where := "graph"
	if !top {
		where = "subgraph " + g.Name
	}
	var mine []string
	def := func(name, what string) error {
		switch {
		case name == "":
			return fault.Formatf(where, "%s has no name", what)
		case written[name]:
			return fault.Formatf(where, "value %q is written twice (%s)", name, what)
		}
		written[name], visible[name] = true, true
		mine = append(mine, name)
		return nil
	}
	for _, in := range g.Inputs {
		if err := def(in.Name, "input"); err != nil {
			return err
		}
	}
	if !top && (len(g.Init) > 0 || len(g.States) > 0) {
		return fault.Formatf(where, "a subgraph has initializers or states")
	}
	for _, s := range g.States {
		if err := def(s.Input.Name, "state"); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(g.Init) {
		if err := def(name, "initializer"); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in != "" && !visible[in] {
				return fault.Formatf("node "+n.String(), "input %q is not defined before its use", in)
			}
		}
		for _, sub := range n.Subgraphs() {
			if err := sub.checkScope(visible, written, false); err != nil {
				return err
			}
		}
		for _, out := range n.Outputs {
			if out == "" {
				continue
			}
			if err := def(out, "output of node "+n.String()); err != nil {
				return err
			}
		}
	}
	for _, out := range g.Outputs {
		if !visible[out.Name] {
			return fault.Formatf(where, "output %q is not defined", out.Name)
		}
	}
	for _, s := range g.States {
		if !visible[s.Output] {
			return fault.Formatf(where, "the new value %q of state %q is not defined", s.Output, s.Input.Name)
		}
	}
	for _, name := range mine {
		if !top {
			delete(visible, name)
		}
	}
	return nil
}
