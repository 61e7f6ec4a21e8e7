//go:build !amd64 || purego

package kernels

func quantizeActsSIMD(dst []actBlock, x []float32) int { return 0 }

func gemmScratch(rows, groups int) int { return 0 }

func (m *MatMul) gemmSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	return false
}

func (m *MatMul) gemvSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	return false
}
