//go:build amd64 && !purego

package kernels

import "unsafe"

// The gemv routines compute dst[16p+r] = sum_k x[k] w_p[16k+r] for four panels p, k >= 1, with
// w_p of the kind in their name. All 64 elements of dst are stored.

//go:noescape
func gemvF32AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvF16AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvBF16AVX512(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvF32AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvF16AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvBF16AVX2(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

// expandF16AVX2 and expandBF16AVX2 convert n elements, a positive multiple of 16. The first is F16C,
// which every processor with AVX2 has.

//go:noescape
func expandF16AVX2(dst *float32, src *uint16, n int)

//go:noescape
func expandBF16AVX2(dst *float32, src *uint16, n int)

// packTrans8AVX2 is dst[c*ldd+r] = src[r*ld+c] for r < 8 and c < k, a positive multiple of 4.
//
//go:noescape
func packTrans8AVX2(dst *float32, ldd int, src *float32, ld, k int)

// gemvSIMD computes the outputs of panels lo.. that dst ends with, or reports that it cannot.
func gemvSIMD(dst, x []float32, w *Weights, lo int) bool {
	if !useAVX512 && !useAVX2 {
		return false
	}
	var tile [gemvCols]float32
	panel := PanelRows * w.K * w.Kind.floatBytes()
	last := Panels(len(dst)) - 1
	for p := lo; p <= last; p += gemvCols / PanelRows {
		// Beyond the last panel the last one again: it is in the cache.
		w0 := unsafe.Pointer(&w.Data[p*panel])
		w1 := unsafe.Pointer(&w.Data[min(p+1, last)*panel])
		w2 := unsafe.Pointer(&w.Data[min(p+2, last)*panel])
		w3 := unsafe.Pointer(&w.Data[min(p+3, last)*panel])
		gemvTile(&tile, &x[0], w.Kind, w0, w1, w2, w3, w.K)
		copy(dst[p*PanelRows:], tile[:])
	}
	return true
}

func gemvTile(tile *[gemvCols]float32, x *float32, kind Kind, w0, w1, w2, w3 unsafe.Pointer, k int) {
	switch kind {
	case KindF32:
		if useAVX512 {
			gemvF32AVX512(&tile[0], x, w0, w1, w2, w3, k)
		} else {
			gemvF32AVX2(&tile[0], x, w0, w1, w2, w3, k)
		}
	case KindF16:
		if useAVX512 {
			gemvF16AVX512(&tile[0], x, w0, w1, w2, w3, k)
		} else {
			gemvF16AVX2(&tile[0], x, w0, w1, w2, w3, k)
		}
	case KindBF16:
		if useAVX512 {
			gemvBF16AVX512(&tile[0], x, w0, w1, w2, w3, k)
		} else {
			gemvBF16AVX2(&tile[0], x, w0, w1, w2, w3, k)
		}
	default:
		panic("kernels: panelsFloat: not a float matrix")
	}
}

func packTransSIMD(block, b []float32, ldb, cols, depth int) int {
	whole := depth &^ 3
	if !useAVX512 && !useAVX2 || whole == 0 {
		return 0
	}
	c := 0
	for ; c+8 <= cols; c += 8 {
		packTrans8AVX2(&block[c], stripCols, &b[c*ldb], ldb, whole)
		for k := whole; k < depth; k++ {
			for r := range 8 {
				block[k*stripCols+c+r] = b[(c+r)*ldb+k]
			}
		}
	}
	return c
}

func expandF16SIMD(dst []float32, src []uint16) int {
	n := len(src) &^ 15
	if !useAVX512 && !useAVX2 || n == 0 {
		return 0
	}
	expandF16AVX2(&dst[0], &src[0], n)
	return n
}

func expandBF16SIMD(dst []float32, src []uint16) int {
	n := len(src) &^ 15
	if !useAVX512 && !useAVX2 || n == 0 {
		return 0
	}
	expandBF16AVX2(&dst[0], &src[0], n)
	return n
}
