//go:build amd64 && !purego

package kernels

// depthwiseRowsAVX2 computes rows of n outputs,
//
//	dst[y*ldd+x] = bias + sum_t w[t] src[y*lds+x+offsets[t]/4]
//
// with at least one tap, row and output. It reads up to depthwiseSlack elements beyond the last. There is no
// AVX-512 form: the taps are shifted by single elements, so that every 64-byte load would touch two lines.
//
//go:noescape
func depthwiseRowsAVX2(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)

// depthwiseRows9AVX2 is depthwiseRowsAVX2 for nine taps, whose weights stay in registers.
//
//go:noescape
func depthwiseRows9AVX2(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)

// deinterleaveAVX2 is even[i], odd[i] = x[2i], x[2i+1] for i < n, a positive multiple of 8.
//
//go:noescape
func deinterleaveAVX2(even, odd, x *float32, n int)

func depthwiseRows(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32) {
	if taps == 9 {
		depthwiseRows9AVX2(dst, ldd, src, lds, offsets, w, taps, n, rows, bias)
	} else {
		depthwiseRowsAVX2(dst, ldd, src, lds, offsets, w, taps, n, rows, bias)
	}
}

func deinterleave(even, odd, x *float32, n int) { deinterleaveAVX2(even, odd, x, n) }
