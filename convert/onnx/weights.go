package onnx

import (
	"math"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/tensor"
)

// countWeight adds a constant to the number of parameters. Scalars are settings, and a
// batch normalization's running statistics are not learnt: neither counts. Matrices of bytes are quantized weights.
func (im *importer) countWeight(source string, t *tensor.Tensor) {
	coded := (t.DType == tensor.I8 || t.DType == tensor.U8) && len(t.Shape) > 1
	if (t.DType.IsFloat() || t.DType.IsSmall() || coded) && len(t.Shape) > 0 && !im.statistics[source] {
		im.parameters += int64(t.Len())
	}
}

// findStatistics notes the running statistics of a graph and its subgraphs.
func (im *importer) findStatistics(g *protoGraph) {
	for _, n := range g.nodes {
		if n.op == "BatchNormalization" && n.domain == "" {
			for _, in := range n.inputs[min(3, len(n.inputs)):] {
				im.statistics[in] = true
			}
		}
		for _, a := range n.attrs {
			if a.g != nil {
				im.findStatistics(a.g)
			}
		}
	}
}

// lastConstants drops all but the last of several Constant nodes that make the same
// value, as ONNX Runtime does: optimizers have left such models behind.
func (im *importer) lastConstants(sc *scope, nodes []*protoNode) []*protoNode {
	last := map[string]int{}
	again := false
	for i, n := range nodes {
		if n.op == "Constant" && n.domain == "" && len(n.outputs) == 1 {
			_, dup := last[n.outputs[0]]
			again = again || dup
			last[n.outputs[0]] = i
		}
	}
	if !again {
		return nodes
	}
	var out []*protoNode
	for i, n := range nodes {
		if n.op == "Constant" && n.domain == "" && len(n.outputs) == 1 && last[n.outputs[0]] != i {
			im.warnings = append(im.warnings, "constant "+sc.path+n.outputs[0]+" is given twice; the last one counts")
			continue
		}
		out = append(out, n)
	}
	return out
}

// floatValues returns the elements of a float tensor.
func floatValues(t *tensor.Tensor) ([]float32, error) {
	t, err := t.Loaded()
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Len())
	switch t.DType {
	case tensor.F32:
		return t.F32(), nil
	case tensor.F64:
		for i, v := range tensor.View[float64](t) {
			out[i] = float32(v)
		}
	case tensor.F16:
		for i, v := range tensor.View[uint16](t) {
			out[i] = float16.Frombits(v).Float32()
		}
	default: // BF16
		for i, v := range tensor.View[uint16](t) {
			out[i] = math.Float32frombits(uint32(v) << 16)
		}
	}
	return out, nil
}
