package grad

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// opener brings a graph into its training form.
type opener struct {
	g     *model.Graph
	nodes []*model.Node
	cache map[string]bool // inputs of states
}

// open returns a copy of g that computes outputs (g's own if nil) and nothing else, with each fused operator as its parts:
//
//	dsk.Linear, dsk.Conv with an activation -> the product, its Z added, the activation as an operator; a convolution keeps those
//	                                           whose derivative its result tells
//	Gemm with beta or a C that is no vector -> the product, beta C added
//	TensorScatter into a state              -> its update: a cache is empty before a sequence and as long as it
//	Dropout                                 -> Identity
func open(g *model.Graph, outputs []string) (*model.Graph, error) {
	o := &opener{g: g.Clone(), cache: map[string]bool{}}
	if outputs != nil {
		o.g.Outputs = nil
		for _, name := range outputs {
			o.g.Outputs = append(o.g.Outputs, model.Value{Name: name})
		}
	}
	for _, s := range g.States {
		o.cache[s.Input.Name] = true
	}
	for _, n := range o.g.Nodes {
		if err := o.open(n); err != nil {
			return nil, err
		}
	}
	o.g.Nodes = o.nodes
	o.prune()
	return o.g, nil
}

// prune leaves out what no output needs.
func (o *opener) prune() {
	needed := map[string]bool{}
	for _, out := range o.g.Outputs {
		needed[out.Name] = true
	}
	var keep []*model.Node
	for i := len(o.g.Nodes) - 1; i >= 0; i-- {
		n := o.g.Nodes[i]
		wanted := false
		for j, out := range n.Outputs {
			if wanted = wanted || needed[out]; !needed[out] && j > 0 {
				n.Outputs[j] = ""
			}
		}
		if !wanted {
			continue
		}
		keep = append(keep, n)
		for _, in := range n.Inputs {
			needed[in] = true
		}
		for _, sub := range n.Subgraphs() {
			for _, in := range sub.Captures() {
				needed[in] = true
			}
		}
	}
	for i, j := 0, len(keep)-1; i < j; i, j = i+1, j-1 {
		keep[i], keep[j] = keep[j], keep[i]
	}
	o.g.Nodes = keep
	for name := range o.g.Init {
		if !needed[name] {
			delete(o.g.Init, name)
		}
	}
	var inputs []model.Value
	for _, in := range o.g.Inputs {
		if needed[in.Name] {
			inputs = append(inputs, in)
		}
	}
	var states []model.State
	for _, s := range o.g.States {
		if needed[s.Input.Name] {
			states = append(states, s)
		}
	}
	o.g.Inputs, o.g.States = inputs, states
}

func (o *opener) add(n *model.Node) { o.nodes = append(o.nodes, n) }

// node adds an operator of ONNX in the name of n.
func (o *opener) node(n *model.Node, op, out string, attrs model.Attrs, in ...string) {
	o.add(&model.Node{Op: op, Name: n.Name, Inputs: in, Outputs: []string{out}, Attrs: attrs})
}

// open adds a node in its training form.
func (o *opener) open(n *model.Node) error {
	switch {
	case n.Is(model.DomainDsk, "Linear"), n.Is(model.DomainDsk, "Conv"):
		return o.product(n)
	case n.Is("", "Gemm"):
		o.gemm(n)
	case n.Is("", "Dropout"):
		o.node(n, "Identity", n.Outputs[0], nil, n.Inputs[0])
	case n.Is("", "TensorScatter") && o.cache[n.In(0)]:
		o.node(n, "Identity", n.Outputs[0], nil, n.Inputs[1])
	default:
		o.add(n)
	}
	return nil
}

