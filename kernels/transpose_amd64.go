//go:build amd64 && !purego

package kernels

// interleaveAVX is dst[2i], dst[2i+1] = a[i], b[i] for i < n, a positive multiple of 8.
//
//go:noescape
func interleaveAVX(dst, a, b *float32, n int)

// interleaveSIMD does the first elements and returns how many.
func interleaveSIMD(dst, a, b []float32) int {
	n := len(a) &^ 7
	if n == 0 || !useAVX2 && !useAVX512 {
		return 0
	}
	interleaveAVX(&dst[0], &a[0], &b[0], n)
	return n
}

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
