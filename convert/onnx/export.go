package onnx

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The ways in which Export writes quantized weights.
const (
	// WeightsQDQ keeps them small: one byte a weight, -64..63, and a float32 scale for each 32 of them, read by a blocked
	// DequantizeLinear (opset 21). Levels of two, three and four bits are tables, not multiples of a step, so that neither INT4 nor
	// MatMulNBits of com.microsoft could hold them exactly; a byte does.
	WeightsQDQ = "qdq"
	// WeightsF32 writes the float32 numbers that they stand for.
	WeightsF32 = "f32"
)

// ExportOptions say how to write a model.
type ExportOptions struct {
	// Weights is WeightsQDQ (the default, "") or WeightsF32. Both stand for the same numbers; weights that are no blocks stay as they are.
	Weights string
	// Version of dsk, which the file names as its producer.
	Version string
}

// maxProto bounds a protobuf message: its lengths are signed 32-bit numbers in most readers.
const maxProto = 1<<31 - 1

// Export writes a model as an ONNX file of standard operators. Ours become ONNX's: images have their channels first again, fused activations
// and sums are nodes of their own, packed weights lie in rows. The caches of a language model (model.Graph.States) become inputs
// and outputs: the caller passes zeros of the context's length first and then what the run before returned. The same model gives the same bytes.
//
// A model whose activations dsk quantizes as it runs (weights of blocks) computes with float activations elsewhere, from the same weights.
//
// Errors: *fault.Unsupported with everything that ONNX has no form for; *fault.Usage for unknown options.
func Export(ctx context.Context, w io.Writer, m *model.Model, o ExportOptions) error {
	e, err := newExporter(m, o)
	if err != nil {
		return err
	}
	msg, err := e.model(m)
	if err != nil {
		return err
	}
	if msg.size > maxProto {
		return &fault.Unsupported{Kind: "model", Items: []fault.Item{{What: fmt.Sprintf("%d MiB in one ONNX file", msg.size>>20),
			Hint: "protobuf messages end at 2 GiB: dsk quantize makes the weights smaller"}}}
	}
	return msg.write(ctx, w)
}

// exporter is a graph on its way out.
type exporter struct {
	g       *model.Graph
	o       ExportOptions
	weights map[string]string // names of values made of initializers, by name and form
	// prologue makes those values; its nodes come before all others.
	prologue []*model.Node
	plain    map[string]bool // initializers that some node reads as they are
	inits    []namedTensor
	taken    map[string]bool
	labels   map[string]bool // names of nodes
	gaps     []fault.Item
	opset    int
	types    []tensor.DType         // element types that initializers and values have
	domains  map[string]int         // beside the default one
	coded    map[string]*model.Node // what makes a weight of constant levels, by the weight
	makers   map[string]*model.Node
}

type namedTensor struct {
	name string
	t    *tensor.Tensor
}

func newExporter(m *model.Model, o ExportOptions) (*exporter, error) {
	if o.Weights == "" {
		o.Weights = WeightsQDQ
	}
	if o.Weights != WeightsQDQ && o.Weights != WeightsF32 {
		return nil, &fault.Usage{What: fmt.Sprintf("unknown form of weights %q: in an ONNX file it is %s or %s", o.Weights, WeightsQDQ, WeightsF32)}
	}
	g := m.Graph.Clone()
	if err := g.Check(); err != nil {
		return nil, err
	}
	if err := g.Infer(); err != nil {
		return nil, fault.Formatf("graph", "%v", err)
	}
	if err := model.SplitQuantized(g); err != nil {
		return nil, fault.Formatf("graph", "%v", err)
	}
	if err := model.ChannelsFirst(g); err != nil {
		return nil, err
	}
	e := &exporter{g: g, o: o, weights: map[string]string{}, plain: map[string]bool{}, taken: map[string]bool{}, labels: map[string]bool{}, opset: baseOpset, domains: map[string]int{}}
	e.findCoded()
	for name := range g.Types {
		e.taken[name] = true
	}
	for name := range g.Init {
		e.taken[name] = true
	}
	eachNode(g, func(n *model.Node) {
		for _, out := range n.Outputs {
			e.taken[out] = true
		}
		for i, in := range n.Inputs {
			if !model.ProductWeight(n, i) {
				e.plain[in] = true
			}
		}
		for _, s := range n.Subgraphs() {
			for _, out := range s.Outputs {
				e.plain[out.Name] = true
			}
		}
	})
	for _, v := range g.Outputs {
		e.plain[v.Name] = true
	}
	return e, nil
}

