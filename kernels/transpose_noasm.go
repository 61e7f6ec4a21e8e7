//go:build (!amd64 && !arm64) || purego

package kernels

func transposeSIMD(dst []float32, ldd int, src []float32, lds, rows, cols int) (r, c int) {
	return rows, 0
}
