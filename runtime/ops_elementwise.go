package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators of one operand, each element on its own. A float function is given once, in float64; F16,
// BF16 and F32 round its result. Those that networks spend time in have an F32 kernel too.

var _ = register("", operands(1, map[string]Binder{
	"Abs":             bindAbs,
	"Neg":             bindNeg,
	"Sign":            bindSign,
	"Relu":            bindRelu,
	"Not":             bindNot,
	"BitwiseNot":      bindBitwiseNot,
	"Acos":            floatFunc(math.Acos),
	"Acosh":           floatFunc(math.Acosh),
	"Asin":            floatFunc(math.Asin),
	"Asinh":           floatFunc(math.Asinh),
	"Atan":            floatFunc(math.Atan),
	"Atanh":           floatFunc(math.Atanh),
	"Ceil":            floatFunc(math.Ceil),
	"Cos":             floatFunc(math.Cos),
	"Cosh":            floatFunc(math.Cosh),
	"Erf":             floatFunc32(math.Erf, kernels.Erf),
	"Floor":           floatFunc(math.Floor),
	"Log":             floatFunc(math.Log),
	"Reciprocal":      floatFunc(func(x float64) float64 { return 1 / x }),
	"Round":           floatFunc(math.RoundToEven),
	"Sin":             floatFunc(math.Sin),
	"Sinh":            floatFunc(math.Sinh),
	"Softplus":        floatFunc(softplus),
	"Softsign":        floatFunc(func(x float64) float64 { return x / (1 + math.Abs(x)) }),
	"Tan":             floatFunc(math.Tan),
	"Mish":            floatFunc32(func(x float64) float64 { return x * math.Tanh(softplus(x)) }, mish32),
	"Sqrt":            floatFunc32(math.Sqrt, kernels.Sqrt),
	"Exp":             floatFunc32(math.Exp, kernels.Exp),
	"Sigmoid":         activation(sigmoid, kernels.ActSigmoid),
	"Tanh":            activation(math.Tanh, kernels.ActTanh),
	"HardSwish":       activation(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, kernels.ActHardSwish),
	"Gelu":            bindGelu,
	"Swish":           bindSwish,
	"LeakyRelu":       bindLeakyRelu,
	"Elu":             bindElu,
	"Celu":            bindCelu,
	"Selu":            bindSelu,
	"HardSigmoid":     bindHardSigmoid,
	"ThresholdedRelu": bindThresholdedRelu,
	"Shrink":          bindShrink,
	"IsNaN":           bindIsNaN,
	"IsInf":           bindIsInf,
}))

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// mish32 is x tanh(ln(1 + e)) with e = exp(x), which is x (e^2 + 2e) / (e^2 + 2e + 2).
func mish32(dst, x []float32) {
	var block [256]float32
	for len(x) > 0 {
		e := block[:min(len(x), len(block))]
		for i, v := range x[:len(e)] {
			e[i] = min(v, 20) // from there on the factor is 1 in float32
		}
		kernels.Exp(e, e)
		for i, v := range e {
			n := float32(v*v) + 2*v
			dst[i] = x[i] * (n / (n + 2))
		}
		dst, x = dst[len(e):], x[len(e):]
	}
}

// floatFunc binds an operator on floats.
func floatFunc(f func(float64) float64) Binder {
	return func(b *Bind) (Run, error) { return bindFloat(b, f, nil) }
}

// floatFunc32 is floatFunc with a kernel for F32.
func floatFunc32(f func(float64) float64, f32 func(dst, x []float32)) Binder {
	return func(b *Bind) (Run, error) { return bindFloat(b, f, f32) }
}

// activation is floatFunc with the F32 kernel of an activation.
func activation(f func(float64) float64, kind kernels.ActKind) Binder {
	return floatFunc32(f, activate(kernels.Activation{Kind: kind}))
}

func activate(a kernels.Activation) func(dst, x []float32) {
	return func(dst, x []float32) { kernels.Activate(dst, x, a) }
}

