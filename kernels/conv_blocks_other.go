//go:build !amd64 || purego

package kernels

func (b *blockStrip) runSIMD([]byte) bool { return false }

func gatherFieldsSIMD(dst, x []float32, pieces []fieldPiece, fields, step, pixel, k int) bool {
	return false
}
