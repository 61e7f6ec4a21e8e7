package grad_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/kernels/blas"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestMain(m *testing.M) {
	pool := kernels.NewPool(3)
	blas.Use(pool)
	m.Run()
	pool.Close()
}

// opCase is one operator whose derivative is compared with differences of its values.
type opCase struct {
	name   string
	domain string
	op     string
	attrs  model.Attrs
	in     []any // see operands
	outs   int   // number of outputs, 0 for 1
	loose  float64
	batch  bool // Options.BatchStats
}

// x is a differentiated input with elements spread evenly over [lo, hi], no two closer than a step: kinks stay clear of
// differences.
type x struct {
	shape  []int
	lo, hi float64
}

func in(shape ...int) x { return x{shape, -1.5, 1.6} }

func positive(shape ...int) x { return x{shape, 0.5, 2} }

// values fills an input: a shuffled grid.
func (v x) values(r *rand.Rand) *tensor.Tensor {
	t := tensor.New(tensor.F32, v.shape...)
	f := t.F32()
	for i, p := range r.Perm(len(f)) {
		f[i] = float32(v.lo + (v.hi-v.lo)*(float64(p)+0.5)/float64(len(f)))
	}
	return t
}

func ints(v ...int64) *tensor.Tensor { return tensor.FromSlice(v, len(v)) }

func scalar(v float32) *tensor.Tensor { return tensor.FromSlice([]float32{v}) }

// graph builds the graph of a case: the operator, and with extra a second use of every differentiated input.
func (c *opCase) graph(t *testing.T, r *rand.Rand, extra bool) (*model.Graph, map[string]*tensor.Tensor) {
	t.Helper()
	g := &model.Graph{Name: c.name, Init: map[string]*tensor.Tensor{}}
	n := &model.Node{Domain: c.domain, Op: c.op, Name: "node", Attrs: c.attrs}
	inputs := map[string]*tensor.Tensor{}
	var second []*model.Node
	for i, spec := range c.in {
		name := fmt.Sprintf("in%d", i)
		switch v := spec.(type) {
		case nil:
			name = ""
		case *tensor.Tensor:
			g.Init[name] = v
		case x:
			inputs[name] = v.values(r)
			g.Inputs = append(g.Inputs, model.Value{Name: name, Type: model.TypeOf(inputs[name])})
			second = append(second, &model.Node{Op: "Neg", Name: "second", Inputs: []string{name}, Outputs: []string{"neg." + name}})
		default:
			t.Fatalf("operand %T", spec)
		}
		n.Inputs = append(n.Inputs, name)
	}
	for i := range max(c.outs, 1) {
		n.Outputs = append(n.Outputs, fmt.Sprintf("out%d", i))
		g.Outputs = append(g.Outputs, model.Value{Name: n.Outputs[i]})
	}
	g.Nodes = []*model.Node{n}
	if extra {
		for _, s := range second {
			g.Nodes = append(g.Nodes, s)
			g.Outputs = append(g.Outputs, model.Value{Name: s.Outputs[0]})
		}
	}
	return g, inputs
}

func shapesOf(inputs map[string]*tensor.Tensor) map[string][]int {
	shapes := map[string][]int{}
	for name, v := range inputs {
		shapes[name] = v.Shape
	}
	return shapes
}

// loss is sum_o sum_i seed[o][i] out[o][i] in float64.
func loss(t *testing.T, tape *grad.Tape, g *model.Graph, inputs map[string]*tensor.Tensor) float64 {
	t.Helper()
	if err := tape.Forward(inputs); err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, o := range g.Outputs {
		out := tape.Output(o.Name).F32()
		for i, s := range tape.OutputGrad(o.Name) {
			sum += float64(s) * float64(out[i])
		}
	}
	return sum
}

// gradients runs a step and returns the gradient of every input.
func gradients(t *testing.T, g *model.Graph, o grad.Options, inputs map[string]*tensor.Tensor) (*grad.Tape, map[string][]float32) {
	t.Helper()
	tape, err := grad.New(g, o)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for _, out := range g.Outputs {
		for i := range tape.OutputGrad(out.Name) {
			tape.OutputGrad(out.Name)[i] = float32(r.NormFloat64())
		}
	}
	for range 2 { // the second step meets the memory that the first left
		loss(t, tape, g, inputs)
		tape.Backward()
	}
	all := map[string][]float32{}
	for name := range inputs {
		all[name] = slices.Clone(tape.InputGrad(name))
	}
	return tape, all
}

