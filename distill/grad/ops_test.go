package grad_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func str(v string) model.Attr        { return model.StringAttr(v) }
func num(v int64) model.Attr         { return model.IntAttr(v) }
func float(v float32) model.Attr     { return model.FloatAttr(v) }
func list(v ...int64) model.Attr     { return model.IntsAttr(v...) }
func floats(v ...float32) model.Attr { return model.Attr{Kind: model.AttrFloats, Floats: v} }
func frozen(v x) *tensor.Tensor      { return v.values(rand.New(rand.NewPCG(3, 3))) }
func attrs(pairs ...any) (a model.Attrs) {
	a = model.Attrs{}
	for i := 0; i < len(pairs); i += 2 {
		a[pairs[i].(string)] = pairs[i+1].(model.Attr)
	}
	return a
}

var opCases = []opCase{
	{op: "Relu", in: []any{in(3, 50)}}, {op: "Sigmoid", in: []any{in(3, 5)}}, {op: "Tanh", in: []any{in(3, 5)}},
	{op: "Exp", in: []any{in(3, 5)}}, {op: "Erf", in: []any{in(3, 5)}}, {op: "Log", in: []any{positive(3, 5)}},
	{op: "Sqrt", in: []any{positive(3, 5)}}, {op: "Neg", in: []any{in(3, 5)}}, {op: "Abs", in: []any{in(3, 50)}},
	{op: "Sin", in: []any{in(3, 5)}}, {op: "Cos", in: []any{in(3, 5)}}, {op: "Reciprocal", in: []any{positive(3, 5)}},
	{op: "Softplus", in: []any{in(3, 5)}}, {op: "Swish", in: []any{in(3, 5)}},
	{name: "alpha", op: "Swish", attrs: attrs("alpha", float(1.7)), in: []any{in(3, 5)}},
	{op: "LeakyRelu", attrs: attrs("alpha", float(0.2)), in: []any{in(3, 50)}},
	{op: "Elu", attrs: attrs("alpha", float(1.3)), in: []any{in(3, 50)}},
	{op: "Clip", in: []any{in(3, 50), scalar(-0.694), scalar(0.8973)}}, {name: "below", op: "Clip", in: []any{in(3, 50), nil, scalar(0.8973)}},
	{op: "HardSwish", in: []any{x{[]int{4, 50}, -5, 5}}, loose: 5e-3},
	{op: "HardSigmoid", attrs: attrs("alpha", float(0.3)), in: []any{x{[]int{4, 50}, -5, 5}}},
	{op: "Gelu", in: []any{in(3, 5)}}, {name: "tanh", op: "Gelu", attrs: attrs("approximate", str("tanh")), in: []any{in(3, 5)}},
	{name: "large", op: "Tanh", in: []any{in(3, 5000)}, loose: 1e-2},

	{op: "Add", in: []any{in(3, 5), in(3, 5)}}, {name: "row", op: "Add", in: []any{in(4, 3, 5), in(5)}},
	{name: "channel", op: "Add", in: []any{in(2, 3, 4, 5), in(3, 1, 1)}}, {name: "both", op: "Add", in: []any{in(3, 1, 5), in(4, 1)}},
	{name: "one", op: "Add", in: []any{in(3, 4), in(1)}}, {name: "left", op: "Sub", in: []any{in(5), in(4, 3, 5)}},
	{op: "Sub", in: []any{in(3, 5), in(3, 5)}}, {op: "Mul", in: []any{in(3, 5), in(3, 5)}},
	{name: "channel", op: "Mul", in: []any{in(2, 3, 4, 5), in(2, 3, 1, 1)}}, {name: "scalar", op: "Mul", in: []any{in(7, 5), scalar(0.3)}},
	{name: "long", op: "Mul", in: []any{in(2, 3000), in(3000)}, loose: 1e-2},
	{op: "Div", in: []any{in(3, 5), positive(3, 5)}}, {name: "row", op: "Div", in: []any{in(3, 5), positive(5)}},
	{op: "Pow", in: []any{positive(3, 5), in(3, 5)}}, {name: "square", op: "Pow", in: []any{in(3, 5), scalar(2)}},
	{op: "Max", in: []any{in(3, 30), frozen(x{[]int{3, 30}, -1.501, 1.602})}}, {op: "Min", in: []any{in(3, 30), frozen(x{[]int{30}, -1.501, 1.602})}},
	{op: "PRelu", in: []any{in(2, 3, 10), in(3, 1)}},

	{op: "MatMul", in: []any{in(6, 5), in(5, 7)}}, {name: "batch", op: "MatMul", in: []any{in(2, 3, 6, 5), in(2, 3, 5, 7)}},
	{name: "shared", op: "MatMul", in: []any{in(2, 3, 6, 5), in(3, 5, 7)}}, {name: "rows", op: "MatMul", in: []any{in(2, 3, 5), in(5, 4)}},
	{name: "sharedleft", op: "MatMul", in: []any{in(6, 5), in(2, 5, 3)}}, {name: "large", op: "MatMul", in: []any{in(40, 50), in(50, 60)}, loose: 1e-2},
	{op: "Gemm", in: []any{in(6, 5), in(5, 7), in(7)}},
	{name: "transB", op: "Gemm", attrs: attrs("transB", num(1), "alpha", float(0.5)), in: []any{in(6, 5), in(7, 5), frozen(in(7))}},
	{name: "transAB", op: "Gemm", attrs: attrs("transA", num(1), "transB", num(1), "beta", float(2)), in: []any{in(5, 6), in(7, 5), in(6, 1)}},
	{name: "transA", op: "Gemm", attrs: attrs("transA", num(1)), in: []any{in(5, 6), in(5, 7)}},
	{op: "Linear", domain: "dsk", in: []any{in(2, 3, 5), in(7, 5), in(7)}},
	{name: "gelu", op: "Linear", domain: "dsk", attrs: attrs("activation", str("Gelu"), "act_bits", num(32)), in: []any{in(2, 3, 5), in(7, 5), in(7)}},
	{name: "clip", op: "Linear", domain: "dsk", attrs: attrs("activation", str("Clip"), "activation_params", floats(-100, 100)), in: []any{in(3, 5), in(7, 5)}},

	{op: "Conv", attrs: attrs("pads", list(1, 1, 1, 1)), in: []any{in(2, 3, 6, 5), in(4, 3, 3, 3), in(4)}},
	{name: "stride", op: "Conv", attrs: attrs("strides", list(2, 2), "pads", list(0, 1, 1, 0), "dilations", list(1, 2)), in: []any{in(3, 2, 7, 8), in(4, 2, 3, 2)}},
	{name: "group", op: "Conv", attrs: attrs("group", num(2), "auto_pad", str("SAME_UPPER")), in: []any{in(2, 4, 5, 5), in(6, 2, 3, 3), in(6)}},
	{name: "depthwise", op: "Conv", attrs: attrs("group", num(4), "pads", list(1, 1, 1, 1)), in: []any{in(2, 4, 5, 6), in(4, 1, 3, 3), in(4)}},
	{name: "depthwise2", op: "Conv", attrs: attrs("group", num(4), "strides", list(2, 2), "pads", list(1, 1, 1, 1)), in: []any{in(2, 4, 5, 6), in(4, 1, 3, 3)}},
	{name: "multiplier", op: "Conv", attrs: attrs("group", num(3)), in: []any{in(2, 3, 5, 6), in(6, 1, 3, 3)}},
	{name: "pointwise", op: "Conv", in: []any{in(20, 6, 3, 3), in(8, 6, 1, 1)}, loose: 5e-3}, {name: "line", op: "Conv", attrs: attrs("pads", list(1, 1)), in: []any{in(2, 3, 8), in(4, 3, 3)}},
	{name: "first", op: "Conv", domain: "dsk", attrs: attrs("pads", list(1, 1, 1, 1), "activation", str("Sigmoid")), in: []any{in(2, 3, 6, 5), in(4, 3, 3, 3), in(4), in(2, 4, 6, 5)}},
	{name: "last", op: "Conv", domain: "dsk", attrs: attrs("pads", list(1, 1, 1, 1), "strides", list(2, 1), "layout", str("NHWC")), in: []any{in(2, 6, 5, 3), in(4, 3, 3, 3), in(4)}},
	{name: "lastplain", op: "Conv", domain: "dsk", attrs: attrs("pads", list(1, 1, 1, 0), "dilations", list(1, 2), "layout", str("NHWC")), in: []any{in(3, 6, 5, 3), in(4, 3, 3, 3), in(4)}},
	{name: "valid", op: "Conv", attrs: attrs("dilations", list(2, 1)), in: []any{in(3, 2, 7, 6), in(5, 2, 2, 3)}},
	{name: "uneven", op: "Conv", attrs: attrs("pads", list(0, 2, 1, 0)), in: []any{in(3, 2, 5, 4), in(3, 2, 3, 2)}},
	{name: "lastgroup", op: "Conv", domain: "dsk", attrs: attrs("pads", list(1, 1, 1, 1), "group", num(2), "layout", str("NHWC")), in: []any{in(2, 6, 5, 4), in(6, 3, 3, 2)}},
	{name: "lastdepthwise", op: "Conv", domain: "dsk", attrs: attrs("pads", list(1, 1, 1, 1), "group", num(4), "layout", str("NHWC")), in: []any{in(2, 6, 5, 4), in(4, 3, 3, 1)}},
	{name: "mixed", op: "Conv", domain: "dsk", attrs: attrs("layout", str("NHWC"), "input_layout", str("NCHW")), in: []any{in(2, 3, 6, 5), in(4, 3, 3, 3)}},

	{op: "LayerNormalization", in: []any{in(6, 9), in(9), in(9)}}, {name: "axis", op: "LayerNormalization", attrs: attrs("axis", num(1)), in: []any{in(4, 3, 5), in(3, 5)}},
	{op: "RMSNormalization", in: []any{in(2, 6, 9), in(9)}},
	{op: "BatchNormalization", in: []any{in(3, 4, 2, 5), in(4), in(4), frozen(in(4)), frozen(positive(4))}},
	{name: "train", op: "BatchNormalization", in: []any{in(3, 4, 2, 5), in(4), in(4), frozen(in(4)), frozen(positive(4))}, batch: true},
	{name: "vectors", op: "BatchNormalization", in: []any{in(9, 4), in(4), in(4), frozen(in(4)), frozen(positive(4))}, batch: true},
	{op: "Softmax", in: []any{in(4, 6)}}, {name: "axis", op: "Softmax", attrs: attrs("axis", num(1)), in: []any{in(2, 5, 3)}},
	{op: "LogSoftmax", in: []any{in(4, 6)}}, {name: "axis", op: "LogSoftmax", attrs: attrs("axis", num(0)), in: []any{in(4, 6)}},

	{op: "MaxPool", attrs: attrs("kernel_shape", list(2, 2), "strides", list(2, 2)), in: []any{in(2, 3, 6, 4)}},
	{name: "pads", op: "MaxPool", attrs: attrs("kernel_shape", list(3, 3), "pads", list(1, 1, 1, 1), "strides", list(2, 1)), in: []any{in(2, 3, 6, 4)}},
	{name: "line", op: "MaxPool", attrs: attrs("kernel_shape", list(3)), in: []any{in(2, 3, 8)}},
	{name: "last", op: "MaxPool", domain: "dsk", attrs: attrs("kernel_shape", list(2, 2), "strides", list(2, 2)), in: []any{in(2, 6, 4, 3)}},
	{op: "AveragePool", attrs: attrs("kernel_shape", list(3, 3), "pads", list(1, 1, 1, 1), "strides", list(2, 2)), in: []any{in(2, 3, 6, 5)}},
	{name: "whole", op: "AveragePool", attrs: attrs("kernel_shape", list(3, 3), "pads", list(1, 1, 1, 1), "count_include_pad", num(1)), in: []any{in(2, 3, 6, 5)}},
	{name: "last", op: "AveragePool", domain: "dsk", attrs: attrs("kernel_shape", list(2, 3)), in: []any{in(2, 6, 5, 3)}},
	{op: "GlobalAveragePool", in: []any{in(2, 3, 4, 5)}}, {op: "GlobalMaxPool", in: []any{in(2, 3, 4, 5)}},

	{op: "Reshape", in: []any{in(2, 3, 4), ints(4, -1)}}, {op: "Flatten", in: []any{in(2, 3, 4)}}, {op: "Identity", in: []any{in(2, 3)}},
	{op: "Squeeze", in: []any{in(2, 1, 4), ints(1)}}, {op: "Unsqueeze", in: []any{in(2, 4), ints(0, 3)}},
	{op: "Transpose", in: []any{in(2, 3)}}, {name: "heads", op: "Transpose", attrs: attrs("perm", list(0, 2, 1, 3)), in: []any{in(2, 3, 4, 5)}},
	{op: "Concat", attrs: attrs("axis", num(1)), in: []any{in(2, 3, 4), in(2, 1, 4), frozen(in(2, 2, 4))}},
	{op: "Split", attrs: attrs("axis", num(1)), in: []any{in(2, 6, 4), ints(1, 5)}, outs: 2},
	{name: "even", op: "Split", attrs: attrs("axis", num(-1), "num_outputs", num(3)), in: []any{in(2, 6)}, outs: 3},
	{op: "Slice", in: []any{in(4, 6, 5), ints(1, -4), ints(3, 100), ints(0, 1)}},
	{name: "back", op: "Slice", in: []any{in(4, 7), ints(-1), ints(-100), ints(1), ints(-2)}},
	{op: "Expand", in: []any{in(3, 1), ints(2, 3, 4)}}, {op: "Pad", in: []any{in(2, 3), ints(1, 0, 0, 2), scalar(0.5)}},
	{name: "cut", op: "Pad", in: []any{in(3, 4), ints(-1, 2), nil, ints(1)}},
	{op: "ReduceSum", in: []any{in(2, 3, 4), ints(1)}}, {name: "all", op: "ReduceSum", attrs: attrs("keepdims", num(0)), in: []any{in(2, 3, 4)}},
	{op: "ReduceMean", attrs: attrs("keepdims", num(0)), in: []any{in(2, 3, 4), ints(0, -1)}},
	{name: "last", op: "ReduceMean", in: []any{in(20, 500), ints(-1)}, loose: 1e-2},
	{op: "Gather", in: []any{in(5, 20), tensor.FromSlice([]int64{1, 4, 1, -1}, 2, 2)}}, {name: "axis", op: "Gather", attrs: attrs("axis", num(1)), in: []any{in(3, 5, 2), ints(4, 0, 0)}},

	{op: "Resize", attrs: attrs("mode", str("nearest"), "coordinate_transformation_mode", str("asymmetric"), "nearest_mode", str("floor")), in: []any{in(2, 3, 4, 3), nil, tensor.FromSlice([]float32{1, 1, 2, 2}, 4)}},
	{name: "linear", op: "Resize", attrs: attrs("mode", str("linear")), in: []any{in(2, 3, 4, 3), nil, nil, ints(2, 3, 7, 6)}},
	{name: "corners", op: "Resize", attrs: attrs("mode", str("linear"), "coordinate_transformation_mode", str("align_corners"), "axes", list(2, 3)), in: []any{in(2, 3, 4, 3), nil, nil, ints(7, 2)}},

	{op: "Attention", in: []any{in(2, 3, 4, 5), in(2, 3, 6, 5), in(2, 3, 6, 7)}},
	{name: "causal", op: "Attention", attrs: attrs("is_causal", num(1), "q_num_heads", num(4), "kv_num_heads", num(2)), in: []any{in(2, 5, 12), in(2, 5, 6), in(2, 5, 8), nil, nil, nil, ints(5, 5)}},
	{name: "blocks", op: "Attention", attrs: attrs("is_causal", num(1)), in: []any{in(1, 1, 70, 4), in(1, 1, 70, 4), in(1, 1, 70, 3)}},
	{name: "blocks unseen", op: "Attention", attrs: attrs("is_causal", num(1), "q_num_heads", num(1), "kv_num_heads", num(1)), in: []any{in(1, 70, 4), in(1, 70, 4), in(1, 70, 3), nil, nil, nil, ints(3)}},
	{name: "window", op: "Attention", attrs: attrs("is_causal", num(1), "local_window_size", num(2), "scale", float(0.3)), in: []any{in(1, 2, 5, 4), in(1, 1, 5, 4), in(1, 1, 5, 4)}},
	{name: "softcap", op: "Attention", attrs: attrs("softcap", float(1.5)), in: []any{in(1, 2, 5, 4), in(1, 2, 5, 4), in(1, 2, 5, 4)}},
	{name: "mask", op: "Attention", in: []any{in(2, 2, 4, 5), in(2, 2, 6, 5), in(2, 2, 6, 3), frozen(in(2, 1, 4, 6))}},
	{op: "RotaryEmbedding", attrs: attrs("num_heads", num(2)), in: []any{in(2, 3, 16), frozen(in(9, 4)), frozen(in(9, 4)), tensor.FromSlice([]int64{0, 1, 2, 5, 8, 7}, 2, 3)}},
	{name: "pairs", op: "RotaryEmbedding", attrs: attrs("interleaved", num(1), "rotary_embedding_dim", num(4)), in: []any{in(2, 2, 3, 6), frozen(in(2, 3, 2)), frozen(in(2, 3, 2))}},
}

