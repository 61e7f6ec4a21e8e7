package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// outRows describes the weight of a Conv, ConvTranspose or Linear: how many output channels it
// has and to which of them element i belongs.
func (r *rewriter) outRows(n *Node) (w *tensor.Tensor, channels int, row func(i int) int) {
	w = r.constant(n.In(1))
	if w == nil || !real(w.DType) || len(w.Shape) < 2 || !real(r.typeOf(n.In(0)).DType) || w.Len() == 0 {
		return nil, 0, nil
	}
	switch {
	case n.Is("", "Conv"), n.Is(DomainDsk, "Conv"), n.Is(DomainDsk, "Linear"):
		size := w.Len() / w.Shape[0]
		return w, w.Shape[0], func(i int) int { return i / size }
	case n.Is("", "ConvTranspose"):
		// [C, M/group, k...]: input channel c is in group c / (C/group).
		group := int(n.Int("group", 1))
		per, size := w.Shape[1], w.Len()/w.Shape[0]/w.Shape[1]
		inGroup := w.Shape[0] / group
		return w, per * group, func(i int) int { return i/size/per/inGroup*per + i/size%per }
	}
	return nil, 0, nil
}

// affine multiplies the output channels of n, a Conv, ConvTranspose or Linear with constant
// weight and bias, by scale (nil: leaves them) and adds shift; out becomes the node's output.
func (r *rewriter) affine(root, n *Node, scale, shift []float64) bool {
	w, channels, row := r.outRows(n)
	if w == nil || channels != len(shift) || n.Str("activation", "") != ActNone || n.In(3) != "" {
		return false
	}
	bias := make([]float64, channels)
	if b := n.In(2); b != "" {
		v, ok := r.floatConst(b)
		if !ok || len(v) != channels {
			return false
		}
		copy(bias, v)
	}
	for i := range bias {
		if scale != nil {
			bias[i] = float64(bias[i] * scale[i])
		}
		bias[i] += shift[i]
	}
	f := n.Clone()
	f.Outputs = root.Outputs[:1]
	for len(f.Inputs) < 3 {
		f.Inputs = append(f.Inputs, "")
	}
	if scale != nil {
		// A weight that is narrower than its operand must not lose more to rounding.
		if w.DType != r.typeOf(n.In(0)).DType {
			return false
		}
		name, err := r.addInit(n.In(1)+".scaled", "", func() (*tensor.Tensor, error) { return scaled(w, scale, row), nil })
		if err != nil {
			return false
		}
		f.Inputs[1] = name
	}
	f.Inputs[2] = r.addFloats(n.Outputs[0]+".bias", r.typeOf(n.In(0)).DType, bias, channels)
	r.replace([]*Node{root, n}, f)
	return true
}

// affineNorm does what affine does for n, a BatchNormalization with constant scale and bias.
func (r *rewriter) affineNorm(root, n *Node, scale, shift []float64) bool {
	old, ok1 := r.floatConst(n.In(1))
	bias, ok2 := r.floatConst(n.In(2))
	if !ok1 || !ok2 || len(old) != len(shift) || len(bias) != len(shift) {
		return false
	}
	for i := range shift {
		if scale != nil {
			old[i], bias[i] = float64(old[i]*scale[i]), float64(bias[i]*scale[i])
		}
		bias[i] += shift[i]
	}
	dt := r.constant(n.In(1)).DType
	f := n.Clone()
	f.Outputs = root.Outputs[:1]
	f.Inputs[1] = r.addFloats(n.Outputs[0]+".scale", dt, old, len(old))
	f.Inputs[2] = r.addFloats(n.Outputs[0]+".bias", dt, bias, len(bias))
	r.replace([]*Node{root, n}, f)
	return true
}

// batchNorms folds a BatchNormalization into the product before it:
//
//	W' = W s, b' = (b - mean) s + bias, s = scale / sqrt(var + epsilon)
//
// computed in float64 and rounded once.
func (r *rewriter) batchNorms() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if !n.Is("", "BatchNormalization") || n.Int("training_mode", 0) != 0 || len(n.Outputs) != 1 {
			return nil
		}
		m := r.sole(n.In(0))
		if m == nil {
			return nil
		}
		// The channels of a BatchNormalization are the second axis.
		if s := r.typeOf(n.In(0)).Shape; m.Op == "Linear" && len(s) != 2 || m.Str("layout", LayoutNCHW) != LayoutNCHW {
			return nil
		}
		var p [5][]float64
		for i := 1; i < 5; i++ {
			v, ok := r.floatConst(n.In(i))
			if !ok {
				return nil
			}
			p[i] = v
		}
		eps := float64(n.Float("epsilon", 1e-5))
		scale, shift := make([]float64, len(p[1])), make([]float64, len(p[1]))
		for i := range scale {
			if len(p[2]) != len(scale) || len(p[3]) != len(scale) || len(p[4]) != len(scale) {
				return nil
			}
			scale[i] = p[1][i] / math.Sqrt(p[4][i]+eps)
			shift[i] = p[2][i] - float64(p[3][i]*scale[i])
		}
		if r.affine(n, m, scale, shift) {
			count++
		}
		return nil
	})
	return count, err
}

