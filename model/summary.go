package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Summary is what inspect prints of a model. Sizes are bytes as stored.
type Summary struct {
	Meta        Meta              `json:"meta"`
	Inputs      []ValueSummary    `json:"inputs"`
	Outputs     []ValueSummary    `json:"outputs"`
	States      []ValueSummary    `json:"states,omitempty"`
	Operators   map[string]int    `json:"operators"`
	Nodes       int               `json:"nodes"`
	TensorCount int               `json:"tensor_count"`
	TensorBytes int64             `json:"tensor_bytes"`
	BytesByType map[string]int64  `json:"bytes_by_type"`
	Assets      map[string]int    `json:"assets"` // name -> bytes
	Tensors     []TensorSummary   `json:"tensors,omitempty"`
	Graph       []NodeSummary     `json:"graph,omitempty"`
	Types       map[string]string `json:"types,omitempty"`
}

// ValueSummary is a graph input, output or state.
type ValueSummary struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// TensorSummary is one weight or constant.
type TensorSummary struct {
	Name   string `json:"name"`
	DType  string `json:"dtype"`
	Layout string `json:"layout"`
	Shape  []int  `json:"shape"`
	Bytes  int64  `json:"bytes"`
}

// NodeSummary is one node.
type NodeSummary struct {
	Name    string            `json:"name"`
	Op      string            `json:"op"`
	Inputs  []string          `json:"inputs"`
	Outputs []string          `json:"outputs"`
	Attrs   map[string]string `json:"attrs,omitempty"`
}

// Summarize describes a model; tensors and graph say whether to list those.
func Summarize(m *Model, tensors, graph bool) *Summary {
	g := m.Graph
	s := &Summary{Meta: m.Meta, Operators: map[string]int{}, BytesByType: map[string]int64{}, Assets: map[string]int{}}
	for _, v := range g.Inputs {
		s.Inputs = append(s.Inputs, ValueSummary{v.Name, v.Type.String()})
	}
	for _, v := range g.Outputs {
		s.Outputs = append(s.Outputs, ValueSummary{v.Name, v.Type.String()})
	}
	for _, v := range g.States {
		s.States = append(s.States, ValueSummary{v.Input.Name, v.Input.Type.String()})
	}
	for name, b := range m.Assets {
		s.Assets[name] = len(b)
	}
	for _, name := range sortedKeys(g.Init) {
		t := g.Init[name]
		n := int64(t.Bytes())
		s.TensorCount++
		s.TensorBytes += n
		s.BytesByType[t.DType.String()] += n
		if tensors {
			s.Tensors = append(s.Tensors, TensorSummary{name, t.DType.String(), t.Layout.String(), t.Shape, n})
		}
	}
	s.addNodes(g, graph)
	if graph {
		s.Types = map[string]string{}
		for name, t := range g.Types {
			s.Types[name] = t.String()
		}
	}
	return s
}

func (s *Summary) addNodes(g *Graph, list bool) {
	for _, n := range g.Nodes {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		s.Nodes++
		s.Operators[op]++
		if list {
			ns := NodeSummary{Name: n.Name, Op: op, Inputs: n.Inputs, Outputs: n.Outputs, Attrs: map[string]string{}}
			for name, a := range n.Attrs {
				ns.Attrs[name] = a.String()
			}
			s.Graph = append(s.Graph, ns)
		}
		for _, sub := range n.Subgraphs() {
			s.addNodes(sub, list)
		}
	}
}

// String shows the attribute's value; of tensors and graphs only what they are.
func (a Attr) String() string {
	switch a.Kind {
	case AttrInt:
		return fmt.Sprint(a.Int)
	case AttrFloat:
		return fmt.Sprint(a.Float)
	case AttrString:
		return a.Str
	case AttrInts:
		return fmt.Sprint(a.Ints)
	case AttrFloats:
		return fmt.Sprint(a.Floats)
	case AttrStrings:
		return fmt.Sprint(a.Strs)
	case AttrTensor:
		return describe(a.Tensor)
	case AttrGraph:
		return fmt.Sprintf("graph of %d nodes", len(a.Graph.Nodes))
	}
	return ""
}

func describe(t *tensor.Tensor) string {
	if t.DType == tensor.F32 && len(t.Data) == 4 {
		return fmt.Sprintf("%v %g", t, t.F32()[0])
	}
	return t.String()
}
