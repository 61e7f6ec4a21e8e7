//go:build arm64 && !purego

package kernels

//go:noescape
func expScaledNEON(x *float32, n int, scale, shift float32)

func useIntTiles() bool { return false }

func dotBytes(t *intTile) { dotBytesGeneric(t) }

func dotWords(t *intTile) { dotWordsGeneric(t) }

func expScaledSIMD(x []float32, scale, shift float32) (float32, bool) {
	if !useNEON {
		return 0, false
	}
	n := len(x) &^ 3
	if n > 0 {
		expScaledNEON(&x[0], n, scale, shift)
	}
	if n < len(x) {
		var edge [4]float32
		copy(edge[:], x[n:])
		expScaledNEON(&edge[0], len(edge), scale, shift)
		copy(x[n:], edge[:])
	}
	return SumRow(x), true
}

func expandBytesSIMD(dst []float32, src []byte, scale float32) int {
	n := len(dst) &^ 7
	if !useNEON || n == 0 {
		return 0
	}
	expandBytesNEON(&dst[0], &src[:n][0], n, scale)
	return n
}

//go:noescape
func expandBytesNEON(dst *float32, src *byte, n int, scale float32)

func packBytesSIMD(dst []uint32, src []byte, stride, rows, words int) int { return 0 }

func packPairsSIMD(dst []uint32, src []byte, stride, n int) int { return 0 }

func narrowWeightsSIMD(dst []int16, w, scale []float32, inv float32) int { return 0 }
