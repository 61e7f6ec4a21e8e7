//go:build !purego

package kernels

// depthwiseRows computes rows of n outputs,
//
//	dst[y*ldd+x] = bias + sum_t w[t] src[y*lds+x+offsets[t]/4]
//
// with at least one tap, row and output. It reads up to depthwiseSlack elements beyond the last.
//
//go:noescape
func depthwiseRows(dst *float32, ldd int, src *float32, lds int, offsets *int, w *float32, taps, n, rows int, bias float32)

// deinterleave is even[i], odd[i] = x[2i], x[2i+1] for i < n, a positive multiple of 8.
//
//go:noescape
func deinterleave(even, odd, x *float32, n int)
