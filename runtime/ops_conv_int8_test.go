package runtime

import (
	"context"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// levels puts QuantizeLinear and DequantizeLinear behind x.
func (g *images) levels(x string, scale float32, zero uint8) string {
	g.n++
	s, z := g.weight(1), g.ints(0)
	g.Init[s], g.Init[z] = tensor.FromSlice([]float32{scale}), tensor.FromSlice([]uint8{zero})
	q := g.node("QuantizeLinear", nil, g.shapes[x], x, s, z)
	return g.node("DequantizeLinear", nil, g.shapes[x], q, s, z)
}

// gridded rounds the weights of the convolution that makes x to multiples of a number for each filter.
func (g *images) gridded(x string) string {
	w := g.Init[g.Nodes[len(g.Nodes)-1].Inputs[1]]
	k := w.Len() / w.Shape[0]
	for i, v := range w.F32() {
		s := 0.02 + 0.001*float32(i/k)
		w.F32()[i] = float32(min(max(math.RoundToEven(float64(v/s)), -127), 127)) * s
	}
	return x
}

// TestQuantizedImages holds a network whose rewrite computes with bytes to the same network of floats between
// QuantizeLinear and DequantizeLinear.
func TestQuantizedImages(t *testing.T) {
	build := func() *images {
		g := newImages(3, 2, 8, 13, 11)
		x := g.levels(g.gridded(g.conv("x", 24, 3, 1, 1)), 0.1, 120)
		half := []int{2, 40, 7, 6}
		a := g.levels(g.node("Relu", nil, half, g.gridded(g.conv(x, 40, 3, 2, 1))), 0.2, 0)
		d := g.levels(g.node("LeakyRelu", nil, half, g.gridded(g.conv(a, 40, 3, 1, 40))), 0.2, 30)
		p := g.gridded(g.conv(d, 40, 1, 1, 1))
		y := g.levels(g.node("Add", nil, half, p, a), 0.5, 128)
		both := g.levels(g.node("Concat", model.Attrs{"axis": model.IntAttr(1)}, []int{2, 80, 7, 6}, y, y), 0.5, 128)
		last := g.gridded(g.conv(both, 5, 1, 1, 1))
		g.Outputs = []model.Value{{Name: last, Type: model.Type{DType: tensor.F32}}}
		return g
	}
	run := func(g *images) []float32 {
		s, err := NewSession(&model.Model{Graph: g.Graph}, Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": randF32(9, 2, 8, 13, 11)})
		if err != nil {
			t.Fatal(err)
		}
		return append([]float32{}, out[0].F32()...)
	}
	plain, fused := build(), build()
	if _, err := model.Rewrite(plain.Graph, model.RewriteOptions{NoFuse: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Rewrite(fused.Graph, model.RewriteOptions{Eval: Eval}); err != nil {
		t.Fatal(err)
	}
	ints, moved := 0, false
	for _, n := range fused.Nodes {
		if n.Is(model.DomainDsk, "QConv") {
			ints++
		}
		moved = moved || n.Op == "Concat" && fused.Types[n.Outputs[0]].DType == tensor.U8
	}
	if ints != 4 || !moved {
		t.Fatalf("%d convolutions of bytes, want 4; Concat moves bytes: %v", ints, moved)
	}
	defer kernels.Reset()
	for _, name := range kernels.List() {
		if err := kernels.Select(name); err != nil {
			t.Fatal(err)
		}
		want, got := run(plain), run(fused)
		var square, lost float64
		for i, v := range want {
			d := float64(v - got[i])
			square, lost = square+float64(v)*float64(v), lost+d*d
		}
		// Sums that lie between two levels may be rounded to either.
		if lost > 1e-4*square {
			t.Errorf("%s: the error is %g of the mean square", name, lost/square)
		}
	}
}
