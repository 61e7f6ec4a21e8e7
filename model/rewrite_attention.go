package model

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// attentionChains replaces softmax(Q K^T s + mask) V on [batch, heads, seq, size] by Attention. Three
// axes, [batch*heads, seq, size], count as one batch.
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

// scaleOf strips multiplications by constants of one element that have no other user and do not
// add axes: value = scale * rest.
func (m *match) scaleOf(name string) (rest string, scale float64) {
	scale = 1
	rank := len(m.r.typeOf(name).Shape)
	for {
		keep := len(m.gone)
		if mul := m.take(name, "Mul", 1); mul != nil {
			if other, v, ok := m.r.scalarOperand(mul); ok && v > 0 && len(m.r.typeOf(other).Shape) == rank {
				name, scale = other, float64(scale*v)
				continue
			}
		} else if div := m.take(name, "Div", 1); div != nil {
			if v, ok := m.r.scalarConst(div.In(1)); ok && v > 0 && len(m.r.typeOf(div.In(0)).Shape) == rank {
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
	rank := len(r.typeOf(soft.In(0)).Shape)
	if axis := soft.Int("axis", -1); rank != 3 && rank != 4 || axis != -1 && int(axis) != rank-1 {
		return false
	}
	scores, mask := soft.In(0), ""
	if add := m.take(scores, "Add", 1); add != nil {
		for i := range 2 {
			if r.leadsToMatMul(add.In(i)) && r.fitsMask(add.In(1-i), r.typeOf(add.In(i))) {
				scores, mask = add.In(i), add.In(1-i)
				break
			}
		}
		if mask == "" {
			return false
		}
	}
	prod, scale := m.scaleOf(scores)
	qk := m.take(prod, "MatMul", 1)
	if qk == nil || !real(r.typeOf(prod).DType) || len(r.typeOf(prod).Shape) != rank {
		return false
	}
	// Exporters may split the scale into factors of Q and K.
	q, scaleQ := m.scaleOf(qk.In(0))
	kt, scaleK := m.scaleOf(qk.In(1))
	turn := r.maker[kt]
	if turn == nil || !turn.Is("", "Transpose") || len(turn.Ints("perm")) != rank {
		return false
	}
	perm := append([]int64{}, turn.Ints("perm")...)
	perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	v := n.In(1)
	if !r.attentionFits(q, kt, v) {
		return false
	}
	if !r.kept[kt] && len(r.users[kt]) == 1 {
		m.gone = append(m.gone, turn)
	}
	total := float64(float64(scale*scaleQ) * scaleK)
	r.replace(append([]*Node{n}, m.gone...), r.attention(n, q, turn, perm, v, mask, total)...)
	return true
}

// attention builds the nodes that take the place of n: Attention, and what brings its operands into
// form. K is the input of turn, transposed by perm.
func (r *rewriter) attention(n *Node, q string, turn *Node, perm []int64, v, mask string, scale float64) []*Node {
	var nodes []*Node
	add := func(base, op string, t Type, attrs Attrs, in ...string) string {
		name := r.unique(base)
		r.g.Types[name] = t
		nodes = append(nodes, &Node{Op: op, Name: n.Name, Inputs: in, Outputs: []string{name}, Attrs: attrs})
		return name
	}
	k := turn.In(0)
	for i, p := range perm {
		if int(p) == i {
			continue
		}
		src := r.typeOf(k)
		t := Type{src.DType, make([]Dim, len(perm))}
		for j, p := range perm {
			t.Shape[j] = src.Shape[p]
		}
		k = add(turn.Outputs[0]+".k", "Transpose", t, Attrs{"perm": IntsAttr(perm...)}, k)
		break
	}
	rank := len(perm)
	keys := r.typeOf(k).Shape[rank-2]
	if mask != "" && !sameShape(Type{Shape: []Dim{keys}}, Type{Shape: lastDim(r.typeOf(mask).Shape)}) {
		// Attention takes a mask with a shorter last axis as one for the first keys only: what may be
		// broadcast is made as long as the keys.
		length := add(mask+".keys", "Shape", Type{tensor.I64, Dims(1)},
			Attrs{"start": IntAttr(perm[rank-2]), "end": IntAttr(perm[rank-2] + 1)}, turn.In(0))
		t := r.typeOf(mask)
		t.Shape = cloneDims(t.Shape)
		t.Shape[len(t.Shape)-1] = keys
		mask = add(mask+".full", "Expand", t, Attrs{}, mask, length)
	}
	out := n.Outputs
	outType := r.typeOf(out[0])
	if rank == 3 {
		axis, _ := r.addInit("axis0", "axis0", func() (*tensor.Tensor, error) { return tensor.FromSlice([]int64{0}, 1), nil })
		lift := func(x string) string {
			t := r.typeOf(x)
			return add(x+".batch", "Unsqueeze", Type{t.DType, append([]Dim{Known(1)}, t.Shape...)}, Attrs{}, x, axis)
		}
		q, k, v = lift(q), lift(k), lift(v)
		outType.Shape = append([]Dim{Known(1)}, outType.Shape...)
	}
	in := []string{q, k, v}
	if mask != "" {
		in = append(in, mask)
	}
	attn := &Node{Op: "Attention", Name: n.Name, Inputs: in, Outputs: out, Attrs: Attrs{"scale": FloatAttr(float32(scale))}}
	nodes = append(nodes, attn)
	if rank == 3 {
		name := r.unique(out[0] + ".batch")
		r.g.Types[name] = outType
		attn.Outputs = []string{name}
		nodes = append(nodes, &Node{Op: "Squeeze", Name: n.Name, Inputs: []string{name, r.derived["axis0"]}, Outputs: out, Attrs: Attrs{}})
	}
	return nodes
}

func lastDim(s []Dim) []Dim { return s[len(s)-1:] }

// leadsToMatMul reports whether a value is a product, maybe scaled.
func (r *rewriter) leadsToMatMul(name string) bool {
	m := &match{r: r}
	rest, _ := m.scaleOf(name)
	n := r.maker[rest]
	return n != nil && n.Is("", "MatMul")
}

// clash reports whether two dimensions certainly differ, or one is 1 and might be broadcast.
func clash(a, b Dim) bool {
	if a.IsKnown() && b.IsKnown() {
		return a.N != b.N
	}
	return a.N == 1 || b.N == 1
}

// fitsMask reports whether a value can be attn_mask for scores: it broadcasts to them without making
// them larger. Where a dimension has no number that is taken on trust: Attention reports an
// error for a mask that does not fit.
func (r *rewriter) fitsMask(name string, scores Type) bool {
	t := r.typeOf(name)
	off := len(scores.Shape) - len(t.Shape)
	if t.DType != scores.DType || len(t.Shape) < 2 || off < 0 {
		return false
	}
	for i, d := range t.Shape {
		if d.N != 1 && clash(d, scores.Shape[off+i]) {
			return false
		}
	}
	return true
}

// attentionFits reports whether the operands Q, K^T and V have the shapes that Attention wants: as
// many heads, equal sizes, no broadcasting between batches.
func (r *rewriter) attentionFits(q, kt, v string) bool {
	a, b, c := r.typeOf(q).Shape, r.typeOf(kt).Shape, r.typeOf(v).Shape
	if len(a) != len(b) || len(b) != len(c) {
		return false
	}
	last := len(a) - 1
	for i := range last - 1 {
		if a[i] != b[i] && clash(a[i], b[i]) || b[i] != c[i] && clash(b[i], c[i]) {
			return false
		}
	}
	// Of four axes the second holds the heads, which Attention must know.
	return last == 2 || a[1].IsKnown() && b[1].IsKnown() && c[1].IsKnown()
}
