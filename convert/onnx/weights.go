package onnx

import "github.com/dsk-toolkit/dsk/tensor"

// countWeight adds a constant to the number of parameters. Scalars are settings, and a
// batch normalization's running statistics are not learnt: neither counts.
func (im *importer) countWeight(source string, t *tensor.Tensor) {
	if t.DType.IsFloat() && len(t.Shape) > 0 && !im.statistics[source] {
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
