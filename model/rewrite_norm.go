package model

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// match collects the nodes of a chain; every value between them must have no other user.
type match struct {
	r    *rewriter
	gone []*Node
}

// take returns the maker of a value if it applies op, has n inputs, and all uses of the value are
// as many as stated; it is noted as part of the chain.
func (m *match) take(name, op string, usesOf int) *Node {
	n := m.r.maker[name]
	if n == nil || !n.Is("", op) || m.r.kept[name] || len(m.r.users[name]) != usesOf {
		return nil
	}
	m.gone = append(m.gone, n)
	return n
}

// scalarOperand returns the other operand of a commutative node with a constant of one element.
func (r *rewriter) scalarOperand(n *Node) (other string, v float64, ok bool) {
	if n == nil || len(n.Inputs) != 2 {
		return "", 0, false
	}
	for i := range 2 {
		if v, ok := r.scalarConst(n.In(i)); ok {
			return n.In(1 - i), v, true
		}
	}
	return "", 0, false
}

// meanAxes returns the first axis of a ReduceMean over the last axes of x that keeps them.
func (r *rewriter) meanAxis(n *Node) (int, bool) {
	rank := len(r.typeOf(n.In(0)).Shape)
	if n.Int("keepdims", 1) == 0 || rank == 0 {
		return 0, false
	}
	axes, ok := r.intsConst(n.In(1))
	if !ok || len(axes) == 0 {
		return 0, false
	}
	on, err := axesOf(axes, rank)
	if err != nil {
		return 0, false
	}
	first := rank - len(axes)
	for i := first; i < rank; i++ {
		if !on[i] {
			return 0, false
		}
	}
	return first, true
}

// square returns d if name is d*d or d^2, read usesOf times.
func (m *match) square(name string) (string, bool) {
	if p := m.take(name, "Pow", 1); p != nil {
		e, ok := m.r.scalarConst(p.In(1))
		return p.In(0), ok && e == 2
	}
	if p := m.take(name, "Mul", 1); p != nil && p.In(0) == p.In(1) {
		return p.In(0), true
	}
	return "", false
}

// deviation returns v, eps and the axis if name is sqrt(mean(v^2) + eps).
func (m *match) deviation(name string) (v string, eps float64, axis int, ok bool) {
	s := m.take(name, "Sqrt", 1)
	if s == nil {
		return "", 0, 0, false
	}
	sum := m.take(s.In(0), "Add", 1)
	mean, eps, ok := m.r.scalarOperand(sum)
	if !ok || eps < 0 || eps > 0.1 {
		return "", 0, 0, false
	}
	red := m.take(mean, "ReduceMean", 1)
	if red == nil {
		return "", 0, 0, false
	}
	if axis, ok = m.r.meanAxis(red); !ok {
		return "", 0, 0, false
	}
	v, ok = m.square(red.In(0))
	return v, eps, axis, ok
}

// normalized returns v, eps and axis if the value that n makes is v / sqrt(mean(v^2) + eps).
func (m *match) normalized(n *Node) (v string, eps float64, axis int, ok bool) {
	switch n.Op {
	case "Div":
		if v, eps, axis, ok = m.deviation(n.In(1)); ok && v == n.In(0) {
			return v, eps, axis, true
		}
	case "Mul":
		for i := range 2 {
			keep := len(m.gone)
			inv := n.In(i)
			var root string
			if rec := m.take(inv, "Reciprocal", 1); rec != nil {
				root = rec.In(0)
			} else if div := m.take(inv, "Div", 1); div != nil {
				if one, ok := m.r.scalarConst(div.In(0)); ok && one == 1 {
					root = div.In(1)
				}
			}
			if v, eps, axis, ok = m.deviation(root); root != "" && ok && v == n.In(1-i) {
				return v, eps, axis, true
			}
			m.gone = m.gone[:keep]
		}
	}
	return "", 0, 0, false
}

// normChains replaces what exporters write for LayerNormalization and RMSNormalization:
//
//	d = x - mean(x);  y = d / sqrt(mean(d^2) + eps) * scale + bias
//	y = x / sqrt(mean(x^2) + eps) * scale
func (r *rewriter) normChains() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || n.Op != "Div" && n.Op != "Mul" || len(n.Inputs) != 2 || r.typeOf(n.Outputs[0]).DType != tensor.F32 {
			return nil
		}
		m := &match{r: r}
		v, eps, axis, ok := m.normalized(n)
		if ok && r.replaceNorm(n, m, v, eps, axis) {
			count++
		}
		return nil
	})
	return count, err
}