// product adds a dsk.Linear or dsk.Conv without what is fused into it.
func (o *opener) product(n *model.Node) error {
	if _, ok := keptActivation(n); ok && n.Op == "Conv" {
		o.add(n)
		return nil
	}
	out, act := n.Outputs[0], n.Str("activation", model.ActNone)
	params := n.Floats("activation_params")
	delete(n.Attrs, "activation")
	delete(n.Attrs, "activation_params")
	o.add(n)
	if act != model.ActNone {
		n.Outputs[0] = out + ".sum"
	}
	if z := n.In(3); z != "" {
		sum := n.Outputs[0]
		n.Inputs[3], n.Outputs[0] = "", out+".product"
		o.node(n, "Add", sum, nil, n.Outputs[0], z)
	}
	return o.activation(n, act, params, out+".sum", out)
}

// gemm adds a Gemm whose C, if it has one, is a vector without a factor.
func (o *opener) gemm(n *model.Node) {
	c, beta, out := n.In(2), n.Float("beta", 1), n.Outputs[0]
	o.add(n)
	if c == "" {
		return
	}
	if t := o.g.Init[c]; beta == 1 && t != nil && len(t.Shape) == 1 && t.Len() > 1 {
		return
	}
	n.Inputs[2], n.Outputs[0] = "", out+".product"
	if beta != 1 {
		o.node(n, "Mul", out+".c", nil, c, o.scalar(out+".beta", beta))
		c = out + ".c"
	}
	o.node(n, "Add", out, nil, n.Outputs[0], c)
}

func (o *opener) scalar(name string, v float32) string {
	o.g.Init[name] = tensor.FromSlice([]float32{v})
	return name
}

// activation adds the operator that a fused activation stands for.
func (o *opener) activation(n *model.Node, act string, params []float32, x, y string) error {
	need := func(k int) error {
		if len(params) < k {
			return fmt.Errorf("node %v: activation %s has %d parameters, needs %d", n, act, len(params), k)
		}
		return nil
	}
	switch act {
	case model.ActNone:
	case model.ActRelu, model.ActSigmoid, model.ActTanh, model.ActSwish, model.ActHardSwish, model.ActGelu:
		o.node(n, act, y, nil, x)
	case model.ActGeluTanh:
		o.node(n, "Gelu", y, model.Attrs{"approximate": model.StringAttr("tanh")}, x)
	case model.ActLeakyRelu:
		if err := need(1); err != nil {
			return err
		}
		o.node(n, act, y, model.Attrs{"alpha": model.FloatAttr(params[0])}, x)
	case model.ActClip:
		if err := need(2); err != nil {
			return err
		}
		o.node(n, act, y, nil, x, o.scalar(y+".min", params[0]), o.scalar(y+".max", params[1]))
	default:
		return fmt.Errorf("node %v: unknown activation %s", n, act)
	}
	return nil
}

// Sequence returns the shapes and fixed inputs with which a language model's graph is trained on batches of sequences: all
// logits of each, nothing in the caches before. What is left to be given is input_ids I64[batch,seq].
func Sequence(g *model.Graph, batch, seq int) (shapes map[string][]int, fixed map[string]*tensor.Tensor, err error) {
	shapes, fixed = map[string][]int{}, map[string]*tensor.Tensor{}
	for _, in := range g.Inputs {
		switch in.Name {
		case "input_ids":
			shapes[in.Name] = []int{batch, seq}
		case "past_len":
			fixed[in.Name] = tensor.New(tensor.I64, batch)
		case "logits_index":
			t := tensor.New(tensor.I64, seq)
			for i := range t.I64() {
				t.I64()[i] = int64(i)
			}
			fixed[in.Name] = t
		default:
			return nil, nil, fmt.Errorf("input %s is none of a language model", in.Name)
		}
	}
	for _, s := range g.States {
		shape := []int{batch, seq}
		for i, d := range s.Input.Type.Shape {
			if i < 2 {
				continue
			}
			if !d.IsKnown() {
				return nil, nil, fmt.Errorf("state %s is %v, which is not known", s.Input.Name, s.Input.Type)
			}
			shape = append(shape, d.N)
		}
		shapes[s.Input.Name] = shape
	}
	return shapes, fixed, nil
}
