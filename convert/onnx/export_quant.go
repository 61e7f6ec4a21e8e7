package onnx

import (
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// findCoded notes the weights that a DequantizeLinear along axis 0 makes of constants for products alone: they are written in the
// axes' order that ONNX has, as are biases in levels, so that other runtimes see operators on bytes.
func (e *exporter) findCoded() {
	e.coded, e.makers = map[string]*model.Node{}, map[string]*model.Node{}
	uses := map[string]int{}
	eachNode(e.g, func(n *model.Node) {
		for i, in := range n.Inputs {
			if !model.ProductWeight(n, i) {
				uses[in]++
			}
		}
	})
	for _, v := range e.g.Outputs {
		uses[v.Name]++
	}
	for _, n := range e.g.Nodes {
		for _, out := range n.Outputs {
			e.makers[out] = n
		}
		if !n.Is("", "DequantizeLinear") || uses[n.Outputs[0]] > 0 || n.In(2) != "" {
			continue
		}
		codes, scales := e.g.Init[n.In(0)], e.g.Init[n.In(1)]
		if codes != nil && codes.DType == tensor.I8 && scales != nil && scales.DType == tensor.F32 && len(scales.Shape) == 1 {
			e.coded[n.Outputs[0]] = n
		}
	}
	e.g.Nodes = slices.DeleteFunc(e.g.Nodes, func(n *model.Node) bool { return e.coded[n.Outputs[0]] != nil })
}

// codedWeight returns the numbers that a coded weight stands for, its axes in the order perm (nil: as they are).
func (e *exporter) codedWeight(name string, perm []int) string {
	n := e.coded[name]
	key := name + " as a coded weight"
	if e.weights[key] != "" {
		return e.weights[key]
	}
	codes := e.g.Init[n.In(0)]
	if perm != nil {
		codes = permuted(codes, perm...)
	}
	w, zero := e.name(n.In(0)+".codes"), e.name(n.In(0)+".zero")
	e.add(w, codes)
	e.add(zero, tensor.New(tensor.I8, codes.Shape[0]))
	e.weights[key] = e.constant(name, "DequantizeLinear", model.Attrs{"axis": model.IntAttr(0)}, w, e.asIs(n.In(1), e.g.Init[n.In(1)]), zero)
	return e.weights[key]
}

// codedBias returns the bias of a product whose operands have levels in units of their scales' product, as integers; where that
// is not to be had, as it is.
func (e *exporter) codedBias(n *model.Node) string {
	name := n.In(2)
	x := e.makers[n.In(0)]
	bias, scales := e.g.Init[name], e.g.Init[e.coded[n.In(1)].In(1)]
	if bias == nil || bias.DType != tensor.F32 || x == nil || !x.Is("", "DequantizeLinear") || bias.Len() != scales.Len() {
		return e.operand(name, tensor.F32)
	}
	scale := e.g.Init[x.In(1)]
	if scale == nil || scale.DType != tensor.F32 || scale.Len() != 1 || scale.Load() != nil || scales.Load() != nil || bias.Load() != nil {
		return e.operand(name, tensor.F32)
	}
	units, codes := make([]float32, bias.Len()), make([]int32, bias.Len())
	for i, b := range bias.F32() {
		units[i] = scale.F32()[0] * scales.F32()[i]
		v := math.RoundToEven(float64(b) / float64(units[i]))
		if !(math.Abs(v) < 1<<30) {
			return e.operand(name, tensor.F32)
		}
		codes[i] = int32(v)
	}
	base := n.Outputs[0] + ".bias"
	c, u, z := e.name(base+".codes"), e.name(base+".scale"), e.name(base+".zero")
	e.add(c, tensor.FromSlice(codes, len(codes)))
	e.add(u, tensor.FromSlice(units, len(units)))
	e.add(z, tensor.New(tensor.I32, len(codes)))
	return e.constant(base, "DequantizeLinear", model.Attrs{"axis": model.IntAttr(0)}, c, u, z)
}

// codedLinear writes dsk.Linear of a coded weight: rows of one batch by Gemm, which takes up the bias.
func (e *exporter) codedLinear(n *model.Node, s *steps) {
	if len(e.typeOf(n.In(0)).Shape) == 2 {
		in := []string{n.In(0), e.codedWeight(n.In(1), nil)}
		if n.In(2) != "" {
			in = append(in, e.codedBias(n))
		}
		s.step("Gemm", model.Attrs{"transB": model.IntAttr(1)}, in...)
		return
	}
	w := e.constant(n.In(1)+".factor", "Transpose", permAttr([]int{1, 0}), e.codedWeight(n.In(1), nil))
	s.step("MatMul", nil, n.In(0), w)
	if n.In(2) != "" {
		s.step("Add", nil, s.value, e.operand(n.In(2), tensor.F32))
	}
}
