package quant

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestStatic quantizes the digits network with 8-bit images between its convolutions.
func TestStatic(t *testing.T) {
	ctx := context.Background()
	m := digits(t)
	d, err := dataset.Open("../testdata/models/digits-cnn/images", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, r, err := Apply(ctx, m, Options{Strategy: Uniform, Bits: 8, Calib: d, Threads: 2, EvalOptions: eval.Options{Limit: 40}})
	if err != nil {
		t.Fatal(err)
	}
	ints := 0
	for _, n := range out.Graph.Nodes {
		if n.Is(model.DomainDsk, "QConv") {
			ints++
		}
	}
	said := 0
	for _, w := range r.Tensors {
		if strings.Contains(w.Why, "static activations") {
			said++
		}
	}
	if ints < 5 || said != ints {
		t.Errorf("%d convolutions of bytes, %d in the report", ints, said)
	}
	e, err := eval.Run(ctx, out, d, m, eval.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if a := e.Metrics["top1_agreement"]; a < 0.98 {
		t.Errorf("%.3f of the digits as before", a)
	}
	float, _, err := Apply(ctx, m, Options{Strategy: Uniform, Bits: 8, ActBits: 32, Calib: d, Threads: 2, EvalOptions: eval.Options{Limit: 8}})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(float.Graph.Nodes, func(n *model.Node) bool { return n.Op == "QConv" }) {
		t.Error("--act-bits 32 quantizes images")
	}
}

// TestStaticNames: constants of the model that have the names that static levels are given stay what they are.
func TestStaticNames(t *testing.T) {
	ctx := context.Background()
	plain, m := digits(t), digits(t)
	d := data(t, "models/digits-cnn/images")
	var taken []string
	for _, n := range m.Graph.Nodes {
		for _, v := range append(slices.Clone(n.Inputs), n.Outputs...) {
			for _, end := range []string{".levels", ".levels.scale", ".levels.zero", ".grid", ".grid.int8", ".bias8", ".dequantized"} {
				taken = append(taken, v+end)
			}
		}
	}
	mark := tensor.FromSlice([]float32{7})
	for _, name := range taken {
		m.Graph.Init[name] = mark
	}
	o := Options{Strategy: Uniform, Bits: 8, Calib: d, Threads: 2, EvalOptions: eval.Options{Limit: 8}}
	want, _, err := Apply(ctx, plain, o)
	if err != nil {
		t.Fatal(err)
	}
	got, r, err := Apply(ctx, m, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range taken {
		if t0 := got.Graph.Init[name]; t0 != nil && t0 != mark {
			t.Errorf("%s is written over", name)
		}
	}
	count := func(g *model.Graph) (n int) {
		for _, node := range g.Nodes {
			if node.Op == "QConv" {
				n++
			}
		}
		return n
	}
	said := 0
	for _, w := range r.Tensors {
		if strings.Contains(w.Why, "static activations") && w.Bits == 8 {
			said++
		}
	}
	if n := count(want.Graph); n == 0 || count(got.Graph) != n || said != n {
		t.Errorf("%d convolutions of bytes, %d with names taken, %d in the report", n, count(got.Graph), said)
	}
}

// TestEqualize gives a channel a hundredth of the others' range: afterwards it has as much, and the pair computes what it did.
func TestEqualize(t *testing.T) {
	relu := &model.Node{Outputs: []string{"v"}, Attrs: model.Attrs{"activation": model.StringAttr(model.ActRelu)}}
	deep := &model.Node{Inputs: []string{"v"}, Attrs: model.Attrs{"kernel_shape": model.IntsAttr(1, 1)}}
	from := &staticConv{node: relu, w: []float32{1, 0.01}, bias: []float32{0.5, -0.001}, k: 1, group: 1}
	to := &staticConv{node: deep, w: []float32{2, 3}, bias: []float32{0, 0}, k: 1, group: 2}
	o := &observed{channels: 2, samples: []float32{4, 0.04, 1, 0.01}, lo: []float32{0, 0}, hi: []float32{4, 0.04}, sum: []float64{5, 0.05}, count: 2}
	(&statics{}).raise(o, from, []*staticConv{to})
	if gain := from.w[1] / 0.01; math.Abs(float64(gain)-maxGain) > 1e-3 {
		t.Errorf("the small channel is raised %v times, want %d", gain, maxGain)
	}
	if from.w[0] != 1 || to.w[0] != 2 {
		t.Errorf("the large channel is changed: %v, %v", from.w, to.w)
	}
	if p := from.w[1] * to.w[1]; math.Abs(float64(p)-0.03) > 1e-6 || math.Abs(float64(from.bias[1]*to.w[1])+0.003) > 1e-7 {
		t.Errorf("the product is %v, the bias %v", p, from.bias[1]*to.w[1])
	}
	if math.Abs(float64(o.hi[1])-0.04*maxGain) > 1e-5 || math.Abs(o.sum[1]-0.05*maxGain) > 1e-6 {
		t.Errorf("statistics %v, %v", o.hi, o.sum)
	}
}

// TestGridded: rounding filters moves what they yield on average, and the bias makes up for it.
func TestGridded(t *testing.T) {
	n := &model.Node{Attrs: model.Attrs{"kernel_shape": model.IntsAttr(1, 1)}}
	c := &staticConv{node: n, w: []float32{127, 0.4, 0, 0}, bias: []float32{1, 2}, k: 2, group: 1}
	rows, bias := c.gridded(&observed{channels: 2, sum: []float64{0, 50}, count: 10})
	if !slices.Equal(rows, []float32{127, 0, 0, 0}) || math.Abs(float64(bias[0])-3) > 1e-6 || bias[1] != 2 {
		t.Errorf("%v, %v", rows, bias)
	}
}