// bindFloat binds y = f(x); f32, if not nil, is the same on F32.
func bindFloat(b *Bind, f func(float64) float64, f32 func(dst, x []float32)) (Run, error) {
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		if f32 != nil {
			return mapSlices(b, 8, f32), nil
		}
		return mapElements(b, 40, func(x float32) float32 { return float32(f(float64(x))) }), nil
	case tensor.F64:
		return mapElements(b, 40, f), nil
	case tensor.F16, tensor.BF16:
		if f32 != nil {
			return widened(func(b *Bind) (Run, error) { return mapSlices(b, 8, f32), nil })(b)
		}
		h := halfOf(dt)
		return mapElements(b, 40, func(u uint16) uint16 { return h.to(float32(f(float64(h.from(u))))) }), nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

// mapElements binds y[i] = f(x[i]); cost is that of f in additions.
func mapElements[T, R tensor.Element](b *Bind, cost int, f func(T) R) Run {
	return mapSlices(b, cost, func(dst []R, x []T) {
		for i, v := range x {
			dst[i] = f(v)
		}
	})
}

// mapSlices binds y = f(x) for a function of slices.
func mapSlices[T, R tensor.Element](b *Bind, cost int, f func(dst []R, x []T)) Run {
	in, out := b.In[0], b.Out[0]
	if in.DType.Size() == out.DType.Size() {
		b.InPlace(0, 0)
	}
	return simple(b.split(in.Len(), 64, cost, func(_, lo, hi int) {
		f(tensor.View[R](out)[lo:hi], tensor.View[T](in)[lo:hi])
	}))
}

// numeric holds one function for each group of types; bindNumeric picks.
type numeric struct {
	f32                func(dst, x []float32)
	f64                func(float64) float64
	i32                func(int32) int32
	i64                func(int64) int64
	unsignedIsIdentity bool
}

func bindNumeric(b *Bind, n numeric) (Run, error) {
	switch dt := b.In[0].DType; {
	case dt.IsFloat():
		return bindFloat(b, n.f64, n.f32)
	case dt == tensor.I8, dt == tensor.I16:
		return widenedIntegers(func(b *Bind) (Run, error) { return bindNumeric(b, n) })(b)
	case dt == tensor.I32:
		return mapElements(b, 1, n.i32), nil
	case dt == tensor.I64:
		return mapElements(b, 1, n.i64), nil
	case dt.IsInteger() && n.unsignedIsIdentity:
		b.Alias(0, 0)
		return nil, nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func absInt[T signedInt](x T) T { return max(x, -x) }

func negInt[T signedInt](x T) T { return -x }

func reluInt[T signedInt](x T) T { return max(x, 0) }

func signInt[T signedInt](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func bindAbs(b *Bind) (Run, error) {
	abs32 := func(dst, x []float32) {
		for i, v := range x {
			dst[i] = math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
		}
	}
	return bindNumeric(b, numeric{abs32, math.Abs, absInt[int32], absInt[int64], true})
}

func bindNeg(b *Bind) (Run, error) {
	neg32 := func(dst, x []float32) {
		for i, v := range x {
			dst[i] = -v
		}
	}
	neg := func(x float64) float64 { return -x }
	return bindNumeric(b, numeric{neg32, neg, negInt[int32], negInt[int64], false})
}

func bindRelu(b *Bind) (Run, error) {
	relu := func(x float64) float64 { return max(x, 0) }
	act := activate(kernels.Activation{Kind: kernels.ActRelu})
	return bindNumeric(b, numeric{act, relu, reluInt[int32], reluInt[int64], true})
}

func bindSign(b *Bind) (Run, error) {
	sign := func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x // zero or NaN
	}
	switch b.In[0].DType {
	case tensor.U8, tensor.U16, tensor.U32:
		return widenedIntegers(bindSign)(b)
	case tensor.U64:
		return mapElements(b, 1, func(x uint64) uint64 { return min(x, 1) }), nil
	}
	return bindNumeric(b, numeric{nil, sign, signInt[int32], signInt[int64], false})
}

func bindNot(b *Bind) (Run, error) {
	if b.In[0].DType != tensor.BOOL {
		return nil, b.unsupportedType(b.In[0].DType)
	}
	return mapElements(b, 1, func(x uint8) uint8 { return x&1 ^ 1 }), nil
}

func bindBitwiseNot(b *Bind) (Run, error) {
	if !b.In[0].DType.IsInteger() {
		return nil, b.unsupportedType(b.In[0].DType)
	}
	switch b.In[0].DType.Size() {
	case 1:
		return mapElements(b, 1, func(x uint8) uint8 { return ^x }), nil
	case 2:
		return mapElements(b, 1, func(x uint16) uint16 { return ^x }), nil
	case 4:
		return mapElements(b, 1, func(x uint32) uint32 { return ^x }), nil
	}
	return mapElements(b, 1, func(x uint64) uint64 { return ^x }), nil
}

func bindGelu(b *Bind) (Run, error) {
	if b.Node.Str("approximate", "none") == "tanh" {
		return bindFloat(b, func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}, activate(kernels.Activation{Kind: kernels.ActGeluTanh}))
	}
	return bindFloat(b, func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) },
		activate(kernels.Activation{Kind: kernels.ActGelu}))
}

