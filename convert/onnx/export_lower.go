package onnx

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lower returns the nodes of ONNX that take the place of n.
func (e *exporter) lower(n *model.Node) ([]*model.Node, error) {
	switch {
	case n.Is(model.DomainDsk, "Linear"):
		return e.linear(n)
	case n.Is(model.DomainDsk, "Conv"):
		return e.conv(n)
	case n.Is(model.DomainDsk, "Dispatch"):
		return e.dispatch(n)
	case n.Is(model.DomainDsk, "Experts"):
		return e.experts(n)
	case n.Is(model.DomainDsk, "Combine"):
		return e.combine(n)
	case n.Domain == model.DomainDsk:
		e.gap(n, "only images whose axes are known are turned back")
		return nil, nil
	case n.Is("", "Gather") && e.g.Init[n.In(0)] != nil && e.small(e.g.Init[n.In(0)]):
		if t := e.g.Init[n.In(0)]; n.Int("axis", 0) == 0 && len(t.Shape) == 2 {
			return e.gatherRows(n, t)
		}
	}
	f := n.Clone()
	for i, in := range n.Inputs {
		if t := e.g.Init[in]; t != nil {
			f.Inputs[i] = e.asIs(in, t)
		}
	}
	if n.Domain != "" {
		e.domains[n.Domain] = domainVersion(n.Domain)
		return []*model.Node{f}, nil
	}
	e.need(opsetOf(n, e.typeOf))
	if n.Op == "Attention" {
		return e.attention(f), nil
	}
	return []*model.Node{f}, nil
}

// domainVersion is the version of a domain whose operators are written: the latest of ai.onnx.ml that changed one that dsk has.
func domainVersion(domain string) int {
	if domain == model.DomainML {
		return 5
	}
	return 1
}

// typeOf returns what is known of a value, wherever it is made.
func (e *exporter) typeOf(name string) model.Type {
	var find func(g *model.Graph) (model.Type, bool)
	find = func(g *model.Graph) (model.Type, bool) {
		if t, ok := g.Types[name]; ok {
			return t, true
		}
		for _, n := range g.Nodes {
			for _, s := range n.Subgraphs() {
				if t, ok := find(s); ok {
					return t, true
				}
			}
		}
		return model.Type{}, false
	}
	t, _ := find(e.g)
	return t
}

// attention notes what our Attention has and ONNX's lacks. A mask that is the same for all queries is written once for each: ONNX's text lets it
// be, but ONNX Runtime wants the axis at its length.
func (e *exporter) attention(n *model.Node) []*model.Node {
	if n.Int("local_window_size", 0) != 0 {
		e.gap(n, "ONNX's Attention has no sliding window (local_window_size)")
	}
	if n.In(7) != "" {
		e.gap(n, "ONNX's Attention has no sinks")
	}
	delete(n.Attrs, "local_window_size")
	mask, q := e.typeOf(n.In(3)).Shape, e.typeOf(n.In(0)).Shape
	if n.In(3) == "" || len(mask) < 2 || mask[len(mask)-2] != model.Known(1) || len(q) < 3 || q[len(q)-2] == model.Known(1) {
		return []*model.Node{n}
	}
	s := e.start(n)
	axis := int64(len(q) - 2)
	s.step("Shape", model.Attrs{"start": model.IntAttr(axis), "end": model.IntAttr(axis + 1)}, n.In(0))
	parts := []string{s.value, e.ints(1)}
	for range len(mask) - 2 {
		parts = append([]string{e.ints(1)}, parts...)
	}
	s.step("Concat", model.Attrs{"axis": model.IntAttr(0)}, parts...)
	s.step("Expand", nil, n.In(3), s.value)
	n.Inputs[3] = s.value
	return append(s.nodes, n)
}

// linear writes dsk.Linear as MatMul, Add of the bias and the activation.
func (e *exporter) linear(n *model.Node) ([]*model.Node, error) {
	dt := e.typeOf(n.In(0)).DType
	s := e.start(n)
	if e.coded[n.In(1)] != nil {
		e.codedLinear(n, s)
		return s.finish(n)
	}
	var w string
	switch t := e.g.Init[n.In(1)]; {
	case t == nil:
		s.step("Transpose", permAttr([]int{1, 0}), n.In(1))
		w = s.value
	default:
		w = e.cast(e.matrix(n.In(1), t), stored(t), dt)
	}
	s.step("MatMul", nil, e.operand(n.In(0), dt), w)
	if n.In(2) != "" {
		s.step("Add", nil, s.value, e.operand(n.In(2), dt))
	}
	return s.finish(n)
}

