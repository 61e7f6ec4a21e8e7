package model

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// identities removes nodes that hand on their first input, and joins pairs of Reshape and of
// Transpose.
func (r *rewriter) identities() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		switch {
		case r.handsOn(n):
			if r.bypass(n) {
				count++
			}
		case n.Is("", "Reshape"):
			if r.joinReshape(n) {
				count++
			}
		case n.Is("", "Transpose"):
			if r.joinTranspose(n) {
				count++
			}
		}
		return nil
	})
	return count, err
}

// handsOn reports whether a node's first output always equals its first input, bit for bit, and
// its other outputs are unused.
func (r *rewriter) handsOn(n *Node) bool {
	if n.Domain != "" || n.In(0) == "" {
		return false
	}
	for i, out := range n.Outputs {
		if i > 0 && out != "" && (r.kept[out] || len(r.users[out]) > 0) {
			return false
		}
	}
	in, out := r.typeOf(n.In(0)), r.typeOf(n.Outputs[0])
	switch n.Op {
	case "Identity":
		return true
	case "Relu":
		m := r.maker[n.In(0)]
		return m != nil && (m.Is("", "Relu") || (m.Is(DomainDsk, "Conv") || m.Is(DomainDsk, "Linear")) && m.Str("activation", "") == ActRelu)
	case "Dropout":
		t := n.In(2)
		c := r.constant(t)
		return t == "" || c != nil && c.DType == tensor.BOOL && c.Load() == nil && c.Data[0] == 0
	case "Cast", "CastLike":
		return in.DType == out.DType && in.DType != tensor.Invalid
	case "Concat", "Sum", "Min", "Max", "Mean":
		return len(n.Inputs) == 1
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile":
		return sameShape(in, out)
	case "Transpose":
		perm := n.Ints("perm")
		for i, p := range perm {
			if int(p) != i {
				return false
			}
		}
		return perm != nil || in.Shape != nil && len(in.Shape) < 2
	case "Pad":
		pads, ok := r.intsConst(n.In(1))
		return ok && !slices.ContainsFunc(pads, func(p int64) bool { return p != 0 })
	case "Slice":
		// Equal shapes do not do: a step of -1 keeps the shape.
		return sameShape(in, out) && r.forwardSlice(n)
	case "Mul", "Div":
		v, ok := r.scalarConst(n.In(1))
		return ok && v == 1 && sameShape(in, out)
	case "Sub":
		v, ok := r.scalarConst(n.In(1))
		return ok && v == 0 && sameShape(in, out)
	}
	return false
}

func (r *rewriter) forwardSlice(n *Node) bool {
	if n.In(4) == "" {
		return true
	}
	steps, ok := r.intsConst(n.In(4))
	return ok && !slices.ContainsFunc(steps, func(s int64) bool { return s != 1 })
}

// sameShape reports whether two types have shapes that are certainly equal.
func sameShape(a, b Type) bool {
	if a.Shape == nil || b.Shape == nil || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i, d := range a.Shape {
		if d != b.Shape[i] || !d.IsKnown() && d.Sym == "" {
			return false
		}
	}
	return true
}

// bypass removes a node that hands on its first input. An output of the graph keeps its name.
func (r *rewriter) bypass(n *Node) bool {
	in, out := n.In(0), n.Outputs[0]
	if !r.kept[out] {
		r.replace([]*Node{n})
		r.renameUses(out, in)
		return true
	}
	// The maker of the input must write the output's name instead.
	m := r.maker[in]
	if m == nil || r.kept[in] || slices.Contains(m.Outputs, out) {
		return false
	}
	r.replace([]*Node{n})
	r.edit(m, func() { m.Outputs[slices.Index(m.Outputs, in)] = out })
	r.renameUses(in, out)
	return true
}

// joinReshape makes a Reshape of something reshaped read that one's input.
func (r *rewriter) joinReshape(n *Node) bool {
	inner := r.maker[n.In(0)]
	if inner == nil || inner.Domain != "" {
		return false
	}
	switch inner.Op {
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
	default:
		return false
	}
	if r.kept[n.In(0)] || len(r.users[n.In(0)]) != 1 {
		return false
	}
	target, ok := r.intsConst(n.In(1))
	if !ok {
		return false
	}
	// A 0 copies a dimension of the input, which becomes another one.
	if n.Int("allowzero", 0) == 0 && slices.Contains(target, 0) {
		out, ok := r.typeOf(n.Outputs[0]).Static()
		if !ok || slices.Contains(out, 0) {
			return false
		}
		fixed := make([]int64, len(out))
		for i, d := range out {
			fixed[i] = int64(d)
		}
		name, _ := r.addInit(n.Outputs[0]+".shape", "", func() (*tensor.Tensor, error) {
			return tensor.FromSlice(fixed, len(fixed)), nil
		})
		r.edit(n, func() { n.Inputs[1] = name })
	}
	r.edit(n, func() { n.Inputs[0] = inner.In(0) })
	return true
}

// joinTranspose makes a Transpose of something transposed read that one's input.
func (r *rewriter) joinTranspose(n *Node) bool {
	inner := r.maker[n.In(0)]
	if inner == nil || !inner.Is("", "Transpose") || r.kept[n.In(0)] || len(r.users[n.In(0)]) != 1 {
		return false
	}
	a, b := inner.Ints("perm"), n.Ints("perm")
	if a == nil || b == nil || len(a) != len(b) {
		return false
	}
	perm := make([]int64, len(a))
	for i, p := range b {
		perm[i] = a[p]
	}
	r.edit(n, func() {
		n.Inputs[0] = inner.In(0)
		n.Attrs = Attrs{"perm": IntsAttr(perm...)}
	})
	return true
}
