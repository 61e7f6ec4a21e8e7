//go:build amd64 && !purego

package kernels

import "unsafe"

// The routines compute the products of the query rows in their name with scoreKeys key rows, for dim a positive multiple of 4,
//
//	dst[r*ldd+s] = sum_d q[r*ldq+d] k[s*ldk+d]
//
// The reference is scoreRowsGeneric.

//go:noescape
func scores8AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores7AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores6AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores5AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores4AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores3AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores2AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores1AVX512(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores4AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores3AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores2AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

//go:noescape
func scores1AVX2(dst *float32, ldd int, q *float32, ldq int, k *float32, ldk, dim int)

// scoreRowsMost returns the most query rows for which scoreRows is faster than packed keys.
func scoreRowsMost() int {
	switch {
	case useAVX512:
		return 8
	case useAVX2:
		return 4
	}
	return 0
}

// scoreRows is scoreRowsGeneric for up to scoreRowsMost rows and dim a positive multiple of 4.
func scoreRows(dst, q []float32, ldq, rows int, k []float32, ldk, dim int) {
	_, _, _ = dst[(rows-1)*scoresLd+scoreKeys-1], q[(rows-1)*ldq+dim-1], k[(scoreKeys-1)*ldk+dim-1]
	d, x, y := unsafe.SliceData(dst), unsafe.SliceData(q), unsafe.SliceData(k)
	if useAVX512 {
		scoreRowsAVX512(d, x, ldq, rows, y, ldk, dim)
		return
	}
	switch rows {
	case 4:
		scores4AVX2(d, scoresLd, x, ldq, y, ldk, dim)
	case 3:
		scores3AVX2(d, scoresLd, x, ldq, y, ldk, dim)
	case 2:
		scores2AVX2(d, scoresLd, x, ldq, y, ldk, dim)
	case 1:
		scores1AVX2(d, scoresLd, x, ldq, y, ldk, dim)
	}
}

func scoreRowsAVX512(dst, q *float32, ldq, rows int, k *float32, ldk, dim int) {
	switch rows {
	case 8:
		scores8AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 7:
		scores7AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 6:
		scores6AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 5:
		scores5AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 4:
		scores4AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 3:
		scores3AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 2:
		scores2AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	case 1:
		scores1AVX512(dst, scoresLd, q, ldq, k, ldk, dim)
	}
}
