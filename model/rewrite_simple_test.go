package model

import (
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

func TestRewriteDeadCode(t *testing.T) {
	b := build(in("x", 2, 3))
	b.node("y", "Relu", nil, "x")
	b.node("u", "Sqrt", nil, "x")
	b.node("v", "Add", nil, "u", b.weight("w", 3))
	g := b.output("y").same(t, "Relu")
	if len(g.Init) != 0 {
		t.Errorf("initializers %v are left", g.Init)
	}
}

func TestRewriteIdentities(t *testing.T) {
	b := build(in("x", 2, 3))
	b.node("a", "Identity", nil, "x")
	b.node("b", "Dropout", nil, "a")
	b.node("c", "Cast", Attrs{"to": IntAttr(1)}, "b")
	b.node("d", "Reshape", nil, "c", b.ints("s", 0, -1))
	b.node("e", "Concat", Attrs{"axis": IntAttr(0)}, "d")
	b.node("f", "Transpose", Attrs{"perm": IntsAttr(0, 1)}, "e")
	b.node("g", "Relu", nil, "f")
	b.node("h", "Mul", nil, "g", b.scalar("one", 1))
	b.node("y", "Identity", nil, "h")
	g := b.output("y").same(t, "Relu")
	if g.Nodes[0].Outputs[0] != "y" {
		t.Errorf("the output is %s", g.Nodes[0].Outputs[0])
	}
	// An input handed to an output needs a node.
	b = build(in("x", 2, 3))
	b.node("y", "Identity", nil, "x")
	b.output("y").same(t, "Identity")
}

func TestRewriteReshapesAndTransposes(t *testing.T) {
	b := build(in("x", 2, 3, 4))
	b.node("a", "Reshape", nil, "x", b.ints("s1", 6, 4))
	b.node("b", "Reshape", nil, "a", b.ints("s2", 0, 2, -1))
	b.node("c", "Transpose", Attrs{"perm": IntsAttr(2, 0, 1)}, "b")
	b.node("y", "Transpose", Attrs{"perm": IntsAttr(2, 1, 0)}, "c")
	g := b.output("y").same(t, "Reshape", "Transpose")
	if p := g.Nodes[1].Ints("perm"); p[0] != 1 || p[1] != 0 || p[2] != 2 {
		t.Errorf("perm %v", p)
	}
	b = build(in("x", 2, 3, 4))
	b.node("a", "Transpose", Attrs{"perm": IntsAttr(1, 2, 0)}, "x")
	b.node("b", "Transpose", Attrs{"perm": IntsAttr(2, 0, 1)}, "a")
	b.node("y", "Relu", nil, "b")
	b.output("y").same(t, "Relu")
}

func TestRewriteCommonNodes(t *testing.T) {
	b := build(in("x", 2, 3))
	b.node("a", "Sqrt", nil, "x")
	b.node("b", "Sqrt", nil, "x")
	b.node("y", "Add", nil, "a", "b")
	g := b.output("y")
	if _, err := Rewrite(g.Graph, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(g.Graph); len(got) != 2 {
		t.Errorf("operators %v", got)
	}
}

func TestRewriteFold(t *testing.T) {
	b := build(in("x", 2, 3))
	b.node("a", "Add", nil, b.weight("u", 3), b.weight("v", 2, 3))
	b.node("b", "Transpose", Attrs{"perm": IntsAttr(1, 0)}, "a")
	b.node("c", "Reshape", nil, "b", b.ints("s", 2, 3))
	b.node("y", "Add", nil, "x", "c")
	b.output("y").same(t, "Add")
	// Without an evaluator only what moves bytes is folded.
	b.sameWith(t, RewriteOptions{}, "Add", "Transpose", "Reshape", "Add")
	// A result that is larger than allowed stays.
	b.sameWith(t, RewriteOptions{Eval: evalNaive, MaxFold: 8}, "Add", "Transpose", "Reshape", "Add")
}

// What a fixed input shape makes of Shape, Gather and Concat is constant without computing.
func TestRewriteShapeValues(t *testing.T) {
	b := build(in("x", 2, 3, 4))
	b.node("s", "Shape", nil, "x")
	b.node("n", "Gather", nil, "s", b.ints("zero", 0))
	b.node("t", "Concat", Attrs{"axis": IntAttr(0)}, "n", b.ints("rest", -1))
	b.node("y", "Reshape", nil, "x", "t")
	g := b.output("y").Graph
	if _, err := Rewrite(g, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(g); len(got) != 1 || got[0] != "Reshape" {
		t.Fatalf("operators %v", got)
	}
	if v := g.Init[g.Nodes[0].In(1)].I64(); v[0] != 2 || v[1] != -1 {
		t.Errorf("target %v", v)
	}
}

// Weights that a model makes with ConstantOfShape cost no memory before they are read.
func TestRewriteConstantOfShape(t *testing.T) {
	b := build(in("x", 1, 1024))
	one := Attr{Kind: AttrTensor, Tensor: tensor.FromSlice([]float32{0.5}, 1)}
	b.node("w", "ConstantOfShape", Attrs{"value": one}, b.ints("s", 1024, 4096))
	b.node("y", "MatMul", nil, "x", "w")
	b.output("y")
	if _, err := Rewrite(b.Graph, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(b.Graph); len(got) != 1 || got[0] != "dsk.Linear" {
		t.Fatalf("operators %v", got)
	}
	w := b.Init[b.Nodes[0].In(1)]
	if !w.IsDeferred() {
		t.Error("the weight was made already")
	}
	l, err := w.Loaded()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range l.F32() {
		if v != 0.5 {
			t.Fatalf("element %d is %v", i, v)
		}
	}
}

func TestRewriteKnownBranch(t *testing.T) {
	branch := func(op, out string) Attr {
		g := &Graph{Name: op, Outputs: []Value{{Name: out}},
			Nodes: []*Node{{Op: op, Inputs: []string{"x"}, Outputs: []string{out}, Attrs: Attrs{}}}}
		return Attr{Kind: AttrGraph, Graph: g}
	}
	b := build(in("x", 1, 3))
	b.node("s", "Shape", nil, "x")
	b.node("d", "Gather", nil, "s", b.ints("zero", 0))
	b.node("c", "Equal", nil, "d", b.ints("one", 1))
	b.node("i", "If", Attrs{"then_branch": branch("Relu", "t"), "else_branch": branch("Sqrt", "e")}, "c")
	b.node("y", "Tanh", nil, "i")
	if _, err := Rewrite(b.output("y").Graph, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(b.Graph); len(got) != 2 || got[0] != "Relu" || got[1] != "Tanh" {
		t.Errorf("operators %v", got)
	}
	if err := b.Graph.Check(); err != nil {
		t.Error(err)
	}
}

// Passes work inside subgraphs too, whose constants go to the top.
func TestRewriteSubgraph(t *testing.T) {
	body := &Graph{Name: "then", Outputs: []Value{{Name: "t"}}, Nodes: []*Node{
		{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"x1"}, Attrs: Attrs{}},
		{Op: "MatMul", Inputs: []string{"x1", "w"}, Outputs: []string{"t0"}, Attrs: Attrs{}},
		{Op: "Relu", Inputs: []string{"t0"}, Outputs: []string{"t"}, Attrs: Attrs{}},
	}}
	other := &Graph{Name: "else", Outputs: []Value{{Name: "e"}}, Nodes: []*Node{
		{Op: "Tanh", Inputs: []string{"x"}, Outputs: []string{"e"}, Attrs: Attrs{}}}}
	b := build(in("x", 4, 4), Value{"c", Type{tensor.BOOL, Dims()}})
	b.weight("w", 4, 4)
	b.node("y", "If", Attrs{"then_branch": {Kind: AttrGraph, Graph: body}, "else_branch": {Kind: AttrGraph, Graph: other}}, "c")
	if _, err := Rewrite(b.output("y").Graph, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(body); len(got) != 1 || got[0] != "dsk.Linear" {
		t.Errorf("operators of the branch: %v", got)
	}
	if err := b.Graph.Check(); err != nil {
		t.Error(err)
	}
}
