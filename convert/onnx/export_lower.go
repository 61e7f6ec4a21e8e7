package onnx

import (
	"fmt"
	"math"
	"slices"

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
	case n.Domain == model.DomainDsk:
		e.gap(n, "only images whose axes are known are turned back")
		return nil, nil
	case n.Is("", "Gather") && e.g.Init[n.In(0)] != nil && e.g.Init[n.In(0)].DType.IsQuantized():
		return e.gatherRows(n)
	case n.Is("", "Attention"):
		e.checkAttention(n)
	}
	f := n.Clone()
	var nodes []*model.Node
	for i, in := range n.Inputs {
		t := e.g.Init[in]
		if t == nil {
			continue
		}
		made, err := e.asIs(in, t)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, made...)
		f.Inputs[i] = e.weights[in]
	}
	if n.Domain == "" {
		e.need(opsetOf(n, e.typeOf))
	} else {
		e.domains[n.Domain] = domainVersion(n.Domain)
	}
	return append(nodes, f), nil
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

// checkAttention notes what our Attention has and ONNX's lacks.
func (e *exporter) checkAttention(n *model.Node) {
	if n.Int("local_window_size", 0) != 0 {
		e.gap(n, "ONNX's Attention has no sliding window (local_window_size)")
	}
	if n.In(7) != "" {
		e.gap(n, "ONNX's Attention has no sinks")
	}
}

// linear writes dsk.Linear as MatMul, Add of the bias and the activation.
func (e *exporter) linear(n *model.Node) ([]*model.Node, error) {
	x := e.typeOf(n.In(0))
	w, nodes, err := e.matrix(n, x.DType)
	if err != nil || w == "" {
		return nil, err
	}
	in, made, err := e.operand(n.In(0), x.DType)
	if err != nil {
		return nil, err
	}
	nodes = append(nodes, made...)
	bias, made, err := e.operand(n.In(2), x.DType)
	if err != nil {
		return nil, err
	}
	nodes = append(nodes, made...)
	s := e.start(n, nodes)
	s.step("MatMul", nil, in, w)
	if bias != "" {
		s.step("Add", nil, "", bias)
	}
	return s.finish(n)
}

// conv writes dsk.Conv, with channels first, as Conv, Add of the further operand and the activation.
func (e *exporter) conv(n *model.Node) ([]*model.Node, error) {
	if x, y, err := model.ChannelsLast(n); err != nil || x || y {
		e.gap(n, "only images whose axes are known are turned back")
		return nil, err
	}
	x := e.typeOf(n.In(0))
	w, nodes, err := e.kernel(n, x.DType)
	if err != nil || w == "" {
		return nil, err
	}
	var in [3]string
	for i, k := range []int{0, 2, 3} {
		var made []*model.Node
		if in[i], made, err = e.operand(n.In(k), x.DType); err != nil {
			return nil, err
		}
		nodes = append(nodes, made...)
	}
	attrs := model.Attrs{}
	for _, name := range []string{"kernel_shape", "strides", "pads", "dilations", "group", "auto_pad"} {
		if a, ok := n.Attrs[name]; ok {
			attrs[name] = a
		}
	}
	s := e.start(n, nodes)
	if in[1] != "" {
		s.step("Conv", attrs, in[0], w, in[1])
	} else {
		s.step("Conv", attrs, in[0], w)
	}
	if in[2] != "" {
		s.step("Add", nil, "", in[2])
	}
	return s.finish(n)
}

// operand returns the value that stands for an operand of the given element type, and what makes it.
func (e *exporter) operand(name string, dt tensor.DType) (string, []*model.Node, error) {
	t := e.g.Init[name]
	if name == "" || t == nil {
		return name, nil, nil
	}
	made, err := e.asIs(name, t)
	if err != nil {
		return "", nil, err
	}
	name, cast := e.cast(e.weights[name], t.DType, dt)
	return name, append(made, cast...), nil
}

// cast returns a value in another float type, and what makes it.
func (e *exporter) cast(name string, from, to tensor.DType) (string, []*model.Node) {
	if from == to || from.IsQuantized() || !from.IsFloat() || !to.IsFloat() {
		return name, nil
	}
	key := name + " as " + to.String()
	if e.weights[key] != "" {
		return e.weights[key], nil
	}
	out := e.name(name + ".wide")
	e.weights[key] = out
	return out, []*model.Node{{Op: "Cast", Name: out, Inputs: []string{name}, Outputs: []string{out},
		Attrs: model.Attrs{"to": model.IntAttr(model.ElemCode(to))}}}
}

