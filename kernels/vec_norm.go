package kernels

import "math"

// SoftmaxRow is dst[i] = exp(x[i]-max x) / sum_j exp(x[j]-max x). An element -Inf becomes 0;
// a row of nothing else becomes NaN.
func SoftmaxRow(dst, x []float32) {
	if len(dst) == 0 {
		return
	}
	x = x[:len(dst)]
	sum := expSum(dst, x, MaxRow(x))
	Scale(dst, dst, 1/sum)
}

// expSum is dst[i] = exp(x[i]-shift); it returns the sum.
func expSum(dst, x []float32, shift float32) float32 {
	expShift(dst, x, shift)
	return SumRow(dst)
}

// LogSoftmaxRow is dst[i] = x[i] - max x - log sum_j exp(x[j]-max x).
func LogSoftmaxRow(dst, x []float32) {
	if len(dst) == 0 {
		return
	}
	x = x[:len(dst)]
	m := MaxRow(x)
	var block [256]float32
	var sum float64
	for i := 0; i < len(x); i += len(block) {
		n := min(len(block), len(x)-i)
		sum += float64(expSum(block[:n], x[i:i+n], m))
	}
	AddScalar(dst, x, -m)
	AddScalar(dst, dst, -float32(math.Log(sum)))
}

// RMSNormRow is dst[i] = x[i] scale[i] / sqrt(mean_j x[j]^2 + eps) (Zhang and Sennrich 2019). A nil scale is 1.
func RMSNormRow(dst, x, scale []float32, eps float32) {
	x = x[:len(dst)]
	if len(dst) == 0 {
		return
	}
	mean := float64(Dot(x, x)) / float64(len(x))
	Scale(dst, x, float32(1/math.Sqrt(mean+float64(eps))))
	if scale != nil {
		Mul(dst, dst, scale)
	}
}

// LayerNormRow is dst[i] = (x[i]-mean) scale[i] / sqrt(var + eps) + bias[i], with var the mean of
// (x[i]-mean)^2. A nil scale is 1, a nil bias 0. dst may be x.
func LayerNormRow(dst, x, scale, bias []float32, eps float32) {
	x = x[:len(dst)]
	if len(dst) == 0 {
		return
	}
	n := float64(len(x))
	AddScalar(dst, x, -float32(float64(SumRow(x))/n))
	variance := float64(Dot(dst, dst)) / n
	Scale(dst, dst, float32(1/math.Sqrt(variance+float64(eps))))
	if scale != nil {
		Mul(dst, dst, scale)
	}
	if bias != nil {
		Add(dst, dst, bias)
	}
}

// RopeRow rotates the first 2 len(cos) elements of a head by pairs and copies the rest (Su et al. 2021):
//
//	dst[a] = x[a] cos[i] - x[b] sin[i]
//	dst[b] = x[a] sin[i] + x[b] cos[i]
//
// with (a, b) = (2i, 2i+1) if interleaved, else (i, len(cos)+i). dst may be x.
func RopeRow(dst, x, cos, sin []float32, interleaved bool) {
	half := len(cos)
	x, sin = x[:len(dst)], sin[:half]
	if 2*half > len(dst) {
		panic("kernels: RopeRow: cos is longer than half a row")
	}
	copy(dst[2*half:], x[2*half:])
	if interleaved {
		for i := ropePairsSIMD(dst, x, cos, sin); i < half; i++ {
			a, b, c, s := x[2*i], x[2*i+1], cos[i], sin[i]
			dst[2*i] = float32(a*c) - float32(b*s)
			dst[2*i+1] = float32(a*s) + float32(b*c)
		}
		return
	}
	for i := ropeSIMD(dst, x, cos, sin); i < half; i++ {
		a, b, c, s := x[i], x[half+i], cos[i], sin[i]
		dst[i] = float32(a*c) - float32(b*s)
		dst[half+i] = float32(a*s) + float32(b*c)
	}
}
