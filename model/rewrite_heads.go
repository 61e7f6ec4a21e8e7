package model

import "slices"

// attentionHeads gives Attention its three-axis form [batch, seq, heads*size], where its operands
// are only split and transposed into heads, and its result only merged again: the kernels
// read heads where they lie, so that nothing needs to be moved.
func (r *rewriter) attentionHeads() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Is("", "Attention") && r.joinHeads(n) {
			count++
		}
		return nil
	})
	return count, err
}

func (r *rewriter) joinHeads(n *Node) bool {
	if len(n.Outputs) != 1 || n.In(4) != "" || n.In(5) != "" {
		return false
	}
	var flat [3]string
	var heads [3]int
	for i := range flat {
		var ok bool
		if flat[i], heads[i], ok = r.splitHeads(n.In(i)); !ok {
			return false
		}
	}
	if heads[1] != heads[2] {
		return false
	}
	turn := r.soleUser(n.Outputs[0])
	if turn == nil || !turn.Is("", "Transpose") || !permIs(turn.Ints("perm"), 0, 2, 1, 3) {
		return false
	}
	merge := r.soleUser(turn.Outputs[0])
	if merge == nil || !merge.Is("", "Reshape") || merge.In(0) != turn.Outputs[0] || !r.regroups(merge, r.typeOf(merge.Outputs[0]), r.typeOf(merge.In(0))) {
		return false
	}
	f := n.Clone()
	copy(f.Inputs, flat[:])
	f.Outputs = merge.Outputs
	f.Attrs["q_num_heads"], f.Attrs["kv_num_heads"] = IntAttr(int64(heads[0])), IntAttr(int64(heads[1]))
	r.replace([]*Node{merge, turn, n}, f)
	return true
}

// splitHeads returns x [batch, seq, heads*size] and the number of heads if a value is
// Transpose(Reshape(x to [batch, seq, heads, size])) to [batch, heads, seq, size].
func (r *rewriter) splitHeads(name string) (x string, heads int, ok bool) {
	turn := r.maker[name]
	if turn == nil || !turn.Is("", "Transpose") || !permIs(turn.Ints("perm"), 0, 2, 1, 3) {
		return "", 0, false
	}
	split := r.maker[turn.In(0)]
	if split == nil || !split.Is("", "Reshape") {
		return "", 0, false
	}
	four := r.typeOf(turn.In(0))
	if !r.regroups(split, r.typeOf(split.In(0)), four) {
		return "", 0, false
	}
	return split.In(0), four.Shape[2].N, true
}

// regroups reports whether a Reshape only joins or parts the last axes of three and four: [b, s, h*d] and
// [b, s, h, d] with the same b and s.
func (r *rewriter) regroups(n *Node, three, four Type) bool {
	a, b := three.Shape, four.Shape
	if len(a) != 3 || len(b) != 4 || !a[2].IsKnown() || !b[2].IsKnown() || !b[3].IsKnown() || a[2].N != b[2].N*b[3].N || a[2].N == 0 {
		return false
	}
	if sameShape(Type{Shape: a[:2]}, Type{Shape: b[:2]}) {
		return true
	}
	// Where types do not tell, the target may: 0 copies a dimension, and -1 is then the other one.
	t, ok := r.intsConst(n.In(1))
	if !ok || n.Int("allowzero", 0) != 0 || len(t) < 3 {
		return false
	}
	return t[0] == 0 && (t[1] == 0 || t[1] == -1) || t[0] == -1 && t[1] == 0
}

func permIs(perm []int64, want ...int64) bool { return slices.Equal(perm, want) }
