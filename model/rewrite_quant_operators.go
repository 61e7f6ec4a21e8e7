package model

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// quantizedOperators takes apart operators that have their levels as operands, so that one way leads from all spellings to
// operators on bytes: QLinearConv and QLinearMatMul become float operators between DequantizeLinear and QuantizeLinear, and a
// MatMulInteger whose sums are scaled becomes dsk.QLinear. Operators whose weights are not of I8 around zero, or not known, stay.
func (r *rewriter) quantizedOperators() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		done := false
		switch {
		case n.Is("", "QLinearConv") && len(r.typeOf(n.In(3)).Shape) == 4:
			done = r.splitQuantized(n, "Conv", n.In(8), 0)
		case n.Is("", "QLinearMatMul") && len(r.typeOf(n.In(3)).Shape) == 2:
			done = r.splitQuantized(n, "MatMul", "", 1)
		case n.Is("", "MatMulInteger"):
			var err error
			if done, err = r.scaledProduct(n); err != nil {
				return err
			}
		}
		if done {
			count++
		}
		return nil
	})
	return count, err
}

// centred returns I8 weights of which each is the difference from its zero point: those of U8 around 128 count too.
func (r *rewriter) centred(weight, zero string) *tensor.Tensor {
	w := r.constant(weight)
	if w == nil || w.DType != tensor.I8 && w.DType != tensor.U8 || w.Load() != nil {
		return nil
	}
	middle := int64(0)
	if w.DType == tensor.U8 {
		middle = 128
	}
	if zero != "" {
		if z, ok := r.intsConst(zero); !ok || slices.ContainsFunc(z, func(v int64) bool { return v != middle }) {
			return nil
		}
	} else if middle != 0 {
		return nil
	}
	if middle == 0 {
		return w
	}
	out := tensor.New(tensor.I8, w.Shape...)
	for i, v := range w.Data {
		out.Data[i] = v ^ 128
	}
	return out
}

// splitQuantized makes op of an operator with the inputs x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero and a bias
// in units of x_scale w_scale. axis is the one of w that w_scale may go along.
func (r *rewriter) splitQuantized(n *Node, op, bias string, axis int64) bool {
	x, y := r.typeOf(n.In(0)), r.typeOf(n.Outputs[0])
	scale, known := r.scalarConst(n.In(1))
	_, knownY := r.scalarConst(n.In(6))
	w, ws := r.constant(n.In(3)), r.constant(n.In(4))
	if !known || !knownY || ws == nil || ws.DType != tensor.F32 || r.constant(n.In(2)) == nil || r.constant(n.In(7)) == nil || r.centred(n.In(3), n.In(5)) == nil {
		return false
	}
	if x.DType != tensor.U8 && (x.DType != tensor.I8 || r.maker[n.In(0)] == nil) || y.Shape == nil || x.Shape == nil || len(ws.Shape) > 1 {
		return false
	}
	out := n.Outputs[0]
	float := func(base string, shape []Dim) string { return r.value(base, Type{tensor.F32, shape}) }
	fx, fw, fy := float(n.In(0)+".float", x.Shape), float(n.In(3)+".float", Dims(w.Shape...)), float(out+".float", y.Shape)
	product := &Node{Op: op, Name: n.Name, Inputs: []string{fx, fw}, Outputs: []string{fy}, Attrs: n.Clone().Attrs}
	if bias != "" {
		b := r.constant(bias)
		scales, ok := floatsOf(ws)
		if b == nil || b.DType != tensor.I32 || !ok || b.Load() != nil {
			return false
		}
		v := make([]float64, b.Len())
		for i, q := range tensor.View[int32](b) {
			v[i] = float64(q) * float64(scale*scales[min(i, len(scales)-1)])
		}
		product.Inputs = append(product.Inputs, r.addFloats(bias+".float", tensor.F32, v, b.Shape...))
	}
	r.replace([]*Node{n},
		&Node{Op: "DequantizeLinear", Name: n.Name, Inputs: []string{n.In(0), n.In(1), n.In(2)}, Outputs: []string{fx}, Attrs: Attrs{"axis": IntAttr(0)}},
		&Node{Op: "DequantizeLinear", Name: n.Name, Inputs: []string{n.In(3), n.In(4), n.In(5)}, Outputs: []string{fw}, Attrs: Attrs{"axis": IntAttr(axis)}},
		product,
		&Node{Op: "QuantizeLinear", Name: n.Name, Inputs: []string{fy, n.In(6), n.In(7)}, Outputs: []string{out}, Attrs: Attrs{"axis": IntAttr(0)}})
	return true
}