// channelConstants folds Add, Sub, Mul and Div with a constant for each output channel into the
// product or BatchNormalization before it.
func (r *rewriter) channelConstants() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || len(n.Inputs) != 2 {
			return nil
		}
		if n.Op != "Add" && n.Op != "Sub" && n.Op != "Mul" && n.Op != "Div" {
			return nil
		}
		x, c := n.In(0), n.In(1)
		if r.constant(c) == nil && (n.Op == "Add" || n.Op == "Mul") {
			x, c = c, x
		}
		m := r.sole(x)
		if m == nil {
			return nil
		}
		apply := r.affine
		_, channels, _ := r.outRows(m)
		if m.Is("", "BatchNormalization") && m.Int("training_mode", 0) == 0 && len(m.Outputs) == 1 {
			if t := r.constant(m.In(1)); t != nil && real(t.DType) && r.typeOf(x).DType == t.DType {
				apply, channels = r.affineNorm, t.Len()
			}
		}
		v, ok := r.perChannel(m, c, channels, r.typeOf(x), r.typeOf(n.Outputs[0]))
		if !ok {
			return nil
		}
		var scale []float64
		shift := make([]float64, channels)
		for i := range v {
			if n.Op == "Div" && v[i] == 0 {
				return nil
			}
			switch n.Op {
			case "Add":
				shift[i] = v[i]
			case "Sub":
				shift[i] = -v[i]
			case "Mul":
				scale = append(scale, v[i])
			case "Div":
				scale = append(scale, 1/v[i])
			}
		}
		if apply(n, m, scale, shift) {
			count++
		}
		return nil
	})
	return count, err
}

// perChannel returns the constant c as one value for each output channel of m, whose output x
// it broadcasts to without changing the shape.
func (r *rewriter) perChannel(m *Node, c string, channels int, x, out Type) ([]float64, bool) {
	t := r.constant(c)
	if t == nil || !real(t.DType) || channels == 0 || x.Shape == nil || len(x.Shape) != len(out.Shape) {
		return nil, false
	}
	rank := len(x.Shape)
	axis := 1
	if m.Op == "Linear" || m.Str("layout", LayoutNCHW) == LayoutNHWC {
		axis = rank - 1
	}
	if len(t.Shape) > rank || t.Len() != channels && t.Len() != 1 {
		return nil, false
	}
	if t.Len() != 1 {
		at := axis - (rank - len(t.Shape))
		if at < 0 || t.Shape[at] != channels {
			return nil, false
		}
	}
	v, ok := floatsOf(t)
	if !ok {
		return nil, false
	}
	all := make([]float64, channels)
	for i := range all {
		all[i] = v[min(i, len(v)-1)]
	}
	return all, true
}

// paddings moves the padding of a Pad into the convolution or pooling that alone reads it.
func (r *rewriter) paddings() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || n.Op != "Conv" && n.Op != "AveragePool" && n.Op != "MaxPool" {
			return nil
		}
		p := r.sole(n.In(0))
		if p == nil || !p.Is("", "Pad") || p.Str("mode", "constant") != "constant" || p.In(3) != "" || len(n.Outputs) != 1 {
			return nil
		}
		pads, ok := r.intsConst(p.In(1))
		rank := len(r.typeOf(p.In(0)).Shape)
		if !ok || rank < 3 || len(pads) != 2*rank || pads[0] != 0 || pads[1] != 0 || pads[rank] != 0 || pads[rank+1] != 0 {
			return nil
		}
		if slices.ContainsFunc(pads, func(v int64) bool { return v < 0 }) {
			return nil
		}
		value := 0.0
		if p.In(2) != "" {
			if value, ok = r.scalarConst(p.In(2)); !ok {
				return nil
			}
		}
		d := rank - 2
		old := make([]int64, 2*d)
		switch auto := n.Str("auto_pad", "NOTSET"); {
		case auto == "NOTSET" || auto == "":
			copy(old, n.Ints("pads"))
		case auto != "VALID":
			return nil
		}
		unpadded := !slices.ContainsFunc(old, func(v int64) bool { return v != 0 })
		sum := make([]int64, 2*d)
		kernel := n.Ints("kernel_shape")
		for i := range d {
			sum[i] = old[i] + pads[2+i]
			sum[d+i] = old[d+i] + pads[rank+2+i]
			if n.Op != "Conv" && (i >= len(kernel) || sum[i] >= kernel[i] || sum[d+i] >= kernel[i] || n.Int("ceil_mode", 0) != 0) {
				return nil
			}
		}
		attrs := Attrs{}
		switch n.Op {
		case "Conv":
			ok = value == 0
		case "AveragePool":
			// The padded zeros count in the average; those of the pooling itself must then count too.
			ok = value == 0 && (unpadded || n.Int("count_include_pad", 0) != 0)
			attrs["count_include_pad"] = IntAttr(1)
		case "MaxPool":
			ok = math.IsInf(value, -1)
		}
		if !ok {
			return nil
		}
		f := n.Clone()
		f.Inputs[0] = p.In(0)
		delete(f.Attrs, "auto_pad")
		f.Attrs["pads"] = IntsAttr(sum...)
		for k, a := range attrs {
			f.Attrs[k] = a
		}
		r.replace([]*Node{n, p}, f)
		count++
		return nil
	})
	return count, err
}

