package prune

import (
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A unit is what can only be left out as a whole: the slices of weights and values that belong together, for the shapes to fit
// afterwards. The output channel c of a convolution is one with the element c of its bias, the channel c of everything that it is added
// to, and the slices c of the weights that read them; a key head is one with the query heads that it serves.
//
// Units are found by giving a number to each slice along one axis of each value, and joining numbers wherever an operator
// makes two slices depend on each other. Number 0 must stay.

// feature says which units the slices of a value along one axis belong to; a value without one has a nil units.
type feature struct {
	axis  int
	units []int32
}

// fix adapts an attribute or a constant operand of a node after a cut.
type fix struct {
	node  *model.Node
	apply func(c *cutter, n *model.Node)
}

// tracer finds a graph's units.
type tracer struct {
	g       *model.Graph
	parent  []int32                    // by number: another of the same unit, or itself
	values  map[string]feature         // by value
	weights map[string]map[int][]int32 // by initializer and axis
	fixes   []fix
}

// trace numbers the slices of a graph whose types are inferred.
func trace(g *model.Graph) *tracer {
	t := &tracer{g: g, parent: make([]int32, 1), values: map[string]feature{}, weights: map[string]map[int][]int32{}}
	scattered := map[string]bool{} // states that only TensorScatter changes
	for _, n := range g.Nodes {
		if n.Is("", "TensorScatter") {
			scattered[n.In(0)] = true
		}
	}
	for _, s := range g.States {
		if !scattered[s.Input.Name] {
			t.freezeValue(s.Output)
		}
	}
	for _, n := range g.Nodes {
		if r := rules[opKey{n.Domain, n.Op}]; r == nil || len(n.Subgraphs()) > 0 || !r(t, n) {
			t.freeze(n)
		}
	}
	for _, out := range g.Outputs {
		t.freezeValue(out.Name)
	}
	return t
}

// fresh returns n new units.
func (t *tracer) fresh(n int) []int32 {
	units := make([]int32, n)
	for i := range units {
		units[i] = int32(len(t.parent))
		t.parent = append(t.parent, units[i])
	}
	return units
}

// unit returns the unit of a number, as its lowest number.
func (t *tracer) unit(k int32) int32 {
	for t.parent[k] != k {
		t.parent[k] = t.parent[t.parent[k]]
		k = t.parent[k]
	}
	return k
}

// join makes one unit of two.
func (t *tracer) join(a, b int32) {
	if a, b = t.unit(a), t.unit(b); a < b {
		t.parent[b] = a
	} else {
		t.parent[a] = b
	}
}

// tie joins the units of two lists pairwise; lists of different lengths, or one that is nil, must stay.
func (t *tracer) tie(a, b []int32) {
	if len(a) != len(b) {
		t.keep(a)
		t.keep(b)
		return
	}
	for i := range a {
		t.join(a[i], b[i])
	}
}

// keep makes units stay.
func (t *tracer) keep(units []int32) {
	for _, k := range units {
		t.join(0, k)
	}
}

// freeze makes everything stay that a node reads.
func (t *tracer) freeze(n *model.Node) {
	for _, in := range n.Inputs {
		t.freezeValue(in)
	}
	for _, sub := range n.Subgraphs() {
		for _, in := range sub.Captures() {
			t.freezeValue(in)
		}
	}
}

func (t *tracer) freezeValue(name string) {
	t.keep(t.values[name].units)
	if t.g.Init[name] != nil {
		for _, units := range t.weights[name] {
			t.keep(units)
		}
		// Other readers, before or after, must not cut it either.
		t.values[name] = feature{}
		t.frozen(name)
	}
}

// frozen notes that an initializer has no axis to cut.
func (t *tracer) frozen(name string) {
	w := t.g.Init[name]
	for axis, n := range w.Shape {
		t.keep(t.axis(name, axis, n))
	}
}

// axis returns the units of an initializer's axis; nil if the axis has another length.
func (t *tracer) axis(name string, axis, n int) []int32 {
	w := t.g.Init[name]
	if w == nil || axis >= len(w.Shape) || w.Shape[axis] != n {
		return nil
	}
	if t.weights[name] == nil {
		t.weights[name] = map[int][]int32{}
	}
	if t.weights[name][axis] == nil {
		t.weights[name][axis] = t.fresh(n)
	}
	return t.weights[name][axis]
}

// rank returns the rank of a value, -1 if it is not known.
func (t *tracer) rank(name string) int {
	if w := t.g.Init[name]; w != nil {
		return len(w.Shape)
	}
	if s := t.g.Types[name].Shape; s != nil {
		return len(s)
	}
	return -1
}

// dims returns a value's dimensions, -1 for those that are not known; nil if the rank is not.
func (t *tracer) dims(name string) []int {
	s := t.g.Types[name].Shape
	if s == nil {
		return nil
	}
	out := make([]int, len(s))
	for i, d := range s {
		out[i] = d.N
	}
	return out
}

// along returns the units of a value along an axis. A value that has none there gets units that stay; one that has them along
// another axis keeps all of those. It is nil if the axis has no known length.
func (t *tracer) along(name string, axis int) []int32 {
	f := t.values[name]
	if f.units != nil && f.axis == axis {
		return f.units
	}
	t.keep(f.units)
	d := t.dims(name)
	if axis < 0 || axis >= len(d) || d[axis] < 0 {
		return nil
	}
	return make([]int32, d[axis])
}

// give sets the feature of a node's output. Where the output's type contradicts it, its units stay.
func (t *tracer) give(n *model.Node, out, axis int, units []int32) {
	if out >= len(n.Outputs) || n.Outputs[out] == "" {
		return
	}
	d := t.dims(n.Outputs[out])
	if axis < 0 || axis >= len(d) || d[axis] != len(units) {
		t.keep(units)
		return
	}
	t.values[n.Outputs[out]] = feature{axis, units}
}

// ints returns the elements of a constant operand of integers.
func (t *tracer) ints(name string) ([]int64, bool) {
	w := t.g.Init[name]
	if w == nil || w.DType != tensor.I64 || w.Layout != tensor.RowMajor || w.Load() != nil {
		return nil, false
	}
	return tensor.View[int64](w), true
}

// kept counts the slices of a list that a cut leaves.
func (c *cutter) kept(units []int32) int {
	n := 0
	for _, k := range units {
		if !c.gone[c.unit(k)] {
			n++
		}
	}
	c.emptied(n, units)
	return n
}

// emptied notes that a cut leaves nothing of a value that has units.
func (c *cutter) emptied(left int, units []int32) {
	c.empty = c.empty || left == 0 && len(units) > 0
}

// heads ties the slices of each of n heads, which are equally many, and reports whether they are.
func (t *tracer) heads(units []int32, n int) bool {
	if n < 1 || len(units)%n != 0 {
		return false
	}
	width := len(units) / n
	for i, k := range units {
		t.join(k, units[i/width*width])
	}
	return true
}

// repeat returns a list whose elements follow each other n times each.
func repeat(units []int32, n int) []int32 {
	out := make([]int32, 0, n*len(units))
	for _, k := range units {
		for range n {
			out = append(out, k)
		}
	}
	return out
}

// places returns the slices of a list that a cut leaves.
func (c *cutter) places(units []int32) []int {
	var at []int
	for i, k := range units {
		if !c.gone[c.unit(k)] {
			at = append(at, i)
		}
	}
	c.emptied(len(at), units)
	return slices.Clip(at)
}
