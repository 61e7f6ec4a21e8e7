//go:build (!amd64 && !arm64) || purego

package kernels

func useIntTiles() bool { return false }

func dotBytes(t *intTile) { dotBytesGeneric(t) }

func dotWords(t *intTile) { dotWordsGeneric(t) }

func expScaledSIMD(x []float32, scale, shift float32) (float32, bool) { return 0, false }

func expandBytesSIMD(dst []float32, src []byte, scale float32) int { return 0 }

func packBytesSIMD(dst []uint32, src []byte, stride, rows, words int) int { return 0 }

func packPairsSIMD(dst []uint32, src []byte, stride, n int) int { return 0 }

func narrowWeightsSIMD(dst []int16, w, scale []float32, inv float32) int { return 0 }
