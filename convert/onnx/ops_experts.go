package onnx

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// dispatch writes dsk.Dispatch: the choices' order is that of the keys expert x choices + choice, which are all different, and the
// slots are its inverse.
func (e *exporter) dispatch(n *model.Node) ([]*model.Node, error) {
	chosen := e.typeOf(n.In(1)).Shape
	if len(chosen) == 0 || !chosen[len(chosen)-1].IsKnown() || chosen[len(chosen)-1].N == 0 {
		e.gap(n, "the number of experts of a token must be known")
		return nil, nil
	}
	count := make([]int64, n.Int("num_experts", 1))
	for i := range count {
		count[i] = int64(i)
	}
	s := e.start(n)
	s.step("Reshape", nil, n.In(1), e.ints(-1))
	flat := s.value
	s.step("Shape", nil, flat)
	total := s.value
	s.step("Squeeze", nil, total)
	s.step("Range", nil, e.integer(0), s.value, e.integer(1))
	steps := s.value
	s.step("Mul", nil, flat, total)
	s.step("Add", nil, s.value, steps)
	keys := s.value
	s.step("TopK", model.Attrs{"axis": model.IntAttr(0), "largest": model.IntAttr(0), "sorted": model.IntAttr(1)}, keys, total)
	top := s.nodes[len(s.nodes)-1]
	order := e.name(s.out + ".order")
	top.Outputs = append(top.Outputs, order)
	s.step("ScatterElements", model.Attrs{"axis": model.IntAttr(0)}, steps, order, steps)
	slots := s.value
	s.step("Shape", nil, n.In(1))
	s.stepAs(n.Outputs[2], "Reshape", nil, slots, s.value)
	s.step("Unsqueeze", nil, flat, e.ints(1))
	s.step("LessOrEqual", nil, s.value, e.ints(count...))
	s.step("Cast", model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.I64))}, s.value)
	s.stepAs(n.Outputs[1], "ReduceSum", model.Attrs{"keepdims": model.IntAttr(0)}, s.value, e.ints(0))
	s.step("Div", nil, order, e.integer(int64(chosen[len(chosen)-1].N)))
	tokens := s.value
	x := e.typeOf(n.In(0)).Shape
	s.step("Reshape", nil, e.operand(n.In(0), tensor.F32), e.ints(-1, int64(x[len(x)-1].N)))
	s.stepAs(n.Outputs[0], "Gather", model.Attrs{"axis": model.IntAttr(0)}, s.value, tokens)
	return s.nodes, nil
}

// experts writes dsk.Experts: the rows are split where each expert's end.
func (e *exporter) experts(n *model.Node) ([]*model.Node, error) {
	dt, count := e.typeOf(n.In(0)).DType, len(n.Inputs)-model.ExpertWeights
	s := e.start(n)
	s.step("Slice", nil, n.In(1), e.ints(0), e.ints(-1), e.ints(0))
	s.step("Concat", model.Attrs{"axis": model.IntAttr(0)}, e.ints(0), s.value)
	s.step("Sub", nil, n.In(1), s.value)
	s.step("Split", model.Attrs{"axis": model.IntAttr(0)}, n.In(0), s.value)
	split := s.nodes[len(s.nodes)-1]
	split.Outputs = nil
	for i := range count {
		split.Outputs = append(split.Outputs, e.name(fmt.Sprintf("%s.rows.%d", s.out, i)))
	}
	var bias string
	if n.In(2) != "" {
		bias = e.operand(n.In(2), dt)
	}
	parts := make([]string, count)
	for i := range parts {
		name := n.In(model.ExpertWeights + i)
		t := e.g.Init[name]
		if t == nil {
			e.gap(n, "weights of experts must be constants")
			return nil, nil
		}
		s.step("MatMul", nil, split.Outputs[i], e.cast(e.matrix(name, t), stored(t), dt))
		if bias != "" {
			product := s.value
			s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, bias, e.ints(int64(i)))
			s.step("Add", nil, product, s.value)
		}
		parts[i] = s.value
	}
	s.step("Concat", model.Attrs{"axis": model.IntAttr(0)}, parts...)
	return s.finish(n)
}

// combine writes dsk.Combine.
func (e *exporter) combine(n *model.Node) ([]*model.Node, error) {
	s := e.start(n)
	s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, n.In(0), n.In(1))
	rows := s.value
	s.step("Unsqueeze", nil, n.In(2), e.ints(-1))
	s.step("Mul", nil, rows, s.value)
	s.stepAs(s.out, "ReduceSum", model.Attrs{"keepdims": model.IntAttr(0)}, s.value, e.ints(-2))
	return s.nodes, nil
}
