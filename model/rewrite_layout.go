package model

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// channelsLast is the order of the axes in which images pass through convolutions: a pixel's channels side by side.
var channelsLast = []int{0, 2, 3, 1}

// layouts rewrites a graph so that images stay channels-last from convolution to convolution. A value whose axes lie
// in another order than the graph says is held: the tensor of another name is that value transposed. Operators
// that can work on any order of axes read and yield held values; a Transpose of the graph costs nothing then; before
// all others, and at the graph's outputs, the value is brought back under its own name.
type layouts struct {
	*rewriter
	out   []*Node
	held  map[string]held
	named map[string]bool   // values that some node in out yields under their own name
	forms map[string]string // further tensors, by value and order of axes
	taken map[string]bool
	// standard is set on the way back to channels first (rewrite_layout_first.go): then no node of ours is made.
	standard bool

	convs, moved int // convolutions; transpositions that the rewritten graph has in exchange
}

// held says where a value lies: Transpose(value, perm) is the tensor called name.
type held struct {
	name string
	perm []int
}

// layout runs the rewrite where it saves transpositions: a convolution that reads and yields channels first has
// to turn both.
func (r *rewriter) layout() (int, error) {
	if r.parent != nil {
		return 0, nil
	}
	l := &layouts{rewriter: r, held: map[string]held{}, named: map[string]bool{}, forms: map[string]string{}, taken: map[string]bool{}}
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
	if l.moved >= 2*l.convs {
		return 0, nil
	}
	r.g.Nodes = l.out
	return l.convs, nil
}

// node appends what takes the place of n.
func (l *layouts) node(n *Node) error {
	_, turned := l.held[n.In(0)]
	switch {
	case l.standard && n.Domain == DomainDsk:
		if done, err := l.toStandard(n); done || err != nil {
			return err
		}
	case l.standard && n.Is("", "Transpose") && !turned:
		if l.holdTransposed(n) {
			return nil
		}
	case n.Is(DomainDsk, "Conv"):
		if l.conv(n) {
			return nil
		}
	case n.Domain == "" && len(n.Inputs) > 0 && len(n.Subgraphs()) == 0:
		if h, ok := l.first(n); ok {
			done, err := l.through(n, h)
			if done || err != nil {
				return err
			}
		}
	}
	for _, in := range uses(n) {
		l.own(in)
	}
	l.keep(n)
	return nil
}

// first returns the form of the first input that is held.
func (l *layouts) first(n *Node) (held, bool) {
	for _, in := range n.Inputs {
		if h, ok := l.held[in]; ok {
			return h, true
		}
	}
	return held{}, false
}

// keep appends a node that yields values under their own names.
func (l *layouts) keep(n *Node) {
	l.out = append(l.out, n)
	for _, o := range n.Outputs {
		l.named[o] = true
	}
}

// name returns a new name like base.
func (l *layouts) name(base string) string {
	name := base
	for i := 1; l.taken[name] || l.g.defines(name) || l.top.Init[name] != nil; i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	l.taken[name] = true
	return name
}

// emit appends n, whose outputs are held in the order perm.
func (l *layouts) emit(n *Node, perm []int) {
	for i, o := range n.Outputs {
		if o != "" {
			n.Outputs[i] = l.name(o + ".last")
			l.held[o] = held{n.Outputs[i], perm}
		}
	}
	l.out = append(l.out, n)
}

func transposeNode(in, out string, perm []int) *Node {
	p := make([]int64, len(perm))
	for i, a := range perm {
		p[i] = int64(a)
	}
	return &Node{Op: "Transpose", Name: out, Inputs: []string{in}, Outputs: []string{out}, Attrs: Attrs{"perm": IntsAttr(p...)}}
}

func isIdentity(perm []int) bool {
	for i, p := range perm {
		if p != i {
			return false
		}
	}
	return true
}

func inverse(perm []int) []int {
	inv := make([]int, len(perm))
	for i, p := range perm {
		inv[p] = i
	}
	return inv
}

// own sees to it that a value exists under its own name.
func (l *layouts) own(name string) {
	h, ok := l.held[name]
	if !ok || l.named[name] {
		return
	}
	l.named[name] = true
	if isIdentity(h.perm) {
		l.out = append(l.out, &Node{Op: "Identity", Name: name, Inputs: []string{h.name}, Outputs: []string{name}, Attrs: Attrs{}})
		return
	}
	l.out = append(l.out, transposeNode(h.name, name, inverse(h.perm)))
	l.moved++
}

// form returns the tensor that is the value with its axes in the order perm.
func (l *layouts) form(name string, perm []int) (string, error) {
	h, ok := l.held[name]
	if ok && slices.Equal(h.perm, perm) {
		return h.name, nil
	}
	key := fmt.Sprint(name, perm)
	if f, ok := l.forms[key]; ok {
		return f, nil
	}
	if t := l.constant(name); t != nil {
		return l.addInit(name+".last", key, func() (*tensor.Tensor, error) { return tensor.Permuted(t, perm...) })
	}
	from := perm
	source := name
	if ok {
		inv := inverse(h.perm)
		from, source = make([]int, len(perm)), h.name
		for i, p := range perm {
			from[i] = inv[p]
		}
	}
	f := l.name(name + ".turned")
	l.out = append(l.out, transposeNode(source, f, from))
	l.moved++
	l.forms[key] = f
	return f, nil
}

// conv makes a convolution of images read and yield channels last.
func (l *layouts) conv(n *Node) bool {
	x, w := l.typeOf(n.In(0)).Shape, l.typeOf(n.In(1)).Shape
	if len(x) != 4 || len(w) != 4 || n.Has("layout") || len(n.Outputs) != 1 {
		return false
	}
	f := n.Clone()
	f.Attrs["layout"] = StringAttr(LayoutNHWC)
	_, turned := l.held[n.In(0)]
	if c := x[1]; !turned && c.IsKnown() && c.N <= planesAtOnce && n.Int("group", 1) == 1 {
		f.Attrs["input_layout"] = StringAttr(LayoutNCHW)
	} else {
		f.Inputs[0], _ = l.form(n.In(0), channelsLast)
	}
	if n.In(3) != "" {
		f.Inputs[3], _ = l.form(n.In(3), channelsLast)
	}
	l.emit(f, channelsLast)
	l.convs++
	return true
}

// planesAtOnce is the most channels that a convolution reads as planes by itself: those of a picture.
const planesAtOnce = 4
