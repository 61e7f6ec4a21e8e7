// Package grad differentiates model graphs in reverse (Linnainmaa 1970; Griewank and Walther, "Evaluating Derivatives", 2008).
//
// A Tape is a graph bound to concrete shapes. Forward computes its outputs and keeps what Backward needs in one arena; Backward
// goes back over the nodes and adds to the gradient of every parameter. A step allocates nothing, and its results do not depend
// on the number of threads: sums that cross the parts of a task are made of parts whose number is fixed, in a fixed order.
//
// Matrix products go through gonum's blas32. The package does not choose its implementation: kernels/blas.Use registers ours.
// Convolutions with their channels last are those of package kernels.
//
// The tape sees a graph in its training form: fused operators are opened (open.go), weights are F32 whatever they were, and the
// cache of a language model, empty before a sequence, is the sequence's own keys and values.
package grad

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options say how a graph is to be differentiated.
type Options struct {
	// Shapes has the shape of every graph input that is not in Fixed, and of every state.
	Shapes map[string][]int
	// Fixed has inputs whose values never change. What depends on them alone is computed once.
	Fixed map[string]*tensor.Tensor
	// Outputs are the values to compute, inner ones included; nil means the graph's outputs.
	Outputs []string
	// Trainable chooses the weights that are parameters; nil chooses Weights.
	Trainable func(name string) bool
	// InputGrads asks for the gradients of the F32 inputs too.
	InputGrads bool
	// BatchStats makes BatchNormalization use the statistics of the batch and move the running ones (see Tape.Stats). Without it
	// the running ones are constants.
	BatchStats bool
	// Eval computes a node through which no gradient flows and for which the package has no kernel: index arithmetic. The
	// runtime supplies it. nil makes such nodes an error.
	Eval func(n *model.Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)
	// GradsWritten says that all of every OutputGrad is written before each Backward, which may then use up the memory.
	GradsWritten bool
	// Pool runs the work; nil means the calling goroutine.
	Pool *kernels.Pool
}

// Param is a weight that is trained, or a running statistic. Value and Grad lie in memory of the tape: an optimizer writes
// Value where it lies. The Grad of a statistic is nil.
type Param struct {
	Name        string
	Shape       []int
	Value, Grad []float32
}

// Tape is a graph ready to be trained; see New. It must not be used by two goroutines at once.
type Tape struct {
	graph  *model.Graph
	o      Options
	values map[string]*value
	all    []*value
	steps  []*step
	bufs   []*buffer
	rooms  []*buffer // all in the same memory
	inputs []*value
	outs   []*output
	params []Param
	stats  []Param
	flat   []float32 // all parameters' values
	grads  []float32 // all parameters' gradients
	arena  int
}

// value is what the tape knows of a name.
type value struct {
	name     string
	dtype    tensor.DType
	shape    []int
	n        int
	root     *value         // whose memory it is; itself if it is no view
	data     []float32      // of a root of type F32
	grad     []float32      // of a root that needs one
	t        *tensor.Tensor // of a root: the value as a tensor
	needs    bool           // a gradient flows to it
	constant bool           // known when the tape is made
	external bool           // data is a constant's, a parameter's or the caller's
	view     *tensor.Tensor // of a view that Eval reads
}

// x returns the elements of an F32 value.
func (v *value) x() []float32 { return v.root.data }

// dy returns the gradient of the value.
func (v *value) dy() []float32 { return v.root.grad }

// tensor returns the value as a tensor of its own shape.
func (v *value) tensor() *tensor.Tensor {
	if v.root == v {
		return v.t
	}
	v.view.Data = v.root.t.Data
	return v.view
}

// operand is a node's use of a value.
type operand struct {
	*value
	add bool // the gradient holds a share already
}

// sink returns elements [lo, hi) of the operand's gradient, ready to be added to.
func (o *operand) sink(lo, hi int) []float32 {
	g := o.root.grad[lo:hi]
	if !o.add {
		clear(g)
	}
	return g
}

// beta is the factor with which a product takes what the gradient holds.
func (o *operand) beta() float32 {
	if o.add {
		return 1
	}
	return 0
}

// give writes g to the operand's gradient from element at on, or adds it if there is a share already.
func (o *operand) give(g []float32, at int) {
	dst := o.root.grad[at : at+len(g)]
	if o.add {
		kernels.Add(dst, dst, g)
	} else {
		copy(dst, g)
	}
}

// buffer is memory of an operator in the arena.
type buffer struct {
	n     int
	data  []float32
	bytes []byte // the same memory, of a room
}

