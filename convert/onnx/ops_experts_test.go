package onnx

import (
	"fmt"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestExportExperts: a mixture of experts in standard operators gives what ours does; the rows of an expert without tokens are none.
func TestExportExperts(t *testing.T) {
	const tokens, count, chosen, k, n = 5, 4, 2, 6, 16
	picks := tensor.FromSlice([]int64{3, 0, 0, 2, 3, 2, 2, 3, 0, 3}, 1, tokens, chosen)
	experts := &model.Node{Domain: model.DomainDsk, Op: "Experts", Name: "experts", Inputs: []string{"rows", "ends", "bias"}, Outputs: []string{"y"},
		Attrs: model.Attrs{"activation": model.StringAttr(model.ActSwish)}}
	g := &model.Graph{
		Inputs: []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Known(1), model.Sym("seq"), model.Known(k)}}},
			{Name: "picks", Type: model.Type{DType: tensor.I64, Shape: []model.Dim{model.Known(1), model.Sym("seq"), model.Known(chosen)}}},
			{Name: "weights", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Known(1), model.Sym("seq"), model.Known(chosen)}}}},
		Outputs: []model.Value{{Name: "out"}},
		Init:    map[string]*tensor.Tensor{"bias": noise(tensor.New(tensor.F32, count, n), 99)},
		Nodes: []*model.Node{
			{Domain: model.DomainDsk, Op: "Dispatch", Name: "dispatch", Inputs: []string{"x", "picks"}, Outputs: []string{"rows", "ends", "slots"},
				Attrs: model.Attrs{"num_experts": model.IntAttr(count)}},
			experts,
			{Domain: model.DomainDsk, Op: "Combine", Name: "combine", Inputs: []string{"y", "slots", "weights"}, Outputs: []string{"out"}, Attrs: model.Attrs{}},
		},
	}
	for e := range count {
		name := fmt.Sprintf("w%d", e)
		g.Init[name] = tensor.Pack(noise(tensor.New(tensor.F32, n, k), uint32(e)))
		experts.Inputs = append(experts.Inputs, name)
	}
	m := &model.Model{Graph: g}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	back, _, err := importBytes(exported(t, m, ExportOptions{}), fused)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Tensor{"x": noise(tensor.New(tensor.F32, 1, tokens, k), 5), "picks": picks, "weights": noise(tensor.New(tensor.F32, 1, tokens, chosen), 6)}
	want, got := runModel(t, m, in)[0], runModel(t, back, in)[0]
	if !tensor.SameShape(want.Shape, got.Shape) {
		t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
	}
	for i, v := range want.F32() {
		if math.Abs(float64(v-got.F32()[i])) > 1e-5 {
			t.Fatalf("element %d is %v, want %v", i, got.F32()[i], v)
		}
	}
}
