package runtime

import (
	"context"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// quantizedNet is a network in which every value that convolutions read or yield is quantized, with all that
// becomes an operator on bytes: activations between levels, sums, products, pools, moves with levels that differ.
func quantizedNet() *images {
	g := newImages(5, 1, 3, 24, 20)
	x := g.levels("x", 0.02, 128)
	silu := func(x string) string {
		s := g.levels(g.node("Sigmoid", nil, g.shapes[x], x), 1./255, 0)
		return g.levels(g.node("Mul", nil, g.shapes[x], x, s), 0.05, 6)
	}
	a := silu(g.levels(g.gridded(g.conv(x, 16, 3, 2, 1)), 0.04, 120))
	b := g.levels(g.node("HardSwish", nil, g.shapes[a], g.levels(g.gridded(g.conv(a, 16, 1, 1, 1)), 0.05, 100)), 0.04, 10)
	sum := g.levels(g.node("Relu", nil, g.shapes[a], g.node("Add", nil, g.shapes[a], a, b)), 0.06, 0)
	window := model.Attrs{"kernel_shape": model.IntsAttr(3, 3), "pads": model.IntsAttr(1, 1, 1, 1), "strides": model.IntsAttr(1, 1)}
	top := g.levels(g.node("MaxPool", window, g.shapes[a], sum), 0.06, 0)
	mean := g.levels(g.node("AveragePool", window, g.shapes[a], sum), 0.05, 3)
	product := g.levels(g.node("Mul", nil, g.shapes[a], top, mean), 0.1, 1)
	gate := g.levels(g.node("GlobalAveragePool", nil, []int{1, 16, 1, 1}, mean), 0.01, 0)
	gated := g.levels(g.node("Mul", nil, g.shapes[a], gate, sum), 0.05, 2)
	both := []int{1, 64, 12, 10}
	all := g.levels(g.node("Concat", model.Attrs{"axis": model.IntAttr(1)}, both, sum, product, mean, gated), 0.08, 2)
	scales := g.weight(4)
	copy(g.Init[scales].F32(), []float32{1, 1, 2, 2})
	up := g.levels(g.node("Resize", model.Attrs{"mode": model.StringAttr("nearest"), "coordinate_transformation_mode": model.StringAttr("asymmetric"),
		"nearest_mode": model.StringAttr("floor")}, []int{1, 64, 24, 20}, all, "", scales), 0.08, 2)
	padded := g.levels(g.node("Pad", nil, []int{1, 64, 26, 20}, up, g.ints(0, 0, 1, 0, 0, 0, 1, 0)), 0.08, 2)
	last := g.levels(g.gridded(g.conv(padded, 8, 3, 1, 1)), 0.2, 128)
	pooled := g.levels(g.node("GlobalAveragePool", nil, []int{1, 8, 1, 1}, last), 0.02, 128)
	flat := g.node("Flatten", nil, []int{1, 8}, pooled)
	w := g.weight(5, 8)
	for i := range g.Init[w].F32() {
		g.Init[w].F32()[i] = float32(i%17-8) * 0.03
	}
	y := g.levels(g.node("Gemm", model.Attrs{"transB": model.IntAttr(1)}, []int{1, 5}, flat, w, g.weight(5)), 0.05, 128)
	g.Outputs = []model.Value{{Name: y, Type: model.Type{DType: tensor.F32}}}
	return g
}

func runImages(t *testing.T, g *images) []float32 {
	t.Helper()
	s, err := NewSession(&model.Model{Graph: g.Graph}, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": randF32(11, g.shapes["x"]...)})
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32{}, out[0].F32()...)
}

// TestQuantizedNet holds a network on bytes to the network of floats that it was made of, and what SplitQuantized makes of it again.
func TestQuantizedNet(t *testing.T) {
	plain, fused := quantizedNet(), quantizedNet()
	if _, err := model.Rewrite(plain.Graph, model.RewriteOptions{NoFuse: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Rewrite(fused.Graph, model.RewriteOptions{Eval: Eval}); err != nil {
		t.Fatal(err)
	}
	ops := map[string]int{}
	for _, n := range fused.Nodes {
		ops[n.Op]++
		if typ := fused.Types[n.Outputs[0]]; typ.DType != tensor.U8 && n.Op != "DequantizeLinear" {
			t.Errorf("%v yields %v", n, typ)
		}
	}
	for op, want := range map[string]int{"QConv": 3, "QAdd": 1, "QMul": 2, "MaxPool": 1, "QAveragePool": 1, "QGlobalAveragePool": 2, "QLinear": 1,
		"QuantizeLinear": 1, "DequantizeLinear": 1, "Sigmoid": 0, "HardSwish": 0} {
		if ops[op] != want {
			t.Errorf("%d nodes %s, want %d", ops[op], op, want)
		}
	}
	split := &images{Graph: fused.Clone(), shapes: fused.shapes}
	if err := model.SplitQuantized(split.Graph); err != nil {
		t.Fatal(err)
	}
	for _, n := range split.Nodes {
		if n.Domain == model.DomainDsk && n.Op != "Conv" && n.Op != "Linear" && n.Op != "MaxPool" && n.Op != "AveragePool" {
			t.Errorf("%v is left", n)
		}
	}
	defer kernels.Reset()
	for _, name := range kernels.List() {
		if err := kernels.Select(name); err != nil {
			t.Fatal(err)
		}
		want := runImages(t, plain)
		for what, g := range map[string]*images{"fused": fused, "split": split} {
			for i, v := range runImages(t, g) {
				// One level: sums between two levels may be rounded to either.
				if d := v - want[i]; d > 0.0501 || d < -0.0501 {
					t.Errorf("%s, %s: output %d is %v, want %v", name, what, i, v, want[i])
				}
			}
		}
	}
}

// TestQuantizedOperators holds products that are spelled with their levels as operands to the operators' own definition.
func TestQuantizedOperators(t *testing.T) {
	scalar := func(v float32) *tensor.Tensor { return tensor.FromSlice([]float32{v}).Reshaped() }
	level := func(v uint8) *tensor.Tensor { return tensor.FromSlice([]uint8{v}).Reshaped() }
	weights := tensor.New(tensor.I8, 24, 10)
	for i := range weights.Data {
		weights.Data[i] = byte(i*37 + i*i%11)
	}
	value := func(name string, dt tensor.DType, shape ...int) model.Value {
		return model.Value{Name: name, Type: model.Type{DType: dt, Shape: model.Dims(shape...)}}
	}
	build := func() *model.Graph {
		g := &model.Graph{
			Inputs: []model.Value{value("x", tensor.F32, 2, 7, 24)},
			Init: map[string]*tensor.Tensor{"w": weights, "wz": tensor.FromSlice([]int8{0}).Reshaped(), "ws": scalar(0.01), "b": randF32(3, 10),
				"qs": scalar(0.02), "qz": level(100), "ys": scalar(0.3), "yz": level(128)},
			Outputs: []model.Value{value("dynamic", tensor.F32), value("static", tensor.U8)},
		}
		node := func(op string, out []string, in ...string) {
			g.Nodes = append(g.Nodes, &model.Node{Op: op, Name: out[0], Inputs: in, Outputs: out, Attrs: model.Attrs{}})
		}
		node("DynamicQuantizeLinear", []string{"q", "s", "z"}, "x")
		node("MatMulInteger", []string{"sum"}, "q", "w", "z", "wz")
		node("Cast", []string{"float"}, "sum")
		g.Nodes[2].Attrs["to"] = model.IntAttr(model.ElemCode(tensor.F32))
		node("Mul", []string{"scale"}, "s", "ws")
		node("Mul", []string{"scaled"}, "float", "scale")
		node("Add", []string{"biased"}, "b", "scaled")
		node("Relu", []string{"dynamic"}, "biased")
		node("QuantizeLinear", []string{"levels"}, "x", "qs", "qz")
		node("QLinearMatMul", []string{"static"}, "levels", "qs", "qz", "w", "ws", "wz", "ys", "yz")
		return g
	}
	run := func(o model.RewriteOptions) ([]*tensor.Tensor, *model.Graph) {
		g := build()
		if _, err := model.Rewrite(g, o); err != nil {
			t.Fatal(err)
		}
		s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": randF32(17, 2, 7, 24)})
		if err != nil {
			t.Fatal(err)
		}
		return []*tensor.Tensor{out[0].Clone(), out[1].Clone()}, g
	}
	want, _ := run(model.RewriteOptions{NoFuse: true})
	got, g := run(model.RewriteOptions{Eval: Eval})
	products := 0
	for _, n := range g.Nodes {
		if n.Is(model.DomainDsk, "QLinear") {
			products++
		}
	}
	if products != 2 || len(g.Nodes) != 4 {
		t.Errorf("%d nodes with %d products, want 4 with 2: %v", len(g.Nodes), products, g.Nodes)
	}
	for i, v := range want[0].F32() {
		if d := got[0].F32()[i] - v; d > 1e-4 || d < -1e-4 {
			t.Fatalf("dynamic: element %d is %v, want %v", i, got[0].F32()[i], v)
		}
	}
	for i, v := range want[1].Data {
		if got[1].Data[i] != v {
			t.Fatalf("static: element %d is %v, want %v", i, got[1].Data[i], v)
		}
	}
}
