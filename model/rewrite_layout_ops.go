package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// anyOrder lists operators that work element by element, in broadcasting all their inputs.
var anyOrder = map[string]bool{
	"Abs": true, "Neg": true, "Exp": true, "Log": true, "Sqrt": true, "Reciprocal": true, "Floor": true, "Ceil": true, "Round": true,
	"Sign": true, "Erf": true, "Sin": true, "Cos": true, "Tan": true, "Tanh": true, "Sigmoid": true, "Relu": true, "LeakyRelu": true,
	"Elu": true, "Selu": true, "Celu": true, "HardSigmoid": true, "HardSwish": true, "Softplus": true, "Softsign": true, "Mish": true,
	"Swish": true, "Gelu": true, "ThresholdedRelu": true, "Shrink": true, "Identity": true, "Not": true, "PRelu": true, "Clip": true,
	"Cast": true, "Add": true, "Sub": true, "Mul": true, "Div": true, "Mod": true, "Pow": true, "And": true, "Or": true, "Xor": true,
	"Min": true, "Max": true, "Sum": true, "Mean": true, "Equal": true, "Less": true, "Greater": true, "LessOrEqual": true,
	"GreaterOrEqual": true, "Where": true, "QuantizeLinear": true, "DequantizeLinear": true,
}

// through carries a node over to held inputs; false if it cannot. h is the form of the first input that is held.
func (l *layouts) through(n *Node, h held) (bool, error) {
	if anyOrder[n.Op] {
		return l.elementwise(n, h.perm)
	}
	if n.Op == "Concat" {
		return l.concat(n, h.perm)
	}
	if h, ok := l.held[n.In(0)]; ok && l.typeOf(n.In(0)).Shape != nil {
		switch n.Op {
		case "Split", "Softmax", "LogSoftmax", "Hardmax":
			return l.oneAxis(n, h)
		case "Slice":
			return l.listedAxes(n, h, 3)
		case "Pad":
			return l.listedAxes(n, h, 3)
		case "Resize":
			return l.resize(n, h)
		case "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd":
			return l.reduce(n, h)
		case "GlobalAveragePool", "GlobalMaxPool":
			return l.globalPool(n, h)
		case "MaxPool", "AveragePool":
			return l.pool(n)
		case "BatchNormalization":
			return l.batchNorm(n, h)
		case "Transpose":
			return l.transpose(n, h), nil
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
			return l.reshape(n, h)
		case "Shape":
			return l.shape(n, h)
		}
	}
	return false, nil
}

// onOnly prepares a copy of n whose other inputs, which are not images, keep their own names.
func (l *layouts) onOnly(n *Node, h held) *Node {
	f := n.Clone()
	f.Inputs[0] = h.name
	for _, in := range f.Inputs[1:] {
		l.own(in)
	}
	return f
}

// elementwise handles operators of broadcasting operands: constants are turned ahead.
func (l *layouts) elementwise(n *Node, perm []int) (bool, error) {
	rank := len(perm)
	if out := l.typeOf(n.Outputs[0]).Shape; len(out) != rank || len(n.Outputs) != 1 {
		return false, nil
	}
	if _, ok := l.scalarConst(n.In(1)); !ok && (n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear") {
		return false, nil // scales along an axis
	}
	shapes := make([][]Dim, len(n.Inputs))
	for i, in := range n.Inputs {
		if in == "" {
			continue
		}
		shapes[i] = l.typeOf(in).Shape
		small := len(shapes[i]) == 0 || l.constant(in) != nil
		if shapes[i] == nil || len(shapes[i]) > rank || len(shapes[i]) < rank && !small {
			return false, nil
		}
	}
	f := n.Clone()
	for i, in := range n.Inputs {
		var err error
		switch t := l.constant(in); {
		case in == "" || len(shapes[i]) == 0:
			l.own(in)
		case t != nil && t.Len() == 1:
		case len(shapes[i]) == rank:
			f.Inputs[i], err = l.form(in, perm)
		default:
			f.Inputs[i], err = l.addInit(in+".last", fmt.Sprint(in, " in ", perm), func() (*tensor.Tensor, error) {
				full := make([]int, rank-len(t.Shape), rank)
				for a := range full {
					full[a] = 1
				}
				return tensor.Permuted(t.Reshaped(append(full, t.Shape...)...), perm...)
			})
		}
		if err != nil {
			return false, err
		}
	}
	l.emit(f, perm)
	return true, nil
}

