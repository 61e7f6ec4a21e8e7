package kernels

import "math"

// The vector functions work on len(dst) elements (or len(x), where there is no dst) and panic
// if another operand is shorter. dst may be an operand itself but must not overlap one
// otherwise. The SIMD forms do the first elements, return how many, and leave the rest to Go.

// Add is dst[i] = a[i] + b[i].
func Add(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := addSIMD(dst, a, b); i < len(dst); i++ {
		dst[i] = a[i] + b[i]
	}
}

// Sub is dst[i] = a[i] - b[i].
func Sub(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := subSIMD(dst, a, b); i < len(dst); i++ {
		dst[i] = a[i] - b[i]
	}
}

// Mul is dst[i] = a[i] b[i].
func Mul(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := mulSIMD(dst, a, b); i < len(dst); i++ {
		dst[i] = a[i] * b[i]
	}
}

// Div is dst[i] = a[i] / b[i].
func Div(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := divSIMD(dst, a, b); i < len(dst); i++ {
		dst[i] = a[i] / b[i]
	}
}

// Scale is dst[i] = a x[i].
func Scale(dst, x []float32, a float32) {
	x = x[:len(dst)]
	for i := scaleSIMD(dst, x, a); i < len(dst); i++ {
		dst[i] = a * x[i]
	}
}

// AddScalar is dst[i] = x[i] + a.
func AddScalar(dst, x []float32, a float32) {
	x = x[:len(dst)]
	for i := addScalarSIMD(dst, x, a); i < len(dst); i++ {
		dst[i] = x[i] + a
	}
}

// Axpy is dst[i] += a x[i].
func Axpy(dst, x []float32, a float32) {
	x = x[:len(dst)]
	for i := axpySIMD(dst, x, a); i < len(dst); i++ {
		dst[i] += a * x[i]
	}
}

// Max is dst[i] = b[i] if b[i] > a[i], else a[i].
func Max(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := maxSIMD(dst, a, b); i < len(dst); i++ {
		v := a[i]
		if b[i] > v {
			v = b[i]
		}
		dst[i] = v
	}
}

// Min is dst[i] = b[i] if b[i] < a[i], else a[i].
func Min(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := minSIMD(dst, a, b); i < len(dst); i++ {
		v := a[i]
		if b[i] < v {
			v = b[i]
		}
		dst[i] = v
	}
}

// Sqrt is dst[i] = sqrt(x[i]), correctly rounded.
func Sqrt(dst, x []float32) {
	x = x[:len(dst)]
	for i := sqrtSIMD(dst, x); i < len(dst); i++ {
		dst[i] = float32(math.Sqrt(float64(x[i])))
	}
}

// Dot returns sum_i a[i] b[i] for i < len(a).
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	if s, ok := dotSIMD(a, b); ok {
		return s
	}
	return dotGeneric(a, b)
}

func dotGeneric(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// SumRow returns sum_i x[i].
func SumRow(x []float32) float32 {
	if s, ok := sumSIMD(x); ok {
		return s
	}
	return sumGeneric(x)
}

func sumGeneric(x []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(x) >= 4 {
		s0 += x[0]
		s1 += x[1]
		s2 += x[2]
		s3 += x[3]
		x = x[4:]
	}
	for _, v := range x {
		s0 += v
	}
	return (s0 + s1) + (s2 + s3)
}

// MaxRow returns the largest element of x, which has at least one. A NaN is never the largest
// unless it comes first.
func MaxRow(x []float32) float32 {
	if m, ok := topSIMD(x); ok {
		return m
	}
	return maxGeneric(x)
}

func maxGeneric(x []float32) float32 {
	m := x[0]
	for _, v := range x[1:] {
		if v > m {
			m = v
		}
	}
	return m
}