// output is a value that the caller reads, and the gradient that it gives back.
type output struct {
	name  string
	v     *value
	seed  []float32
	first bool // no other output before it lies in the same memory
	alone bool // the gradient is the seed: nothing but the caller writes it, or it is written anew each time
}

// step is a bound node.
type step struct {
	node     *model.Node
	in       []*operand // nil for an absent one
	out      []*value
	forward  func() error
	backward func()
	clear    []*value // gradients to be zero before backward
	live     bool     // a gradient reaches it
}

// New binds the graph to shapes. The graph is not changed; its weights are copied.
// Operators without a derivative here are a *fault.Unsupported that names all of them.
func New(g *model.Graph, o Options) (*Tape, error) {
	if o.Pool == nil {
		o.Pool = kernels.NewPool(1)
	}
	g, err := open(g, o.Outputs)
	if err != nil {
		return nil, err
	}
	t := &Tape{graph: g, o: o, values: map[string]*value{}}
	if err := t.addWeights(); err != nil {
		return nil, err
	}
	if err := t.addInputs(); err != nil {
		return nil, err
	}
	var gaps []fault.Item
	for _, n := range g.Nodes {
		item, err := t.addNode(n)
		if err != nil {
			return nil, err
		}
		if item != nil {
			gaps = append(gaps, *item)
		}
	}
	if gaps != nil {
		return nil, &fault.Unsupported{Kind: "derivative of operator", Items: gaps}
	}
	for _, out := range g.Outputs {
		v := t.values[out.Name]
		if v == nil {
			return nil, fmt.Errorf("output %q is made by no node", out.Name)
		}
		t.outs = append(t.outs, &output{name: out.Name, v: v})
	}
	t.connect()
	if err := t.place(); err != nil {
		return nil, err
	}
	return t, nil
}

// Bytes returns the size of the arena.
func (t *Tape) Bytes() int { return t.arena }

// Params returns the parameters in the order of their names.
func (t *Tape) Params() []Param { return t.params }

// Stats returns the running statistics that Options.BatchStats moves, in the order of their names.
func (t *Tape) Stats() []Param { return t.stats }

// Flat returns the values and the gradients of all parameters, one behind the other in the order of Params.
func (t *Tape) Flat() (values, grads []float32) { return t.flat, t.grads }

// ZeroGrads sets the gradients of all parameters to 0. Backward adds to them.
func (t *Tape) ZeroGrads() { clear(t.grads) }

// Forward computes the outputs for inputs of the shapes that New was given. The inputs' memory must not change before Backward
// has run.
func (t *Tape) Forward(inputs map[string]*tensor.Tensor) error {
	for _, v := range t.inputs {
		in := inputs[v.name]
		if in == nil {
			return fmt.Errorf("input %s is missing", v.name)
		}
		if in.DType != v.dtype || !tensor.SameShape(in.Shape, v.shape) {
			return fmt.Errorf("input %s is %v, want %v", v.name, in, v.t)
		}
		v.t.Data = in.Data
		if v.dtype == tensor.F32 {
			v.data = in.F32()
		}
	}
	for _, s := range t.steps {
		if s.forward == nil {
			continue
		}
		if err := s.forward(); err != nil {
			return fmt.Errorf("node %v: %w", s.node, err)
		}
	}
	return nil
}

// Output returns an output as the last Forward left it; its memory is the tape's.
func (t *Tape) Output(name string) *tensor.Tensor {
	for _, o := range t.outs {
		if o.name == name {
			return o.v.tensor()
		}
	}
	return nil
}

// OutputGrad returns the place for the derivative of the loss by an output, zero at first: it is to be written before Backward
// and keeps its value, if Options.GradsWritten does not let it go. nil if no gradient flows from the output.
func (t *Tape) OutputGrad(name string) []float32 {
	for _, o := range t.outs {
		if o.name == name {
			return o.seed
		}
	}
	return nil
}

// InputGrad returns the gradient of an input after Backward; nil without Options.InputGrads.
func (t *Tape) InputGrad(name string) []float32 {
	for _, v := range t.inputs {
		if v.name == name {
			return v.grad
		}
	}
	return nil
}

// Backward adds the derivative of the loss by each parameter to its gradient, given what OutputGrad holds. It follows a Forward.
func (t *Tape) Backward() {
	for _, o := range t.outs {
		switch {
		case o.seed == nil || o.alone:
		case o.first:
			copy(o.v.dy(), o.seed)
		default:
			kernels.Add(o.v.dy(), o.v.dy(), o.seed)
		}
	}
	for i := len(t.steps) - 1; i >= 0; i-- {
		s := t.steps[i]
		if !s.live {
			continue
		}
		for _, v := range s.clear {
			clear(v.grad)
		}
		s.backward()
	}
}
