package model

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// ProductWeight reports whether input i of n is the weights of one of our products.
func ProductWeight(n *Node, i int) bool {
	switch {
	case n.Is(DomainDsk, "Linear"), n.Is(DomainDsk, "Conv"):
		return i == 1
	case n.Is(DomainDsk, "Experts"):
		return i >= ExpertWeights
	}
	return false
}

// PackWeights gives the Panel16 layout to the weights of dsk.Linear, dsk.Experts and of dsk.Conv with one group.
// A Gather along axis 0 reads such a table too; for any other user a second, row-major copy
// stays. The bytes are made when they are asked for.
func PackWeights(g *Graph) error {
	type uses struct {
		product []*Node // read it as the weights of a product
		other   bool
	}
	found := map[string]*uses{}
	at := func(name string) *uses {
		if found[name] == nil {
			found[name] = &uses{}
		}
		return found[name]
	}
	g.eachNode(func(n *Node) {
		for i, in := range n.Inputs {
			switch {
			case in == "":
			case ProductWeight(n, i) && (n.Op != "Conv" || n.Int("group", 1) == 1):
				at(in).product = append(at(in).product, n)
			case i == 0 && n.Is("", "Gather") && n.Int("axis", 0) == 0:
			default:
				at(in).other = true
			}
		}
		for _, sub := range n.Subgraphs() {
			for _, out := range sub.Outputs {
				at(out.Name).other = true
			}
		}
	})
	for _, out := range g.Outputs {
		at(out.Name).other = true
	}
	for _, s := range g.States {
		at(s.Output).other = true
	}
	for _, name := range sortedKeys(g.Init) {
		u := found[name]
		if u == nil || len(u.product) == 0 {
			continue
		}
		p := tensor.Pack(g.Init[name])
		if p == g.Init[name] {
			continue
		}
		if !u.other {
			g.Init[name] = p
			continue
		}
		packed := name + ".panel16"
		for g.defines(packed) || g.Init[packed] != nil {
			packed += "_"
		}
		g.Init[packed] = p
		if g.Types != nil {
			g.Types[packed] = TypeOf(p)
		}
		for _, n := range u.product {
			for i, in := range n.Inputs {
				if in == name && ProductWeight(n, i) {
					n.Inputs[i] = packed
				}
			}
		}
	}
	return nil
}