// replaceNorm replaces the chain that ends in n, and the scale and bias after it.
func (r *rewriter) replaceNorm(n *Node, m *match, v string, eps float64, axis int) bool {
	shape := r.typeOf(v).Shape
	if len(r.typeOf(n.Outputs[0]).Shape) != len(shape) {
		return false
	}
	x := v
	centred := false
	// A Sub of the mean makes it a LayerNormalization; d is read by the square (once or twice) and by n.
	if sub := r.maker[v]; sub != nil && sub.Is("", "Sub") && !r.kept[v] {
		uses := 0
		for _, u := range r.users[v] {
			for _, g := range append([]*Node{n}, m.gone...) {
				if u == g {
					uses++
				}
			}
		}
		mean := r.sole(sub.In(1))
		if mean != nil && mean.Is("", "ReduceMean") && mean.In(0) == sub.In(0) && uses == len(r.users[v]) {
			if a, ok := r.meanAxis(mean); ok && a == axis {
				centred, x = true, sub.In(0)
				m.gone = append(m.gone, sub, mean)
			}
		}
	}
	root := n
	scale, bias := "", ""
	// operand is the constant that the only user of root's output, an op, joins with it.
	operand := func(op string) (*Node, string) {
		u := r.soleUser(root.Outputs[0])
		if u == nil || !u.Is("", op) || len(u.Inputs) != 2 {
			return nil, ""
		}
		c := u.In(0)
		if c == root.Outputs[0] {
			c = u.In(1)
		}
		t := r.constant(c)
		if t == nil || t.DType != tensor.F32 || len(t.Shape) > len(shape)-axis || len(r.typeOf(u.Outputs[0]).Shape) != len(shape) {
			return nil, ""
		}
		// It must not make the value larger: every dimension is 1 or the value's.
		for i, d := range t.Shape {
			if w := shape[len(shape)-len(t.Shape)+i]; d != 1 && (!w.IsKnown() || w.N != d) {
				return nil, ""
			}
		}
		return u, c
	}
	gone := append([]*Node{}, m.gone...)
	if u, c := operand("Mul"); u != nil {
		gone = append(gone, root)
		root, scale = u, c
		if centred {
			if u, c := operand("Add"); u != nil {
				gone = append(gone, root)
				root, bias = u, c
			}
		}
	}
	size := shape[axis:]
	full, known := (Type{Shape: size}).Static()
	if !known {
		return false
	}
	// Scale and bias get the full normalized shape: kernels then need no broadcasting.
	var ok bool
	if scale, ok = r.fullConstant(scale, full, 1); !ok {
		return false
	}
	in := []string{x, scale}
	op := "RMSNormalization"
	if centred {
		op = "LayerNormalization"
		if bias != "" {
			if bias, ok = r.fullConstant(bias, full, 0); !ok {
				return false
			}
			in = append(in, bias)
		}
	}
	r.replace(append([]*Node{root}, gone...), &Node{Op: op, Name: root.Name, Inputs: in, Outputs: root.Outputs,
		Attrs: Attrs{"axis": IntAttr(int64(axis - len(shape))), "epsilon": FloatAttr(float32(eps))}})
	return true
}

// fullConstant returns a constant of exactly the given shape that c broadcasts to; an absent c
// stands for the value def.
func (r *rewriter) fullConstant(c string, shape []int, def float64) (string, bool) {
	base := "ones"
	v := []float64{def}
	var have []int
	if c != "" {
		t := r.constant(c)
		if tensor.SameShape(t.Shape, shape) {
			return c, true
		}
		var ok bool
		if v, ok = floatsOf(t); !ok {
			return "", false
		}
		base, have = c+".full", t.Shape
	}
	n, err := tensor.NumElements(shape)
	if err != nil {
		return "", false
	}
	out := make([]float64, n)
	for i := range out {
		// The index into c of element i: axes of length 1 stay at 0.
		rest, at, step := i, 0, 1
		for a := len(shape) - 1; a >= 0; a-- {
			pos := rest % shape[a]
			rest /= shape[a]
			if k := a - (len(shape) - len(have)); k >= 0 {
				if have[k] != 1 {
					at += pos * step
				}
				step *= have[k]
			}
		}
		out[i] = v[at]
	}
	return r.addFloats(base, tensor.F32, out, shape...), true
}
