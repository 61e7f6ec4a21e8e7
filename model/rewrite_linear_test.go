package model

import (
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

func TestRewriteMatMulAdd(t *testing.T) {
	b := build(in("x", 2, 3, 5))
	b.node("a", "MatMul", nil, "x", b.weight("w", 5, 7))
	b.node("s", "Add", nil, b.weight("c", 7), "a")
	b.node("y", "Relu", nil, "s")
	g := b.output("y").same(t, "dsk.Linear")
	if w := g.Init[g.Nodes[0].In(1)]; w.Layout != tensor.Panel16 || !tensor.SameShape(w.Shape, []int{7, 5}) {
		t.Errorf("weight is %v, want panels of [7,5]", w)
	}
	if g.Nodes[0].Str("activation", "") != ActRelu {
		t.Errorf("attributes %v", g.Nodes[0].Attrs)
	}
}

func TestRewriteGemm(t *testing.T) {
	for _, c := range []struct {
		transB      int64
		alpha, beta float32
		bias        []int
		want        []string
	}{
		{0, 1, 1, nil, []string{"dsk.Linear"}},
		{1, 1, 1, []int{4}, []string{"dsk.Linear"}},
		{0, 0.5, 2, []int{1, 4}, []string{"dsk.Linear"}},
		{1, 2, 3, []int{1}, []string{"dsk.Linear"}},
		{1, 1, 3, []int{}, []string{"dsk.Linear"}},
		{1, 2, 1, []int{3, 4}, []string{"dsk.Linear", "Add"}},
		{1, 2, 0.5, []int{3, 1}, []string{"dsk.Linear", "Add"}},
	} {
		b := build(in("x", 3, 5))
		shape := []int{5, 4}
		if c.transB != 0 {
			shape = []int{4, 5}
		}
		args := []string{"x", b.weight("w", shape...)}
		if c.bias != nil {
			args = append(args, b.weight("c", c.bias...))
		}
		b.node("y", "Gemm", Attrs{"transB": IntAttr(c.transB), "alpha": FloatAttr(c.alpha), "beta": FloatAttr(c.beta)}, args...)
		b.output("y").same(t, c.want...)
	}
}

// A tied embedding stays one tensor: Gather reads it by rows, Linear by panels.
func TestRewriteTiedWeight(t *testing.T) {
	b := build(in("x", 2, 5))
	b.Inputs = append(b.Inputs, Value{"ids", Type{tensor.I64, Dims(3)}})
	b.weight("table", 20, 5)
	b.node("turned", "Transpose", Attrs{"perm": IntsAttr(1, 0)}, "table")
	b.node("y", "MatMul", nil, "x", "turned")
	b.node("e", "Gather", nil, "table", "ids")
	b.output("y", "e")
	if _, err := Rewrite(b.Graph, RewriteOptions{Eval: evalNaive}); err != nil {
		t.Fatal(err)
	}
	if len(b.Init) != 1 || b.Init["table"].Layout != tensor.Panel16 {
		t.Fatalf("initializers %v", b.Init)
	}
}

func TestRewriteHalfWeight(t *testing.T) {
	b := build(in("x", 2, 2))
	w := tensor.FromSlice([]uint16{0x3c00, 0x4000, 0xbc00, 0x3800, 0, 0x4200}, 2, 3) // 1 2 -1 0.5 0 3
	w.DType = tensor.F16
	b.Init["w"] = w
	b.node("wide", "Cast", Attrs{"to": IntAttr(1)}, "w")
	b.node("a", "MatMul", nil, "x", "wide")
	b.node("y", "Add", nil, "a", b.weight("c", 3))
	g := b.output("y").same(t, "dsk.Linear")
	if dt := g.Init[g.Nodes[0].In(1)].DType; dt != tensor.F16 {
		t.Errorf("weight became %v", dt)
	}
}

// A weight that another operator reads row by row gets a second copy in panels.
func TestPackWeightsSecondCopy(t *testing.T) {
	b := build(in("x", 2, 5), in("z", 5, 4))
	b.weight("w", 4, 5)
	b.node("y", "Gemm", Attrs{"transB": IntAttr(1)}, "x", "w")
	b.node("p", "MatMul", nil, "w", "z")
	g := b.output("y", "p").same(t, "dsk.Linear", "MatMul")
	if g.Init["w"].Layout != tensor.RowMajor || g.Init["w.panel16"].Layout != tensor.Panel16 {
		t.Errorf("initializers %v", g.Init)
	}
}

func TestRewriteLinearKeepsOutputs(t *testing.T) {
	// The product is an output itself: nothing may be fused into it.
	b := build(in("x", 2, 5))
	b.node("a", "MatMul", nil, "x", b.weight("w", 5, 7))
	b.node("y", "Relu", nil, "a")
	b.output("a", "y").same(t, "dsk.Linear", "Relu")
	// The product has two users.
	b = build(in("x", 2, 5))
	b.node("a", "MatMul", nil, "x", b.weight("w", 5, 7))
	b.node("r", "Relu", nil, "a")
	b.node("y", "Mul", nil, "a", "r")
	b.output("y").same(t, "dsk.Linear", "Relu", "Mul")
}
