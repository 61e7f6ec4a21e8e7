package distill

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Target is what a student must fit: the inputs and classes of its teacher or of the data.
type Target struct {
	Channels, Height, Width int // of pictures
	Classes                 int
	Vocab, Context          int // of texts
	Seed                    uint64
}

// FromSpec builds an untrained model from a line of text:
//
//	conv 16,32,64 x2        stages of 3x3 convolutions with so many channels, two in each (x1 without), batch normalization
//	                        and Relu behind each; a stage ends in 2x2 max pooling but the last, which is averaged; the head
//	conv 16,32 x2 res       the same, the second and later convolutions of a stage with a residual around them
//	dense 10                products with so many outputs, batch normalization and Relu behind each; the head
//	dense 32,16 pool=2      the same for the averages of squares of 2x2 pixels
//	llama hidden=128 layers=4 heads=4 kv=2 inner=384 ctx=256 vocab=4096
//	                        a decoder as Llama's; heads is hidden/32 without, kv heads, inner 3 hidden, ctx and vocab the target's;
//	                        the head shares the embedding
//
// Weights are drawn from normal distributions with the target's seed: He et al. (2015) for pictures, .02 for decoders.
func FromSpec(spec string, t Target) (*model.Model, error) {
	b := &builder{graph: &model.Graph{Name: "student", Init: map[string]*tensor.Tensor{}}, rng: rand.New(rand.NewPCG(t.Seed, 1))}
	meta, err := b.build(spec, t)
	if err != nil {
		return nil, err
	}
	if err := b.graph.Infer(); err != nil {
		return nil, fmt.Errorf("student %q: %w", spec, err)
	}
	meta.Name, meta.Parameters, meta.Source.Format, meta.Steps = "student", b.parameters, "spec", []model.Step{}
	return &model.Model{Graph: b.graph, Meta: meta, Assets: map[string][]byte{}}, nil
}

// parametersOf counts the weights of a description without making them.
func parametersOf(spec string, t Target) (int64, error) {
	b := &builder{graph: &model.Graph{Init: map[string]*tensor.Tensor{}}, bare: true}
	if _, err := b.build(spec, t); err != nil {
		return 0, err
	}
	return b.parameters, nil
}

// build adds what a description says.
func (b *builder) build(spec string, t Target) (model.Meta, error) {
	words := strings.Fields(spec)
	if len(words) == 0 {
		return model.Meta{}, &fault.Usage{What: `a student's description is empty: try "conv 16,32,64 x2" or "llama hidden=128 layers=4"`}
	}
	var meta model.Meta
	var err error
	switch words[0] {
	case "conv":
		meta, err = b.conv(words[1:], t)
	case "dense":
		meta, err = b.dense(words[1:], t)
	case "llama":
		meta, err = b.llama(words[1:], t)
	default:
		err = fmt.Errorf("no family %q: there are conv, dense and llama", words[0])
	}
	if err != nil {
		return meta, &fault.Usage{What: fmt.Sprintf("student %q: %v", spec, err)}
	}
	return meta, b.lacking
}

// maxSize caps each number of a description, and maxRepeats each that repeats layers.
const (
	maxSize    = 1 << 20
	maxRepeats = 1 << 10
)

// number reads a count.
func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxSize {
		return 0, fmt.Errorf("%q is no count from 1 to %d", s, maxSize)
	}
	return n, nil
}

// builder makes a graph with random weights.
type builder struct {
	graph      *model.Graph
	rng        *rand.Rand
	parameters int64
	elements   int   // of weights and tables
	bare       bool  // weights are counted, not made
	lacking    error // the memory that they would need; none are made from then on
}

// table adds zeros that are no parameter and returns them; nil if they are not wanted.
func (b *builder) table(name string, shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if b.elements += n; b.bare || b.lacking != nil {
		return nil
	}
	if b.lacking = tensor.Room(4*b.elements, "the student"); b.lacking != nil {
		return nil
	}
	t := tensor.New(tensor.F32, shape...)
	b.graph.Init[name] = t
	return t.F32()
}

// weight is table for what is trained.
func (b *builder) weight(name string, shape ...int) []float32 {
	w := b.table(name, shape...)
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	b.parameters += n
	return w
}

