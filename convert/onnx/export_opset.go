package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// baseOpset is the least operator set of a file that Export writes. Runtimes are often years behind, so that it names no later one than its
// nodes need.
const baseOpset = 17

// sinceOpset are the operator sets (ONNX's Changelog.md) from which the form of opset 27 means what it does today, for operators of
// which that is later than baseOpset. Later sets that only gained element types do not count; see opsetOfType.
var sinceOpset = map[string]int{
	"BitwiseAnd": 18, "BitwiseNot": 18, "BitwiseOr": 18, "BitwiseXor": 18, "CenterCropPad": 18, "Col2Im": 18, "Mish": 18,
	"OptionalGetElement": 18, "OptionalHasElement": 18, "ReduceL1": 18, "ReduceL2": 18, "ReduceLogSum": 18, "ReduceLogSumExp": 18,
	"ReduceMax": 18, "ReduceMean": 18, "ReduceMin": 18, "ReduceProd": 18, "ReduceSumSquare": 18, "LpPool": 18, "Resize": 18,
	"DeformConv": 19, "Equal": 19, "AffineGrid": 20, "ConstantOfShape": 20, "DFT": 20, "Gelu": 20, "GridSample": 20, "ImageDecoder": 20,
	"IsInf": 20, "IsNaN": 20, "RegexFullMatch": 20, "StringConcat": 20, "StringSplit": 20, "GroupNormalization": 21,
	"Attention": 23, "RMSNormalization": 23, "RotaryEmbedding": 23, "Swish": 24, "TensorScatter": 24, "BitCast": 26, "CumProd": 26,
	"CausalConvWithState": 27, "LinearAttention": 27,
}

// opsetOf returns the operator set that a node of the default domain needs.
func opsetOf(n *model.Node, typeOf func(string) model.Type) int {
	switch n.Op {
	case "Pad":
		if n.In(3) != "" {
			return 18
		}
	case "Split":
		if n.Has("num_outputs") {
			return 18
		}
	case "AveragePool":
		if n.Has("dilations") {
			return 19
		}
	case "Equal":
		if typeOf(n.In(0)).DType != tensor.STRING {
			return baseOpset
		}
	case "ReduceMax", "ReduceMin":
		if typeOf(n.In(0)).DType == tensor.BOOL {
			return 20
		}
	case "ScatterElements", "ScatterND":
		if r := n.Str("reduction", "none"); r == "max" || r == "min" {
			return 18
		}
	case "Cast", "CastLike":
		if n.Has("saturate") {
			return 19
		}
	case "QuantizeLinear", "DequantizeLinear":
		switch {
		case n.Has("precision") || n.Op == "DequantizeLinear" && n.Has("output_dtype"):
			return 23
		case n.Has("block_size") || n.Has("output_dtype"):
			return 21
		}
	case "Attention":
		if n.In(6) != "" {
			return 24
		}
	}
	return max(baseOpset, sinceOpset[n.Op])
}

// opsetOfType returns the operator set from which shape operators and Cast know an element type.
func opsetOfType(dt tensor.DType) int {
	for dt.Holds() {
		dt = dt.Item()
	}
	switch dt {
	case tensor.BF16:
		return 22
	case tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ:
		return 19
	case tensor.I4, tensor.U4:
		return 21
	case tensor.F4E2M1:
		return 23
	case tensor.F8E8M0:
		return 24
	case tensor.I2, tensor.U2:
		return 25
	}
	return baseOpset
}

// irVersion returns the version of the file format that came with an operator set.
func irVersion(opset int) int {
	switch {
	case opset <= 18:
		return 8
	case opset <= 20:
		return 9
	case opset <= 22:
		return 10
	case opset == 23:
		return 11
	case opset == 24:
		return 12
	}
	return 13
}
