package model

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// ChannelsFirst undoes what Rewrite does to the layout of images: afterwards dsk.Conv reads and yields channels before the spatial axes, as
// ONNX does, pools are ONNX's own, and what lies between them works on that order too. Transpositions stay where no order suits all.
// The graph must have types (Infer); it is changed in place, its inputs and outputs keep their names and shapes.
func ChannelsFirst(g *Graph) error {
	last := func(n *Node) bool {
		x, y, err := ChannelsLast(n)
		return n.Domain == DomainDsk && n.Op != "Linear" && (n.Op != "Conv" || err != nil || x || y)
	}
	if !slices.ContainsFunc(g.Nodes, last) {
		return nil
	}
	w := &rewrite{g: g, o: &RewriteOptions{}, derived: map[string]string{}}
	if _, err := w.run(pass{"channels-first", true, (*rewriter).channelsFirst}); err != nil {
		return err
	}
	dropUnusedInits(g)
	return g.Infer()
}

// dropUnusedInits removes the constants that nothing reads.
func dropUnusedInits(g *Graph) {
	used := map[string]bool{}
	for _, n := range g.Nodes {
		for _, in := range uses(n) {
			used[in] = true
		}
	}
	for _, v := range g.Outputs {
		used[v.Name] = true
	}
	for _, s := range g.States {
		used[s.Output] = true
	}
	for _, name := range sortedKeys(g.Init) {
		if !used[name] {
			delete(g.Init, name)
			delete(g.Types, name)
		}
	}
}

// channelsFirst is layout the other way round.
func (r *rewriter) channelsFirst() (int, error) {
	if r.parent != nil {
		return 0, nil
	}
	l := &layouts{rewriter: r, held: map[string]held{}, named: map[string]bool{}, forms: map[string]string{}, taken: map[string]bool{}, standard: true}
	for _, n := range r.g.Nodes {
		if err := l.node(n); err != nil {
			return 0, err
		}
	}
	for _, v := range r.g.Outputs {
		l.own(v.Name)
	}
	for _, s := range r.g.States {
		l.own(s.Output)
	}
	r.g.Nodes = l.out
	return 1, nil
}

// secondOf returns the order of axes that brings the last of rank axes to the second place.
func secondOf(rank int) []int {
	perm := []int{0, rank - 1}
	for a := 1; a < rank-1; a++ {
		perm = append(perm, a)
	}
	return perm
}

// toStandard makes a node of ours with channels last one of channels first; false if it has no such thing.
func (l *layouts) toStandard(n *Node) (bool, error) {
	var rank int
	xLast, yLast := true, true
	switch n.Op {
	case "Conv":
		var err error
		if xLast, yLast, err = ChannelsLast(n); err != nil {
			return false, err
		}
		rank = len(l.typeOf(n.In(1)).Shape)
	case "MaxPool", "AveragePool":
		rank = len(l.typeOf(n.In(0)).Shape)
	}
	if rank < 3 || !xLast && !yLast {
		return false, nil
	}
	f := n.Clone()
	delete(f.Attrs, "layout")
	delete(f.Attrs, "input_layout")
	if n.Op != "Conv" {
		f.Domain = ""
	}
	place := func(i int, last bool) (err error) {
		if !last {
			l.own(n.In(i))
			return nil
		}
		f.Inputs[i], err = l.form(n.In(i), secondOf(rank))
		return err
	}
	if err := place(0, xLast); err != nil {
		return false, err
	}
	if n.In(3) != "" {
		if err := place(3, yLast); err != nil {
			return false, err
		}
	}
	if yLast {
		l.emit(f, secondOf(rank))
	} else {
		l.keep(f)
	}
	return true, nil
}

// holdTransposed notes that a value is another with its channels last, where the graph turns an image.
func (l *layouts) holdTransposed(n *Node) bool {
	perm := n.Ints("perm")
	if dt := l.typeOf(n.In(0)).DType; len(perm) != len(channelsLast) || dt != tensor.F32 && dt != tensor.U8 {
		return false
	}
	for i, p := range perm {
		if int(p) != channelsLast[i] {
			return false
		}
	}
	l.held[n.Outputs[0]] = held{n.In(0), inverse(channelsLast)}
	return true
}
