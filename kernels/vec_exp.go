package kernels

import "math"

// The functions below are built on one exponential whose every step is a plain float32
// operation, so that all architectures and forms give the same bits. The conversions
// float32(a*b) keep Go from fusing the product with the sum.

// exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln2/2. The polynomial for
// (exp(r)-1-r)/r^2 is a minimax fit of degree 4: error 3.1e-9 relative to exp(r).
const (
	expHigh  = 89   // exp is +Inf from here on
	expLow   = -104 // exp is 0 from here on
	expMagic = 0x1.8p23
	log2e    = 0x1.715476p+00
	ln2High  = 0x1.62e4p-01 // with few bits, so that n ln2High is exact
	ln2Low   = 0x1.7f7d1cp-20
	expC0    = 0.49999994
	expC1    = 0.1666651964187622
	expC2    = 0.04166839271783829
	expC3    = 0.008368780836462975
	expC4    = 0.001381446490995586
)

func expGeneric(x float32) float32 {
	if x > expHigh {
		x = expHigh
	}
	if x < expLow {
		x = expLow
	}
	// Adding 1.5 2^23 rounds to an integer and leaves it in the low bits.
	t := float32(x*log2e) + expMagic
	n := t - expMagic
	r := float32(x-float32(n*ln2High)) - float32(n*ln2Low)
	p := float32(expC4*r) + expC3
	p = float32(p*r) + expC2
	p = float32(p*r) + expC1
	p = float32(p*r) + expC0
	p = float32(p*float32(r*r)) + r
	p += 1
	// In two steps, because 2^n alone may be no normal number. The first is exact.
	e := int32(math.Float32bits(t)) - int32(math.Float32bits(expMagic))
	h := e >> 1
	p *= math.Float32frombits(uint32(h+127) << 23)
	return p * math.Float32frombits(uint32(e-h+127)<<23)
}

// Exp is dst[i] = exp(x[i]), within 2 units in the last place.
func Exp(dst, x []float32) { expShift(dst, x[:len(dst)], 0) }

// expShift is dst[i] = exp(x[i]-shift).
func expShift(dst, x []float32, shift float32) {
	for i := expShiftSIMD(dst, x, shift); i < len(dst); i++ {
		dst[i] = expGeneric(x[i] - shift)
	}
}

func sigmoidGeneric(x float32) float32 { return 1 / (1 + expGeneric(-x)) }

// tanh(x) = x + x^3 P(x^2) for |x| < tanhMax, where the exponential form would cancel. The
// polynomial is a minimax fit of degree 4: error 4.1e-9.
const (
	tanhMax = 0.625
	tanhC0  = -0.3333328366279602
	tanhC1  = 0.13331490755081177
	tanhC2  = -0.05374349653720856
	tanhC3  = 0.020650578662753105
	tanhC4  = -0.005717036779969931
)

func tanhGeneric(x float32) float32 {
	a := float32(math.Abs(float64(x)))
	if a < tanhMax {
		z := float32(x * x)
		p := float32(tanhC4*z) + tanhC3
		p = float32(p*z) + tanhC2
		p = float32(p*z) + tanhC1
		p = float32(p*z) + tanhC0
		return x + float32(float32(p*z)*x)
	}
	t := 1 - 2/(expGeneric(2*a)+1)
	if x < 0 {
		return -t
	}
	return t
}

// erfc(z) = t P(t) exp(-z^2), t = 1/(1+0.4z), for z >= 0: the form of Abramowitz and Stegun 7.1.26 with a
// minimax polynomial of degree 8, error 5.8e-8 relative.
const (
	erfcScale = 0.4
	erfcC0    = 0.22562630474567413
	erfcC1    = 0.22657568752765656
	erfcC2    = 0.20095880329608917
	erfcC3    = 0.1969621777534485
	erfcC4    = 0.07151034474372864
	erfcC5    = 0.0997265949845314
	erfcC6    = 0.0738447904586792
	erfcC7    = -0.1354723870754242
	erfcC8    = 0.040267765522003174
)

