package onnx

import (
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// quantizedImages is two convolutions, a sum and a product of rows, every value quantized.
func quantizedImages(t *testing.T) *model.Model {
	t.Helper()
	g := &model.Graph{
		Inputs:  []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 6, 8, 8)}}},
		Outputs: []model.Value{{Name: "y", Type: model.Type{DType: tensor.F32}}},
		Init:    map[string]*tensor.Tensor{},
	}
	node := func(op string, attrs model.Attrs, out string, in ...string) string {
		if attrs == nil {
			attrs = model.Attrs{}
		}
		g.Nodes = append(g.Nodes, &model.Node{Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
		return out
	}
	levels := func(x string, scale float32, zero uint8) string {
		g.Init[x+".s"], g.Init[x+".z"] = tensor.FromSlice([]float32{scale}).Reshaped(), tensor.FromSlice([]uint8{zero}).Reshaped()
		node("QuantizeLinear", nil, x+".q", x, x+".s", x+".z")
		return node("DequantizeLinear", nil, x+".f", x+".q", x+".s", x+".z")
	}
	weight := func(name string, shape ...int) string {
		w := tensor.New(tensor.F32, shape...)
		for i := range w.F32() {
			w.F32()[i] = float32((i*i*7+i*3)%255-127) * 0.002
		}
		g.Init[name] = w
		return name
	}
	same := model.Attrs{"pads": model.IntsAttr(1, 1, 1, 1)}
	x := levels("x", 0.01, 128)
	a := levels(node("Relu", nil, "a", node("Conv", same, "c1", x, weight("w1", 8, 6, 3, 3), noiseInit(g, "b1", 8))), 0.03, 0)
	b := levels(node("Conv", same, "b", a, weight("w2", 8, 8, 3, 3), noiseInit(g, "b2", 8)), 0.1, 120)
	sum := levels(node("Add", nil, "sum", a, b), 0.1, 110)
	flat := node("Flatten", nil, "flat", sum)
	levels(node("Gemm", model.Attrs{"transB": model.IntAttr(1)}, "p", flat, weight("w3", 5, 512), noiseInit(g, "b3", 5)), 0.5, 128)
	g.Outputs[0].Name = "p.f"
	if _, err := model.Rewrite(g, model.RewriteOptions{Eval: runtime.Eval}); err != nil {
		t.Fatal(err)
	}
	return &model.Model{Graph: g}
}

func noiseInit(g *model.Graph, name string, n int) string {
	g.Init[name] = noise(tensor.New(tensor.F32, n), uint32(n))
	return name
}

// TestExportBytes writes operators on bytes as other runtimes want them, and reads them back.
func TestExportBytes(t *testing.T) {
	m := quantizedImages(t)
	data := exported(t, m, ExportOptions{})
	back, r, err := importBytes(data, fused)
	if err != nil {
		t.Fatal(err)
	}
	for op, least := range map[string]int{"QuantizeLinear": 5, "Conv": 2, "Gemm": 1, "Add": 1} {
		if r.Operators[op] < least {
			t.Errorf("%d nodes %s in the file, want %d", r.Operators[op], op, least)
		}
	}
	// Images are turned nowhere, weights are levels, and so are biases: three weights and three biases, and what reads five quantized values.
	if r.Operators["Transpose"] != 0 || r.Operators["DequantizeLinear"] < 11 {
		t.Errorf("operators of the file: %v", r.Operators)
	}
	count := func(m *model.Model) map[string]int {
		ops := map[string]int{}
		for _, n := range m.Graph.Nodes {
			ops[n.Op]++
		}
		return ops
	}
	for _, op := range []string{"QConv", "QAdd", "QLinear"} {
		if a, b := count(m)[op], count(back)[op]; a == 0 || a != b {
			t.Errorf("%d nodes %s, %d when read back", a, op, b)
		}
	}
	in := inputsOf(m.Graph)
	want, got := runModel(t, m, in)[0].F32(), runModel(t, back, in)[0].F32()
	for i := range want {
		// Biases are rounded to levels, so that a sum may go to the next one.
		if d := want[i] - got[i]; d > 0.5001 || d < -0.5001 {
			t.Errorf("output %d is %v, want %v", i, got[i], want[i])
		}
	}
}
