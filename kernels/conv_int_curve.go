package kernels

import "math"

// levelOutput is what becomes of sums that have their scale and bias: an activation, and levels of y unless it is nil.
type levelOutput struct {
	y     *Quantized
	act   Activation
	curve *levelCurve // for bytes after an activation that is no bound or slope
}

func newLevelOutput(act Activation, y *Quantized) levelOutput {
	o := levelOutput{y: y, act: act}
	if y != nil && !tileFuses(act) {
		o.curve = newLevelCurve(act, *y)
	}
	return o
}

// curveParts is the number of a curve's cubics: two registers of AVX-512 hold one coefficient of all.
const curveParts = 32

// levelCurve is act(v)/y.Scale as cubics between equal steps of v, level(v) = c0 + r (c1 + r (c2 + r c3)) with
//
//	t = fma(v, scale, shift) between 0 and top,  n = round(min(t, 31)),  r = t - n,  coefficients of part n
//
// each operation in float32, sums and products by fma. The steps span where levels are further than a hundredth from what they go
// to, the last part being a line. Levels so lie within a hundredth of the activation's. Hard swish's corners fall between two parts.
type levelCurve struct {
	coef              [4][curveParts]float32
	scale, shift, top float32
}

// newLevelCurve returns nil for activations that are not smooth.
func newLevelCurve(act Activation, y Quantized) *levelCurve {
	inverse := 1 / float64(y.Scale)
	value := func(x float64) float64 {
		v := []float32{float32(x)}
		activateGeneric(v, v, act)
		return min(max(float64(v[0])*inverse, -1e6), 1e6)
	}
	high := 256 - float64(y.Zero) // beyond all levels
	line := func(x float64) float64 { return min(float64(x*inverse), 1e6) }
	var step, first float64
	switch act.Kind {
	case ActSigmoid, ActTanh:
		line = func(float64) float64 { return inverse }
		fallthrough
	case ActSwish, ActGelu, ActGeluTanh:
		lo, hi := -0.5, 0.5
		for lo > -80 && math.Abs(value(lo)-value(-100)) > 0.01 {
			lo -= 0.5
		}
		for hi < 80 && value(hi/2) < high && math.Abs(value(hi)-line(hi)) > 0.01 {
			hi += 0.5
		}
		step, first = (hi-lo)/(curveParts-1), lo
	case ActHardSwish:
		step = 6.0 / (curveParts - 2)
		first = -3 - step/2
	default:
		return nil
	}
	c := &levelCurve{scale: float32(1 / step), shift: float32(-first / step)}
	// Interpolation at the zeros of Chebyshev's polynomial.
	const a, b = 0.46193976625564337, 0.1913417161825449
	for n := range curveParts {
		at := func(r float64) float64 {
			return value(first + float64(step*(float64(n)+r)))
		}
		evenA, evenB := (at(a)+at(-a))/2, (at(b)+at(-b))/2
		oddA, oddB := (at(a)-at(-a))/2/a, (at(b)-at(-b))/2/b
		c2, c3 := (evenA-evenB)/(a*a-b*b), (oddA-oddB)/(a*a-b*b)
		for i, v := range [4]float64{evenA - float64(c2*(a*a)), oddA - float64(c3*(a*a)), c2, c3} {
			c.coef[i][n] = float32(v)
		}
	}
	const last = curveParts - 1
	end := first + float64(step*last)
	c.coef[0][last], c.coef[1][last], c.coef[2][last], c.coef[3][last] = float32(value(end)), float32(line(end+step)-line(end)), 0, 0
	c.top = last
	if slope := float64(c.coef[1][last]); slope > 0 {
		c.top = float32(last + max((high-float64(c.coef[0][last]))/slope, 0))
	}
	return c
}

// level is the byte of v, with y's zero point.
func (c *levelCurve) level(v float32, zero int32) uint8 {
	t := bound(fma32(v, c.scale, c.shift), 0, c.top)
	n := min(t, curveParts-1) + expMagic
	r := t - float32(n-expMagic)
	k := math.Float32bits(n) & (curveParts - 1)
	f := fma32(fma32(fma32(c.coef[3][k], r, c.coef[2][k]), r, c.coef[1][k]), r, c.coef[0][k])
	return uint8(min(max(math.RoundToEven(float64(f))+float64(zero), 0), 255))
}
