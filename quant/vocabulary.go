package quant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A row of a vocabulary's table, and of the matrix that makes logits, counts as often as its token occurs, and tokens are numbered by about
// how often that is: those that byte-pair merges made first come first. So the rows are cut into parts, each a candidate with a width of its own.
// In the file neighbours of one width are one constant; a table of one width is not cut at all.

// vocabulary is a constant with a row for each token, cut into parts.
type vocabulary struct {
	name  string // in the input model
	edges []int  // the first rows of the parts after the first
	parts []*candidate
}

// smallestPart is the part of a table's rows that the first two parts have; each after them is as large as all before it.
const smallestPart = 32

// rowEdges returns where a table of n rows is cut: whole panels.
func rowEdges(n int) []int {
	var edges []int
	for d := smallestPart; d > 1; d /= 2 {
		if at := n / d / kernels.PanelRows * kernels.PanelRows; at > 0 && !slices.Contains(edges, at) {
			edges = append(edges, at)
		}
	}
	return edges
}

// cutVocabulary cuts the tables whose parts can be told apart: with calibration data, where widths are chosen for each candidate.
func (q *quantizer) cutVocabulary() error {
	q.whole = q.m
	if q.o.Strategy != Adaptive || q.o.Calib == nil || q.m.Meta.LM == nil {
		return nil
	}
	for _, name := range vocabularies(q.m) {
		if edges := rowEdges(q.m.Graph.Init[name].Shape[0]); len(edges) > 0 {
			q.cut = append(q.cut, &vocabulary{name: name, edges: edges})
		}
	}
	if len(q.cut) == 0 {
		return nil
	}
	q.m = q.m.Clone()
	for _, v := range q.cut {
		model.CutRows(q.m.Graph, v.name, v.edges)
	}
	return q.m.Graph.Infer()
}

// findParts finds the candidates that are parts.
func (q *quantizer) findParts() {
	for _, v := range q.cut {
		for _, name := range model.RowNames(q.whole.Graph, v.name, v.edges) {
			for _, c := range q.candidates {
				if c.name == name {
					v.parts = append(v.parts, c)
				}
			}
		}
	}
}

// vocabularies lists, in graph order, the constants with a row for each token that are read only as the table that the model's tokens choose
// rows of, or as the weights of a product without bias.
func vocabularies(m *model.Model) []string {
	g := m.Graph
	var order []string
	fit := map[string]bool{}
	var visit func(nodes []*model.Node, top bool)
	visit = func(nodes []*model.Node, top bool) {
		for _, n := range nodes {
			for i, name := range n.Inputs {
				t := g.Init[name]
				if t == nil || len(t.Shape) != 2 || t.Shape[0] != m.Meta.LM.VocabSize || t.Layout != tensor.Panel16 {
					continue
				}
				var ok bool
				switch {
				case n.Is("", "Gather"):
					ok = top && i == 0 && n.Int("axis", 0) == 0 && slices.ContainsFunc(g.Inputs, func(v model.Value) bool { return v.Name == n.In(1) && v.Type.DType == tensor.I64 })
				case n.Is(model.DomainDsk, "Linear"):
					ok = top && i == 1 && n.In(2) == ""
				}
				if was, seen := fit[name]; seen {
					fit[name] = was && ok
				} else {
					fit[name], order = ok, append(order, name)
				}
			}
			for _, sub := range n.Subgraphs() {
				visit(sub.Nodes, false)
			}
		}
	}
	visit(g.Nodes, true)
	return slices.DeleteFunc(order, func(name string) bool { return !fit[name] })
}

// uncut returns the output of the product with the whole of a part that a node multiplies with; "" if its weights are no part.
func (q *quantizer) uncut(n *model.Node, c *candidate) string {
	for _, v := range q.cut {
		for _, other := range q.whole.Graph.Nodes {
			if slices.Contains(v.parts, c) && other.Is(n.Domain, n.Op) && other.In(1) == v.name && other.In(0) == n.In(0) {
				return other.Outputs[0]
			}
		}
	}
	return ""
}

// width is what a candidate's place in the model has: 0 is its own type.
func (c *candidate) width() int {
	if c.pending {
		return 0
	}
	return c.choice.bits
}

// runs returns the parts in runs of one width.
func (v *vocabulary) runs() [][]*candidate {
	var runs [][]*candidate
	for _, c := range v.parts {
		if n := len(runs); n > 0 && runs[n-1][0].width() == c.width() {
			runs[n-1] = append(runs[n-1], c)
		} else {
			runs = append(runs, []*candidate{c})
		}
	}
	return runs
}

// constants returns the runs, and where all but the first begin.
func (v *vocabulary) constants() (runs [][]*candidate, edges []int) {
	runs = v.runs()
	at := 0
	for _, run := range runs[:len(runs)-1] {
		for _, c := range run {
			at += c.n
		}
		edges = append(edges, at)
	}
	return runs, edges
}

// placeRows puts the parts into a graph that has the whole table, and notes which constants are quantized.
func (q *quantizer) placeRows(g *model.Graph, v *vocabulary, quantized map[string]bool) {
	runs, edges := v.constants()
	for i, name := range model.CutRows(g, v.name, edges) {
		if bits := runs[i][0].width(); bits != 0 {
			g.Init[name] = q.joined(runs[i], bits, g.Init[name].Shape)
			quantized[name] = bits != halfBits
		}
	}
}

// joined returns candidates of one width, whose rows follow each other, as one tensor.
func (q *quantizer) joined(run []*candidate, bits int, shape []int) *tensor.Tensor {
	first := q.quantized(run[0], bits)
	if len(run) == 1 {
		return first
	}
	return tensor.Deferred(first.DType, shape, first.Layout, first.Levels, func(dst []byte) error {
		for _, c := range run {
			n := c.size(bits)
			if err := q.quantized(c, bits).Fill(dst[:n]); err != nil {
				return err
			}
			dst = dst[n:]
		}
		return nil
	})
}

// joinRows turns the entries of parts into those of the file's constants. The relative errors of parts count by what they are relative to.
func (q *quantizer) joinRows(list []TensorReport) []TensorReport {
	for _, v := range q.cut {
		runs, edges := v.constants()
		for i, name := range model.RowNames(q.whole.Graph, v.name, edges) {
			run := runs[i]
			at := slices.IndexFunc(list, func(t TensorReport) bool { return t.Name == run[0].name })
			all := &list[at]
			all.Name, all.Shape, all.Bytes = name, slices.Clone(all.Shape), 0
			all.Shape[0] = 0
			var lost, total, noise, signal, loss float64
			for _, c := range run {
				all.Shape[0] += c.n
				all.Bytes += c.choice.bytes
				lost, total = lost+float64(c.choice.err*c.power), total+c.power
				noise, signal = noise+float64(c.choice.plain*c.energy), signal+c.energy
				loss += float64(c.sens * c.choice.err)
			}
			if total > 0 && signal > 0 {
				all.RelError = lost / total
				all.SQNR, all.Weighted = decibels(noise/signal), decibels(lost/total)
			}
			all.Why = strings.Replace(all.Why, predictedLoss(run[0].sens*run[0].choice.err), predictedLoss(loss), 1)
			list = slices.DeleteFunc(list, func(t TensorReport) bool {
				return slices.ContainsFunc(run[1:], func(c *candidate) bool { return c.name == t.Name })
			})
		}
	}
	return list
}

// predictedLoss says what a choice is made by.
func predictedLoss(v float64) string { return fmt.Sprintf("predicted loss %.3g", v) }