// model makes the ModelProto.
func (e *exporter) model(m *model.Model) (*encoded, error) {
	graph, err := e.graph(e.g, true)
	if err != nil {
		return nil, err
	}
	if len(e.gaps) > 0 {
		return nil, &fault.Unsupported{Kind: "operator", Items: collapse(e.gaps)}
	}
	for _, dt := range e.types {
		e.need(opsetOfType(dt))
	}
	msg := &encoded{}
	msg.varint(1, uint64(irVersion(e.opset)))
	msg.text(2, "dsk")
	msg.text(3, e.o.Version)
	msg.message(7, graph)
	opset := func(domain string, version int) {
		s := &encoded{}
		if domain != "" {
			s.text(1, domain)
		}
		s.varint(2, uint64(version))
		msg.message(8, s)
	}
	opset("", e.opset)
	for _, d := range slices.Sorted(maps.Keys(e.domains)) {
		opset(d, e.domains[d])
	}
	if m.Meta.License != "" {
		s := &encoded{}
		s.text(1, "license")
		s.text(2, m.Meta.License)
		msg.message(14, s)
	}
	return msg, nil
}

// graph makes a GraphProto. The top graph's initializers are written last: its nodes decide which there are.
func (e *exporter) graph(g *model.Graph, top bool) (*encoded, error) {
	var nodes []*model.Node
	for _, n := range g.Nodes {
		list, err := e.lower(n)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, list...)
	}
	for _, v := range g.Outputs {
		if t := e.g.Init[v.Name]; t != nil {
			e.asIs(v.Name, t)
		}
	}
	list, err := e.nodes(nodes)
	if err != nil {
		return nil, err
	}
	if top {
		before, err := e.nodes(e.prologue)
		if err != nil {
			return nil, err
		}
		list = append(before, list...)
	}
	msg := &encoded{}
	for _, p := range list {
		msg.message(1, p)
	}
	name := g.Name
	if name == "" {
		name = "graph"
	}
	msg.text(2, name)
	inputs, outputs := slices.Clone(g.Inputs), slices.Clone(g.Outputs)
	for _, s := range g.States {
		inputs = append(inputs, s.Input)
		outputs = append(outputs, model.Value{Name: s.Output, Type: s.Input.Type})
	}
	if top {
		for _, t := range e.inits {
			p, err := e.tensor(t.name, t.t)
			if err != nil {
				return nil, err
			}
			msg.message(5, p)
		}
	}
	for i, list := range [][]model.Value{inputs, outputs} {
		for _, v := range list {
			t := v.Type
			if known, ok := g.Types[v.Name]; ok && t.DType == tensor.Invalid {
				t = known
			}
			msg.message(11+i, e.value(v.Name, t))
		}
	}
	return msg, nil
}

// nodes makes NodeProtos. What subgraphs need joins the prologue meanwhile.
func (e *exporter) nodes(nodes []*model.Node) ([]*encoded, error) {
	var list []*encoded
	for _, n := range nodes {
		p, err := e.node(n)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// gap notes something that cannot be written.
func (e *exporter) gap(n *model.Node, hint string) {
	what := n.Op
	if n.Domain != "" {
		what = n.Domain + "." + what
	}
	e.gaps = append(e.gaps, fault.Item{Where: "node " + n.String(), What: what, Hint: hint})
}

// name returns a new name like base.
func (e *exporter) name(base string) string {
	return unique(e.taken, base)
}

// unique returns base or, if that is taken, base with a number, and takes it.
func unique(taken map[string]bool, base string) string {
	name := base
	for i := 1; taken[name]; i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	taken[name] = true
	return name
}

// need raises the operator set.
func (e *exporter) need(opset int) { e.opset = max(e.opset, opset) }

// add makes t an initializer.
func (e *exporter) add(name string, t *tensor.Tensor) {
	e.inits = append(e.inits, namedTensor{name, t})
	e.types = append(e.types, t.DType)
}

// value makes a ValueInfoProto. Dimensions of which nothing is known but that they are computed have no name outside.
func (e *exporter) value(name string, t model.Type) *encoded {
	v := &encoded{}
	v.text(1, name)
	if t.DType != tensor.Invalid {
		v.message(2, e.typeProto(t))
	}
	return v
}

func (e *exporter) typeProto(t model.Type) *encoded {
	msg := &encoded{}
	if t.DType.Holds() {
		inner := &encoded{}
		inner.message(1, e.typeProto(model.Type{DType: t.DType.Item()}))
		if t.DType.IsOptional() {
			msg.message(9, inner)
		} else {
			msg.message(4, inner)
		}
		return msg
	}
	e.types = append(e.types, t.DType)
	inner := &encoded{}
	inner.varint(1, uint64(model.ElemCode(t.DType)))
	if t.Shape != nil {
		shape := &encoded{}
		for _, d := range t.Shape {
			dim := &encoded{}
			switch {
			case d.IsKnown():
				dim.varint(1, uint64(d.N))
			case d.Sym != "" && !strings.HasPrefix(d.Sym, "="):
				dim.text(2, d.Sym)
			}
			shape.message(1, dim)
		}
		inner.message(2, shape)
	}
	msg.message(1, inner)
	return msg
}