// conv makes dsk.Conv of Conv with a constant weight, with the channels last.
func (r *rewriter) conv() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if !n.Is("", "Conv") || !real(r.typeOf(n.In(0)).DType) {
			return nil
		}
		w := r.constant(n.In(1))
		x := r.typeOf(n.In(0)).Shape
		if w == nil || w.DType != r.typeOf(n.In(0)).DType || len(w.Shape) < 3 || len(w.Shape) > 5 || len(x) != len(w.Shape) {
			return nil
		}
		if b := n.In(2); b != "" && r.constant(b) == nil {
			return nil
		}
		win, err := WindowOf(n, x[2:], Dims(w.Shape[2:]...))
		if err != nil {
			return err
		}
		attrs := Attrs{"group": IntAttr(n.Int("group", 1))}
		d := len(x) - 2
		ints := func(name string, v []int) {
			out := make([]int64, len(v))
			for i, k := range v {
				out[i] = int64(k)
			}
			attrs[name] = IntsAttr(out...)
		}
		pads := append(append([]int{}, win.Before...), win.After...)
		for i := range d {
			if win.Before[i] >= 0 {
				continue
			}
			// auto_pad with an unknown input: the padding is the same for every size if the stride is 1.
			if win.Stride[i] != 1 {
				return nil
			}
			p := (win.Kernel[i] - 1) * win.Dilation[i]
			pads[i], pads[d+i] = p/2, p-p/2
			if n.Str("auto_pad", "") == "SAME_LOWER" {
				pads[i], pads[d+i] = p-p/2, p/2
			}
		}
		ints("kernel_shape", win.Kernel)
		ints("strides", win.Stride)
		ints("dilations", win.Dilation)
		ints("pads", pads)
		perm := []int{0}
		for i := range d {
			perm = append(perm, i+2)
		}
		perm = append(perm, 1)
		name, err := r.addInit(n.In(1)+".ohwi", fmt.Sprintf("ohwi %s", n.In(1)), func() (*tensor.Tensor, error) {
			return tensor.Permuted(w, perm...)
		})
		if err != nil {
			return err
		}
		in := []string{n.In(0), name}
		if n.In(2) != "" {
			in = append(in, n.In(2))
		}
		r.replace([]*Node{n}, &Node{Domain: DomainDsk, Op: "Conv", Name: n.Name, Inputs: in, Outputs: n.Outputs, Attrs: attrs})
		count++
		return nil
	})
	return count, err
}

// residuals gives the other operand of an Add to the dsk.Conv that makes one of them, if the
// shapes are equal.
func (r *rewriter) residuals() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if !n.Is("", "Add") || len(n.Inputs) != 2 || n.In(0) == n.In(1) {
			return nil
		}
		if !sameShape(r.typeOf(n.In(0)), r.typeOf(n.In(1))) {
			return nil
		}
		// Of two convolutions the one that comes later takes the other's output: it is used at once.
		best := -1
		at := -1
		for i := range 2 {
			m := r.sole(n.In(i))
			if m == nil || !m.Is(DomainDsk, "Conv") || m.Str("activation", "") != ActNone || m.In(3) != "" {
				continue
			}
			if k := slices.Index(r.g.Nodes, m); k > at || best < 0 {
				best, at = i, k
			}
		}
		if best < 0 {
			return nil
		}
		m := r.maker[n.In(best)]
		f := m.Clone()
		for len(f.Inputs) < 3 {
			f.Inputs = append(f.Inputs, "")
		}
		f.Inputs = append(f.Inputs[:3], n.In(1-best))
		f.Outputs = n.Outputs
		r.replace([]*Node{n, m}, f)
		count++
		return nil
	})
	return count, err
}
