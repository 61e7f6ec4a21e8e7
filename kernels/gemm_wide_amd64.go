//go:build amd64 && !purego

package kernels

// The routines are
//
//	dst[i*ldd+c] += sum_k x[i*ldx+k] b[k*ldb+c]
//
// for the rows in their name, c < wideCols and k >= 1, with k ascending and products fused to the sums.

//go:noescape
func wide1AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)

//go:noescape
func wide2AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)

//go:noescape
func wide3AVX512(dst *float32, ldd int, x *float32, ldx int, b *float32, ldb, k int)

// The same for columns of binary16.

//go:noescape
func wideHalf1AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)

//go:noescape
func wideHalf2AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)

//go:noescape
func wideHalf3AVX512(dst *float32, ldd int, x *float32, ldx int, b *uint16, ldb, k int)

// addWideSIMD is addWide, or reports that it cannot.
func addWideSIMD(dst []float32, ldd int, x []float32, ldx, rows int, b []float32, ldb, k int) bool {
	if !useAVX512 {
		return false
	}
	_, _, _ = dst[(rows-1)*ldd+wideCols-1], x[(rows-1)*ldx+k-1], b[(k-1)*ldb+wideCols-1]
	switch rows {
	case 1:
		wide1AVX512(&dst[0], ldd, &x[0], ldx, &b[0], ldb, k)
	case 2:
		wide2AVX512(&dst[0], ldd, &x[0], ldx, &b[0], ldb, k)
	case 3:
		wide3AVX512(&dst[0], ldd, &x[0], ldx, &b[0], ldb, k)
	default:
		return false
	}
	return true
}

// addWideHalves is addWide for columns of binary16 and any number of rows, where useHalfRows says that there is such a thing.
func addWideHalves(dst []float32, ldd int, x []float32, ldx, rows int, b []uint16, ldb, k int) {
	_, _, _ = dst[(rows-1)*ldd+wideCols-1], x[(rows-1)*ldx+k-1], b[(k-1)*ldb+wideCols-1]
	for done := 0; done < rows; done += 3 {
		d, y := &dst[done*ldd], &x[done*ldx]
		switch rows - done {
		case 1:
			wideHalf1AVX512(d, ldd, y, ldx, &b[0], ldb, k)
		case 2:
			wideHalf2AVX512(d, ldd, y, ldx, &b[0], ldb, k)
		default:
			wideHalf3AVX512(d, ldd, y, ldx, &b[0], ldb, k)
		}
	}
}
