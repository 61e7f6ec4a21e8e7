package safetensors

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// architecture is a family of models that can be imported: each arch_*.go file registers its own.
type architecture struct {
	modelType string // as config.json names it
	class     string // the class in "architectures"
	name      string // what Meta.Architecture says
	models    string // some that are of it, for docs/architectures.md
	// build adds the graph to b, sets b.task where it is no language model's, and returns the size of its context in tokens.
	build func(b *builder) (contextLength int)
	// headless is a language model without its head, found by the name of its class: it makes vectors of texts.
	headless bool
}

var architectures []architecture

func register(a architecture) struct{} {
	architectures = append(architectures, a)
	return struct{}{}
}

// findArchitecture returns the architecture that the config names.
func findArchitecture(c *config) (architecture, error) {
	var classes []string
	c.get("architectures", &classes, "a list of names")
	kind := c.text("model_type", "")
	for _, a := range architectures {
		if a.modelType != kind {
			continue
		}
		if len(classes) == 0 || classes[0] == a.class {
			return a, nil
		}
		if bare, ok := strings.CutSuffix(classes[0], classModel); ok && bare+"ForCausalLM" == a.class {
			a.headless = true
			return a, nil
		}
	}
	if kind == "" && len(classes) == 0 {
		c.need("model_type")
		return architecture{}, c.err()
	}
	what := kind
	if len(classes) > 0 {
		what = strings.TrimSpace(kind + " (" + classes[0] + ")")
	}
	var known []string
	for _, a := range architectures {
		known = append(known, a.modelType)
	}
	hint := fmt.Sprintf("dsk knows %d others, which docs/architectures.md lists", len(known))
	if i := slices.Index(known, fault.Nearest(kind, known)); i >= 0 {
		hint = fmt.Sprintf("the nearest that dsk knows is %s (%s)", architectures[i].modelType, architectures[i].class)
	}
	return architecture{}, &fault.Unsupported{Kind: "architecture", Items: []fault.Item{{What: what, Hint: hint}}}
}

// builder makes a graph out of a checkpoint. Its methods are the building blocks that
// architectures share; they return the name of the value that they make. Weights that are missing
// or do not fit are collected and reported at once by err.
type builder struct {
	config   *config
	weights  *checkpoint
	graph    *model.Graph
	missing  []string
	wrong    []string
	gaps     []fault.Item
	failed   error // the first weight with a value that is no number
	params   int64
	warnings []string
	// plainNorms is that of Source.
	plainNorms bool
	ids        string          // the input with a decoder's tokens
	made       map[string]bool // values that several parts ask for
	// What the model is for, the names of its classes, and how it makes vectors of texts.
	task     model.Task
	labels   []string
	sentence *sentence
}

func newBuilder(c *config, w *checkpoint) *builder {
	return &builder{config: c, weights: w, graph: &model.Graph{Init: map[string]*tensor.Tensor{}}, ids: inputIDs, made: map[string]bool{}, task: model.TaskLM}
}

// err returns what was found wrong with the weights.
func (b *builder) err() error {
	var why []string
	if len(b.missing) > 0 {
		sort.Strings(b.missing)
		why = append(why, fmt.Sprintf("%d tensors are missing: %s", len(b.missing), strings.Join(b.missing, ", ")))
	}
	why = append(why, b.wrong...)
	switch {
	case len(why) > 0:
		return fault.Formatf("", "%s", strings.Join(why, "; "))
	case len(b.gaps) > 0:
		return &fault.Unsupported{Kind: "element type", Items: b.gaps}
	}
	return b.failed
}

