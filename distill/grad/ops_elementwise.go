package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

var _ = register("", map[string]binder{
	"Identity": bindView, "Cast": bindCast,
	"Relu":    bindRelu,
	"Sigmoid": unary(act(kernels.ActSigmoid), func(g, _, y float32) float32 { return g * y * (1 - y) }),
	"Tanh":    unary(act(kernels.ActTanh), func(g, _, y float32) float32 { return g * (1 - y*y) }),
	"Exp":     unary(kernels.Exp, func(g, _, y float32) float32 { return g * y }),
	"Erf":     unary(kernels.Erf, func(g, x, _ float32) float32 { return g * 2 / sqrtPi * expOf(-x*x) }),
	"Log":     unary(each(math.Log), func(g, x, _ float32) float32 { return g / x }),
	"Sqrt":    unary(kernels.Sqrt, func(g, _, y float32) float32 { return g / (2 * y) }),
	"Neg":     unary(func(dst, x []float32) { kernels.Scale(dst, x, -1) }, func(g, _, _ float32) float32 { return -g }),
	"Abs":     unary(each(math.Abs), func(g, x, _ float32) float32 { return g * (step01(x, 0) - step01(-x, 0)) }),
	"Sin":     unary(each(math.Sin), func(g, x, _ float32) float32 { return g * float32(math.Cos(float64(x))) }),
	"Cos":     unary(each(math.Cos), func(g, x, _ float32) float32 { return -g * float32(math.Sin(float64(x))) }),
	"Reciprocal": unary(func(dst, x []float32) {
		for i, v := range x {
			dst[i] = 1 / v
		}
	}, func(g, _, y float32) float32 { return -g * y * y }),
	"Softplus": unary(each(softplus), func(g, x, _ float32) float32 { return g * sigmoid(x) }),
	"Swish":    bindSwish, "LeakyRelu": bindLeakyRelu, "Clip": bindClip,
	"HardSwish": unary(act(kernels.ActHardSwish), hardSwishGrad), "HardSigmoid": bindHardSigmoid, "Gelu": bindGelu, "Elu": bindElu,
})

const sqrtPi = 1.7724538509055160273

// bindView is an operator that computes nothing.
func bindView(b *binding, _ *step) error {
	b.view()
	return nil
}

// bindCast takes a cast of F32 to F32.
func bindCast(b *binding, _ *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	b.view()
	return nil
}

// unary makes a binder of y = f(x) for each element and of the derivative that a gradient g of y gives x.
func unary(f func(dst, x []float32), derivative func(g, x, y float32) float32) binder {
	return func(b *binding, s *step) error { return bindUnary(b, s, f, derivative) }
}

func bindUnary(b *binding, s *step, f func(dst, x []float32), derivative func(g, x, y float32) float32) error {
	return bindRows(b, s, f, func(d, dy, x, y []float32) {
		for i, g := range dy {
			d[i] = derivative(g, x[i], y[i])
		}
	})
}

// bindRows is bindUnary with a function that writes the derivatives of up to blockElements elements.
func bindRows(b *binding, s *step, f func(dst, x []float32), derive func(d, dy, x, y []float32)) error {
	if err := b.floats(0); err != nil {
		return err
	}
	in, out := b.in[0], b.out[0]
	s.forward = run(b.elements(in.n, func(lo, hi int) { f(out.x()[lo:hi], in.x()[lo:hi]) }))
	s.backward = b.written(in, func(d []float32, lo, hi int) {
		derive(d, out.dy()[lo:hi], in.x()[lo:hi], out.x()[lo:hi])
	})
	return nil
}

// bindRelu binds max(x, 0).
func bindRelu(b *binding, s *step) error {
	return bindRows(b, s, act(kernels.ActRelu), func(d, dy, _, y []float32) { kernels.Pass(d, dy, y, 0, float32(math.Inf(1)), 0) })
}

// act is a kernel's activation.
func act(kind kernels.ActKind) func(dst, x []float32) { return actOf(kernels.Activation{Kind: kind}) }

func actOf(a kernels.Activation) func(dst, x []float32) {
	return func(dst, x []float32) { kernels.Activate(dst, x, a) }
}

// each applies a function of package math.
func each(f func(float64) float64) func(dst, x []float32) {
	return func(dst, x []float32) {
		for i, v := range x {
			dst[i] = float32(f(float64(v)))
		}
	}
}

// step01 is 1 for x > at, else 0.
func step01(x, at float32) float32 {
	if x > at {
		return 1
	}
	return 0
}

