package model

import "slices"

// DataInputs counts the inputs of an operator that yields elements of these, in another order and perhaps with
// zeros between: 0 if it does anything else. Of a maximum it is true too, as levels rise with what they stand for.
func DataInputs(n *Node) int {
	switch {
	case n.Is(DomainDsk, "MaxPool"), n.Is("", "MaxPool") && len(n.Outputs) == 1:
		return 1
	case n.Domain != "":
		return 0
	}
	switch n.Op {
	case "Concat":
		return len(n.Inputs)
	case "Split", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Expand", "Gather", "DepthToSpace", "SpaceToDepth", "Tile", "Pad":
		return 1
	case "Resize":
		if n.Str("mode", "nearest") == "nearest" && n.Str("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize" {
			return 1
		}
	}
	return 0
}

// quantizedMoves lets operators that only move elements move bytes: it quantizes what they read where
// what they yield is quantized, and dequantizes what they yield where what they read was.
func (r *rewriter) quantizedMoves() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		data := DataInputs(n)
		if data == 0 {
			return nil
		}
		if r.quantizeBefore(n, data) || r.dequantizeBehind(n, data) {
			count++
		}
		return nil
	})
	return count, err
}

// quantizeBefore: QuantizeLinear(n(x)) is n(QuantizeLinear(x)).
func (r *rewriter) quantizeBefore(n *Node, data int) bool {
	if len(n.Outputs) != 1 {
		return false
	}
	q, _, ok := r.quantizedUser(n.Outputs[0])
	if !ok {
		return false
	}
	f := n.Clone()
	var with []*Node
	quantized := map[string]string{}
	each := func(i int) {
		x := f.Inputs[i]
		if quantized[x] == "" {
			quantized[x] = r.value(x+".levels", bytesOf(r.typeOf(x)))
			with = append(with, &Node{Op: "QuantizeLinear", Name: n.Name, Inputs: append([]string{x}, q.Inputs[1:]...), Outputs: []string{quantized[x]}, Attrs: q.Clone().Attrs})
		}
		f.Inputs[i] = quantized[x]
	}
	for i := range data {
		each(i)
	}
	switch {
	case n.Op != "Pad":
	case f.In(2) != "":
		each(2)
	case q.In(2) != "":
		// Zeros are added.
		for len(f.Inputs) < 3 {
			f.Inputs = append(f.Inputs, "")
		}
		f.Inputs[2] = q.In(2)
	}
	f.Outputs = q.Outputs
	r.replace([]*Node{n, q}, append(with, f)...)
	return true
}

// dequantizeBehind: n(DequantizeLinear(x)) is DequantizeLinear(n(x)). Where n yields more than it reads, floats are cheaper.
func (r *rewriter) dequantizeBehind(n *Node, data int) bool {
	switch n.Op {
	case "Resize", "Pad", "Expand", "Gather", "Tile":
		return false
	}
	f := n.Clone()
	var l levels
	for i := range data {
		from, m, ok := r.dequantized(n.In(i))
		if !ok || i > 0 && m != l {
			return false
		}
		f.Inputs[i], l = from, m
	}
	if slices.ContainsFunc(n.Outputs, func(o string) bool { return o == "" }) {
		return false
	}
	d := r.maker[n.In(0)]
	with := []*Node{f}
	for i, out := range n.Outputs {
		f.Outputs[i] = r.value(out+".levels", bytesOf(r.typeOf(out)))
		with = append(with, &Node{Op: "DequantizeLinear", Name: n.Name, Inputs: append([]string{f.Outputs[i]}, d.Inputs[1:]...), Outputs: []string{out}, Attrs: d.Clone().Attrs})
	}
	r.replace([]*Node{n}, with...)
	return true
}