// conv writes dsk.Conv, with channels first, as Conv, Add of the further operand and the activation.
func (e *exporter) conv(n *model.Node) ([]*model.Node, error) {
	if x, y, err := model.ChannelsLast(n); err != nil || x || y {
		e.gap(n, "only images whose axes are known are turned back")
		return nil, err
	}
	dt := e.typeOf(n.In(0)).DType
	s := e.start(n)
	var w string
	switch t := e.g.Init[n.In(1)]; {
	case e.coded[n.In(1)] != nil:
		w = e.codedWeight(n.In(1), kernelOrder(len(e.typeOf(n.In(1)).Shape)))
	case t == nil:
		s.step("Transpose", permAttr(kernelOrder(len(e.typeOf(n.In(1)).Shape))), n.In(1))
		w = s.value
	default:
		w = e.cast(e.kernel(n.In(1), t), stored(t), dt)
	}
	attrs := model.Attrs{}
	for _, name := range []string{"kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"} {
		if a, ok := n.Attrs[name]; ok {
			attrs[name] = a
		}
	}
	in := []string{e.operand(n.In(0), dt), w}
	switch {
	case n.In(2) != "" && e.coded[n.In(1)] != nil:
		in = append(in, e.codedBias(n))
	case n.In(2) != "":
		in = append(in, e.operand(n.In(2), dt))
	}
	s.step("Conv", attrs, in...)
	if n.In(3) != "" {
		s.step("Add", nil, s.value, e.operand(n.In(3), dt))
	}
	return s.finish(n)
}

// steps are the nodes that take the place of one.
type steps struct {
	e     *exporter
	base  string // of the nodes' names
	out   string // of the values' names
	nodes []*model.Node
	value string // that the last node yields
}

func (e *exporter) start(n *model.Node) *steps {
	name := n.Name
	if name == "" {
		name = n.Outputs[0]
	}
	return &steps{e: e, base: name, out: n.Outputs[0]}
}

// step adds a node of one output.
func (s *steps) step(op string, attrs model.Attrs, inputs ...string) {
	if attrs == nil {
		attrs = model.Attrs{}
	}
	s.value = s.e.name(s.out + "." + op)
	n := &model.Node{Op: op, Name: s.base + "." + op, Inputs: inputs, Outputs: []string{s.value}, Attrs: attrs}
	s.e.need(opsetOf(n, s.e.typeOf))
	s.nodes = append(s.nodes, n)
}

// stepAs is step with the name of the value.
func (s *steps) stepAs(name, op string, attrs model.Attrs, inputs ...string) {
	s.step(op, attrs, inputs...)
	s.value = name
	s.nodes[len(s.nodes)-1].Outputs[0] = name
}

// finish adds n's activation; the last node yields its output.
func (s *steps) finish(n *model.Node) ([]*model.Node, error) {
	p := n.Floats("activation_params")
	param := func(i int, def float32) float32 {
		if i < len(p) {
			return p[i]
		}
		return def
	}
	switch act := n.Str("activation", model.ActNone); act {
	case model.ActNone:
	case model.ActRelu, model.ActSigmoid, model.ActTanh, model.ActHardSwish:
		s.step(act, nil, s.value)
	case model.ActLeakyRelu:
		s.step(act, model.Attrs{"alpha": model.FloatAttr(param(0, 0))}, s.value)
	case model.ActClip:
		in := []string{s.value, "", ""}
		for i, bound := range []float32{param(0, float32(math.Inf(-1))), param(1, float32(math.Inf(1)))} {
			if !math.IsInf(float64(bound), 0) {
				in[i+1] = s.e.scalar(bound, s.e.typeOf(n.In(0)).DType)
			}
		}
		s.step(act, nil, in...)
	case model.ActSwish:
		x := s.value
		s.step("Sigmoid", nil, x)
		s.step("Mul", nil, x, s.value)
	case model.ActGelu:
		s.step("Gelu", nil, s.value)
	case model.ActGeluTanh:
		s.step("Gelu", model.Attrs{"approximate": model.StringAttr("tanh")}, s.value)
	default:
		return nil, fmt.Errorf("node %v: unknown activation %q", n, act)
	}
	s.nodes[len(s.nodes)-1].Outputs = []string{s.out}
	return s.nodes, nil
}

// gatherRows writes a Gather of rows of quantized weights: their codes and scales are gathered, and rows made of those.
func (e *exporter) gatherRows(n *model.Node, t *tensor.Tensor) ([]*model.Node, error) {
	codes, scales := e.blocks(n.In(0), t, false)
	ids := e.operand(n.In(1), tensor.I64)
	s := e.start(n)
	s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, codes, ids)
	rows := s.value
	s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, scales, ids)
	s.step("DequantizeLinear", blockAttrs(-1), rows, s.value)
	return s.finish(n)
}