func expOf(x float32) float32 { return float32(math.Exp(float64(x))) }

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// bindSwish binds x sigmoid(alpha x), whose derivative is s + alpha x s (1 - s) with s = sigmoid(alpha x).
func bindSwish(b *binding, s *step) error {
	alpha := b.node.Float("alpha", 1)
	f := act(kernels.ActSwish)
	if alpha != 1 {
		f = func(dst, x []float32) {
			for i, v := range x {
				dst[i] = v * sigmoid(alpha*v)
			}
		}
	}
	return bindRows(b, s, f, func(d, dy, x, _ []float32) {
		var room [2][blockElements]float32
		t, u := room[0][:len(dy)], room[1][:len(dy)]
		kernels.Scale(t, x, alpha)
		kernels.Activate(d, t, kernels.Activation{Kind: kernels.ActSigmoid})
		kernels.Scale(u, d, -1)
		kernels.AddScalar(u, u, 1)
		kernels.Mul(t, t, u)
		kernels.AddScalar(t, t, 1)
		kernels.Mul(d, d, t)
		kernels.Mul(d, d, dy)
	})
}

func bindLeakyRelu(b *binding, s *step) error {
	alpha := b.node.Float("alpha", 0.01)
	return bindUnary(b, s, actOf(kernels.Activation{Kind: kernels.ActLeakyRelu, Alpha: alpha}), func(g, x, _ float32) float32 {
		if x < 0 {
			return alpha * g
		}
		return g
	})
}

// bindElu binds x for x > 0, else alpha (exp x - 1), whose derivative there is y + alpha.
func bindElu(b *binding, s *step) error {
	alpha := b.node.Float("alpha", 1)
	f := func(dst, x []float32) {
		for i, v := range x {
			if dst[i] = v; v <= 0 {
				dst[i] = alpha * float32(math.Expm1(float64(v)))
			}
		}
	}
	return bindUnary(b, s, f, func(g, x, y float32) float32 {
		if x > 0 {
			return g
		}
		return g * (y + alpha)
	})
}

// bindClip binds min(max(x, low), high) for constant limits; at a limit the gradient passes.
func bindClip(b *binding, s *step) error {
	a := kernels.Activation{Kind: kernels.ActClip, Alpha: -math.MaxFloat32, Beta: math.MaxFloat32}
	for i, limit := range []*float32{1: &a.Alpha, 2: &a.Beta} {
		if limit == nil || !b.has(i) {
			continue
		}
		if b.val[i] == nil || b.in[i].n != 1 {
			return unsupported("limits that are no constants")
		}
		*limit = b.in[i].x()[0]
	}
	return bindUnary(b, s, actOf(a), func(g, x, _ float32) float32 {
		if x < a.Alpha || x > a.Beta {
			return 0
		}
		return g
	})
}

// hardSwishGrad is the derivative of x max(0, min(1, x/6 + 1/2)).
func hardSwishGrad(g, x, _ float32) float32 {
	switch {
	case x <= -3:
		return 0
	case x >= 3:
		return g
	}
	return g * (x/3 + 0.5)
}

// bindHardSigmoid binds max(0, min(1, alpha x + beta)).
func bindHardSigmoid(b *binding, s *step) error {
	alpha, beta := b.node.Float("alpha", 0.2), b.node.Float("beta", 0.5)
	f := func(dst, x []float32) {
		for i, v := range x {
			dst[i] = min(max(alpha*v+beta, 0), 1)
		}
	}
	return bindUnary(b, s, f, func(g, _, y float32) float32 {
		if y <= 0 || y >= 1 {
			return 0
		}
		return g * alpha
	})
}

// bindGelu binds x/2 (1 + erf(x/sqrt 2)), whose derivative is Phi(x) + x phi(x) with the normal distribution's Phi and phi, or
// its form with tanh (Hendrycks and Gimpel 2016).
func bindGelu(b *binding, s *step) error {
	if b.node.Str("approximate", "none") == "tanh" {
		const root, cube = 0.7978845608028654, 0.044715
		return bindUnary(b, s, act(kernels.ActGeluTanh), func(g, x, _ float32) float32 {
			t := float32(math.Tanh(float64(root * (x + cube*x*x*x))))
			return g * (0.5*(1+t) + 0.5*x*(1-t*t)*root*(1+3*cube*x*x))
		})
	}
	return bindUnary(b, s, act(kernels.ActGelu), func(g, x, _ float32) float32 {
		cdf := float32(0.5 * math.Erfc(-float64(x)/math.Sqrt2))
		return g * (cdf + x*expOf(-x*x/2)/(math.Sqrt2*sqrtPi))
	})
}