// node adds an operator of ONNX and returns its output.
func (b *builder) node(op, out string, attrs model.Attrs, in ...string) string {
	b.graph.Nodes = append(b.graph.Nodes, &model.Node{Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	return out
}

// linear adds a product without a bias.
func (b *builder) linear(out, x, w string) string {
	b.graph.Nodes = append(b.graph.Nodes, &model.Node{Domain: model.DomainDsk, Op: "Linear", Name: out, Inputs: []string{x, w}, Outputs: []string{out}})
	return out
}

// constant adds a value that is no parameter.
func (b *builder) constant(name string, t *tensor.Tensor) string {
	b.graph.Init[name] = t
	return name
}

// normal adds a weight drawn from a normal distribution.
func (b *builder) normal(name string, deviation float64, shape ...int) string {
	w := b.weight(name, shape...)
	for i := range w {
		w[i] = float32(b.rng.NormFloat64() * deviation)
	}
	return name
}

// filled adds a weight with one value.
func (b *builder) filled(name string, v float32, n int) string {
	w := b.weight(name, n)
	for i := range w {
		w[i] = v
	}
	return name
}

// conv builds a convolutional classifier of pictures.
func (b *builder) conv(words []string, t Target) (model.Meta, error) {
	meta := model.Meta{Task: model.TaskClassify, Architecture: "conv"}
	if len(words) == 0 {
		return meta, fmt.Errorf("the channels of the stages are missing")
	}
	repeat, residual := 1, false
	for _, w := range words[1:] {
		switch n, found := strings.CutPrefix(w, "x"); {
		case w == "res":
			residual = true
		case found:
			var err error
			if repeat, err = number(n); err != nil {
				return meta, err
			}
			if repeat > maxRepeats {
				return meta, fmt.Errorf("x%d is above x%d", repeat, maxRepeats)
			}
		default:
			return meta, fmt.Errorf("%q is neither xN nor res", w)
		}
	}
	x, err := b.pictures(t)
	if err != nil {
		return meta, err
	}
	stages := strings.Split(words[0], ",")
	if side := min(t.Height, t.Width); len(stages) > 30 || side>>(len(stages)-1) < 1 {
		return meta, fmt.Errorf("%d stages halve pictures of %dx%d to nothing", len(stages), t.Height, t.Width)
	}
	channels := t.Channels
	for i, s := range stages {
		n, err := number(s)
		if err != nil {
			return meta, err
		}
		for j := range repeat {
			name := fmt.Sprintf("stage%d.conv%d", i, j)
			y := b.convolution(name, x, channels, n)
			if residual && j > 0 {
				y = b.node("Add", name+".sum", nil, y, x)
			}
			x, channels = b.node("Relu", name+".relu", nil, y), n
		}
		if i < len(stages)-1 {
			x = b.node("MaxPool", fmt.Sprintf("stage%d.pool", i), model.Attrs{"kernel_shape": model.IntsAttr(2, 2), "strides": model.IntsAttr(2, 2)}, x)
		}
	}
	x = b.node("GlobalAveragePool", "pooled", nil, x)
	x = b.node("Flatten", "features", nil, x)
	b.head(x, channels, t.Classes)
	return meta, nil
}

// pictures adds the input of pictures and returns its name.
func (b *builder) pictures(t Target) (string, error) {
	if t.Vocab > 0 && t.Height < 1 {
		return "", fmt.Errorf("this is a model of pictures, but the teacher is a language model: try \"llama hidden=128 layers=4\"")
	}
	if t.Channels < 1 || t.Height < 1 || t.Width < 1 || t.Classes < 1 {
		return "", fmt.Errorf("the data has no pictures of a known size and classes")
	}
	b.graph.Inputs = []model.Value{{Name: "input", Type: model.Type{DType: tensor.F32,
		Shape: []model.Dim{model.Sym("batch"), model.Known(t.Channels), model.Known(t.Height), model.Known(t.Width)}}}}
	return "input", nil
}

// head adds the product whose outputs are the logits.
func (b *builder) head(x string, in, classes int) {
	w := b.normal("head.weight", math.Sqrt(1/float64(in)), classes, in)
	b.node("Gemm", "logits", model.Attrs{"transB": model.IntAttr(1)}, x, w, b.filled("head.bias", 0, classes))
	b.graph.Outputs = []model.Value{{Name: "logits"}}
}

// convolution adds a 3x3 convolution of the same size and its batch normalization.
func (b *builder) convolution(name, x string, in, out int) string {
	w := b.normal(name+".weight", math.Sqrt(2/float64(9*in)), out, in, 3, 3)
	return b.normalized(name, b.node("Conv", name, model.Attrs{"kernel_shape": model.IntsAttr(3, 3), "pads": model.IntsAttr(1, 1, 1, 1)}, x, w), out)
}

// normalized adds the batch normalization of a layer's channels.
func (b *builder) normalized(name, x string, out int) string {
	scale, bias := b.filled(name+".norm.scale", 1, out), b.filled(name+".norm.bias", 0, out)
	mean, variance := name+".norm.mean", name+".norm.var"
	b.table(mean, out)
	v := b.table(variance, out)
	for i := range v {
		v[i] = 1
	}
	return b.node("BatchNormalization", name+".norm", nil, x, scale, bias, mean, variance)
}
