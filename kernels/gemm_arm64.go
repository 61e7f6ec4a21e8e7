//go:build !purego

package kernels

import "unsafe"

// The micro-kernels compute, for the rows in their name and depth k >= 1,
//
//	dst[i*ldd+c] = sum_k x[i*ldx+k] b[k*ldb+c]
//
// for c < 16. If load is not 0 the sums start from dst. The reference is gemmStripGeneric.

//go:noescape
func gemm6NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

//go:noescape
func gemm5NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

//go:noescape
func gemm4NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

//go:noescape
func gemm3NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

//go:noescape
func gemm2NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

//go:noescape
func gemm1NEON(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int, load uint32)

func gemmStrip(dst []float32, ldd int, x []float32, ldx, rows int, b0, b1 []float32, ldb, cols, k int, accumulate bool) {
	if !useNEON {
		gemmStripGeneric(dst, ldd, x, ldx, rows, b0, b1, ldb, cols, k, accumulate)
		return
	}
	gemmPanelNEON(dst, ldd, x, ldx, rows, &b0[0], ldb, min(cols, PanelRows), k, accumulate)
	if cols > PanelRows {
		gemmPanelNEON(dst[PanelRows:], ldd, x, ldx, rows, &b1[0], ldb, cols-PanelRows, k, accumulate)
	}
}

func gemmPanelNEON(dst []float32, ldd int, x []float32, ldx, rows int, b *float32, ldb, cols, k int, accumulate bool) {
	const most = 6
	var edge [most * PanelRows]float32 // a tile that must not be stored as a whole
	var load uint32
	if accumulate {
		load = 1
	}
	for tiles := (rows + most - 1) / most; tiles > 0; tiles-- {
		m := (rows + tiles - 1) / tiles // even tiles
		d, ld, a := unsafe.SliceData(dst), ldd, unsafe.SliceData(x)
		if cols < PanelRows {
			d, ld = &edge[0], PanelRows
			for i := 0; i < m && accumulate; i++ {
				copy(edge[i*PanelRows:], dst[i*ldd:i*ldd+cols])
			}
		}
		switch m {
		case 6:
			gemm6NEON(d, ld, a, ldx, b, ldb, k, load)
		case 5:
			gemm5NEON(d, ld, a, ldx, b, ldb, k, load)
		case 4:
			gemm4NEON(d, ld, a, ldx, b, ldb, k, load)
		case 3:
			gemm3NEON(d, ld, a, ldx, b, ldb, k, load)
		case 2:
			gemm2NEON(d, ld, a, ldx, b, ldb, k, load)
		case 1:
			gemm1NEON(d, ld, a, ldx, b, ldb, k, load)
		}
		if cols < PanelRows {
			for i := range m {
				copy(dst[i*ldd:i*ldd+cols], edge[i*PanelRows:])
			}
		}
		if rows -= m; rows > 0 {
			dst, x = dst[m*ldd:], x[m*ldx:]
		}
	}
}
