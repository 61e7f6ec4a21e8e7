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

// routed are the rows of tokens in the order of the experts that they were given to.
type routed struct {
	b    *builder
	ends string // the rows up to each expert's last
	experts
}

// product is act(x W^T + bias) of rows with the weights of their experts, and with their rows of the bias, "" for none.
func (r *routed) product(out, act, x, bias string, weight func(e int) string) string {
	in := []string{x, r.ends, bias}
	for e := range r.count {
		in = append(in, weight(e))
	}
	return r.b.activated("Experts", out, act, in...)
}

// mixture is sum_j weights[j] expert[indices[j]](x) over the experts [batch, seq, chosen] of each token; apply takes the rows of x in the order of
// their experts through those.
func (b *builder) mixture(out, x, indices, weights string, e experts, apply func(out, x string, r *routed) string) string {
	rows, ends, slots := out+".rows", out+".ends", out+".slots"
	b.graph.Nodes = append(b.graph.Nodes, &model.Node{Domain: model.DomainDsk, Op: "Dispatch", Name: rows, Inputs: []string{x, indices},
		Outputs: []string{rows, ends, slots}, Attrs: model.Attrs{"num_experts": model.IntAttr(int64(e.count))}})
	y := apply(out+".experts", rows, &routed{b, ends, e})
	return b.node(model.DomainDsk, "Combine", out, nil, y, slots, weights)
}

// softRouted is a mixture whose router is a softmax over the products with the router: the chosen scores as they
// are or, if normalize is set, divided by their sum.
func (b *builder) softRouted(out, x, router string, width int, e experts, normalize bool, apply func(out, x string, r *routed) string) string {
	scores := b.softmax(out+".scores", b.linear(out+".router", x, router, e.count, width, false, model.ActNone))
	weights, indices := b.topK(out+".top", scores, e.chosen)
	if normalize {
		weights = b.normalized(out+".normalized", weights, 0)
	}
	return b.mixture(out, x, indices, weights, e, apply)
}

// gatedExperts are gated MLPs with the checkpoint's names prefix.<e>.{gate,up,down}.
func (b *builder) gatedExperts(prefix string, width int, gate, up, down string) func(out, x string, r *routed) string {
	return func(out, x string, r *routed) string {
		part := func(name, of, act, x string, n, k int) string {
			return r.product(out+"."+name, act, x, "", func(e int) string { return b.matrix(fmt.Sprintf("%s.%d.%s.weight", prefix, e, of), n, k) })
		}
		product := b.onnx("Mul", out+".product", nil, part("gate", gate, r.act, x, r.inner, width), part("up", up, model.ActNone, x, r.inner, width))
		return part("down", down, model.ActNone, product, width, r.inner)
	}
}