// check compares values with the runtime's, gradients with differences, and both with those of other numbers of threads.
func (c *opCase) check(t *testing.T) {
	r := rand.New(rand.NewPCG(1, uint64(len(c.name))))
	g, inputs := c.graph(t, r, false)
	o := optionsFor(inputs)
	o.BatchStats = c.batch
	tape, grads := gradients(t, g, o, inputs)
	if !c.batch {
		c.checkValues(t, tape, g, inputs)
	}
	tolerance := 2e-3
	if c.loose > 0 {
		tolerance = c.loose
	}
	for name, v := range inputs {
		elements := v.F32()
		largest := 1e-3
		for _, d := range grads[name] {
			largest = max(largest, math.Abs(float64(d)))
		}
		for _, i := range r.Perm(len(elements))[:min(len(elements), 24)] {
			at := elements[i]
			slope := func(h float32) float64 {
				elements[i] = at + h
				up, hi := loss(t, tape, g, inputs), elements[i]
				elements[i] = at - h
				down, lo := loss(t, tape, g, inputs), elements[i]
				elements[i] = at
				return (up - down) / (float64(hi) - float64(lo))
			}
			// Richardson's extrapolation of two central differences has an error of the fourth order.
			h := float32(4e-3)
			want := (4*slope(h) - slope(2*h)) / 3
			if got := float64(grads[name][i]); math.Abs(got-want) > tolerance*largest {
				t.Errorf("%s: gradient %d is %g, differences say %g", name, i, got, want)
			}
		}
	}
	pool := kernels.NewPool(3)
	defer pool.Close()
	o.Pool = pool
	threaded, more := gradients(t, g, o, inputs)
	for name := range grads {
		if !slices.Equal(grads[name], more[name]) {
			t.Errorf("%s: gradients depend on the number of threads", name)
		}
	}
	step := func() {
		if err := threaded.Forward(inputs); err != nil {
			t.Error(err)
		}
		threaded.Backward()
	}
	if n := testing.AllocsPerRun(5, step); n > 0 {
		t.Errorf("%v allocations in a step", n)
	}
	twice, _ := c.graph(t, rand.New(rand.NewPCG(1, uint64(len(c.name)))), true)
	both, sums := gradients(t, twice, o, inputs)
	for name := range grads {
		seed := both.OutputGrad("neg." + name)
		for i, d := range grads[name] {
			if got := sums[name][i]; math.Abs(float64(got-(d-seed[i]))) > 1e-4*(1+math.Abs(float64(d))) {
				t.Fatalf("%s: gradient %d of an input used twice is %g, want %g", name, i, got, d-seed[i])
			}
		}
	}
}

// checkValues compares the outputs with the runtime's.
func (c *opCase) checkValues(t *testing.T, tape *grad.Tape, g *model.Graph, inputs map[string]*tensor.Tensor) {
	t.Helper()
	n := g.Nodes[0]
	operands := make([]*tensor.Tensor, len(n.Inputs))
	for i, name := range n.Inputs {
		if operands[i] = inputs[name]; operands[i] == nil {
			operands[i] = g.Init[name]
		}
	}
	want, err := runtime.Eval(n, operands)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range n.Outputs {
		got := tape.Output(name)
		if !tensor.SameShape(got.Shape, want[i].Shape) {
			t.Fatalf("%s has shape %v, the runtime's %v", name, got.Shape, want[i].Shape)
		}
		for j, v := range want[i].F32() {
			if d := math.Abs(float64(got.F32()[j] - v)); !(d <= 2e-5*(1+math.Abs(float64(v)))) {
				t.Fatalf("%s: element %d is %g, the runtime's %g", name, j, got.F32()[j], v)
			}
		}
	}
}

func optionsFor(inputs map[string]*tensor.Tensor) grad.Options {
	return grad.Options{Shapes: shapesOf(inputs), InputGrads: true, Eval: runtime.Eval, Trainable: func(string) bool { return false }}
}
