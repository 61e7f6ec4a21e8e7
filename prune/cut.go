package prune

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// cutter leaves units out of a copy of the tracer's graph.
type cutter struct {
	*tracer
	out  *model.Graph
	gone map[int32]bool // by unit
	from origin
	// empty says that nothing is left of a value, or of a part of a split.
	empty bool
}

// errEmpty is of a cut that leaves nothing of some value.
var errEmpty = errors.New("a value would have no channel left")

// origin says, by weight and axis, which slices of the weight of before are left; a weight that is not in it is whole.
type origin map[string][][]int

// cut returns a copy of the graph without the units that gone names, and what it kept of the weights. The graph's types are inferred, its
// weights packed. Error: errEmpty, too.
func (t *tracer) cut(gone map[int32]bool) (*model.Graph, origin, error) {
	c := &cutter{tracer: t, out: t.g.Clone(), gone: gone, from: origin{}}
	c.out.Init = maps.Clone(t.g.Init)
	for _, name := range slices.Sorted(maps.Keys(t.weights)) {
		w, err := c.weight(name)
		if c.empty {
			return nil, nil, errEmpty
		}
		if err != nil {
			return nil, nil, fmt.Errorf("weight %s: %w", name, err)
		}
		c.out.Init[name] = w
	}
	copies := map[*model.Node]*model.Node{nil: nil}
	for i, n := range t.g.Nodes {
		copies[n] = c.out.Nodes[i]
	}
	for _, f := range t.fixes {
		f.apply(c, copies[f.node])
	}
	if c.empty {
		return nil, nil, errEmpty
	}
	c.out.Types = nil
	if err := c.out.Infer(); err != nil {
		return nil, nil, err
	}
	return c.out, c.from, model.PackWeights(c.out)
}

// weight returns what a cut leaves of an initializer.
func (c *cutter) weight(name string) (*tensor.Tensor, error) {
	w := c.g.Init[name]
	changed := false
	keep := make([][]int, len(w.Shape))
	for axis, n := range w.Shape {
		units := c.weights[name][axis]
		if units == nil {
			keep[axis] = everyPlace(n)
			continue
		}
		keep[axis] = c.places(units)
		changed = changed || len(keep[axis]) < n
	}
	if !changed {
		return w, nil
	}
	rows, err := tensor.Unpack(w).Loaded()
	if err != nil {
		return nil, err
	}
	c.from[name] = keep
	return gather(rows, keep), nil
}

// after returns what is left where o followed an earlier cut.
func (o origin) after(earlier origin) origin {
	all := maps.Clone(earlier)
	for name, axes := range o {
		before, cut := earlier[name]
		if !cut {
			all[name] = axes
			continue
		}
		both := make([][]int, len(axes))
		for a, keep := range axes {
			for _, k := range keep {
				both[a] = append(both[a], before[a][k])
			}
		}
		all[name] = both
	}
	return all
}

func everyPlace(n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	return at
}

// gather returns the elements of a row-major tensor whose places along each axis are listed.
func gather(t *tensor.Tensor, keep [][]int) *tensor.Tensor {
	shape := make([]int, len(keep))
	for i, k := range keep {
		shape[i] = len(k)
	}
	out := tensor.New(t.DType, shape...)
	size := t.DType.Size()
	// The last axes that are whole are copied in one go.
	whole := len(keep)
	for whole > 0 && len(keep[whole-1]) == t.Shape[whole-1] {
		whole--
		size *= t.Shape[whole]
	}
	at := 0
	var walk func(axis, from int)
	walk = func(axis, from int) {
		if axis == whole {
			at += copy(out.Data[at:at+size], t.Data[from*size:])
			return
		}
		for _, k := range keep[axis] {
			walk(axis+1, from*t.Shape[axis]+k)
		}
	}
	if out.Len() > 0 {
		walk(0, 0)
	}
	return out
}

// constant adds the value of an operand that a cut changes and returns its name.
func (c *cutter) constant(n *model.Node, what string, v []int64) string {
	base := n.Outputs[0] + "/" + what
	name := base
	for i := 1; c.out.Init[name] != nil; i++ {
		name = fmt.Sprint(base, ".", i)
	}
	c.out.Init[name] = tensor.FromSlice(v, len(v))
	return name
}

// family are units of the same slices of the same weights: the channels of one stage of a network, say, whichever of
// them goes.
type family struct {
	name   string // of a weight that makes them
	key    string // how many slices of which weights a unit takes: families differ in it
	units  []int32
	width  int // slices that each unit takes of that weight
	slices map[int32][]place
}

// place is a slice of an initializer.
type place struct {
	weight string
	axis   int
	at     int
}

// families lists what can be cut: units that take part in the weights of at least one product.
func (t *tracer) families() []*family {
	of := map[int32][]place{}
	for _, name := range slices.Sorted(maps.Keys(t.weights)) {
		for axis := range t.g.Init[name].Shape {
			for i, k := range t.weights[name][axis] {
				if u := t.unit(k); u != 0 {
					of[u] = append(of[u], place{name, axis, i})
				}
			}
		}
	}
	byShape := map[string]*family{}
	var list []*family
	for _, u := range slices.Sorted(maps.Keys(of)) {
		key, first, width := "", "", 0
		count := map[string]int{}
		for _, p := range of[u] {
			count[fmt.Sprintf("%s:%d", p.weight, p.axis)]++
		}
		for _, k := range slices.Sorted(maps.Keys(count)) {
			key += fmt.Sprint(k, " ", count[k], "\n")
		}
		for _, n := range t.g.Nodes {
			if makes(n) && count[n.In(1)+":0"] > 0 {
				first, width = n.In(1), count[n.In(1)+":0"]
				break
			}
		}
		if first == "" {
			continue
		}
		f := byShape[key]
		if f == nil {
			f = &family{name: first, key: key, width: width, slices: map[int32][]place{}}
			byShape[key] = f
			list = append(list, f)
		}
		f.units = append(f.units, u)
		f.slices[u] = of[u]
	}
	return list
}

// makes reports whether the node is a product with constant weights.
func makes(n *model.Node) bool {
	return n.Is(model.DomainDsk, "Linear") || n.Is(model.DomainDsk, "Conv")
}
