package kernels

import (
	"math"
	"unsafe"
)

// PackPanel16 lays an n x k matrix in panels of 16 rows (see Kind): element (r, c) is
// src[r*rowStride+c*colStride]. Rows beyond n in the last panel become 0. dst holds
// Panels(n)*16*k elements.
func PackPanel16(dst, src []float32, n, k, rowStride, colStride int) {
	packPanel16(dst, src, n, k, rowStride, colStride)
}

// PackPanel16U16 is PackPanel16 for elements of 16 bits: F16 and BF16.
func PackPanel16U16(dst, src []uint16, n, k, rowStride, colStride int) {
	packPanel16(dst, src, n, k, rowStride, colStride)
}

func packPanel16[T float32 | uint16](dst, src []T, n, k, rowStride, colStride int) {
	if n < 0 || k < 0 || len(dst) < Panels(n)*PanelRows*k {
		panic("kernels: PackPanel16: dst is too short")
	}
	if n == 0 || k == 0 {
		return
	}
	if rowStride < 0 || colStride < 0 || len(src) <= (n-1)*rowStride+(k-1)*colStride {
		panic("kernels: PackPanel16: src is too short")
	}
	for p := range Panels(n) {
		panel := dst[p*PanelRows*k : (p+1)*PanelRows*k]
		rows := min(PanelRows, n-p*PanelRows)
		if rows < PanelRows {
			clear(panel)
		}
		for r := range rows {
			row := src[(p*PanelRows+r)*rowStride:]
			if colStride == 1 {
				for c, v := range row[:k] {
					panel[c*PanelRows+r] = v
				}
				continue
			}
			for c := range k {
				panel[c*PanelRows+r] = row[c*colStride]
			}
		}
	}
}

// PanelRowF32 reads one row of a float matrix (KindF32, KindF16 or KindBF16) back into
// dst, which holds w.K elements.
func PanelRowF32(dst []float32, w Weights, row int) {
	if row < 0 || row >= w.N {
		panic("kernels: PanelRowF32: row out of range")
	}
	dst = dst[:w.K]
	first := row/PanelRows*w.K*PanelRows + row%PanelRows
	switch w.Kind {
	case KindF32:
		data := floatsOf(w.Data)
		for c := range dst {
			dst[c] = data[first+c*PanelRows]
		}
	case KindF16:
		data := halvesOf(w.Data)
		for c := range dst {
			dst[c] = F16ToF32(data[first+c*PanelRows])
		}
	case KindBF16:
		data := halvesOf(w.Data)
		for c := range dst {
			dst[c] = math.Float32frombits(uint32(data[first+c*PanelRows]) << 16)
		}
	default:
		panic("kernels: PanelRowF32: not a float matrix")
	}
}

// floatBytes returns the bytes of one element of a float kind.
func (k Kind) floatBytes() int {
	if k == KindF32 {
		return 4
	}
	return 2
}

// floatsOf is b as float32: weights lie in memory as in the file, little-endian.
func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// halvesOf is b as 16-bit elements.
func halvesOf(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}
