//go:build !purego

package kernels

import "unsafe"

// The gemv routines compute dst[16p+r] = sum_k x[k] w_p[16k+r] for four panels p, k >= 1, with
// w_p of the kind in their name. All 64 elements of dst are stored.

//go:noescape
func gemvF32NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvF16NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

//go:noescape
func gemvBF16NEON(dst, x *float32, w0, w1, w2, w3 unsafe.Pointer, k int)

// expandF16NEON and expandBF16NEON convert n elements, a positive multiple of 8.

//go:noescape
func expandF16NEON(dst *float32, src *uint16, n int)

//go:noescape
func expandBF16NEON(dst *float32, src *uint16, n int)

// transpose4NEON transposes 4 rows of 4*blocks columns; ldd and lds are in bytes.
//
//go:noescape
func transpose4NEON(dst *float32, ldd int, src *float32, lds, blocks int)

// gemvSIMD computes the outputs of panels lo.. that dst ends with, or reports that it cannot.
func gemvSIMD(dst, x []float32, w *Weights, lo int) bool {
	if !useNEON {
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
		switch w.Kind {
		case KindF32:
			gemvF32NEON(&tile[0], &x[0], w0, w1, w2, w3, w.K)
		case KindF16:
			gemvF16NEON(&tile[0], &x[0], w0, w1, w2, w3, w.K)
		case KindBF16:
			gemvBF16NEON(&tile[0], &x[0], w0, w1, w2, w3, w.K)
		default:
			panic("kernels: panelsFloat: not a float matrix")
		}
		copy(dst[p*PanelRows:], tile[:])
	}
	return true
}

func packTransSIMD(block, b []float32, ldb, cols, depth int) int {
	whole := depth &^ 3
	if !useNEON || whole == 0 {
		return 0
	}
	c := 0
	for ; c+4 <= cols; c += 4 {
		transpose4NEON(&block[c], stripCols*4, &b[c*ldb], ldb*4, whole/4)
		for k := whole; k < depth; k++ {
			for r := range 4 {
				block[k*stripCols+c+r] = b[(c+r)*ldb+k]
			}
		}
	}
	return c
}

// transposeSIMD does the first r rows of the first c columns, both multiples of 4.
func transposeSIMD(dst []float32, ldd int, src []float32, lds, rows, cols int) (r, c int) {
	if rows < 4 || cols < 4 || !useNEON {
		return rows, 0
	}
	r, c = rows&^3, cols&^3
	for c0 := 0; c0 < c; c0 += transposeStrip {
		blocks := min(transposeStrip, c-c0) / 4
		for i := 0; i < r; i += 4 {
			transpose4NEON(&dst[c0*ldd+i], ldd*4, &src[i*lds+c0], lds*4, blocks)
		}
	}
	return r, c
}

func expandF16SIMD(dst []float32, src []uint16) int {
	n := len(src) &^ 7
	if !useNEON || n == 0 {
		return 0
	}
	expandF16NEON(&dst[0], &src[0], n)
	return n
}

func expandBF16SIMD(dst []float32, src []uint16) int {
	n := len(src) &^ 7
	if !useNEON || n == 0 {
		return 0
	}
	expandBF16NEON(&dst[0], &src[0], n)
	return n
}
