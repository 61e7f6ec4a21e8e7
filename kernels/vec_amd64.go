//go:build amd64 && !purego

package kernels

import "math"

// vecTable holds the constants of the vector routines in assembly; vec_amd64.h has the offsets.
var vecTable = struct {
	numbers    [41]float32
	sign, bias uint32
}{[41]float32{
	expHigh, expLow, log2e, expMagic, ln2High, ln2Low, expC0, expC1, expC2, expC3, expC4,
	1, 2, 0.5, 1.0 / 6, sqrtHalf,
	erfcScale, erfcC0, erfcC1, erfcC2, erfcC3, erfcC4, erfcC5, erfcC6, erfcC7, erfcC8,
	tanhMax, tanhC0, tanhC1, tanhC2, tanhC3, tanhC4, geluTanhC1, geluTanhC3,
	erfMax, erfC0, erfC1, erfC2, erfC3, erfC4, erfC5,
}, 1 << 31, 127}

// Each routine does what the Go loop of the exported function with its name does, with the same
// bits (axpy rounds once less). The AVX2 forms want n to be a multiple of 8.

//go:noescape
func addAVX512(dst, a, b *float32, n int)

//go:noescape
func subAVX512(dst, a, b *float32, n int)

//go:noescape
func mulAVX512(dst, a, b *float32, n int)

//go:noescape
func divAVX512(dst, a, b *float32, n int)

//go:noescape
func maxAVX512(dst, a, b *float32, n int)

//go:noescape
func minAVX512(dst, a, b *float32, n int)

//go:noescape
func sqrtAVX512(dst, x *float32, n int)

//go:noescape
func erfAVX512(dst, x *float32, n int)

//go:noescape
func expShiftAVX512(dst, x *float32, n int, shift float32)

//go:noescape
func sigmoidAVX512(dst, x *float32, n int)

//go:noescape
func swishAVX512(dst, x *float32, n int)

//go:noescape
func geluAVX512(dst, x *float32, n int)

//go:noescape
func geluTanhAVX512(dst, x *float32, n int)

//go:noescape
func tanhAVX512(dst, x *float32, n int)

//go:noescape
func hardSwishAVX512(dst, x *float32, n int)

//go:noescape
func clipAVX512(dst, x *float32, n int, lo, hi float32)

//go:noescape
func leakyAVX512(dst, x *float32, n int, alpha float32)

//go:noescape
func scaleAVX512(dst, x *float32, n int, a float32)

//go:noescape
func addScalarAVX512(dst, x *float32, n int, a float32)

//go:noescape
func axpyAVX512(dst, x *float32, n int, a float32)

//go:noescape
func ropeAVX512(dst, x, cos, sin *float32, half, n int)

//go:noescape
func addAVX2(dst, a, b *float32, n int)

//go:noescape
func subAVX2(dst, a, b *float32, n int)

//go:noescape
func mulAVX2(dst, a, b *float32, n int)

//go:noescape
func divAVX2(dst, a, b *float32, n int)

//go:noescape
func maxAVX2(dst, a, b *float32, n int)

//go:noescape
func minAVX2(dst, a, b *float32, n int)

//go:noescape
func sqrtAVX2(dst, x *float32, n int)

//go:noescape
func erfAVX2(dst, x *float32, n int)

//go:noescape
func expShiftAVX2(dst, x *float32, n int, shift float32)

//go:noescape
func sigmoidAVX2(dst, x *float32, n int)

//go:noescape
func swishAVX2(dst, x *float32, n int)

//go:noescape
func geluAVX2(dst, x *float32, n int)

//go:noescape
func geluTanhAVX2(dst, x *float32, n int)

//go:noescape
func tanhAVX2(dst, x *float32, n int)

//go:noescape
func hardSwishAVX2(dst, x *float32, n int)

//go:noescape
func clipAVX2(dst, x *float32, n int, lo, hi float32)

//go:noescape
func leakyAVX2(dst, x *float32, n int, alpha float32)

//go:noescape
func scaleAVX2(dst, x *float32, n int, a float32)

//go:noescape
func addScalarAVX2(dst, x *float32, n int, a float32)

//go:noescape
func axpyAVX2(dst, x *float32, n int, a float32)

