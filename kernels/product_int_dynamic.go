package kernels

// Range returns the least and the largest of x and 0. NaNs count as 0.
func Range(x []float32) (lo, hi float32) {
	lo, hi, n := rangeSIMD(x)
	for _, v := range x[n:] {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// Dynamic is the quantization to bytes of numbers from lo <= 0 to hi >= 0 that ONNX's DynamicQuantizeLinear chooses:
//
//	Scale = (hi - lo) / 255,  Zero = round(-lo / Scale), halves to even
//
// and a Scale of 1 if there are only zeros.
func Dynamic(lo, hi float32) Quantized {
	q := Quantized{Scale: 1}
	if hi > lo {
		q.Scale = (hi - lo) / 255
	}
	q.Zero = nearestByte(-lo/q.Scale, 0)
	return q
}

// QuantizeRows quantizes each of len(q) rows of src[len(q)][k] by its own range: q[i] = Dynamic(Range(row i)), and bytes as
// QuantizeBytes makes them.
func QuantizeRows(dst []uint8, q []Quantized, src []float32, k int) {
	if len(dst) < len(q)*k || len(src) < len(q)*k {
		panic("kernels: QuantizeRows: dst or src is too short")
	}
	for i := range q {
		row := src[i*k : (i+1)*k]
		q[i] = Dynamic(Range(row))
		QuantizeBytes(dst[i*k:(i+1)*k], row, q[i])
	}
}

// nearestByte is the byte nearest to f + zero, halves of f to even; the zero point for a NaN.
func nearestByte(f float32, zero uint8) uint8 {
	// Adding 1.5 * 2^23 leaves a float32 no bits below 1, rounded to even.
	const big = 3 << 22
	if f != f {
		f = 0
	}
	f = min(max(f, -float32(zero)), float32(255-int32(zero)))
	return uint8(int32(float32(f+big)-big) + int32(zero))
}
