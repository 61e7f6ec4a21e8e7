package model

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// reshape carries a Reshape over to a held value where it parts one axis, or joins axes that lie side by side: the heads
// of detectors and the channel shuffle (Zhang et al. 2018) are made of these and of Transpose.
func (l *layouts) reshape(n *Node, h held) (bool, error) {
	in, out := l.typeOf(n.In(0)).Shape, l.typeOf(n.Outputs[0]).Shape
	if out == nil || len(n.Outputs) != 1 {
		return false, nil
	}
	before := 0
	for before < min(len(in), len(out)) && sameDim(in[before], out[before]) {
		before++
	}
	after := 0
	for after < min(len(in), len(out))-before && sameDim(in[len(in)-1-after], out[len(out)-1-after]) {
		after++
	}
	from, to := in[before:len(in)-after], out[before:len(out)-after]
	switch {
	case len(from) == 1 && len(to) > 1:
		return l.part(n, h, before, len(to), in, out)
	case len(from) > 1 && len(to) == 1:
		return l.join(n, h, before, len(from), in, out)
	}
	return false, nil
}

func sameDim(a, b Dim) bool { return a == b && (a.IsKnown() || a.Sym != "") }

// part makes count axes of the logical axis a.
func (l *layouts) part(n *Node, h held, a, count int, in, out []Dim) (bool, error) {
	var perm []int
	var old []Dim
	for _, p := range h.perm {
		old = append(old, in[p])
		switch {
		case p == a:
			for i := range count {
				perm = append(perm, a+i)
			}
		case p > a:
			perm = append(perm, p+count-1)
		default:
			perm = append(perm, p)
		}
	}
	return l.reshaped(n, h.name, old, perm, out)
}

// join makes one of count logical axes from a on. Axes that lie side by side in another order are turned first.
func (l *layouts) join(n *Node, h held, a, count int, in, out []Dim) (bool, error) {
	isOne := func(p int) bool { return p >= a && p < a+count }
	first := slices.IndexFunc(h.perm, isOne)
	sorted := slices.Clone(h.perm)
	for i := range count {
		if !isOne(sorted[first+i]) {
			return false, nil
		}
		sorted[first+i] = a + i
	}
	name := h.name
	if !slices.Equal(sorted, h.perm) {
		turn := make([]int, len(sorted))
		for i, p := range sorted {
			turn[i] = slices.Index(h.perm, p)
		}
		name = l.name(n.In(0) + ".joined")
		l.out = append(l.out, transposeNode(h.name, name, turn))
	}
	var perm []int
	var old []Dim
	for _, p := range sorted {
		old = append(old, in[p])
		switch {
		case isOne(p) && p != a:
		case p > a:
			perm = append(perm, p-count+1)
		default:
			perm = append(perm, p)
		}
	}
	return l.reshaped(n, name, old, perm, out)
}

// reshaped appends the Reshape of a tensor of dimensions old, whose result has those of out in the order perm.
func (l *layouts) reshaped(n *Node, name string, old []Dim, perm []int, out []Dim) (bool, error) {
	target := make([]int64, len(perm))
	free := true
	for i, p := range perm {
		switch d := out[p]; {
		case d.IsKnown() && d.N > 0:
			target[i] = int64(d.N)
		case i < len(old) && sameDim(d, old[i]):
			target[i] = 0
		case free && !slices.ContainsFunc(out, func(d Dim) bool { return d.N == 0 }):
			target[i], free = -1, false
		default:
			return false, nil
		}
	}
	shape, err := l.addInit(n.Outputs[0]+".shape", "", func() (*tensor.Tensor, error) { return tensor.FromSlice(target, len(target)), nil })
	if err != nil {
		return false, err
	}
	f := &Node{Op: "Reshape", Name: n.Name, Inputs: []string{name, shape}, Outputs: slices.Clone(n.Outputs), Attrs: Attrs{}}
	l.emit(f, perm)
	return true, nil
}
