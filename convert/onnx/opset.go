package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
)

// rules translate the old forms of ai.onnx operators to opset 27. An operator that is
// not here has meant the same since opset 1, or has only gained types and optional parts.
// Rules go by what a node has rather than by the opset it claims where that is
// possible: tools that patch models mix forms. Version numbers in comments are opsets in
// which the form changed (ONNX Changelog.md).
var rules map[string]rule

// replaced are operators that opset 27 lacks and that rules translate to others.
var replaced = map[string]bool{
	"Upsample": true, "Scatter": true, "Constant": true, "Affine": true, "ImageScaler": true,
	"SimplifiedLayerNormalization": true, "STFT": true, "HannWindow": true, "HammingWindow": true,
	"BlackmanWindow": true, "NegativeLogLikelihoodLoss": true, "SoftmaxCrossEntropyLoss": true,
}

// mlRules translate operators of ai.onnx.ml whose values are no tensors.
var mlRules = map[string]rule{"ZipMap": lowerZipMap}

func findRule(domain, op string) rule {
	switch domain {
	case "":
		return rules[op]
	case domainMicrosoft:
		if !model.KnownOp(domain, op) {
			return microsoftRules[op]
		}
	case model.DomainML:
		return mlRules[op]
	}
	return nil
}

func init() {
	rules = map[string]rule{
		// ops_shape.go
		"Constant": lowerConstant, "Reshape": lowerReshape, "Squeeze": lowerAxes, "Unsqueeze": lowerAxes,
		"Split": lowerSplit, "Slice": lowerSlice, "Pad": lowerPad, "Concat": lowerConcat, "Tile": lowerTile,
		"Scatter": lowerScatter, "TopK": lowerTopK,
		// ops_elementwise.go
		"Add": lowerBroadcast, "Sub": lowerBroadcast, "Mul": lowerBroadcast, "Div": lowerBroadcast, "Pow": lowerBroadcast,
		"And": lowerBroadcast, "Or": lowerBroadcast, "Xor": lowerBroadcast, "Equal": lowerBroadcast,
		"Greater": lowerBroadcast, "Less": lowerBroadcast,
		"Clip": lowerClip, "PRelu": lowerPRelu, "Cast": lowerCast, "Selu": lowerSelu, "Dropout": lowerDropout,
		"Affine": lowerAffine, "ImageScaler": lowerImageScaler, "Gemm": lowerGemm,
		// ops_reduce.go
		"ReduceSum": lowerAxes, "ReduceMean": lowerAxes, "ReduceMax": lowerAxes, "ReduceMin": lowerAxes,
		"ReduceProd": lowerAxes, "ReduceL1": lowerAxes, "ReduceL2": lowerAxes, "ReduceLogSum": lowerAxes,
		"ReduceLogSumExp": lowerAxes, "ReduceSumSquare": lowerAxes,
		// ops_softmax.go
		"Softmax": lowerSoftmax, "LogSoftmax": lowerSoftmax, "Hardmax": lowerSoftmax,
		// ops_norm.go
		"BatchNormalization": lowerBatchNorm, "GroupNormalization": lowerGroupNorm,
		"SimplifiedLayerNormalization": lowerSimplifiedNorm,
		// ops_pool.go
		"LpPool": lowerLp, "GlobalLpPool": lowerLp, "RoiAlign": lowerRoiAlign,
		// ops_resize.go
		"Upsample": lowerUpsample, "Resize": lowerResize, "GridSample": lowerGridSample,
		// ops_rnn.go
		"RNN": lowerRNN, "LSTM": lowerRNN, "GRU": lowerRNN,
		// ops_control.go
		"Scan": lowerScan,
		// ops_quant.go
		"QuantizeLinear": lowerQuantAxis, "DequantizeLinear": lowerQuantAxis,
		// ops_signal.go
		"DFT": lowerDFT, "STFT": lowerSTFT, "HannWindow": lowerWindow, "HammingWindow": lowerWindow, "BlackmanWindow": lowerWindow,
		// ops_loss.go
		"NegativeLogLikelihoodLoss": lowerNLLLoss, "SoftmaxCrossEntropyLoss": lowerCrossEntropy,
	}
}
