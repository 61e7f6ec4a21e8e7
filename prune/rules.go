package prune

import (
	"slices"

	"github.com/dsk-toolkit/dsk/model"
)

type opKey struct{ domain, op string }

// rule joins the units of a node's operands and gives its outputs theirs. If it returns false, everything that the node reads stays.
type rule func(t *tracer, n *model.Node) bool

// rules are those of the operators that something can be cut through. Whatever is not here keeps its operands whole.
var rules map[opKey]rule

func init() {
	rules = map[opKey]rule{
		{model.DomainDsk, "Linear"}: linear, {model.DomainDsk, "Conv"}: convolution,
		{model.DomainDsk, "MaxPool"}: pool, {model.DomainDsk, "AveragePool"}: pool,
		{"", "MaxPool"}: pool, {"", "AveragePool"}: pool, {"", "GlobalAveragePool"}: pool, {"", "GlobalMaxPool"}: pool,
		{"", "Concat"}: concat, {"", "Split"}: split, {"", "Pad"}: pad, {"", "Slice"}: slice,
		{"", "Reshape"}: reshape, {"", "Flatten"}: reshape, {"", "Squeeze"}: reshape, {"", "Unsqueeze"}: reshape, {"", "Transpose"}: transpose,
		{"", "RMSNormalization"}: norm, {"", "LayerNormalization"}: norm, {"", "BatchNormalization"}: batchNorm,
		{"", "Softmax"}: softmax, {"", "ReduceMean"}: reduce, {"", "ReduceSum"}: reduce, {"", "ReduceMax"}: reduce, {"", "Resize"}: resize, {"", "Shape"}: shapeOf,
		{"", "RotaryEmbedding"}: rotary, {"", "Attention"}: attention, {"", "TensorScatter"}: scatter, {"", "Gather"}: lookUp,
	}
	for _, op := range []string{"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Gelu", "HardSwish", "HardSigmoid", "Swish", "Elu", "Selu", "Softplus", "Mish", "Clip", "Erf",
		"Exp", "Sqrt", "Abs", "Neg", "Identity", "Dropout", "Cast"} {
		rules[opKey{"", op}] = through
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"} {
		rules[opKey{"", op}] = elementwise
	}
}

// through is an operator whose output has the channels of its first operand; other operands are numbers.
func through(t *tracer, n *model.Node) bool {
	f := t.values[n.In(0)]
	if len(n.Outputs) > 1 && n.Outputs[1] != "" {
		return false
	}
	t.give(n, 0, f.axis, f.units)
	return true
}

// pool mixes places, not channels.
func pool(t *tracer, n *model.Node) bool {
	f, axis := t.values[n.In(0)], 1
	if n.Domain == model.DomainDsk {
		axis = t.rank(n.In(0)) - 1
	}
	return (f.units == nil || f.axis == axis) && through(t, n)
}

// linear is Y[...,N] = X[...,K] W[N,K] + B[N].
func linear(t *tracer, n *model.Node) bool {
	w, rank := t.g.Init[n.In(1)], t.rank(n.In(0))
	if w == nil || len(w.Shape) != 2 || rank < 1 {
		return false
	}
	t.tie(t.axis(n.In(1), 1, w.Shape[1]), t.along(n.In(0), rank-1))
	out := t.axis(n.In(1), 0, w.Shape[0])
	t.bias(n.In(2), out)
	t.give(n, 0, rank-1, out)
	return true
}

// bias ties the elements of a vector to what they are added to.
func (t *tracer) bias(name string, out []int32) {
	switch {
	case name == "":
	case t.g.Init[name] == nil || len(t.g.Init[name].Shape) != 1:
		t.keep(out)
		t.freezeValue(name)
	default:
		t.tie(t.axis(name, 0, len(out)), out)
	}
}