func erfcGeneric(z float32) float32 {
	t := 1 / (1 + float32(erfcScale*z))
	p := float32(erfcC8*t) + erfcC7
	p = float32(p*t) + erfcC6
	p = float32(p*t) + erfcC5
	p = float32(p*t) + erfcC4
	p = float32(p*t) + erfcC3
	p = float32(p*t) + erfcC2
	p = float32(p*t) + erfcC1
	p = float32(p*t) + erfcC0
	return float32(float32(p*t) * expGeneric(-float32(z*z)))
}

const sqrtHalf = 0x1.6a09e6p-01

// geluGeneric is x/2 (1 + erf(x/sqrt 2)), in the form that does not cancel for negative x.
func geluGeneric(x float32) float32 {
	q := erfcGeneric(float32(float32(math.Abs(float64(x))) * sqrtHalf))
	h := float32(float32(x*0.5) * q)
	if x < 0 {
		return h
	}
	return x - h
}

// geluTanhGeneric uses (1 + tanh u)/2 = sigmoid(2u).
func geluTanhGeneric(x float32) float32 {
	u := float32(x * (float32(geluTanhC3*float32(x*x)) + geluTanhC1))
	return x / (1 + expGeneric(-u))
}

// The constants of geluTanhGeneric: 2 sqrt(2/pi) and 0.044715 times it.
const (
	geluTanhC1 = 1.5957691216057308
	geluTanhC3 = 0.07135481627600025
)

// erf(x) = x P(x^2) for |x| < erfMax, where 1 - erfc(x) would cancel. The polynomial is a minimax fit
// of degree 5: error 1.5e-9 relative.
const (
	erfMax = 0.75
	erfC0  = 1.1283791065216064
	erfC1  = -0.3761261999607086
	erfC2  = 0.11283376812934875
	erfC3  = -0.026834623888134956
	erfC4  = 0.005114344879984856
	erfC5  = -0.0006749509484507143
)

func erfGeneric(x float32) float32 {
	a := float32(math.Abs(float64(x)))
	if a < erfMax {
		z := float32(x * x)
		p := float32(erfC5*z) + erfC4
		p = float32(p*z) + erfC3
		p = float32(p*z) + erfC2
		p = float32(p*z) + erfC1
		p = float32(p*z) + erfC0
		return p * x
	}
	e := 1 - erfcGeneric(a)
	if x < 0 {
		return -e
	}
	return e
}

// Erf is dst[i] = erf(x[i]), within 3e-7 of its value.
func Erf(dst, x []float32) {
	x = x[:len(dst)]
	for i := erfSIMD(dst, x); i < len(dst); i++ {
		dst[i] = erfGeneric(x[i])
	}
}

// Activate is dst[i] = a(x[i]). NaN stays NaN, except under ActRelu, ActClip and ActHardSwish, whose bounds may
// replace it.
func Activate(dst, x []float32, a Activation) {
	x = x[:len(dst)]
	i := activateSIMD(dst, x, a)
	if i == len(dst) {
		return
	}
	activateGeneric(dst[i:], x[i:], a)
}

func activateGeneric(dst, x []float32, a Activation) {
	switch a.Kind {
	case ActNone:
		copy(dst, x)
	case ActRelu:
		for i, v := range x {
			if !(v > 0) {
				v = 0
			}
			dst[i] = v
		}
	case ActLeakyRelu:
		for i, v := range x {
			if v < 0 {
				v *= a.Alpha
			}
			dst[i] = v
		}
	case ActClip:
		for i, v := range x {
			if !(v > a.Alpha) {
				v = a.Alpha
			}
			if !(v < a.Beta) {
				v = a.Beta
			}
			dst[i] = v
		}
	case ActSigmoid:
		for i, v := range x {
			dst[i] = sigmoidGeneric(v)
		}
	case ActTanh:
		for i, v := range x {
			dst[i] = tanhGeneric(v)
		}
	case ActSwish:
		for i, v := range x {
			dst[i] = v / (1 + expGeneric(-v))
		}
	case ActHardSwish:
		for i, v := range x {
			t := float32(v*(1.0/6)) + 0.5
			if !(t > 0) {
				t = 0
			}
			if !(t < 1) {
				t = 1
			}
			dst[i] = v * t
		}
	case ActGelu:
		for i, v := range x {
			dst[i] = geluGeneric(v)
		}
	case ActGeluTanh:
		for i, v := range x {
			dst[i] = geluTanhGeneric(v)
		}
	default:
		panic("kernels: Activate: unknown ActKind")
	}
}
