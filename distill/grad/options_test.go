package grad_test

import (
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

func bools(shape []int, every int) *tensor.Tensor {
	t := tensor.New(tensor.BOOL, shape...)
	for i := range t.Data {
		if i%every != 0 {
			t.Data[i] = 1
		}
	}
	return t
}

var optionCases = []opCase{
	{op: "Cast", attrs: attrs("to", num(1)), in: []any{in(3, 5)}},
	{name: "dilated", op: "MaxPool", attrs: attrs("kernel_shape", list(2, 2), "dilations", list(2, 1), "strides", list(1, 2)), in: []any{in(2, 3, 6, 5)}},
	{name: "ceil", op: "MaxPool", attrs: attrs("kernel_shape", list(3, 2), "strides", list(2, 2), "ceil_mode", num(1)), in: []any{in(2, 3, 6, 5)}},
	{name: "same", op: "MaxPool", attrs: attrs("kernel_shape", list(3, 3), "strides", list(2, 2), "auto_pad", str("SAME_UPPER")), in: []any{in(2, 3, 6, 5)}},
	{name: "ceil", op: "AveragePool", attrs: attrs("kernel_shape", list(3, 2), "strides", list(2, 2), "ceil_mode", num(1), "pads", list(1, 0, 1, 0)), in: []any{in(2, 3, 6, 5)}},
	{name: "ceilwhole", op: "AveragePool", attrs: attrs("kernel_shape", list(3, 2), "strides", list(2, 2), "ceil_mode", num(1), "count_include_pad", num(1), "pads", list(1, 0, 1, 0)), in: []any{in(2, 3, 6, 5)}},
	{name: "line", op: "AveragePool", attrs: attrs("kernel_shape", list(3), "strides", list(2)), in: []any{in(2, 3, 9)}},
	{name: "dilated", op: "AveragePool", attrs: attrs("kernel_shape", list(2, 2), "dilations", list(2, 2)), in: []any{in(2, 3, 6, 5)}},
	{name: "ceil", op: "Resize", attrs: attrs("mode", str("nearest"), "nearest_mode", str("ceil")), in: []any{in(1, 2, 4, 3), nil, nil, ints(1, 2, 7, 5)}},
	{name: "prefer", op: "Resize", attrs: attrs("mode", str("nearest"), "nearest_mode", str("round_prefer_ceil")), in: []any{in(1, 2, 4, 3), nil, tensor.FromSlice([]float32{1, 1, 1.5, 2}, 4)}},
	{name: "down", op: "Resize", attrs: attrs("mode", str("linear"), "coordinate_transformation_mode", str("pytorch_half_pixel")), in: []any{in(1, 2, 6, 5), nil, tensor.FromSlice([]float32{1, 1, 0.5, 0.4}, 4)}},
	{name: "nearestdown", op: "Resize", attrs: attrs("mode", str("nearest"), "coordinate_transformation_mode", str("asymmetric"), "nearest_mode", str("floor")), in: []any{in(1, 2, 6, 5), nil, tensor.FromSlice([]float32{1, 1, 0.5, 0.6}, 4)}},
	{name: "gqa4", op: "Attention", in: []any{in(2, 6, 4, 5), in(2, 2, 6, 5), in(2, 2, 6, 3)}},
	{name: "causal longer", op: "Attention", attrs: attrs("is_causal", num(1)), in: []any{in(1, 2, 3, 4), in(1, 2, 7, 4), in(1, 2, 7, 4)}},
	{name: "causal shorter", op: "Attention", attrs: attrs("is_causal", num(1)), in: []any{in(1, 2, 7, 4), in(1, 2, 3, 4), in(1, 2, 3, 4)}},
	{name: "bool", op: "Attention", in: []any{in(2, 2, 4, 5), in(2, 2, 6, 5), in(2, 2, 6, 3), bools([]int{4, 6}, 5)}},
	{name: "masked causal capped", op: "Attention", attrs: attrs("is_causal", num(1), "softcap", float(1)), in: []any{in(2, 2, 6, 5), in(2, 1, 6, 5), in(2, 1, 6, 3), frozen(in(6, 6))}},
	{name: "gqa window blocks", op: "Attention", attrs: attrs("is_causal", num(1), "local_window_size", num(30), "q_num_heads", num(4), "kv_num_heads", num(2)), in: []any{in(1, 70, 8), in(1, 70, 4), in(1, 70, 4)}},
	{name: "lengths", op: "Attention", attrs: attrs("is_causal", num(1), "q_num_heads", num(2), "kv_num_heads", num(1)), in: []any{in(2, 4, 8), in(2, 6, 4), in(2, 6, 4), nil, nil, nil, ints(6, 5)}},
	{name: "partial", op: "RotaryEmbedding", attrs: attrs("num_heads", num(2), "rotary_embedding_dim", num(4)), in: []any{in(2, 3, 16), frozen(in(9, 2)), frozen(in(9, 2)), tensor.FromSlice([]int64{0, 1, 2, 5, 8, 7}, 2, 3)}},
	{name: "four", op: "RotaryEmbedding", in: []any{in(2, 2, 3, 8), frozen(in(9, 4)), frozen(in(9, 4)), tensor.FromSlice([]int64{0, 1, 2, 5, 8, 7}, 2, 3)}},
	{name: "nobias", op: "LayerNormalization", attrs: attrs("epsilon", float(0.1)), in: []any{in(6, 9), in(9)}},
	{name: "axis", op: "RMSNormalization", attrs: attrs("axis", num(1)), in: []any{in(4, 3, 5), in(3, 5)}},
	{name: "long", op: "RMSNormalization", in: []any{in(3, 300), in(300)}, loose: 5e-3},
	{name: "many", op: "BatchNormalization", attrs: attrs("epsilon", float(0.2)), in: []any{in(8, 4, 12, 12), in(4), in(4), frozen(in(4)), frozen(positive(4))}, batch: true, loose: 1e-2},
	{name: "axis0", op: "Concat", attrs: attrs("axis", num(0)), in: []any{in(2, 3), in(1, 3), in(4, 3)}},
	{name: "last", op: "Concat", attrs: attrs("axis", num(-1)), in: []any{in(2, 3, 2), in(2, 3, 1), in(2, 3, 4)}},
	{name: "noop", op: "ReduceSum", attrs: attrs("noop_with_empty_axes", num(1)), in: []any{in(2, 3, 4)}},
	{name: "middle", op: "ReduceMean", in: []any{in(3, 4, 5), ints(-2)}},
	{name: "one", op: "Gather", in: []any{in(5, 3), tensor.FromSlice([]int64{2})}},
	{name: "last", op: "Gather", attrs: attrs("axis", num(-1)), in: []any{in(2, 5), ints(-1, 0, -1)}},
	{name: "scalar", op: "PRelu", in: []any{in(2, 3, 10), in(1)}},
	{name: "beta", op: "Gemm", attrs: attrs("beta", float(0)), in: []any{in(6, 5), in(5, 7), in(6, 7)}},
	{name: "broadcast", op: "MatMul", in: []any{in(2, 1, 6, 5), in(3, 5, 4)}},
	{name: "both dims", op: "Mul", in: []any{in(4, 1, 5), in(3, 1)}}, {name: "num", op: "Div", in: []any{in(5), positive(4, 5)}},
	{name: "cube", op: "Pow", in: []any{in(3, 5), scalar(3)}}, {name: "root", op: "Pow", in: []any{positive(3, 5), scalar(0.5)}},
	{name: "keep", op: "Reshape", in: []any{in(2, 3, 4), ints(0, -1)}},
	{name: "axis2", op: "Flatten", attrs: attrs("axis", num(2)), in: []any{in(2, 3, 4)}},
	{name: "three", op: "Transpose", attrs: attrs("perm", list(2, 0, 1)), in: []any{in(3, 4, 5)}},
	{name: "group strided dilated", op: "Conv", attrs: attrs("group", num(2), "strides", list(2, 1), "dilations", list(1, 2), "pads", list(1, 2, 0, 1)), in: []any{in(2, 4, 7, 8), in(6, 2, 3, 3), in(6)}},
	{name: "depthwise dilated", op: "Conv", attrs: attrs("group", num(4), "dilations", list(2, 2), "pads", list(2, 2, 2, 2)), in: []any{in(2, 4, 7, 6), in(4, 1, 3, 3), in(4)}},
	{name: "depthwise 5", op: "Conv", attrs: attrs("group", num(3), "pads", list(2, 2, 2, 2), "strides", list(2, 2)), in: []any{in(2, 3, 9, 8), in(3, 1, 5, 5)}},
	{name: "pointwise strided", op: "Conv", attrs: attrs("strides", list(2, 2)), in: []any{in(2, 6, 5, 5), in(8, 6, 1, 1), in(8)}},
	{name: "line strided", op: "Conv", attrs: attrs("pads", list(3, 3), "strides", list(2), "dilations", list(2)), in: []any{in(2, 3, 11), in(4, 3, 3)}},
	{name: "line depthwise", op: "Conv", attrs: attrs("pads", list(1, 1), "group", num(3)), in: []any{in(2, 3, 11), in(3, 1, 3)}},
	{name: "wide", op: "Conv", attrs: attrs("pads", list(1, 1, 1, 1)), in: []any{in(2, 17, 9, 9), in(33, 17, 3, 3)}, loose: 1e-2},
}

// TestOptions checks forms of operators with options that models have more rarely.
func TestOptions(t *testing.T) {
	for _, c := range optionCases {
		t.Run(c.op+"/"+c.name, c.check)
	}
}
