//go:build !amd64 || purego

package kernels

func scoreRowsMost() int { return 0 }

func scoreRows(dst, q []float32, ldq, rows int, k []float32, ldk, dim int) {
	scoreRowsGeneric(dst, q, ldq, rows, k, ldk, dim)
}