// at returns where a logical axis lies; negative ones count from the end.
func (h held) at(axis int64) (int64, bool) {
	if axis < 0 {
		axis += int64(len(h.perm))
	}
	i := slices.Index(h.perm, int(axis))
	return int64(i), i >= 0
}

func (l *layouts) concat(n *Node, perm []int) (bool, error) {
	axis, ok := held{perm: perm}.at(n.Int("axis", 0))
	if !ok {
		return false, nil
	}
	for _, in := range n.Inputs {
		if len(l.typeOf(in).Shape) != len(perm) {
			return false, nil
		}
	}
	f := n.Clone()
	for i, in := range n.Inputs {
		var err error
		if f.Inputs[i], err = l.form(in, perm); err != nil {
			return false, err
		}
	}
	f.Attrs["axis"] = IntAttr(axis)
	l.emit(f, perm)
	return true, nil
}

// oneAxis handles operators along the axis of the attribute axis.
func (l *layouts) oneAxis(n *Node, h held) (bool, error) {
	def := int64(-1)
	if n.Op == "Split" {
		def = 0
	}
	axis, ok := h.at(n.Int("axis", def))
	if !ok {
		return false, nil
	}
	f := l.onOnly(n, h)
	f.Attrs["axis"] = IntAttr(axis)
	l.emit(f, h.perm)
	return true, nil
}

// axesInit returns a constant of the axes' places.
func (l *layouts) axesInit(h held, axes []int64) (string, bool) {
	at := make([]int64, len(axes))
	for i, a := range axes {
		var ok bool
		if at[i], ok = h.at(a); !ok {
			return "", false
		}
	}
	name, err := l.addInit("axes", fmt.Sprint("axes ", at), func() (*tensor.Tensor, error) { return tensor.FromSlice(at, len(at)), nil })
	return name, err == nil
}

// listedAxes handles operators whose input i names the axes that the other inputs are about, by default all.
func (l *layouts) listedAxes(n *Node, h held, i int) (bool, error) {
	axes, ok := l.intsConst(n.In(i))
	if n.In(i) == "" {
		count := l.typeOf(n.In(1)).Shape
		if len(count) != 1 || !count[0].IsKnown() {
			return false, nil
		}
		all := count[0].N
		if n.Op == "Pad" {
			all /= 2
		}
		for a := range all {
			axes = append(axes, int64(a))
		}
	} else if !ok {
		return false, nil
	}
	name, ok := l.axesInit(h, axes)
	if !ok {
		return false, nil
	}
	f := l.onOnly(n, h)
	for len(f.Inputs) <= i {
		f.Inputs = append(f.Inputs, "")
	}
	f.Inputs[i] = name
	l.emit(f, h.perm)
	return true, nil
}

func (l *layouts) resize(n *Node, h held) (bool, error) {
	axes := n.Ints("axes")
	if axes == nil {
		for a := range h.perm {
			axes = append(axes, int64(a))
		}
	}
	at := make([]int64, len(axes))
	for i, a := range axes {
		var ok bool
		if at[i], ok = h.at(a); !ok {
			return false, nil
		}
	}
	f := l.onOnly(n, h)
	f.Attrs["axes"] = IntsAttr(at...)
	l.emit(f, h.perm)
	return true, nil
}

// reduce handles reductions. Without the reduced axes the others may lie in order.
func (l *layouts) reduce(n *Node, h held) (bool, error) {
	axes, ok := l.intsConst(n.In(1))
	if n.In(1) == "" || !ok || len(axes) == 0 {
		return false, nil
	}
	name, ok := l.axesInit(h, axes)
	if !ok {
		return false, nil
	}
	f := l.onOnly(n, h)
	f.Inputs[1] = name
	if n.Int("keepdims", 1) != 0 {
		l.emit(f, h.perm)
		return true, nil
	}
	gone := make([]bool, len(h.perm))
	for _, a := range axes {
		at, _ := h.at(a)
		gone[h.perm[at]] = true
	}
	var perm []int
	for _, p := range h.perm {
		if gone[p] {
			continue
		}
		for a := range gone[:p] {
			if gone[a] {
				p--
			}
		}
		perm = append(perm, p)
	}
	if isIdentity(perm) {
		l.keep(f)
	} else {
		l.emit(f, perm)
	}
	return true, nil
}

