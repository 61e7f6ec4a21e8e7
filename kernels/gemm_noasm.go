//go:build (!amd64 && !arm64) || purego

package kernels

func gemmStrip(dst []float32, ldd int, x []float32, ldx, rows int, b0, b1 []float32, ldb, cols, k int, accumulate bool) {
	gemmStripGeneric(dst, ldd, x, ldx, rows, b0, b1, ldb, cols, k, accumulate)
}

func gemvSIMD(dst, x []float32, w *Weights, lo int) bool { return false }

func packTransSIMD(block, b []float32, ldb, cols, depth int) int { return 0 }

func expandF16SIMD(dst []float32, src []uint16) int { return 0 }

func expandBF16SIMD(dst []float32, src []uint16) int { return 0 }
