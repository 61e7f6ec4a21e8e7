package quant

import "math"

// The arithmetic of the data-free estimates. What comes out of it goes into the file's bytes, which are the
// same on every machine: so no fused multiply-add (an explicit conversion forbids it) and none of the
// math package's functions that have assembly of their own.

// mulTrans computes rows [lo, hi) of dst = a b^T for row-major a (m x k) and b (n x k): every element is
// two chains of additions.
func mulTrans(dst, a, b []float32, lo, hi, n, k int) {
	for i := lo; i < hi; i += 2 {
		a0 := a[i*k : (i+1)*k]
		a1 := a0
		if i+1 < hi {
			a1 = a[(i+1)*k : (i+2)*k]
		}
		for j := 0; j < n; j += 2 {
			b0 := b[j*k : (j+1)*k]
			b1 := b0
			if j+1 < n {
				b1 = b[(j+1)*k : (j+2)*k]
			}
			s00, s01, s10, s11 := tile(a0, a1, b0, b1)
			dst[i*n+j] = s00
			if j+1 < n {
				dst[i*n+j+1] = s01
			}
			if i+1 < hi {
				dst[(i+1)*n+j] = s10
				if j+1 < n {
					dst[(i+1)*n+j+1] = s11
				}
			}
		}
	}
}

// tile is four scalar products of rows of equal length.
func tile(a0, a1, b0, b1 []float32) (s00, s01, s10, s11 float32) {
	a1, b0, b1 = a1[:len(a0)], b0[:len(a0)], b1[:len(a0)]
	for i, x0 := range a0 {
		x1, y0, y1 := a1[i], b0[i], b1[i]
		s00 += float32(x0 * y0)
		s01 += float32(x0 * y1)
		s10 += float32(x1 * y0)
		s11 += float32(x1 * y1)
	}
	return s00, s01, s10, s11
}

// exp64 is e^x to about 1e-13: the Taylor series of x/1024, squared ten times.
func exp64(x float64) float64 {
	if x < -700 {
		return 0
	}
	x = min(x, 700) / 1024
	y := 1.0
	for n := 8; n > 0; n-- {
		y = 1 + float64(x*y)/float64(n)
	}
	for range 10 {
		y = float64(y * y)
	}
	return y
}

func sigmoid64(x float64) float64 { return 1 / (1 + exp64(-x)) }

// activations are the elementwise functions that estimates pass through.
var activations = map[string]func(x float64) float64{
	"Relu":    func(x float64) float64 { return max(x, 0) },
	"Sigmoid": sigmoid64,
	"Tanh":    func(x float64) float64 { return float64(2*sigmoid64(2*x)) - 1 },
	"Swish":   func(x float64) float64 { return float64(x * sigmoid64(x)) },
	// Hendrycks and Gimpel, "Gaussian error linear units", 2016: x sigmoid(1.702 x) is close enough here.
	"Gelu":     func(x float64) float64 { return float64(x * sigmoid64(1.702*x)) },
	"GeluTanh": func(x float64) float64 { return float64(x * sigmoid64(1.702*x)) },
}

// gaussian are the points and weights of a midpoint rule for the standard normal distribution.
var gaussian = func() (points [33][2]float64) {
	var sum float64
	for i := range points {
		x := (float64(i) - 16) / 4
		points[i] = [2]float64{x, exp64(-x * x / 2)}
		sum += points[i][1]
	}
	for i := range points {
		points[i][1] /= sum
	}
	return points
}()

// throughGaussian returns, for y = f(x) with x of mean m and variance v, the mean and variance of y and the
// slope cov(x,y)/v.
func throughGaussian(f func(float64) float64, m, v float64) (mean, variance, slope float64) {
	s := math.Sqrt(v)
	var second, cross float64
	for _, p := range gaussian {
		y := f(m + float64(s*p[0]))
		mean += float64(p[1] * y)
		second += float64(float64(p[1]*y) * y)
		cross += float64(float64(p[1]*y) * p[0])
	}
	if s > 0 {
		slope = cross / s
	}
	return mean, max(second-float64(mean*mean), 0), slope
}
