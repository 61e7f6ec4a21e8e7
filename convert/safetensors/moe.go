package safetensors

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// experts describes a mixture of experts (Shazeer et al. 2017): a router scores all of them for each token, the best
// chosen count.
type experts struct {
	count, chosen int
	inner         int
	act           string
}

// readExperts reads how many experts there are, under one of the keys, and how many count.
func readExperts(c *config, countKey string, count, chosen int) experts {
	e := experts{count: c.countOr(countKey, count), chosen: c.countOr("num_experts_per_tok", chosen)}
	if e.count > maxExperts || e.chosen > e.count {
		c.wrong = append(c.wrong, fmt.Sprintf("%d of %s %d experts cannot be chosen (at most %d are possible)", e.chosen, countKey, e.count, maxExperts))
		e.count, e.chosen = 1, 1
	}
	return e
}

// topK returns the k largest along the last axis, and where they are.
func (b *builder) topK(out, x string, k int) (values, indices string) {
	values, indices = out+".values", out+".indices"
	b.graph.Nodes = append(b.graph.Nodes, &model.Node{Op: "TopK", Name: out, Inputs: []string{x, b.ints(int64(k))}, Outputs: []string{values, indices},
		Attrs: model.Attrs{"axis": model.IntAttr(-1)}})
	return values, indices
}

// softmax is along the last axis.
func (b *builder) softmax(out, x string) string {
	return b.onnx("Softmax", out, model.Attrs{"axis": model.IntAttr(-1)}, x)
}

// normalized is x divided by its sum along the last axis plus eps.
func (b *builder) normalized(out, x string, eps float64) string {
	sum := b.onnx("ReduceSum", out+".sum", nil, x, b.ints(-1))
	if eps != 0 {
		sum = b.onnx("Add", out+".sum_eps", nil, sum, b.scalar(eps))
	}
	return b.onnx("Div", out, nil, x, sum)
}

// filled has the shape of like, and value in each place.
func (b *builder) filled(out, like string, value float32) string {
	shape := b.onnx("Shape", out+".shape", nil, like)
	return b.onnx("ConstantOfShape", out, model.Attrs{"value": {Kind: model.AttrTensor, Tensor: tensor.FromSlice([]float32{value}, 1)}}, shape)
}

// scatter puts values [..., k] at indices [..., k] of zeros of the shape of like [..., n].
func (b *builder) scatter(out, like, indices, values string) string {
	return b.onnx("ScatterElements", out, model.Attrs{"axis": model.IntAttr(-1)}, b.filled(out+".zeros", like, 0), indices, values)
}

// mixture is sum_e weight[e] expert_e(x) with the weights [batch, seq, chosen] of the experts that indices name, and 0 for the others;
// scores has an element for each expert. Every expert is computed for every token: operators with shapes that do not
// depend on data cannot leave the others out.
func (b *builder) mixture(out, scores, indices, weights string, count int, expert func(out string, e int) string) string {
	all := b.scatter(out+".weights", scores, indices, weights)
	split := &model.Node{Op: "Split", Name: out + ".split", Inputs: []string{all},
		Attrs: model.Attrs{"axis": model.IntAttr(-1), "num_outputs": model.IntAttr(int64(count))}}
	for e := range count {
		split.Outputs = append(split.Outputs, fmt.Sprintf("%s.weight.%d", out, e))
	}
	b.graph.Nodes = append(b.graph.Nodes, split)
	sum := ""
	for e := range count {
		name := fmt.Sprintf("%s.experts.%d", out, e)
		y := b.onnx("Mul", name+".weighted", nil, expert(name, e), split.Outputs[e])
		if sum == "" {
			sum = y
		} else {
			sum = b.onnx("Add", name+".sum", nil, sum, y)
		}
	}
	return sum
}

// routed is a mixture whose router is a softmax over the products with prefix's router: the chosen scores as they
// are or, if normalize is set, divided by their sum.
func (b *builder) routed(out, x, router string, width int, e experts, normalize bool, expert func(out string, e int) string) string {
	scores := b.softmax(out+".scores", b.linear(out+".router", x, router, e.count, width, false, model.ActNone))
	weights, indices := b.topK(out+".top", scores, e.chosen)
	if normalize {
		weights = b.normalized(out+".normalized", weights, 0)
	}
	return b.mixture(out, scores, indices, weights, e.count, expert)
}

// gatedExperts are experts with the checkpoint's names prefix.<e>.{gate,up,down}.
func (b *builder) gatedExperts(x, prefix string, width int, e experts, gate, up, down string) func(out string, i int) string {
	return func(out string, i int) string {
		p := fmt.Sprintf("%s.%d.", prefix, i)
		return b.gatedNamed(out, x, p+gate, p+up, p+down, width, e.inner, false, e.act)
	}
}