// convolution is dsk.Conv. With groups, channel j of a group is one with channel j of each other group, so that all stay equally large;
// where each group has one channel, whole groups are left out instead.
func convolution(t *tracer, n *model.Node) bool {
	w, rank := t.g.Init[n.In(1)], t.rank(n.In(0))
	groups := int(n.Int("group", 1))
	if w == nil || rank < 3 || len(w.Shape) != rank || groups < 1 || w.Shape[0]%groups != 0 {
		return false
	}
	xLast, yLast, err := model.ChannelsLast(n)
	if err != nil {
		return false
	}
	place := func(last bool) int {
		if last {
			return rank - 1
		}
		return 1
	}
	m, cg := w.Shape[0], w.Shape[rank-1]
	in := t.along(n.In(0), place(xLast))
	out := t.axis(n.In(1), 0, m)
	switch {
	case len(in) != groups*cg:
		return false
	case cg == 1 && groups > 1:
		t.tie(repeat(in, m/groups), out)
		t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) { n.Attrs["group"] = model.IntAttr(int64(c.kept(in))) }})
	default:
		reads := t.axis(n.In(1), rank-1, cg)
		for g := range groups {
			t.tie(reads, in[g*cg:(g+1)*cg])
			t.tie(out[:m/groups], out[g*m/groups:(g+1)*m/groups])
		}
	}
	t.bias(n.In(2), out)
	if n.In(3) != "" {
		t.tie(out, t.along(n.In(3), place(yLast)))
	}
	t.give(n, 0, place(yLast), out)
	return true
}

// elementwise is an operator whose operands are broadcast to each other. An operand of one element along the channels has no part in them.
func elementwise(t *tracer, n *model.Node) bool {
	rank := t.rank(n.Outputs[0])
	if rank < 0 {
		return false
	}
	at := -1 // the axis, counted from the end
	for _, in := range n.Inputs {
		if f := t.values[in]; f.units != nil {
			if at >= 0 && at != t.rank(in)-f.axis {
				return false
			}
			at = t.rank(in) - f.axis
		}
	}
	if at < 0 {
		return true
	}
	out := t.dims(n.Outputs[0])
	if out == nil || out[rank-at] < 0 {
		return false
	}
	size := out[rank-at]
	all := t.fresh(size)
	for _, in := range n.Inputs {
		r := t.rank(in)
		if r < at {
			continue
		}
		axis := r - at
		if w := t.g.Init[in]; w != nil {
			if w.Shape[axis] == size && size > 1 {
				t.tie(all, t.axis(in, axis, size))
			}
			continue
		}
		if d := t.dims(in); d == nil || d[axis] != size {
			if d != nil && d[axis] == 1 {
				continue
			}
			return false
		}
		t.tie(all, t.along(in, axis))
	}
	t.give(n, 0, rank-at, all)
	return true
}

// concat puts values after each other along an axis, which may be that of the channels.
func concat(t *tracer, n *model.Node) bool {
	rank := t.rank(n.Outputs[0])
	if rank < 1 {
		return false
	}
	axis := int(n.Int("axis", 0))
	if axis < 0 {
		axis += rank
	}
	at := -1
	for _, in := range n.Inputs {
		if f := t.values[in]; f.units != nil {
			if at >= 0 && at != f.axis {
				return false
			}
			at = f.axis
		}
	}
	if at < 0 {
		return true
	}
	var all []int32
	for i, in := range n.Inputs {
		units := t.along(in, at)
		switch {
		case units == nil || t.g.Init[in] != nil:
			return false
		case at == axis:
			all = append(all, units...)
		case i == 0:
			all = units
		default:
			t.tie(all, units)
		}
	}
	t.give(n, 0, at, all)
	return true
}

// split is the reverse; the sizes of the parts follow what is left of them.
func split(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	axis := int(n.Int("axis", 0))
	if axis < 0 {
		axis += rank
	}
	if axis != f.axis {
		for i := range n.Outputs {
			t.give(n, i, f.axis, f.units)
		}
		return true
	}
	var parts [][]int32
	rest := f.units
	for _, out := range n.Outputs {
		d := t.dims(out)
		if d == nil || d[axis] < 0 || d[axis] > len(rest) {
			return false
		}
		parts, rest = append(parts, rest[:d[axis]]), rest[d[axis]:]
	}
	if len(rest) > 0 {
		return false
	}
	for i, units := range parts {
		t.give(n, i, axis, units)
	}
	t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) {
		var sizes []int64
		for _, units := range parts {
			sizes = append(sizes, int64(c.kept(units)))
		}
		delete(n.Attrs, "num_outputs")
		n.Inputs = []string{n.Inputs[0], c.constant(n, "split", sizes)}
	}})
	return true
}