func bindSwish(b *Bind) (Run, error) {
	alpha := float64(b.Node.Float("alpha", 1))
	var f32 func(dst, x []float32)
	if alpha == 1 {
		f32 = activate(kernels.Activation{Kind: kernels.ActSwish})
	}
	return bindFloat(b, func(x float64) float64 { return x * sigmoid(alpha*x) }, f32)
}

func bindLeakyRelu(b *Bind) (Run, error) {
	alpha := b.Node.Float("alpha", 0.01)
	f := func(x float64) float64 {
		if x < 0 {
			return x * float64(alpha)
		}
		return x
	}
	return bindFloat(b, f, activate(kernels.Activation{Kind: kernels.ActLeakyRelu, Alpha: alpha}))
}

func bindElu(b *Bind) (Run, error) {
	alpha := float64(b.Node.Float("alpha", 1))
	return bindFloat(b, func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}, nil)
}

func bindCelu(b *Bind) (Run, error) {
	alpha := float64(b.Node.Float("alpha", 1))
	return bindFloat(b, func(x float64) float64 { return max(x, 0) + min(0, alpha*math.Expm1(x/alpha)) }, nil)
}

func bindSelu(b *Bind) (Run, error) {
	// The defaults are the specification's, from Klambauer et al., "Self-Normalizing Neural Networks".
	alpha := float64(b.Node.Float("alpha", 1.67326319217681884765625))
	gamma := float64(b.Node.Float("gamma", 1.05070102214813232421875))
	return bindFloat(b, func(x float64) float64 {
		if x > 0 {
			return gamma * x
		}
		return gamma * alpha * math.Expm1(x)
	}, nil)
}

func bindHardSigmoid(b *Bind) (Run, error) {
	alpha, beta := b.Node.Float("alpha", 0.2), b.Node.Float("beta", 0.5)
	return bindFloat(b, func(x float64) float64 { return min(max(float64(alpha)*x+float64(beta), 0), 1) },
		func(dst, x []float32) {
			for i, v := range x {
				dst[i] = min(max(float32(alpha*v)+beta, 0), 1)
			}
		})
}

func bindThresholdedRelu(b *Bind) (Run, error) {
	alpha := float64(b.Node.Float("alpha", 1))
	return bindFloat(b, func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}, nil)
}

// bindShrink binds x+bias below -lambd, x-bias above lambd, else 0; for any number type.
func bindShrink(b *Bind) (Run, error) {
	lambd, bias := float64(b.Node.Float("lambd", 0.5)), float64(b.Node.Float("bias", 0))
	f := func(x float64) float64 {
		switch {
		case x < -lambd:
			return x + bias
		case x > lambd:
			return x - bias
		}
		return 0
	}
	switch b.In[0].DType {
	case tensor.I8:
		return mapElements(b, 4, throughFloat[int8](f)), nil
	case tensor.I16:
		return mapElements(b, 4, throughFloat[int16](f)), nil
	case tensor.I32:
		return mapElements(b, 4, throughFloat[int32](f)), nil
	case tensor.I64:
		return mapElements(b, 4, throughFloat[int64](f)), nil
	case tensor.U8:
		return mapElements(b, 4, throughFloat[uint8](f)), nil
	case tensor.U16:
		return mapElements(b, 4, throughFloat[uint16](f)), nil
	case tensor.U32:
		return mapElements(b, 4, throughFloat[uint32](f)), nil
	case tensor.U64:
		return mapElements(b, 4, throughFloat[uint64](f)), nil
	}
	return bindFloat(b, f, nil)
}

// throughFloat makes a function of integers from one of floats; the result is cut off as Cast does.
func throughFloat[T integer](f func(float64) float64) func(T) T {
	return func(x T) T { return castNumber[T](f(float64(x))) }
}

func bindIsNaN(b *Bind) (Run, error) { return bindFloatTest(b, math.IsNaN) }

func bindIsInf(b *Bind) (Run, error) {
	neg, pos := b.Node.Int("detect_negative", 1) != 0, b.Node.Int("detect_positive", 1) != 0
	return bindFloatTest(b, func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) })
}

func bindFloatTest(b *Bind, test func(float64) bool) (Run, error) {
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return mapElements(b, 4, func(x float32) bool { return test(float64(x)) }), nil
	case tensor.F64:
		return mapElements(b, 4, test), nil
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return mapElements(b, 4, func(u uint16) bool { return test(float64(h.from(u))) }), nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}