//go:noescape
func ropeAVX2(dst, x, cos, sin *float32, half, n int)

func addSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		addAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		addAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func subSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		subAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		subAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func mulSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		mulAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		mulAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func divSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		divAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		divAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func maxSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		maxAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		maxAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func minSIMD(dst, a, b []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		minAVX512(&dst[0], &a[0], &b[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		minAVX2(&dst[0], &a[0], &b[0], n)
		return n
	}
	return 0
}

func scaleSIMD(dst, x []float32, a float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		scaleAVX512(&dst[0], &x[0], n, a)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		scaleAVX2(&dst[0], &x[0], n, a)
		return n
	}
	return 0
}

func addScalarSIMD(dst, x []float32, a float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		addScalarAVX512(&dst[0], &x[0], n, a)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		addScalarAVX2(&dst[0], &x[0], n, a)
		return n
	}
	return 0
}

func axpySIMD(dst, x []float32, a float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		axpyAVX512(&dst[0], &x[0], n, a)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		axpyAVX2(&dst[0], &x[0], n, a)
		return n
	}
	return 0
}

func expShiftSIMD(dst, x []float32, shift float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		expShiftAVX512(&dst[0], &x[0], n, shift)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		expShiftAVX2(&dst[0], &x[0], n, shift)
		return n
	}
	return 0
}

func sqrtSIMD(dst, x []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		sqrtAVX512(&dst[0], &x[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		sqrtAVX2(&dst[0], &x[0], n)
		return n
	}
	return 0
}

func erfSIMD(dst, x []float32) int {
	if n := len(dst); useAVX512 && n > 0 {
		erfAVX512(&dst[0], &x[0], n)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		erfAVX2(&dst[0], &x[0], n)
		return n
	}
	return 0
}

func ropeSIMD(dst, x, cos, sin []float32) int {
	half := len(cos)
	if useAVX512 && half > 0 {
		ropeAVX512(&dst[0], &x[0], &cos[0], &sin[0], half, half)
		return half
	}
	if n := half &^ 7; useAVX2 && n > 0 {
		ropeAVX2(&dst[0], &x[0], &cos[0], &sin[0], half, n)
		return n
	}
	return 0
}

func activateSIMD(dst, x []float32, a Activation) int {
	if n := len(dst); useAVX512 && n > 0 {
		return activateAVX512(&dst[0], &x[0], n, a)
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		return activateAVX2(&dst[0], &x[0], n, a)
	}
	return 0
}

func activateAVX512(dst, x *float32, n int, a Activation) int {
	switch a.Kind {
	case ActRelu:
		clipAVX512(dst, x, n, 0, float32(math.Inf(1)))
	case ActLeakyRelu:
		leakyAVX512(dst, x, n, a.Alpha)
	case ActClip:
		clipAVX512(dst, x, n, a.Alpha, a.Beta)
	case ActSigmoid:
		sigmoidAVX512(dst, x, n)
	case ActTanh:
		tanhAVX512(dst, x, n)
	case ActSwish:
		swishAVX512(dst, x, n)
	case ActHardSwish:
		hardSwishAVX512(dst, x, n)
	case ActGelu:
		geluAVX512(dst, x, n)
	case ActGeluTanh:
		geluTanhAVX512(dst, x, n)
	default:
		return 0
	}
	return n
}

func activateAVX2(dst, x *float32, n int, a Activation) int {
	switch a.Kind {
	case ActRelu:
		clipAVX2(dst, x, n, 0, float32(math.Inf(1)))
	case ActLeakyRelu:
		leakyAVX2(dst, x, n, a.Alpha)
	case ActClip:
		clipAVX2(dst, x, n, a.Alpha, a.Beta)
	case ActSigmoid:
		sigmoidAVX2(dst, x, n)
	case ActTanh:
		tanhAVX2(dst, x, n)
	case ActSwish:
		swishAVX2(dst, x, n)
	case ActHardSwish:
		hardSwishAVX2(dst, x, n)
	case ActGelu:
		geluAVX2(dst, x, n)
	case ActGeluTanh:
		geluTanhAVX2(dst, x, n)
	default:
		return 0
	}
	return n
}