// pad adds channels of a constant, which may be left out with what they are added to.
func pad(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	pads, ok := t.ints(n.In(1))
	if !ok || n.In(3) != "" || len(pads) != 2*rank || n.Str("mode", "constant") != "constant" {
		return false
	}
	before, after := pads[f.axis], pads[rank+f.axis]
	if before == 0 && after == 0 {
		t.give(n, 0, f.axis, f.units)
		return true
	}
	if before < 0 || after < 0 || before+after > 1<<20 {
		return false
	}
	front, back := t.fresh(int(before)), t.fresh(int(after))
	t.give(n, 0, f.axis, slices.Concat(front, f.units, back))
	t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) {
		pads := slices.Clone(pads)
		pads[f.axis], pads[rank+f.axis] = int64(c.kept(front)), int64(c.kept(back))
		n.Inputs[1] = c.constant(n, "pads", pads)
	}})
	return true
}

// slice takes parts of axes other than that of the channels.
func slice(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	axes, ok := t.ints(n.In(3))
	if !ok {
		return false
	}
	for _, a := range axes {
		if int(a) == f.axis || int(a)+rank == f.axis {
			return false
		}
	}
	t.give(n, 0, f.axis, f.units)
	return true
}

// norm is RMSNormalization or LayerNormalization of the last axis.
func norm(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	axis := int(n.Int("axis", -1))
	if rank < 1 || axis != -1 && axis != rank-1 || len(n.Outputs) > 1 && n.Outputs[1] != "" {
		return false
	}
	if f.units == nil {
		return true
	}
	if f.axis == rank-1 {
		t.bias(n.In(1), f.units)
		t.bias(n.In(2), f.units)
	}
	t.give(n, 0, f.axis, f.units)
	return true
}

// batchNorm scales channels.
func batchNorm(t *tracer, n *model.Node) bool {
	f := t.values[n.In(0)]
	if f.units == nil {
		return true
	}
	if f.axis != 1 {
		return false
	}
	for i := 1; i < 5; i++ {
		t.bias(n.In(i), f.units)
	}
	t.give(n, 0, 1, f.units)
	return true
}

// softmax must see all of its axis.
func softmax(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	axis := int(n.Int("axis", -1))
	if axis < 0 {
		axis += rank
	}
	if f.units != nil && f.axis == axis {
		return false
	}
	t.give(n, 0, f.axis, f.units)
	return true
}

// resize leaves the channels as they are if there are as many after as before.
func resize(t *tracer, n *model.Node) bool {
	f := t.values[n.In(0)]
	if f.units == nil {
		return true
	}
	t.give(n, 0, f.axis, f.units)
	scales := t.g.Init[n.In(2)]
	if n.In(3) == "" && scales != nil {
		return true
	}
	// The constant sizes name the number of channels.
	sizes, ok := t.ints(n.In(3))
	if !ok || n.Has("axes") || f.axis >= len(sizes) {
		return false
	}
	t.fixes = append(t.fixes, fix{n, func(c *cutter, n *model.Node) {
		now := slices.Clone(sizes)
		now[f.axis] = int64(c.kept(f.units))
		n.Inputs[3] = c.constant(n, "sizes", now)
	}})
	return true
}

// reduce takes other axes together.
func reduce(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	axes, ok := t.ints(n.In(1))
	if !ok {
		return false
	}
	gone := 0
	for _, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		if int(a) == f.axis {
			return false
		}
		if int(a) < f.axis && n.Int("keepdims", 1) == 0 {
			gone++
		}
	}
	t.give(n, 0, f.axis-gone, f.units)
	return true
}

// shapeOf must not tell how many channels there are.
func shapeOf(t *tracer, n *model.Node) bool {
	f, rank := t.values[n.In(0)], t.rank(n.In(0))
	if f.units == nil {
		return true
	}
	lo, hi := int(n.Int("start", 0)), int(n.Int("end", int64(rank)))
	if lo < 0 {
		lo += rank
	}
	if hi < 0 {
		hi += rank
	}
	return rank >= 0 && (f.axis < lo || f.axis >= hi)
}
