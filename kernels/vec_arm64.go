//go:build !purego

package kernels

import "math"

// vecTable holds the constants of the vector routines in assembly, in the order in which they are
// loaded; vec_arm64.s has the offsets of the others.
var vecTable = struct {
	exp        [12]float32
	bias, sign uint32
	numbers    [29]float32
}{
	[12]float32{expHigh, expLow, log2e, expMagic, ln2High, ln2Low, expC4, expC3, expC2, expC1, expC0, 1},
	127, 1 << 31,
	[29]float32{
		2, 0.5, 1.0 / 6, sqrtHalf,
		erfcScale, erfcC8, erfcC7, erfcC6, erfcC5, erfcC4, erfcC3, erfcC2, erfcC1, erfcC0,
		tanhMax, tanhC4, tanhC3, tanhC2, tanhC1, tanhC0, geluTanhC3, geluTanhC1,
		erfMax, erfC5, erfC4, erfC3, erfC2, erfC1, erfC0,
	},
}

// Each routine does what the Go loop of the exported function with its name does, with the same
// bits, for n a positive multiple of 4.

//go:noescape
func addNEON(dst, a, b *float32, n int)

//go:noescape
func subNEON(dst, a, b *float32, n int)

//go:noescape
func mulNEON(dst, a, b *float32, n int)

//go:noescape
func divNEON(dst, a, b *float32, n int)

//go:noescape
func maxNEON(dst, a, b *float32, n int)

//go:noescape
func minNEON(dst, a, b *float32, n int)

//go:noescape
func sqrtNEON(dst, x *float32, n int)

//go:noescape
func erfNEON(dst, x *float32, n int)

//go:noescape
func expShiftNEON(dst, x *float32, n int, shift float32)

//go:noescape
func sigmoidNEON(dst, x *float32, n int)

//go:noescape
func swishNEON(dst, x *float32, n int)

//go:noescape
func geluNEON(dst, x *float32, n int)

//go:noescape
func geluTanhNEON(dst, x *float32, n int)

//go:noescape
func tanhNEON(dst, x *float32, n int)

//go:noescape
func hardSwishNEON(dst, x *float32, n int)

//go:noescape
func clipNEON(dst, x *float32, n int, lo, hi float32)

//go:noescape
func leakyNEON(dst, x *float32, n int, alpha float32)

//go:noescape
func scaleNEON(dst, x *float32, n int, a float32)

//go:noescape
func addScalarNEON(dst, x *float32, n int, a float32)

//go:noescape
func axpyNEON(dst, x *float32, n int, a float32)

//go:noescape
func ropeNEON(dst, x, cos, sin *float32, half, n int)

// vectored returns how many of n elements the routines do.
func vectored(n int) int {
	if !useNEON {
		return 0
	}
	return n &^ 3
}

func addSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		addNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func subSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		subNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func mulSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		mulNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func divSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		divNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func maxSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		maxNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func minSIMD(dst, a, b []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		minNEON(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func scaleSIMD(dst, x []float32, a float32) int {
	n := vectored(len(dst))
	if n > 0 {
		scaleNEON(&dst[0], &x[0], n, a)
	}
	return n
}

func addScalarSIMD(dst, x []float32, a float32) int {
	n := vectored(len(dst))
	if n > 0 {
		addScalarNEON(&dst[0], &x[0], n, a)
	}
	return n
}

func axpySIMD(dst, x []float32, a float32) int {
	n := vectored(len(dst))
	if n > 0 {
		axpyNEON(&dst[0], &x[0], n, a)
	}
	return n
}

func expShiftSIMD(dst, x []float32, shift float32) int {
	n := vectored(len(dst))
	if n > 0 {
		expShiftNEON(&dst[0], &x[0], n, shift)
	}
	return n
}

func sqrtSIMD(dst, x []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		sqrtNEON(&dst[0], &x[0], n)
	}
	return n
}

func erfSIMD(dst, x []float32) int {
	n := vectored(len(dst))
	if n > 0 {
		erfNEON(&dst[0], &x[0], n)
	}
	return n
}

func ropeSIMD(dst, x, cos, sin []float32) int {
	n := vectored(len(cos))
	if n > 0 {
		ropeNEON(&dst[0], &x[0], &cos[0], &sin[0], len(cos), n)
	}
	return n
}

func activateSIMD(dst, x []float32, a Activation) int {
	n := vectored(len(dst))
	if n == 0 {
		return 0
	}
	switch a.Kind {
	case ActRelu:
		clipNEON(&dst[0], &x[0], n, 0, float32(math.Inf(1)))
	case ActLeakyRelu:
		leakyNEON(&dst[0], &x[0], n, a.Alpha)
	case ActClip:
		clipNEON(&dst[0], &x[0], n, a.Alpha, a.Beta)
	case ActSigmoid:
		sigmoidNEON(&dst[0], &x[0], n)
	case ActTanh:
		tanhNEON(&dst[0], &x[0], n)
	case ActSwish:
		swishNEON(&dst[0], &x[0], n)
	case ActHardSwish:
		hardSwishNEON(&dst[0], &x[0], n)
	case ActGelu:
		geluNEON(&dst[0], &x[0], n)
	case ActGeluTanh:
		geluTanhNEON(&dst[0], &x[0], n)
	default:
		return 0
	}
	return n
}
