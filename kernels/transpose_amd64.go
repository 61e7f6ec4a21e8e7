//go:build amd64 && !purego

package kernels

// transposeSIMD does the first r rows of the first c columns, both multiples of 8.
func transposeSIMD(dst []float32, ldd int, src []float32, lds, rows, cols int) (r, c int) {
	if rows < 8 || cols < 8 || !useAVX2 && !useAVX512 {
		return rows, 0
	}
	r, c = rows&^7, cols&^7
	for c0 := 0; c0 < c; c0 += transposeStrip {
		blocks := min(transposeStrip, c-c0) / 8
		for i := 0; i < r; i += 8 {
			transpose8AVX(&dst[c0*ldd+i], ldd*4, &src[i*lds+c0], lds*4, blocks)
		}
	}
	return r, c
}

// transpose8AVX transposes 8 rows of 8*blocks columns; ldd and lds are in bytes.
//
//go:noescape
func transpose8AVX(dst *float32, ldd int, src *float32, lds, blocks int)
