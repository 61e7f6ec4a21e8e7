package model

import (
	"math"
	"testing"
)

func (b *built) batchNorm(out, x string, c int) string {
	return b.node(out, "BatchNormalization", Attrs{"epsilon": FloatAttr(1e-3)}, x,
		b.positive(out+".scale", c), b.weight(out+".bias", c), b.weight(out+".mean", c), b.positive(out+".var", c))
}

func TestRewriteConvBatchNorm(t *testing.T) {
	for _, bias := range []bool{false, true} {
		b := build(in("x", 2, 4, 6, 5))
		args := []string{"x", b.weight("w", 6, 2, 3, 3)}
		if bias {
			args = append(args, b.weight("c", 6))
		}
		b.node("a", "Conv", Attrs{"group": IntAttr(2), "pads": IntsAttr(1, 0, 0, 1), "strides": IntsAttr(2, 1)}, args...)
		b.batchNorm("n", "a", 6)
		b.node("y", "LeakyRelu", Attrs{"alpha": FloatAttr(0.1)}, "n")
		b.output("y").same(t, "dsk.Conv")
	}
}

func TestRewriteResidual(t *testing.T) {
	b := build(in("x", 1, 3, 5, 5))
	same := Attrs{"auto_pad": StringAttr("SAME_UPPER")}
	b.node("a", "Conv", same, "x", b.weight("w1", 3, 3, 3, 3))
	b.node("r", "Relu", nil, "a")
	b.node("c", "Conv", same, "r", b.weight("w2", 3, 3, 2, 2))
	b.batchNorm("n", "c", 3)
	b.node("s", "Add", nil, "n", "x")
	b.node("y", "Clip", nil, "s", b.scalar("lo", 0), b.scalar("hi", 6))
	g := b.output("y").same(t, "dsk.Conv", "Transpose", "dsk.Conv", "Transpose")
	if z := g.Nodes[2].In(3); z != g.Nodes[1].Outputs[0] || g.Nodes[1].In(0) != "x" {
		t.Errorf("Z is %q", z)
	}
}

// A residual block that was left out leaves the Relu behind it.
func TestRewriteReluTwice(t *testing.T) {
	b := build(in("x", 1, 3, 5, 5))
	b.node("a", "Conv", nil, "x", b.weight("w", 4, 3, 1, 1))
	b.node("r", "Relu", nil, "a")
	b.node("s", "Relu", nil, "r")
	b.node("y", "Conv", nil, "s", b.weight("v", 4, 4, 1, 1))
	b.output("y").same(t, "dsk.Conv", "dsk.Conv", "Transpose")
	b = build(in("x", 2, 3))
	b.node("r", "Relu", nil, "x")
	b.node("y", "Relu", nil, "r")
	b.output("y").same(t, "Relu")
}

func TestRewriteTwoConvsAdded(t *testing.T) {
	b := build(in("x", 1, 3, 5, 5))
	b.node("a", "Conv", nil, "x", b.weight("w1", 4, 3, 1, 1))
	b.node("c", "Conv", nil, "x", b.weight("w2", 4, 3, 1, 1))
	b.node("y", "Add", nil, "a", "c")
	g := b.output("y").same(t, "dsk.Conv", "dsk.Conv", "Transpose")
	if z := g.Nodes[1].In(3); z != g.Nodes[0].Outputs[0] {
		t.Errorf("Z is %q", z)
	}
}

func TestRewriteChannelConstants(t *testing.T) {
	b := build(in("x", 1, 3, 4, 4))
	b.node("a", "Conv", nil, "x", b.weight("w", 5, 3, 2, 2))
	b.node("m", "Mul", nil, "a", b.weight("k", 5, 1, 1))
	b.node("s", "Add", nil, b.weight("c", 1, 5, 1, 1), "m")
	b.node("d", "Div", nil, "s", b.scalar("two", 2))
	b.node("y", "HardSwish", nil, "d")
	b.output("y").same(t, "dsk.Conv", "Transpose")
}

func TestRewriteChannelConstantsStay(t *testing.T) {
	// A constant along the width is none for each channel, even where the sizes agree.
	b := build(in("x", 1, 3, 5, 5))
	b.node("a", "Conv", nil, "x", b.weight("w", 5, 3, 1, 1))
	b.node("y", "Add", nil, "a", b.weight("c", 5))
	b.output("y").same(t, "dsk.Conv", "Add", "Transpose")
}

func TestRewritePaddings(t *testing.T) {
	pads := []int64{0, 0, 1, 2, 0, 0, 0, 1}
	b := build(in("x", 1, 2, 5, 6))
	b.node("p", "Pad", nil, "x", b.ints("pads", pads...))
	b.node("y", "Conv", Attrs{"pads": IntsAttr(1, 1, 1, 1)}, "p", b.weight("w", 3, 2, 4, 4))
	b.output("y").same(t, "dsk.Conv", "Transpose")

	b = build(in("x", 1, 2, 5, 6))
	b.node("p", "Pad", nil, "x", b.ints("pads", pads...))
	b.node("y", "AveragePool", Attrs{"kernel_shape": IntsAttr(3, 3)}, "p")
	b.output("y").same(t, "AveragePool")

	// The pooling's own padding does not count: the two cannot be joined.
	b = build(in("x", 1, 2, 5, 6))
	b.node("p", "Pad", nil, "x", b.ints("pads", pads...))
	b.node("y", "AveragePool", Attrs{"kernel_shape": IntsAttr(5, 5), "pads": IntsAttr(1, 1, 1, 1)}, "p")
	b.output("y").same(t, "Pad", "AveragePool")

	for _, c := range []struct {
		value float64
		want  []string
	}{{math.Inf(-1), []string{"MaxPool"}}, {0, []string{"Pad", "MaxPool"}}} {
		b = build(in("x", 1, 2, 5, 6))
		b.node("p", "Pad", nil, "x", b.ints("pads", pads...), b.scalar("v", float32(c.value)))
		b.node("y", "MaxPool", Attrs{"kernel_shape": IntsAttr(3, 3)}, "p")
		b.output("y").same(t, c.want...)
	}
}

// Models of Caffe2's time write a BatchNormalization, then a Mul and an Add.
func TestRewriteBatchNormConstants(t *testing.T) {
	b := build(in("x", 2, 3, 4, 4))
	b.batchNorm("n", "x", 3)
	b.node("m", "Mul", nil, "n", b.weight("k", 3, 1, 1))
	b.node("y", "Add", nil, "m", b.weight("c", 3, 1, 1))
	b.output("y").same(t, "BatchNormalization")
}
