//go:build !amd64 || purego

package kernels

// addWideSIMD does nothing.
func addWideSIMD(dst []float32, ldd int, x []float32, ldx, rows int, b []float32, ldb, k int) bool {
	return false
}
