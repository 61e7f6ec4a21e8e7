package kernels

// wideCols are the columns that addWide takes.
const wideCols = 2 * stripCols

// addWide adds the product of few rows with wideCols columns to dst, for k >= 1,
//
//	dst[i*ldd+c] += sum_k x[i*ldx+k] b[k*ldb+c]
//
// each output in the order of gemmStrip, so that the bits are the same.
func addWide(dst []float32, ldd int, x []float32, ldx, rows int, b []float32, ldb, k int) {
	if addWideSIMD(dst, ldd, x, ldx, rows, b, ldb, k) {
		return
	}
	for c := 0; c < wideCols; c += stripCols {
		gemmStrip(dst[c:], ldd, x, ldx, rows, b[c:], b[c+PanelRows:], ldb, stripCols, k, true)
	}
}
