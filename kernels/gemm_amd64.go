//go:build amd64 && !purego

package kernels

import "unsafe"

// The micro-kernels compute, for the rows in their name and depth k >= 1,
//
//	dst[i*ldd+c] = sum_k x[i*ldx+k] b[k,c]
//
// with b[k,c] = b0[k*ldb+c] for c < 16 and b1[k*ldb+c-16] beyond (AVX-512 only). Bit c of
// mask says that column c is stored, bit c of load that its sum starts from dst;
// the AVX2 form stores all 16 columns and loads all or, if load is 0, none.
// The reference is gemmStripGeneric.

//go:noescape
func gemm12AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm11AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm10AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm9AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm8AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm7AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm6AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm5AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm4AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm3AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm2AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm1AVX512(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm6AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm5AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm4AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm3AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm2AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

//go:noescape
func gemm1AVX2(dst *float32, ldd int, x *float32, ldx int, b0, b1 *float32, ldb, k int, mask, load uint32)

func gemmStrip(dst []float32, ldd int, x []float32, ldx, rows int, b0, b1 []float32, ldb, cols, k int, accumulate bool) {
	if useAVX512 {
		gemmStripAVX512(dst, ldd, x, ldx, rows, &b0[0], &b1[0], ldb, cols, k, accumulate)
		return
	}
	if useAVX2 {
		gemmPanelAVX2(dst, ldd, x, ldx, rows, &b0[0], ldb, min(cols, PanelRows), k, accumulate)
		if cols > PanelRows {
			gemmPanelAVX2(dst[PanelRows:], ldd, x, ldx, rows, &b1[0], ldb, cols-PanelRows, k, accumulate)
		}
		return
	}
	gemmStripGeneric(dst, ldd, x, ldx, rows, b0, b1, ldb, cols, k, accumulate)
}

func gemmStripAVX512(dst []float32, ldd int, x []float32, ldx, rows int, b0, b1 *float32, ldb, cols, k int, accumulate bool) {
	if cols <= PanelRows {
		b1 = b0
	}
	mask := uint32(1)<<cols - 1 // a shift by 32 gives 0
	var load uint32
	if accumulate {
		load = mask
	}
	const most = 12
	for tiles := (rows + most - 1) / most; tiles > 0; tiles-- {
		m := (rows + tiles - 1) / tiles // even tiles
		d, a := unsafe.SliceData(dst), unsafe.SliceData(x)
		switch m {
		case 12:
			gemm12AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 11:
			gemm11AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 10:
			gemm10AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 9:
			gemm9AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 8:
			gemm8AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 7:
			gemm7AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 6:
			gemm6AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 5:
			gemm5AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 4:
			gemm4AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 3:
			gemm3AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 2:
			gemm2AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		case 1:
			gemm1AVX512(d, ldd, a, ldx, b0, b1, ldb, k, mask, load)
		}
		if rows -= m; rows > 0 {
			dst, x = dst[m*ldd:], x[m*ldx:]
		}
	}
}

func gemmPanelAVX2(dst []float32, ldd int, x []float32, ldx, rows int, b *float32, ldb, cols, k int, accumulate bool) {
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
			gemm6AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
		case 5:
			gemm5AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
		case 4:
			gemm4AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
		case 3:
			gemm3AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
		case 2:
			gemm2AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
		case 1:
			gemm1AVX2(d, ld, a, ldx, b, b, ldb, k, 0, load)
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