// scaledProduct makes dsk.QLinear of MatMulInteger, Cast to floats, Mul with the scale of the left operand and a constant
// scale of the right, and Add of a constant.
func (r *rewriter) scaledProduct(n *Node) (bool, error) {
	w := r.centred(n.In(1), n.In(3))
	if w == nil || len(w.Shape) != 2 || r.typeOf(n.In(0)).DType != tensor.U8 || r.typeOf(n.In(0)).Shape == nil || !IntLinearFits([]int{w.Shape[1], w.Shape[0]}) {
		return false, nil
	}
	cast := r.soleUser(n.Outputs[0])
	if cast == nil || !cast.Is("", "Cast") || r.typeOf(cast.Outputs[0]).DType != tensor.F32 {
		return false, nil
	}
	gone := []*Node{n, cast}
	out := cast.Outputs[0]
	left := ""
	var right []float64
	for left == "" || right == nil {
		mul := r.soleUser(out)
		if mul == nil || !mul.Is("", "Mul") || mul.In(0) == mul.In(1) {
			return false, nil
		}
		other := mul.In(0)
		if other == out {
			other = mul.In(1)
		}
		factors := []string{other}
		if m := r.maker[other]; m != nil && m.Is("", "Mul") {
			factors = m.Inputs
		}
		for _, f := range factors {
			t := r.typeOf(f)
			if c, ok := r.floatConst(f); ok && right == nil && (len(c) == 1 || len(c) == w.Shape[1]) && len(t.Shape) < 2 {
				right = c
			} else if left == "" && t.DType == tensor.F32 && t.Shape != nil && len(t.Shape) == 0 {
				left = f
			} else {
				return false, nil
			}
		}
		gone, out = append(gone, mul), mul.Outputs[0]
	}
	zero := r.typeOf(n.In(2))
	if n.In(2) != "" && (zero.DType != tensor.U8 || len(zero.Shape) != 0) {
		return false, nil
	}
	f := &Node{Domain: DomainDsk, Op: "QLinear", Name: n.Name, Inputs: []string{n.In(0), "", "", "", left, n.In(2)}, Outputs: []string{out}, Attrs: Attrs{}}
	if add := r.soleUser(out); add != nil && add.Is("", "Add") && add.In(0) != add.In(1) {
		c := add.In(0)
		if c == out {
			c = add.In(1)
		}
		if bias, ok := r.biasOf(c, Known(w.Shape[1]), 1); ok && r.constant(bias).DType == tensor.F32 {
			f.Inputs[3], f.Outputs, gone = bias, add.Outputs, append(gone, add)
		}
	}
	rows, err := tensor.Permuted(w, 1, 0)
	if err != nil {
		return false, err
	}
	if err := rows.Load(); err != nil {
		return false, err
	}
	scales := make([]float64, w.Shape[1])
	for i := range scales {
		scales[i] = right[min(i, len(right)-1)]
	}
	f.Inputs[1], f.Inputs[2] = r.codedWeight(n.In(1), rows, newFloats(tensor.F32, scales, len(scales)))
	for f.Inputs[len(f.Inputs)-1] == "" {
		f.Inputs = f.Inputs[:len(f.Inputs)-1]
	}
	// The last of the nodes that go knows all operands.
	slices.Reverse(gone)
	r.replace(gone, f)
	return true, nil
}