// node adds a node with one output, out.
func (b *builder) node(domain, op, out string, attrs model.Attrs, in ...string) string {
	b.graph.Nodes = append(b.graph.Nodes, &model.Node{Domain: domain, Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// onnx adds a node of the ONNX domain.
func (b *builder) onnx(op, out string, attrs model.Attrs, in ...string) string {
	return b.node("", op, out, attrs, in...)
}

// constant adds a tensor that is not a weight of the checkpoint.
func (b *builder) constant(name string, t *tensor.Tensor) string {
	b.graph.Init[name] = t
	return name
}

func (b *builder) input(name string, dt tensor.DType, shape ...model.Dim) string {
	b.graph.Inputs = append(b.graph.Inputs, model.Value{Name: name, Type: model.Type{DType: dt, Shape: shape}})
	return name
}

func (b *builder) output(name string, dt tensor.DType, shape ...model.Dim) {
	b.graph.Outputs = append(b.graph.Outputs, model.Value{Name: name, Type: model.Type{DType: dt, Shape: shape}})
}

// weight takes a tensor of the checkpoint, which must have the shape; false if it cannot be used.
func (b *builder) weight(name string, shape ...int) (weight, bool) {
	w, ok := b.weights.tensors[name]
	if !ok && b.weights.random {
		w, ok = randomWeight(name, shape), true
	}
	if !ok {
		b.missing = append(b.missing, name)
		return w, false
	}
	delete(b.weights.unused, name)
	if !tensor.SameShape(w.Shape, shape) {
		b.wrong = append(b.wrong, fmt.Sprintf("tensor %s has shape %v, but config.json calls for %v", name, w.Shape, shape))
		return w, false
	}
	switch w.DType {
	case tensor.F32, tensor.F16, tensor.BF16:
	default:
		b.gaps = append(b.gaps, fault.Item{Where: "tensor " + name, What: w.Type, Hint: "weights can be F32, F16 or BF16"})
		return w, false
	}
	return w, true
}

// has reports whether the checkpoint has a tensor.
func (b *builder) has(name string) bool {
	_, ok := b.weights.tensors[name]
	return ok
}

// matrix adds a weight [n, k] in panels, in the checkpoint's element type.
func (b *builder) matrix(name string, n, k int) string {
	if _, ok := b.graph.Init[name]; ok {
		return name
	}
	if w, ok := b.weight(name, n, k); ok {
		b.params += int64(n) * int64(k)
		b.graph.Init[name] = w.panels()
	}
	return name
}

// vector adds a weight [n] as F32.
func (b *builder) vector(name string, n int) string {
	if _, ok := b.graph.Init[name]; ok {
		return name
	}
	if w, ok := b.weight(name, n); ok {
		t, err := w.vector()
		if err != nil {
			if b.failed == nil {
				b.failed = err
			}
			return name
		}
		b.params += int64(n)
		b.graph.Init[name] = t
	}
	return name
}

// linear is act(x W^T + bias) with the checkpoint's prefix.weight [n, k] and, if asked for, prefix.bias [n].
func (b *builder) linear(out, x, prefix string, n, k int, bias bool, act string) string {
	in := []string{x, b.matrix(prefix+".weight", n, k)}
	if bias {
		in = append(in, b.vector(prefix+".bias", n))
	}
	return b.product(out, act, in...)
}

// embed looks ids up in the checkpoint's table [vocab, width]; the result is F32.
func (b *builder) embed(out, ids, table string, vocab, width int) string {
	return b.lookup(out, ids, b.matrix(table, vocab, width), table)
}

// lookup looks ids up in a table that is in the graph already and came from the checkpoint's tensor of.
func (b *builder) lookup(out, ids, table, of string) string {
	if w := b.weights.tensors[of]; w.DType == tensor.F32 {
		return b.onnx("Gather", out, model.Attrs{"axis": model.IntAttr(0)}, table, ids)
	}
	rows := b.onnx("Gather", out+".rows", model.Attrs{"axis": model.IntAttr(0)}, table, ids)
	return b.onnx("Cast", out, model.Attrs{"to": model.IntAttr(model.ElemCode(tensor.F32))}, rows)
}

// Activations that Linear does not have; product adds nodes for them.
const (
	actRelu2     = "relu2"      // max(x, 0)^2
	actQuickGelu = "quick_gelu" // x sigmoid(1.702 x)

	quickGeluAlpha = 1.702
)

// activations maps the names of config.json to those of Linear.
var activations = map[string]string{
	"silu": model.ActSwish, "swish": model.ActSwish, "gelu": model.ActGelu, "gelu_python": model.ActGelu, "relu": model.ActRelu,
	"gelu_new": model.ActGeluTanh, "gelu_pytorch_tanh": model.ActGeluTanh, "gelu_fast": model.ActGeluTanh,
	"gelu_python_tanh": model.ActGeluTanh, "gelu_accurate": model.ActGeluTanh, "tanh": model.ActTanh, "sigmoid": model.ActSigmoid,
	"linear": model.ActNone, "relu2": actRelu2, "quick_gelu": actQuickGelu,
}

// activation reads the activation under key.
func (b *builder) activation(key, def string) string {
	name := b.config.text(key, def)
	act, ok := activations[name]
	if !ok {
		known := slices.Sorted(maps.Keys(activations))
		b.config.unsupported("activation "+name, "known are "+strings.Join(known, ", "))
	}
	return act
}

// gatedMLP is down(act(gate(x)) * up(x)) (Shazeer 2020), with the checkpoint's names
// prefix.{gate,up,down}_proj.
func (b *builder) gatedMLP(out, x, prefix string, width, inner int, bias bool, act string) string {
	return b.gatedNamed(out, x, prefix+".gate_proj", prefix+".up_proj", prefix+".down_proj", width, inner, bias, act)
}

// gatedNamed is gatedMLP with the names of its three products.
func (b *builder) gatedNamed(out, x, gate, up, down string, width, inner int, bias bool, act string) string {
	product := b.onnx("Mul", out+".product", nil,
		b.linear(out+".gate", x, gate, inner, width, bias, act), b.linear(out+".up", x, up, inner, width, bias, model.ActNone))
	return b.linear(out, product, down, width, inner, bias, model.ActNone)
}

// The values that every language model's graph has; see docs/architecture.md.
const (
	inputIDs    = "input_ids"
	pastLen     = "past_len"
	logitsIndex = "logits_index"
	logits      = "logits"
	kvLen       = "kv_len"       // I64 [batch]: past_len plus the new tokens
	seqLen      = "seq_len"      // I64 [1]: the new tokens
	positionIDs = "position_ids" // I64 [batch, seq]
)

// scalarShape is the shape of a scalar: empty, but not nil.
var scalarShape = []int{}

var (
	dimBatch = model.Sym("batch")
	dimSeq   = model.Sym("seq")
	dimCtx   = model.Sym("ctx")
	dimN     = model.Sym("n")
)

// lmInputs adds the inputs of a language model and what all layers need of them.
func (b *builder) lmInputs() {
	b.input(b.ids, tensor.I64, dimBatch, dimSeq)
	b.input(pastLen, tensor.I64, dimBatch)
	b.input(logitsIndex, tensor.I64, dimN)
	b.onnx("Shape", seqLen, model.Attrs{"start": model.IntAttr(1), "end": model.IntAttr(2)}, b.ids)
	b.onnx("Add", kvLen, nil, pastLen, seqLen)
	zero := b.constant("zero", tensor.FromSlice([]int64{0}, scalarShape...))
	one := b.constant("one", tensor.FromSlice([]int64{1}, scalarShape...))
	axis := b.constant("axis_1", tensor.FromSlice([]int64{1}, 1))
	count := b.onnx("Squeeze", "seq_count", nil, seqLen)
	steps := b.onnx("Range", "seq_steps", nil, zero, count, one)
	first := b.onnx("Unsqueeze", "first_position", nil, pastLen, axis)
	b.onnx("Add", positionIDs, nil, first, steps)
}

// cache adds a state of a layer's keys or values, to which a pass adds those of its tokens, and returns its updated form.
func (b *builder) cache(kind string, layer int, update string, width int) string {
	return b.state(fmt.Sprintf("cache_%s.%d", kind, layer), dimCtx, width, update, pastLen)
}

// state adds a state F32 [batch, length, width] and returns its form with the update [batch, rows, width] in it: from row at[batch] on, or from
// the first without at.
func (b *builder) state(in string, length model.Dim, width int, update string, at ...string) string {
	out := in + ".new"
	b.graph.States = append(b.graph.States, model.State{
		Input:  model.Value{Name: in, Type: model.Type{DType: tensor.F32, Shape: []model.Dim{dimBatch, length, model.Known(width)}}},
		Output: out,
	})
	return b.onnx("TensorScatter", out, model.Attrs{"axis": model.IntAttr(-2)}, append([]string{in, update}, at...)...)
}

// tooManyLayers reports a number of layers that the checkpoint cannot have, so that a hostile config does
// not make a graph without end.
func (b *builder) tooManyLayers(layers int) bool {
	if layers <= len(b.weights.tensors) || b.weights.random && layers <= maxRandomLayers {
		return false
	}
	b.wrong = append(b.wrong, fmt.Sprintf("config.json calls for %d layers, but there are %d tensors", layers, len(b.weights.tensors)))
	return true
}
