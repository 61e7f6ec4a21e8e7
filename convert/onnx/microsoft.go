package onnx

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// domainMicrosoft holds ONNX Runtime's own operators, which its optimizer and several
// exporters write.
const domainMicrosoft = "com.microsoft"

// microsoftRules translate them to standard operators, as ONNX Runtime's
// docs/ContribOperators.md defines them.
var microsoftRules map[string]rule

func init() {
	microsoftRules = map[string]rule{
		"Gelu": lowerMSGelu, "FastGelu": lowerMSGelu, "BiasGelu": lowerMSGelu, "QuickGelu": lowerQuickGelu,
		"FusedConv": lowerFusedConv, "FusedGemm": lowerFusedGemm,
		"FusedMatMul": lowerFusedMatMul, "TransposeMatMul": lowerFusedMatMul,
		"SimplifiedLayerNormalization": lowerSimplifiedNorm, "SkipLayerNormalization": lowerSkipNorm,
		"SkipSimplifiedLayerNormalization": lowerSkipNorm,
		"CDist":                            lowerCDist,
		// microsoft_quant.go
		"MatMulNBits": lowerMatMulNBits, "GatherBlockQuantized": lowerGatherBlockQuantized,
		"MatMulIntegerToFloat": lowerMatMulIntegerToFloat, "DynamicQuantizeMatMul": lowerDynamicQuantizeMatMul,
		"QGemm": lowerQGemm, "QLinearAdd": lowerQLinearAdd, "QLinearMul": lowerQLinearMul,
		"QLinearSigmoid": lowerQLinearUnary, "QLinearLeakyRelu": lowerQLinearUnary, "QLinearSoftmax": lowerQLinearUnary,
		"QLinearAveragePool": lowerQLinearUnary, "QLinearGlobalAveragePool": lowerQLinearUnary,
		"QLinearConcat": lowerQLinearConcat,
		// microsoft_attention.go
		"RotaryEmbedding": lowerMSRotary, "MultiHeadAttention": lowerMultiHeadAttention, "Attention": lowerMSAttention,
		"GroupQueryAttention": lowerGroupQueryAttention,
	}
}

// lowerMSGelu: Gelu, with a bias that comes before it.
func lowerMSGelu(l *lowering) error {
	x := l.in(0)
	if b := l.in(1); b != "" {
		x = l.apply("Add", nil, x, b)
	}
	attrs := model.Attrs{}
	if l.op == "FastGelu" {
		attrs["approximate"] = model.StringAttr("tanh")
	}
	l.to("Gelu", attrs, x)
	return nil
}

// lowerCDist: the distances between the rows of two matrices, squared or not.
func lowerCDist(l *lowering) error {
	metric := l.attrs["metric"].Str
	if metric != "" && metric != "sqeuclidean" && metric != "euclidean" {
		return l.reject("CDist of the metric "+metric, "")
	}
	d := l.apply("Sub", nil, l.apply("Unsqueeze", nil, l.in(0), l.ints("axes", 1)), l.in(1))
	op := "ReduceSumSquare"
	if metric == "euclidean" {
		op = "ReduceL2"
	}
	l.to(op, model.Attrs{"keepdims": model.IntAttr(0)}, d, l.ints("axes", 2))
	return nil
}

// to emits the standard operator that makes the outputs.
func (l *lowering) to(op string, attrs model.Attrs, inputs ...string) {
	l.emit("", op, l.name, inputs, l.outputs, attrs)
}

// lowerQuickGelu: x sigmoid(alpha x).
func lowerQuickGelu(l *lowering) error {
	alpha, ok := l.attr("alpha")
	if !ok {
		alpha.Float = 1.702
	}
	l.to("Swish", model.Attrs{"alpha": model.FloatAttr(alpha.Float)}, l.in(0))
	return nil
}

// activation returns the operator that an attribute names, and its attributes; ok is false for
// one that is not known.
func (l *lowering) activation(name string, p []float32) (op string, attrs model.Attrs, limits []float32, ok bool) {
	switch {
	case name == "":
		return "Identity", nil, nil, true
	case name == "Relu", name == "Sigmoid", name == "Tanh":
		return name, nil, nil, true
	case name == "LeakyRelu" && len(p) > 0:
		return name, model.Attrs{"alpha": model.FloatAttr(p[0])}, nil, true
	case name == "HardSigmoid" && len(p) > 1:
		return name, model.Attrs{"alpha": model.FloatAttr(p[0]), "beta": model.FloatAttr(p[1])}, nil, true
	case name == "Clip" && len(p) > 1:
		return name, nil, p[:2], true
	}
	return "", nil, nil, false
}

