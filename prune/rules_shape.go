package prune

import (
	"slices"

	"github.com/dsk-toolkit/dsk/model"
)

// transpose moves the axis of the channels.
func transpose(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	perm := n.Ints("perm")
	if perm == nil {
		t.give(n, 0, rank-1-f.axis, f.units)
		return true
	}
	t.give(n, 0, slices.Index(perm, int64(f.axis)), f.units)
	return true
}

// reshape follows the axis of the channels into a form with the same elements in the same order. Where the axis is parted, the slices
// of the longer part are units; where it is joined with others, each of their elements goes with its channel.
func reshape(t *tracer, n *model.Node) bool {
	f := t.values[n.In(0)]
	if f.units == nil {
		return true
	}
	in, out := t.dims(n.In(0)), t.dims(n.Outputs[0])
	lo, hi, before, ok := sameElements(in, out, f.axis)
	if !ok {
		return false
	}
	// The axis, between outer and inner neighbours of the same block.
	outer, inner := 1, 1
	for a := before.lo; a < before.hi; a++ {
		switch {
		case in[a] < 0:
			return false
		case a < f.axis:
			outer *= in[a]
		case a > f.axis:
			inner *= in[a]
		}
	}
	all := make([]int32, 0, outer*len(f.units)*inner)
	for range outer {
		all = append(all, repeat(f.units, inner)...)
	}
	axis := lo
	for a := lo; a < hi; a++ {
		if out[a] > out[axis] {
			axis = a
		}
	}
	if axis == hi { // the block has no axis left: one channel
		return false
	}
	units := all[:0:0]
	step := 1
	for a := axis + 1; a < hi; a++ {
		step *= out[a]
	}
	for i := range out[axis] {
		units = append(units, all[i*step])
	}
	for i, k := range all {
		t.join(k, units[i/step%out[axis]])
	}
	t.give(n, 0, axis, units)
	if target, ok := t.ints(n.In(1)); ok && n.Op == "Reshape" && axis < len(target) && target[axis] > 0 {
		t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) {
			now := slices.Clone(target)
			now[axis] = int64(c.kept(units))
			n.Inputs[1] = c.constant(n, "shape", now)
		}})
	} else if n.Op == "Reshape" && !ok {
		return false
	}
	return true
}

type span struct{ lo, hi int }

// sameElements finds the shortest blocks of neighbouring axes of two shapes, around an axis of the first, that hold the same elements:
// axes [lo, hi) of out and those of before.
func sameElements(in, out []int, axis int) (lo, hi int, before span, ok bool) {
	if in == nil || out == nil {
		return 0, 0, span{}, false
	}
	i, j := 0, 0
	for i < len(in) {
		// Axes of one length each, known or not, are blocks of their own.
		if j < len(out) && in[i] == out[j] && (in[i] >= 0 || i == j) {
			if i == axis {
				return j, j + 1, span{i, i + 1}, in[i] >= 0
			}
			i, j = i+1, j+1
			continue
		}
		i0, j0 := i, j
		a, b := 1, 1
		for first := true; first || a != b; first = false {
			switch {
			case a <= b && i < len(in):
				if in[i] < 0 {
					return 0, 0, span{}, false
				}
				a *= in[i]
				i++
			case j < len(out):
				if out[j] < 0 {
					return 0, 0, span{}, false
				}
				b *= out[j]
				j++
			default:
				return 0, 0, span{}, false
			}
		}
		if axis >= i0 && axis < i {
			// Axes of one element may follow on either side.
			return j0, j, span{i0, i}, j > j0
		}
	}
	return 0, 0, span{}, false
}

// rotary turns pairs within heads, so a head stays whole.
func rotary(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	heads := int(n.Int("num_heads", 0))
	if f.units == nil {
		return true
	}
	if rank != 3 || f.axis != 2 || !t.heads(f.units, heads) {
		return false
	}
	t.fixHeads(n, "num_heads", f.units, heads)
	t.give(n, 0, f.axis, f.units)
	return true
}

// fixHeads sets an attribute to the number of heads that a cut leaves.
func (t *tracer) fixHeads(n *model.Node, attr string, units []int32, heads int) {
	width := len(units) / heads
	t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) { n.Attrs[attr] = model.IntAttr(int64(c.kept(units) / width)) }})
}

// attention is that of values [B,S,heads*size]: a key head is one with its value head and the query heads that it serves.
func attention(t *tracer, n *model.Node) bool {
	qHeads, kvHeads := int(n.Int("q_num_heads", 0)), int(n.Int("kv_num_heads", 0))
	if qHeads < 1 || kvHeads < 1 || qHeads%kvHeads != 0 || len(n.Outputs) > 1 {
		return false
	}
	for i, in := range n.Inputs {
		if i > 2 && t.values[in].units != nil {
			return false
		}
	}
	var units [3][]int32
	for i := range 3 {
		if t.rank(n.In(i)) != 3 {
			return false
		}
		units[i] = t.along(n.In(i), 2)
		heads := kvHeads
		if i == 0 {
			heads = qHeads
		}
		if units[i] == nil || !t.heads(units[i], heads) {
			return false
		}
	}
	q, k, v := len(units[0])/qHeads, len(units[1])/kvHeads, len(units[2])/kvHeads
	for h := range qHeads {
		serves := h / (qHeads / kvHeads)
		t.join(units[0][h*q], units[1][serves*k])
		t.join(units[0][h*q], units[2][serves*v])
	}
	var out []int32
	for h := range qHeads {
		out = append(out, units[2][h/(qHeads/kvHeads)*v:][:v]...)
	}
	t.fixHeads(n, "q_num_heads", units[0], qHeads)
	t.fixHeads(n, "kv_num_heads", units[1], kvHeads)
	t.give(n, 0, 2, out)
	return true
}

// scatter writes rows of an update into a state.
func scatter(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(1)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	axis := int(n.Int("axis", -2))
	if axis < 0 {
		axis += rank
	}
	for i, s := range t.g.States {
		if s.Input.Name != n.In(0) || s.Output != n.Outputs[0] || f.axis == axis {
			continue
		}
		t.values[s.Input.Name] = f
		t.fixes = append(t.fixes, fix{nil, func(c *cutter, _ *model.Node) {
			shape := slices.Clone(c.out.States[i].Input.Type.Shape)
			shape[f.axis] = model.Known(c.kept(f.units))
			c.out.States[i].Input.Type.Shape = shape
		}})
		t.give(n, 0, f.axis, f.units)
		return true
	}
	return false
}

// lookUp takes rows of a table.
func lookUp(t *tracer, n *model.Node) bool {
	w, rank := t.g.Init[n.In(0)], t.rank(n.Outputs[0])
	if w == nil || len(w.Shape) != 2 || n.Int("axis", 0) != 0 || rank < 1 || t.values[n.In(1)].units != nil {
		return false
	}
	t.keep(t.axis(n.In(0), 0, w.Shape[0]))
	t.give(n, 0, rank-1, t.axis(n.In(0), 1, w.Shape[1]))
	return true
}