// TestGradients compares every operator's values with the runtime's and its derivatives with differences.
func TestGradients(t *testing.T) {
	for _, c := range opCases {
		name := c.op
		if c.name != "" {
			name += "/" + c.name
		}
		t.Run(name, c.check)
	}
}

// TestSquare uses one value for both operands of a node.
func TestSquare(t *testing.T) {
	c := opCase{op: "Mul", in: []any{in(3, 4)}}
	g, inputs := c.graph(t, rand.New(rand.NewPCG(1, 2)), false)
	g.Nodes[0].Inputs = []string{"in0", "in0"}
	tape, grads := gradients(t, g, optionsFor(inputs), inputs)
	for i, v := range inputs["in0"].F32() {
		if want := 2 * v * tape.OutputGrad("out0")[i]; math.Abs(float64(grads["in0"][i]-want)) > 1e-5 {
			t.Errorf("element %d: %g, want %g", i, grads["in0"][i], want)
		}
	}
}

// TestReluAtZero: zeros of both signs, and what is below, pass no gradient.
func TestReluAtZero(t *testing.T) {
	c := opCase{op: "Relu", in: []any{in(5)}}
	g, inputs := c.graph(t, rand.New(rand.NewPCG(1, 2)), false)
	copy(inputs["in0"].F32(), []float32{0, float32(math.Copysign(0, -1)), -1, 1, 1e-40})
	tape, grads := gradients(t, g, optionsFor(inputs), inputs)
	seed := tape.OutputGrad("out0")
	for i, want := range []float32{0, 0, 0, seed[3], seed[4]} {
		if grads["in0"][i] != want {
			t.Errorf("element %d: %g, want %g", i, grads["in0"][i], want)
		}
	}
}
