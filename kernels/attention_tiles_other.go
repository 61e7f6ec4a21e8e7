//go:build !amd64 || purego

package kernels

func useTiles() bool { return false }

func dotPairs(t *pairTile) { dotPairsGeneric(t) }

func expPairsSIMD(dst []uint16, x []float32, scale, shift float32) float32 { return 0 }

func interleavePairsSIMD(dst []uint32, src []byte, stride, n int) int { return 0 }
