package safetensors

import (
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// normKind says how a normalization works; all are over the last axis.
type normKind uint8

const (
	rmsNorm   normKind = iota // x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019)
	layerNorm                 // (x - mean) / sqrt(variance + eps) * weight + bias (Ba et al. 2016)
)

// norm describes the normalizations of a model.
type norm struct {
	kind normKind
	eps  float64
	bias bool    // of layerNorm
	add  float32 // to the weight: gemma and nemotron store it less 1
	bare bool    // there are no weights
}

// norm adds a normalization of x, whose last axis has n elements, with the checkpoint's prefix.weight and prefix.bias.
func (b *builder) norm(out, x, prefix string, n int, k norm) string {
	var in []string
	weight, bias := prefix+".weight", prefix+".bias"
	if !k.bare && !b.has(weight) && b.has(prefix+".gamma") { // the names of the first BERTs
		weight, bias = prefix+".gamma", prefix+".beta"
	}
	switch {
	case k.bare:
		in = []string{x, b.ones(n)}
	case k.add != 0 && !b.plainNorms:
		in = []string{x, b.vectorView(prefix+".scale", weight, []int{n}, n, from(0), k.add)}
	default:
		in = []string{x, b.vector(weight, n)}
	}
	op := "RMSNormalization"
	if k.kind == layerNorm {
		op = "LayerNormalization"
		if k.bias {
			in = append(in, b.vector(bias, n))
		}
	}
	return b.onnx(op, out, model.Attrs{"axis": model.IntAttr(-1), "epsilon": model.FloatAttr(float32(k.eps))}, in...)
}

// headNorm normalizes each head of x [batch, seq, heads*headDim] by itself; all share prefix.weight [headDim].
func (b *builder) headNorm(out, x, prefix string, heads, headDim int, k norm) string {
	y := b.splitHeads(out+".split", x, heads, headDim)
	y = b.norm(out+".normed", y, prefix, headDim, k)
	return b.mergeHeads(out, y, heads*headDim)
}

// headNormEach is headNorm with weights of their own for each head, given as a value [heads, headDim].
func (b *builder) headNormEach(out, x, weights string, heads, headDim int, k norm) string {
	k.bare = true
	y := b.splitHeads(out+".split", x, heads, headDim)
	y = b.norm(out+".normed", y, "", headDim, k)
	y = b.onnx("Mul", out+".scaled", nil, y, weights)
	return b.mergeHeads(out, y, heads*headDim)
}

// splitHeads is x [batch, seq, n*size] as [batch, seq, n, size].
func (b *builder) splitHeads(out, x string, n, size int) string {
	return b.onnx("Reshape", out, nil, x, b.ints(0, 0, int64(n), int64(size)))
}

// mergeHeads is x [batch, seq, n, size] as [batch, seq, width].
func (b *builder) mergeHeads(out, x string, width int) string {
	return b.onnx("Reshape", out, nil, x, b.ints(0, 0, int64(width)))
}

// ones is a constant of n ones.
func (b *builder) ones(n int) string {
	name := "ones_" + decimal(n)
	if _, ok := b.graph.Init[name]; !ok {
		t := tensor.New(tensor.F32, n)
		for i := range t.F32() {
			t.F32()[i] = 1
		}
		b.constant(name, t)
	}
	return name
}