// activate emits the activation that makes the outputs of x.
func (l *lowering) activate(name string, params []float32, x string) error {
	op, attrs, limits, ok := l.activation(name, params)
	if !ok {
		return l.reject(l.op+" with the activation "+name, "")
	}
	inputs := []string{x}
	for i, v := range limits {
		c, err := l.scalar([]string{"min", "max"}[i], l.dtype(x), float64(v))
		if err != nil {
			return err
		}
		inputs = append(inputs, c)
	}
	l.to(op, attrs, inputs...)
	return nil
}

// lowerFusedConv: act(Conv(X, W, B) + Z).
func lowerFusedConv(l *lowering) error {
	name, _ := l.attr("activation")
	params, _ := l.attr("activation_params")
	y := l.apply("Conv", l.attrs, l.in(0), l.in(1), l.in(2))
	if z := l.in(3); z != "" {
		y = l.apply("Add", nil, y, z)
	}
	return l.activate(name.Str, params.Floats, y)
}

// lowerFusedGemm: act(Gemm(A, B, C)).
func lowerFusedGemm(l *lowering) error {
	name, _ := l.attr("activation")
	var params []float32
	for _, k := range []string{"activation_alpha", "activation_beta", "activation_gamma"} {
		if a, ok := l.attr(k); ok {
			params = append(params, a.Float)
		}
	}
	return l.activate(name.Str, params, l.apply("Gemm", l.attrs, l.inputs...))
}

// lowerFusedMatMul: alpha * MatMul of matrices that may be transposed.
func lowerFusedMatMul(l *lowering) error {
	if l.attrs["transBatchA"].Int != 0 || l.attrs["transBatchB"].Int != 0 {
		return l.reject(l.op+" that transposes the batch", "")
	}
	operands := [2]string{l.in(0), l.in(1)}
	for i, k := range []string{"transA", "transB"} {
		if l.attrs[k].Int == 0 {
			continue
		}
		rank := l.rank(operands[i])
		if rank < 0 {
			return l.reject(l.op+" of an unknown rank", "fix the input's shape")
		}
		if rank < 2 {
			continue
		}
		perm := make([]int64, rank)
		for j := range perm {
			perm[j] = int64(j)
		}
		perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
		operands[i] = l.apply("Transpose", model.Attrs{"perm": model.IntsAttr(perm...)}, operands[i])
	}
	alpha, ok := l.attr("alpha")
	if !ok || alpha.Float == 1 {
		l.to("MatMul", nil, operands[0], operands[1])
		return nil
	}
	c, err := l.scalar("alpha", l.dtype(l.in(0)), float64(alpha.Float))
	if err != nil {
		return err
	}
	l.to("Mul", nil, l.apply("MatMul", nil, operands[0], operands[1]), c)
	return nil
}

// normAttrs returns the attributes of a normalization over the last axis.
func (l *lowering) normAttrs(epsilon float32) model.Attrs {
	attrs := model.Attrs{"axis": model.IntAttr(-1), "epsilon": model.FloatAttr(epsilon)}
	for _, k := range []string{"axis", "epsilon", "stash_type"} {
		if a, ok := l.attrs[k]; ok {
			attrs[k] = a
		}
	}
	return attrs
}

// lowerSimplifiedNorm: ONNX Runtime's name for RMSNormalization, also found in ai.onnx.
func lowerSimplifiedNorm(l *lowering) error {
	if len(l.used) > 1 && l.used[1] {
		return l.reject(l.op+" with the output inv_std_var", "")
	}
	l.outputs = l.outputs[:1]
	l.to("RMSNormalization", l.normAttrs(1e-5), l.in(0), l.in(1))
	return nil
}

// lowerSkipNorm normalizes input + skip + bias; the fourth output is that sum.
func lowerSkipNorm(l *lowering) error {
	for i := 1; i < len(l.used) && i < 3; i++ {
		if l.used[i] {
			return l.reject(l.op+" with statistics as outputs", "")
		}
	}
	op, inputs, bias := "LayerNormalization", []string{l.in(2), l.in(3)}, l.in(4)
	if l.op == "SkipSimplifiedLayerNormalization" {
		op, inputs, bias = "RMSNormalization", []string{l.in(2)}, l.in(3)
	}
	sum := l.im.unique(l.path + "/sum")
	if len(l.outputs) > 3 && l.outputs[3] != "" {
		sum = l.outputs[3]
	}
	a := l.in(0)
	if bias != "" {
		a = l.apply("Add", nil, a, bias)
	}
	l.emit("", "Add", sum, []string{a, l.in(1)}, []string{sum}, nil)
	if l.outputs[0] == "" {
		return nil
	}
	l.outputs = l.outputs[:1]
	l.to(op, l.normAttrs(1e-12), append([]string{sum}, inputs...)...)
	return nil
}

// half returns the middle of the unsigned range of a number of bits: the zero point of
// weights that have none.
func half(bits int) float32 { return float32(int(1) << (bits - 1)) }

// constantOf returns a value's tensor if it is a constant in the graph.
func (l *lowering) constantOf(name string) *tensor.Tensor { return l.im.graph.Init[name] }
