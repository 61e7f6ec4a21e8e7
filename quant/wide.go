package quant

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// minWide is the number of elements below which a constant that is no candidate is not worth a line in the report.
const minWide = 256

// wide lists the weights that are no candidates, with the reason, in graph order: float constants of two and more
// dimensions.
func (q *quantizer) wide() []TensorReport {
	narrowed := map[string]bool{}
	for _, name := range q.narrowable() {
		narrowed[name] = true
	}
	done := map[string]bool{}
	for _, c := range q.candidates {
		done[c.name] = true
	}
	var out []TensorReport
	var visit func(nodes []*model.Node)
	visit = func(nodes []*model.Node) {
		for _, n := range nodes {
			for i, name := range n.Inputs {
				t := q.m.Graph.Init[name]
				if t == nil || done[name] || len(t.Shape) < 2 || t.Len() < minWide || !isFloat(t.DType) {
					continue
				}
				done[name] = true
				r := TensorReport{
					Name: name, Shape: t.Shape, Bits: 8 * t.DType.Size(), Bytes: int64(t.Bytes()), Why: "stays: " + q.whyWide(name, n, i, t),
				}
				if narrowed[name] {
					r.Bits, r.Bytes = halfBits, r.Bytes/2
				}
				out = append(out, r)
			}
			for _, sub := range n.Subgraphs() {
				visit(sub.Nodes)
			}
		}
	}
	visit(q.m.Graph.Nodes)
	return out
}

func isFloat(dt tensor.DType) bool { return dt == tensor.F32 || dt == tensor.F16 || dt == tensor.BF16 }

// whyWide says why a constant, of which operand i of n is the first use, is no candidate.
func (q *quantizer) whyWide(name string, n *model.Node, i int, t *tensor.Tensor) string {
	switch {
	case n.Is(model.DomainDsk, "Conv") && i == 1 && n.Int("group", 1) != 1:
		return fmt.Sprintf("convolution in %d groups", n.Int("group", 1))
	case !takesBlocks(n, i):
		return fmt.Sprintf("operand %d of %s, which reads floats", i, n.Op)
	case t.Layout != tensor.Panel16:
		return "not laid out in panels"
	}
	return "also read by an operator that takes floats only"
}