// steps are nodes that work on one value after another.
type steps struct {
	e     *exporter
	base  string // of the names of nodes and values
	out   string
	nodes []*model.Node
	value string
}

// start begins the nodes that take the place of n, after others.
func (e *exporter) start(n *model.Node, before []*model.Node) *steps {
	name := n.Name
	if name == "" {
		name = n.Outputs[0]
	}
	return &steps{e: e, base: name, out: n.Outputs[0], nodes: before}
}

// step adds a node; the first input "" stands for the value so far.
func (s *steps) step(op string, attrs model.Attrs, inputs ...string) {
	if inputs[0] == "" {
		inputs[0] = s.value
	}
	if attrs == nil {
		attrs = model.Attrs{}
	}
	s.value = s.e.name(s.out + "." + op)
	n := &model.Node{Op: op, Name: s.base + "." + op, Inputs: inputs, Outputs: []string{s.value}, Attrs: attrs}
	s.e.need(opsetOf(n, s.e.typeOf))
	s.nodes = append(s.nodes, n)
}

// finish adds the activation; the last node yields n's output.
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
		s.step(act, nil, "")
	case model.ActLeakyRelu:
		s.step(act, model.Attrs{"alpha": model.FloatAttr(param(0, 0))}, "")
	case model.ActClip:
		in := []string{"", "", ""}
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
		s.step("Gelu", nil, "")
	case model.ActGeluTanh:
		s.step("Gelu", model.Attrs{"approximate": model.StringAttr("tanh")}, "")
	default:
		return nil, fmt.Errorf("node %v: unknown activation %q", n, act)
	}
	s.nodes[len(s.nodes)-1].Outputs = []string{s.out}
	return s.nodes, nil
}

// scalar returns an initializer of one number.
func (e *exporter) scalar(v float32, dt tensor.DType) string {
	key := fmt.Sprint("scalar ", v, dt)
	if e.weights[key] == "" {
		name := e.name(fmt.Sprintf("constant.%g", v))
		t := tensor.New(dt)
		switch dt {
		case tensor.F64:
			tensor.View[float64](t)[0] = float64(v)
		case tensor.F32:
			t.F32()[0] = v
		default:
			tensor.View[uint16](t)[0] = narrow(v, dt)
		}
		e.add(name, t)
		e.weights[key] = name
	}
	return e.weights[key]
}

// gatherRows writes a Gather of rows of quantized weights: their codes and scales are gathered, and rows made of those.
func (e *exporter) gatherRows(n *model.Node) ([]*model.Node, error) {
	t := e.g.Init[n.In(0)]
	if n.Int("axis", 0) != 0 {
		e.gap(n, "only rows of quantized weights can be gathered")
		return nil, nil
	}
	ids, before, err := e.operand(n.In(1), tensor.Invalid)
	if err != nil {
		return nil, err
	}
	s := e.start(n, before)
	if !e.small(t) || len(t.Shape) != 2 {
		made, err := e.asIs(n.In(0), t)
		if err != nil {
			return nil, err
		}
		s.nodes = append(s.nodes, made...)
		s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, e.weights[n.In(0)], ids)
		return s.finish(n)
	}
	codes, scales, err := e.blocks(n.In(0), t, false)
	if err != nil {
		return nil, err
	}
	s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, codes, ids)
	rows := s.value
	s.step("Gather", model.Attrs{"axis": model.IntAttr(0)}, scales, ids)
	s.step("DequantizeLinear", blockAttrs(len(e.typeOf(n.Outputs[0]).Shape)-1), rows, s.value)
	return s.finish(n)
}

// transposed returns the nodes that turn a value, and its name.
func (e *exporter) transposed(name string, perm ...int64) (string, []*model.Node) {
	out := e.name(name + ".turned")
	return out, []*model.Node{{Op: "Transpose", Name: out, Inputs: []string{name}, Outputs: []string{out}, Attrs: model.Attrs{"perm": model.IntsAttr(slices.Clone(perm)...)}}}
}
