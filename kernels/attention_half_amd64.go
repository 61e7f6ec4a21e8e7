//go:build amd64 && !purego

package kernels

import "unsafe"

// The routines compute the products of the query rows in their name with scoreKeys key rows of binary16, for dim a positive multiple of 8, as
// scoreRowsGeneric does with the widened keys.

//go:noescape
func scoresHalf8AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf7AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf6AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf5AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf4AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf3AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf2AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

//go:noescape
func scoresHalf1AVX512(dst *float32, ldd int, q *float32, ldq int, k *uint16, ldk, dim int)

// useHalfRows reports whether keys and values of binary16 are multiplied where they lie.
func useHalfRows() bool { return useAVX512 }

// scoreHalves is scoreRows for keys of binary16 and dim a positive multiple of 8.
func scoreHalves(dst, q []float32, ldq, rows int, k []uint16, ldk, dim int) {
	_, _, _ = dst[(rows-1)*scoresLd+scoreKeys-1], q[(rows-1)*ldq+dim-1], k[(scoreKeys-1)*ldk+dim-1]
	d, x, y := unsafe.SliceData(dst), unsafe.SliceData(q), unsafe.SliceData(k)
	switch rows {
	case 8:
		scoresHalf8AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 7:
		scoresHalf7AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 6:
		scoresHalf6AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 5:
		scoresHalf5AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 4:
		scoresHalf4AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 3:
		scoresHalf3AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 2:
		scoresHalf2AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	case 1:
		scoresHalf1AVX512(d, scoresLd, x, ldq, y, ldk, dim)
	}
}
