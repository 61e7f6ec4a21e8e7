package grad_test

import (
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

// biases keep the sums of channels apart from the kinks of an activation.
func biases(v ...float32) *tensor.Tensor { return tensor.FromSlice(v, len(v)) }

// wideBiases are biases of 60 channels.
var wideBiases = func() *tensor.Tensor {
	b := make([]float32, 60)
	for i := range b {
		b[i] = 40 - 80*float32(i%2)
	}
	return biases(b...)
}()

// last are the attributes of a dsk.Conv with its channels last.
func last(pairs ...any) []any { return append(pairs, "layout", str("NHWC")) }

// convCases are convolutions with their channels last: with all that is fused into them, strides, gaps, runs of pixels.
var convCases = []opCase{
	{name: "plain", attrs: attrs(last("pads", list(1, 1, 1, 1))...), in: []any{in(3, 6, 5, 4), in(5, 3, 3, 4), in(5)}},
	{name: "relu", attrs: attrs(last("pads", list(1, 1, 1, 1), "activation", str("Relu"))...),
		in: []any{in(20, 4, 5, 3), in(4, 3, 3, 3), biases(40, -40, 40, -40), in(20, 4, 5, 4)}, loose: 5e-3},
	{name: "clip", attrs: attrs(last("pads", list(0, 1, 1, 0), "activation", str("Clip"), "activation_params", floats(-30, 50))...),
		in: []any{in(2, 6, 5, 3), in(4, 2, 2, 3), biases(80, -80, 10, 10)}},
	{name: "leaky", attrs: attrs(last("activation", str("LeakyRelu"), "activation_params", floats(0.25))...),
		in: []any{in(2, 6, 5, 3), in(4, 3, 2, 3), biases(40, -40, 40, -40), in(2, 4, 4, 4)}},
	{name: "sum", attrs: attrs(last("pads", list(2, 1, 0, 3))...), in: []any{in(2, 4, 5, 2), in(3, 3, 3, 2), in(3), in(2, 4, 7, 3)}},
	{name: "stride", attrs: attrs(last("pads", list(1, 1, 1, 1), "strides", list(2, 2), "activation", str("Relu"))...),
		in: []any{in(3, 7, 8, 3), in(4, 3, 3, 3), biases(40, -40, 40, -40)}},
	{name: "stride3", attrs: attrs(last("pads", list(0, 2, 1, 0), "strides", list(3, 2))...), in: []any{in(2, 8, 7, 2), in(3, 4, 5, 2), in(3)}},
	{name: "holes", attrs: attrs(last("strides", list(3, 3))...), in: []any{in(2, 8, 7, 2), in(3, 2, 1, 2), in(3)}},
	{name: "gaps", attrs: attrs(last("pads", list(2, 1, 2, 1), "dilations", list(2, 1))...), in: []any{in(2, 6, 5, 2), in(3, 3, 3, 2)}},
	{name: "pixels", attrs: attrs(last("activation", str("Relu"))...), in: []any{in(7, 5, 3, 6), in(2, 1, 1, 6), biases(30, -30), in(7, 5, 3, 2)}},
	{name: "runs", attrs: attrs(last()...), in: []any{in(2, 9, 7, 40), in(70, 1, 1, 40), in(70)}, loose: 1e-2},
	{name: "wide", attrs: attrs(last("activation", str("Relu"))...), in: []any{in(2, 2, 3, 20), in(60, 1, 1, 20), wideBiases, in(2, 2, 3, 60)}, loose: 5e-3},
	// Large enough to be done by several threads.
	{name: "threads", attrs: attrs(last("pads", list(1, 1, 1, 1), "strides", list(1, 2))...), in: []any{in(20, 8, 8, 8), in(8, 3, 3, 8), in(8), in(20, 8, 4, 8)}, loose: 2e-2},
	{name: "threads wide", attrs: attrs(last()...), in: []any{in(2, 4, 4, 64), in(96, 1, 1, 64), in(96), in(2, 4, 4, 96)}, loose: 2e-2},
	{name: "threads depthwise", attrs: attrs(last("group", num(16), "pads", list(1, 1, 1, 1))...), in: []any{in(20, 8, 8, 16), in(16, 3, 3, 1), in(16)}, loose: 2e-2},
	{name: "picked", attrs: attrs(last("strides", list(2, 2))...), in: []any{in(2, 5, 6, 3), in(4, 1, 1, 3), in(4)}},
	{name: "window", attrs: attrs(last()...), in: []any{in(2, 5, 6, 3), in(4, 5, 6, 3), in(4)}},
	{name: "line", attrs: attrs(last("pads", list(1, 2), "strides", list(2))...), in: []any{in(2, 9, 3), in(4, 3, 3), in(4)}},
	{name: "planes", attrs: attrs(last("pads", list(1, 1, 1, 1), "strides", list(2, 1), "input_layout", str("NCHW"))...),
		in: []any{frozen(in(3, 2, 6, 5)), in(4, 3, 3, 2), in(4)}},
	{name: "depthwise", attrs: attrs(last("group", num(5), "pads", list(1, 1, 1, 1))...), in: []any{in(3, 6, 4, 5), in(5, 3, 3, 1), in(5)}},
	{name: "depthwise relu", attrs: attrs(last("group", num(4), "pads", list(2, 2, 2, 2), "activation", str("Relu"))...),
		in: []any{in(2, 4, 5, 4), in(4, 5, 5, 1), biases(40, -40, 40, -40), in(2, 4, 5, 4)}},
	{name: "depthwise stride", attrs: attrs(last("group", num(4), "pads", list(0, 0, 1, 1), "strides", list(2, 2), "activation", str("Clip"),
		"activation_params", floats(0, 6))...), in: []any{in(3, 6, 7, 4), in(4, 3, 3, 1), biases(40, -40, 3, 3)}},
	{name: "depthwise gaps", attrs: attrs(last("group", num(3), "pads", list(1, 2, 1, 2), "dilations", list(1, 2))...), in: []any{in(2, 6, 7, 3), in(3, 3, 3, 1)}},
	{name: "group", attrs: attrs(last("group", num(2), "pads", list(1, 1, 1, 1), "activation", str("Relu"))...),
		in: []any{in(2, 6, 5, 4), in(4, 3, 3, 2), biases(40, -40, 40, -40), in(2, 6, 5, 4)}},
}

// TestConvGradients checks them as TestGradients does.
func TestConvGradients(t *testing.T) {
	for _, c := range convCases {
		c.op, c.domain = "Conv", "dsk"
		t.Run(c.name, c.check)
	}
}
