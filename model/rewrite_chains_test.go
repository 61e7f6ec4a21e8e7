package model

import (
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

func TestRewriteGelu(t *testing.T) {
	root := float32(math.Sqrt(2 / math.Pi))
	erf := func(b *built) string {
		b.node("d", "Div", nil, "x", b.scalar("sqrt2", math.Sqrt2))
		b.node("e", "Erf", nil, "d")
		return b.node("e1", "Add", nil, "e", b.scalar("one", 1))
	}
	tanh := func(b *built) string {
		b.node("x3", "Pow", nil, "x", b.scalar("three", 3))
		b.node("k", "Mul", nil, b.scalar("c", 0.044715), "x3")
		b.node("s", "Add", nil, "x", "k")
		b.node("a", "Mul", nil, "s", b.scalar("root", root))
		b.node("e", "Tanh", nil, "a")
		return b.node("e1", "Add", nil, b.scalar("one", 1), "e")
	}
	for name, inner := range map[string]func(*built) string{"erf": erf, "tanh": tanh} {
		for form, outer := range map[string]func(b *built, t string){
			"(x t) 0.5": func(b *built, t string) {
				b.node("m", "Mul", nil, "x", t)
				b.node("y", "Mul", nil, "m", b.scalar("half", 0.5))
			},
			"(x 0.5) t": func(b *built, t string) {
				b.node("m", "Mul", nil, "x", b.scalar("half", 0.5))
				b.node("y", "Mul", nil, "m", t)
			},
			"x (t / 2)": func(b *built, t string) {
				b.node("m", "Div", nil, t, b.scalar("two", 2))
				b.node("y", "Mul", nil, "x", "m")
			},
		} {
			b := build(in("x", 3, 4))
			outer(b, inner(b))
			g := b.output("y").same(t, "Gelu")
			if got := g.Nodes[0].Str("approximate", "none") == "tanh"; got != (name == "tanh") {
				t.Errorf("%s, %s: attributes %v", name, form, g.Nodes[0].Attrs)
			}
		}
	}
	// Another constant is another function.
	b := build(in("x", 3, 4))
	b.node("d", "Div", nil, "x", b.scalar("k", 1.5))
	b.node("e", "Erf", nil, "d")
	b.node("e1", "Add", nil, "e", b.scalar("one", 1))
	b.node("m", "Mul", nil, "x", "e1")
	b.node("y", "Mul", nil, "m", b.scalar("half", 0.5))
	b.output("y").same(t, "Div", "Erf", "Add", "Mul", "Mul")
	// The value of Erf is used elsewhere too.
	b = build(in("x", 3, 4))
	b.node("m", "Mul", nil, "x", erf(b))
	b.node("h", "Mul", nil, "m", b.scalar("half", 0.5))
	b.node("y", "Add", nil, "h", "e")
	b.output("y").same(t, "Div", "Erf", "Add", "Mul", "Mul", "Add")
}

func TestRewriteSwishForms(t *testing.T) {
	b := build(in("x", 3, 4))
	b.node("s", "Sigmoid", nil, "x")
	b.node("y", "Mul", nil, "s", "x")
	b.output("y").same(t, "Swish")

	b = build(in("x", 3, 4))
	b.node("k", "Mul", nil, "x", b.scalar("c", 1.702))
	b.node("s", "Sigmoid", nil, "k")
	b.node("y", "Mul", nil, "x", "s")
	g := b.output("y").same(t, "Swish")
	if a := g.Nodes[0].Float("alpha", 1); a != 1.702 {
		t.Errorf("alpha is %v", a)
	}

	// x is itself a sum with a constant vector.
	b = build(in("v", 3, 4))
	b.node("x", "Add", nil, "v", b.weight("c", 4))
	b.node("s", "Sigmoid", nil, "x")
	b.node("y", "Mul", nil, "x", "s")
	b.output("y").same(t, "Add", "Swish")

	b = build(in("x", 3, 4))
	b.node("p", "Add", nil, "x", b.scalar("three", 3))
	b.node("c", "Clip", nil, "p", b.scalar("lo", 0), b.scalar("hi", 6))
	b.node("d", "Div", nil, "c", b.scalar("six", 6))
	b.node("y", "Mul", nil, "x", "d")
	b.output("y").same(t, "HardSwish")

	b = build(in("x", 3, 4))
	b.node("s", "HardSigmoid", Attrs{"alpha": FloatAttr(1.0 / 6)}, "x")
	b.node("y", "Mul", nil, "x", "s")
	b.output("y").same(t, "HardSwish")

	b = build(in("x", 3, 4))
	b.node("p", "Softplus", nil, "x")
	b.node("t", "Tanh", nil, "p")
	b.node("y", "Mul", nil, "x", "t")
	b.output("y").same(t, "Mish")
}

func TestRewriteLayerNorm(t *testing.T) {
	for _, c := range []struct{ pow, twice, scale, bias bool }{
		{true, false, true, true}, {false, false, true, true}, {true, true, true, true},
		{true, false, true, false}, {true, false, false, false},
	} {
		b := build(in("x", 2, 3, 8))
		b.ints("last", -1)
		b.node("mean", "ReduceMean", nil, "x", "last")
		d := b.node("d", "Sub", nil, "x", "mean")
		if c.twice {
			d = b.node("d2", "Sub", nil, "x", "mean")
		}
		if c.pow {
			b.node("q", "Pow", nil, d, b.scalar("two", 2))
		} else {
			b.node("q", "Mul", nil, d, d)
		}
		b.node("v", "ReduceMean", nil, "q", "last")
		b.node("e", "Add", nil, "v", b.scalar("eps", 1e-5))
		b.node("r", "Sqrt", nil, "e")
		out := b.node("n", "Div", nil, "d", "r")
		if c.scale {
			out = b.node("m", "Mul", nil, out, b.weight("gamma", 8))
		}
		if c.bias {
			out = b.node("y", "Add", nil, out, b.weight("beta", 8))
		}
		b.output(out).same(t, "LayerNormalization")
	}
}

func TestRewriteRMSNorm(t *testing.T) {
	for form := range 3 {
		b := build(in("x", 2, 3, 8))
		b.node("q", "Pow", nil, "x", b.scalar("two", 2))
		b.node("v", "ReduceMean", nil, "q", b.ints("last", 2))
		b.node("e", "Add", nil, "v", b.scalar("eps", 1e-6))
		b.node("r", "Sqrt", nil, "e")
		switch form {
		case 0:
			b.node("n", "Div", nil, "x", "r")
		case 1:
			b.node("i", "Reciprocal", nil, "r")
			b.node("n", "Mul", nil, "x", "i")
		case 2:
			b.node("i", "Div", nil, b.scalar("one", 1), "r")
			b.node("n", "Mul", nil, "x", "i")
		}
		b.node("y", "Mul", nil, b.weight("gamma", 8), "n")
		b.node("z", "Add", nil, "y", "x") // the residual connection
		b.output("z").same(t, "RMSNormalization", "Add")
	}
}

func TestRewriteAttention(t *testing.T) {
	for _, c := range []struct {
		mask   []int
		before bool // the scale is on Q and K
		direct bool // K^T is one transpose of [batch, seq, heads, size]
		want   []string
	}{
		{nil, false, false, []string{"Attention"}},
		{[]int{2, 1, 1, 5}, false, false, []string{"Attention"}},
		{[]int{3, 5}, true, false, []string{"Attention"}},
		{[]int{3, 5}, false, true, []string{"Transpose", "Attention"}},
		{[]int{1, 3, 3, 1}, false, false, []string{"Attention"}},
	} {
		b := build(in("q", 2, 3, 3, 4), in("v", 2, 3, 5, 6))
		q, kt := "q", ""
		if c.direct {
			b.Inputs = append(b.Inputs, in("k", 2, 5, 3, 4))
			kt = b.node("kt", "Transpose", Attrs{"perm": IntsAttr(0, 2, 3, 1)}, "k")
		} else {
			b.Inputs = append(b.Inputs, in("k", 2, 3, 5, 4))
			kt = b.node("kt", "Transpose", Attrs{"perm": IntsAttr(0, 1, 3, 2)}, "k")
		}
		if c.before {
			b.scalar("root", 0.6)
			q = b.node("qs", "Mul", nil, q, "root")
			kt = b.node("ks", "Mul", nil, kt, "root")
		}
		s := b.node("s", "MatMul", nil, q, kt)
		if !c.before {
			s = b.node("sd", "Div", nil, s, b.scalar("two", 2))
		}
		if c.mask != nil {
			s = b.node("sm", "Add", nil, s, b.weight("mask", c.mask...))
		}
		b.node("p", "Softmax", Attrs{"axis": IntAttr(-1)}, s)
		b.node("y", "MatMul", nil, "p", "v")
		b.output("y").same(t, c.want...)
	}
}

// Three axes, as in models that fold the heads into the batch; K comes with the sequence first.
func TestRewriteAttentionFlat(t *testing.T) {
	b := build(in("q", 6, 3, 4), in("k", 5, 6, 4), in("v", 6, 5, 2))
	b.node("kt", "Transpose", Attrs{"perm": IntsAttr(1, 2, 0)}, "k")
	b.node("qs", "Mul", nil, "q", b.scalar("c", 0.5))
	b.node("s", "MatMul", nil, "qs", "kt")
	b.node("m", "Add", nil, "s", b.weight("mask", 3, 5))
	b.node("p", "Softmax", nil, "m")
	b.node("y", "MatMul", nil, "p", "v")
	b.output("y").same(t, "Transpose", "Unsqueeze", "Unsqueeze", "Unsqueeze", "Attention", "Squeeze")
}

// Where the length of the mask is not known to be that of the keys it is expanded.
func TestRewriteAttentionMaskOfUnknownLength(t *testing.T) {
	b := build(in("q", 2, 3, 3, 4), in("k", 2, 3, 5, 4), in("v", 2, 3, 5, 6))
	b.Inputs = append(b.Inputs, Value{"mask", Type{tensor.F32, []Dim{Sym("n"), Known(1), Known(1), Sym("m")}}})
	b.node("kt", "Transpose", Attrs{"perm": IntsAttr(0, 1, 3, 2)}, "k")
	b.node("s", "MatMul", nil, "q", "kt")
	b.node("a", "Add", nil, "s", "mask")
	b.node("p", "Softmax", nil, "a")
	b.node("y", "MatMul", nil, "p", "v")
	g := b.output("y").Graph
	if _, err := Rewrite(g, RewriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ops(g); !slices.Equal(got, []string{"Expand", "Attention"}) {
		t.Errorf("operators %v", got)
	}
}

// Heads that are only split off and merged again stay where they are.
func TestRewriteAttentionHeads(t *testing.T) {
	b := build(in("q", 2, 3, 12), in("k", 2, 5, 12), in("v", 2, 5, 6))
	b.ints("split", 0, -1, 3, 4)
	b.ints("splitV", 2, 5, 3, 2)
	turn := Attrs{"perm": IntsAttr(0, 2, 1, 3)}
	b.node("q4", "Reshape", nil, "q", "split")
	b.node("qh", "Transpose", turn, "q4")
	b.node("k4", "Reshape", nil, "k", "split")
	b.node("kt", "Transpose", Attrs{"perm": IntsAttr(0, 2, 3, 1)}, "k4")
	b.node("v4", "Reshape", nil, "v", "splitV")
	b.node("vh", "Transpose", turn, "v4")
	b.node("s", "MatMul", nil, "qh", "kt")
	b.node("p", "Softmax", nil, "s")
	b.node("o", "MatMul", nil, "p", "vh")
	b.node("ot", "Transpose", turn, "o")
	b.node("y", "Reshape", nil, "ot", b.ints("merge", 0, 0, 6))
	b.output("y").same(t, "Attention")
}