func (l *layouts) globalPool(n *Node, h held) (bool, error) {
	var axes []int64
	for a := 2; a < len(h.perm); a++ {
		axes = append(axes, int64(a))
	}
	name, ok := l.axesInit(h, axes)
	if !ok {
		return false, nil
	}
	f := &Node{Op: "ReduceMean", Name: n.Name, Inputs: []string{h.name, name}, Outputs: n.Outputs[:1:1], Attrs: Attrs{"keepdims": IntAttr(1)}}
	if n.Op == "GlobalMaxPool" {
		f.Op = "ReduceMax"
	}
	f.Outputs = slices.Clone(f.Outputs)
	l.emit(f, h.perm)
	return true, nil
}

// pool handles pools of images.
func (l *layouts) pool(n *Node) (bool, error) {
	if l.standard || len(n.Outputs) != 1 || len(l.typeOf(n.In(0)).Shape) != 4 || l.typeOf(n.In(0)).DType != tensor.F32 {
		return false, nil
	}
	x, err := l.form(n.In(0), channelsLast)
	if err != nil {
		return false, err
	}
	f := n.Clone()
	f.Domain, f.Inputs[0] = DomainDsk, x
	l.emit(f, channelsLast)
	return true, nil
}

// batchNorm makes Mul and Add of a normalization that no convolution could take up.
func (l *layouts) batchNorm(n *Node, h held) (bool, error) {
	if n.Int("training_mode", 0) != 0 || len(n.Outputs) != 1 || h.perm[len(h.perm)-1] != 1 {
		return false, nil
	}
	var p [5][]float64
	for i := 1; i < 5; i++ {
		v, ok := l.floatConst(n.In(i))
		if !ok || i > 1 && len(v) != len(p[1]) {
			return false, nil
		}
		p[i] = v
	}
	eps := float64(n.Float("epsilon", 1e-5))
	scale, shift := make([]float64, len(p[1])), make([]float64, len(p[1]))
	for i := range scale {
		scale[i] = p[1][i] / math.Sqrt(p[4][i]+eps)
		shift[i] = p[2][i] - float64(p[3][i]*scale[i])
	}
	dt := l.typeOf(n.In(0)).DType
	out := n.Outputs[0]
	mid := l.name(out + ".scaled")
	l.out = append(l.out, &Node{Op: "Mul", Name: n.Name, Outputs: []string{mid}, Attrs: Attrs{},
		Inputs: []string{h.name, l.addFloats(out+".scale", dt, scale, len(scale))}})
	l.emit(&Node{Op: "Add", Name: n.Name, Outputs: []string{out}, Attrs: Attrs{},
		Inputs: []string{mid, l.addFloats(out+".shift", dt, shift, len(shift))}}, h.perm)
	return true, nil
}

// transpose only changes what is known of the value.
func (l *layouts) transpose(n *Node, h held) bool {
	p := n.Ints("perm")
	if len(p) != len(h.perm) {
		return false
	}
	moved := make([]int, len(p))
	for i, from := range p {
		at, ok := h.at(from)
		if !ok {
			return false
		}
		moved[at] = i
	}
	l.held[n.Outputs[0]] = held{h.name, moved}
	return true
}

// shape looks up the dimensions in their order.
func (l *layouts) shape(n *Node, h held) (bool, error) {
	rank := len(h.perm)
	lo, hi := int(n.Int("start", 0)), int(n.Int("end", int64(rank)))
	if lo < 0 {
		lo += rank
	}
	if hi < 0 {
		hi += rank
	}
	lo, hi = min(max(lo, 0), rank), min(max(hi, 0), rank)
	inv := inverse(h.perm)
	var order []int64
	for a := lo; a < hi; a++ {
		order = append(order, int64(inv[a]))
	}
	name, err := l.addInit("order", fmt.Sprint("axes ", order), func() (*tensor.Tensor, error) {
		return tensor.FromSlice(order, len(order)), nil
	})
	if err != nil {
		return false, err
	}
	all := l.name(n.Outputs[0] + ".last")
	l.out = append(l.out, &Node{Op: "Shape", Name: n.Name, Inputs: []string{h.name}, Outputs: []string{all}, Attrs: Attrs{}})
	l.keep(&Node{Op: "Gather", Name: n.Name, Inputs: []string{all, name}, Outputs: n.Outputs, Attrs: Attrs{}})
	return true, nil
}
