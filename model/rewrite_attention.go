package model

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

// attentionChains replaces softmax(Q K^T s + mask) V on [batch, heads, seq, size] by Attention.
func (r *rewriter) attentionChains() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Is("", "MatMul") && r.attentionChain(n) {
			count++
		}
		return nil
	})
	return count, err
}

// scaleOf strips multiplications by constants of one element that have no other user: value = scale * rest.
func (m *match) scaleOf(name string) (rest string, scale float64) {
	scale = 1
	for {
		keep := len(m.gone)
		if mul := m.take(name, "Mul", 1); mul != nil {
			if other, v, ok := m.r.scalarOperand(mul); ok && v > 0 && len(m.r.typeOf(other).Shape) == 4 {
				name, scale = other, scale*v
				continue
			}
		} else if div := m.take(name, "Div", 1); div != nil {
			if v, ok := m.r.scalarConst(div.In(1)); ok && v > 0 && len(m.r.typeOf(div.In(0)).Shape) == 4 {
				name, scale = div.In(0), scale/v
				continue
			}
		}
		m.gone = m.gone[:keep]
		return name, scale
	}
}

func (r *rewriter) attentionChain(n *Node) bool {
	m := &match{r: r}
	soft := m.take(n.In(0), "Softmax", 1)
	if soft == nil {
		return false
	}
	scoreType := r.typeOf(soft.In(0))
	if axis := soft.Int("axis", -1); len(scoreType.Shape) != 4 || axis != -1 && axis != 3 || scoreType.DType != tensor.F32 {
		return false
	}
	scores, mask := soft.In(0), ""
	if add := m.take(scores, "Add", 1); add != nil {
		found := false
		for i := range 2 {
			if r.leadsToMatMul(add.In(i)) && r.fitsMask(add.In(1-i), scoreType) {
				scores, mask, found = add.In(i), add.In(1-i), true
				break
			}
		}
		if !found {
			return false
		}
	}
	prod, scale := m.scaleOf(scores)
	qk := m.take(prod, "MatMul", 1)
	if qk == nil {
		return false
	}
	// The scores themselves must have the shape that the mask was checked against.
	q, s1 := m.scaleOf(qk.In(0))
	kt, s2 := m.scaleOf(qk.In(1))
	t := r.maker[kt]
	if t == nil || !t.Is("", "Transpose") || r.kept[kt] {
		return false
	}
	perm := t.Ints("perm")
	var with []*Node
	k := t.In(0)
	switch {
	case permIs(perm, 0, 1, 3, 2):
	case permIs(perm, 0, 2, 3, 1):
		// K^T straight from [batch, seq, heads, size]: K itself is another transpose of that.
		name := r.unique(kt + ".k")
		kn := &Node{Op: "Transpose", Name: t.Name, Inputs: []string{k}, Outputs: []string{name},
			Attrs: Attrs{"perm": IntsAttr(0, 2, 1, 3)}}
		src := r.typeOf(k)
		if len(src.Shape) != 4 {
			return false
		}
		r.g.Types[name] = Type{src.DType, []Dim{src.Shape[0], src.Shape[2], src.Shape[1], src.Shape[3]}}
		with = append(with, kn)
		k = name
	default:
		return false
	}
	if len(r.users[kt]) == 1 {
		m.gone = append(m.gone, t)
	}
	v := n.In(1)
	if !r.attentionFits(q, k, v) {
		if with != nil {
			delete(r.g.Types, k)
		}
		return false
	}
	in := []string{q, k, v}
	if mask != "" {
		in = append(in, mask)
	}
	// sqrt of the factors on Q and K appear where exporters split the scale.
	total := float64(float64(scale*s1) * s2)
	with = append(with, &Node{Op: "Attention", Name: n.Name, Inputs: in, Outputs: n.Outputs,
		Attrs: Attrs{"scale": FloatAttr(float32(total))}})
	if math.IsInf(total, 0) {
		return false
	}
	r.replace(append([]*Node{n}, m.gone...), with...)
	return true
}

func permIs(perm []int64, want ...int64) bool {
	if len(perm) != len(want) {
		return false
	}
	for i := range want {
		if perm[i] != want[i] {
			return false
		}
	}
	return true
}

// leadsToMatMul reports whether a value is a product, maybe scaled.
func (r *rewriter) leadsToMatMul(name string) bool {
	m := &match{r: r}
	rest, _ := m.scaleOf(name)
	n := r.maker[rest]
	return n != nil && n.Is("", "MatMul") && len(r.typeOf(rest).Shape) == 4
}

// fitsMask reports whether a value can be attn_mask for scores: it broadcasts to them without
// making them larger, and its last axis is theirs, since Attention takes a shorter one as padding.
func (r *rewriter) fitsMask(name string, scores Type) bool {
	t := r.typeOf(name)
	if t.DType != tensor.F32 || len(t.Shape) < 2 || len(t.Shape) > 4 {
		return false
	}
	off := 4 - len(t.Shape)
	for i, d := range t.Shape {
		s := scores.Shape[off+i]
		last := i == len(t.Shape)-1
		switch {
		case d == s && (d.IsKnown() || d.Sym != ""):
		case !last && d.IsKnown() && d.N == 1:
		default:
			return false
		}
	}
	return true
}

// attentionFits reports whether the operands have the shapes that Attention wants: rank 4, known
// and equal numbers of heads and head sizes, no broadcasting between batches.
func (r *rewriter) attentionFits(q, k, v string) bool {
	a, b, c := r.typeOf(q).Shape, r.typeOf(k).Shape, r.typeOf(v).Shape
	if len(a) != 4 || len(b) != 4 || len(c) != 4 {
		return false
	}
	same := func(x, y Dim) bool { return x == y && (x.IsKnown() || x.Sym != "") }
	batch := func(x, y Dim) bool { return same(x, y) || !x.IsKnown() && !y.IsKnown() }
	return a[1].IsKnown() && a[1] == b[1] && b[1] == c[1] && same(a[3], b[3]) && c[3].IsKnown() &&
		batch(a[0], b[0]) && batch(b[0], c[0])
}
