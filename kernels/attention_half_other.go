//go:build !amd64 || purego

package kernels

// useHalfRows is false: rows of binary16 are widened.
func useHalfRows() bool { return false }

func scoreHalves(dst, q []float32, ldq, rows int, k []uint16, ldk, dim int) {
	panic("kernels: scoreHalves: not on this processor")
}

func addWideHalves(dst []float32, ldd int, x []float32, ldx, rows int, b []uint16, ldb, k int) {
	panic("kernels: addWideHalves: not on this processor")
}
