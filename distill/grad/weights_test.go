package grad_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestWiden reads weights of every form.
func TestWiden(t *testing.T) {
	src := frozen(in(20, 64))
	half, brain, double := tensor.New(tensor.F16, 20, 64), tensor.New(tensor.BF16, 20, 64), tensor.New(tensor.F64, 20, 64)
	kernels.NarrowF16(tensor.View[uint16](half), src.F32())
	kernels.NarrowBF16(tensor.View[uint16](brain), src.F32())
	for i, v := range src.F32() {
		tensor.View[float64](double)[i] = float64(v)
	}
	for _, c := range []struct {
		t     *tensor.Tensor
		error float32
	}{{src, 0}, {tensor.Pack(src), 0}, {half, 1e-3}, {tensor.Pack(half), 1e-3}, {brain, 8e-3}, {double, 0}} {
		got, err := grad.Widen(c.t)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range src.F32() {
			if d := got.F32()[i] - v; d > c.error || d < -c.error {
				t.Fatalf("%v: element %d is %g, want %g", c.t, i, got.F32()[i], v)
			}
		}
	}
	if _, err := grad.Widen(ints(1, 2)); err == nil {
		t.Error("integers are widened")
	}
}

// TestPackedModel trains a graph as it lies in a file, fused and packed: its values are the runtime's, every weight is a
// parameter, and Trained gives a model that computes what the tape does.
func TestPackedModel(t *testing.T) {
	g := &model.Graph{Init: map[string]*tensor.Tensor{"w": frozen(in(8, 3, 3, 3)), "scale": frozen(positive(8)), "bias": frozen(in(8)),
		"mean": frozen(in(8)), "var": frozen(positive(8)), "head": frozen(in(5, 8)), "b": frozen(in(5))}}
	add := func(op, out string, a model.Attrs, in ...string) {
		g.Nodes = append(g.Nodes, &model.Node{Op: op, Name: out, Attrs: a, Inputs: in, Outputs: []string{out}})
	}
	add("Conv", "conv", attrs("pads", list(1, 1, 1, 1)), "x", "w")
	add("BatchNormalization", "norm", nil, "conv", "scale", "bias", "mean", "var")
	add("Relu", "relu", nil, "norm")
	add("GlobalAveragePool", "pool", nil, "relu")
	add("Flatten", "flat", nil, "pool")
	add("Gemm", "y", attrs("transB", num(1)), "flat", "head", "b")
	g.Inputs = []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("n"), model.Known(3), model.Known(6), model.Known(6)}}}}
	g.Outputs = []model.Value{{Name: "y"}}
	if _, err := model.Rewrite(g, model.RewriteOptions{Eval: runtime.Eval}); err != nil {
		t.Fatal(err)
	}
	tape, err := grad.New(g, grad.Options{Shapes: map[string][]int{"x": {4, 3, 6, 6}}, Eval: runtime.Eval})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tape.Params()); n != 4 {
		t.Errorf("%d parameters, want 4", n)
	}
	x := map[string]*tensor.Tensor{"x": frozen(in(4, 3, 6, 6))}
	values, _ := tape.Flat()
	for i := range values {
		values[i] += float32(i%3) * 0.01
	}
	if err := tape.Forward(x); err != nil {
		t.Fatal(err)
	}
	s, err := runtime.NewSession(tape.Trained(&model.Model{Graph: g}), runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out[0].F32() {
		if d := tape.Output("y").F32()[i] - v; d > 1e-4 || d < -1e-4 {
			t.Errorf("output %d is %g, the runtime's %g", i, tape.Output("y").F32()[i], v)
		}
	}
}

// TestGaps names all operators without a derivative at once.
func TestGaps(t *testing.T) {
	c := opCase{op: "Det", in: []any{in(3, 3)}}
	g, inputs := c.graph(t, rand.New(rand.NewPCG(1, 1)), false)
	g.Nodes = append(g.Nodes, &model.Node{Op: "Cosh", Name: "second", Inputs: []string{"in0"}, Outputs: []string{"out1"}})
	g.Outputs = append(g.Outputs, model.Value{Name: "out1"})
	var gap *fault.Unsupported
	if _, err := grad.New(g, optionsFor(inputs)); !errors.As(err, &gap) || len(gap.Items) != 2 {
		t.Errorf("got %v", err)
	}
	for _, o := range []grad.Options{{}, {Shapes: map[string][]int{"in0": {3, 4}}}, {Shapes: map[string][]int{"in0": {3}}}, {Shapes: map[string][]int{"in0": {3, 0}}}} {
		if _, err := grad.New(g, o); err == nil {
			t.Errorf("shapes %v are taken", o.Shapes)
		}
	}
}

// TestInnerOutputs asks for a value inside of the graph and leaves out what it does not need.
func TestInnerOutputs(t *testing.T) {
	c := opCase{op: "Exp", in: []any{in(2, 3)}}
	g, inputs := c.graph(t, rand.New(rand.NewPCG(1, 1)), false)
	g.Nodes = append(g.Nodes, &model.Node{Op: "Det", Name: "unneeded", Inputs: []string{"out0"}, Outputs: []string{"out1"}})
	o := optionsFor(inputs)
	o.Outputs = []string{"out0", "in0"}
	tape, err := grad.New(g, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := tape.Forward(inputs); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tape.Output("in0").F32(), inputs["in0"].F32()) || tape.Output("out1") != nil {
		t.Error("other outputs than those asked for")
	}
}
