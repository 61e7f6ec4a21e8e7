//go:build amd64 && !purego

package kernels

import (
	"golang.org/x/sys/cpu"
)

// hasTiles reports whether the AVX-512 level has tiles of bfloat16 too, and the operating system lets this process use them.
var hasTiles = hasAVX512 && cpu.X86.HasAVX512BF16 && cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && tilesAllowed()

//go:noescape
func dotPairsAMX(args *pairTile)

//go:noescape
func expPairsAMX(dst *uint16, x *float32, n int, scale, shift float32) float32

//go:noescape
func interleavePairsAVX512(dst *uint32, src *byte, stride, pairs int)

// useTiles reports whether there are tiles of bfloat16.
func useTiles() bool { return useAVX512 && hasTiles }

func dotPairs(t *pairTile) {
	if !useTiles() {
		dotPairsGeneric(t)
		return
	}
	dotPairsAMX(t)
}

// expPairsSIMD takes the scale and shift to powers of two.
func expPairsSIMD(dst []uint16, x []float32, scale, shift float32) float32 {
	return expPairsAMX(&dst[:len(x)][0], &x[0], len(x), scale*log2e, shift*log2e)
}

func interleavePairsSIMD(dst []uint32, src []byte, stride, n int) int {
	pairs := n / 2
	if !useAVX512 || pairs == 0 {
		return 0
	}
	_, _ = dst[pairs*stripCols-1], src[(2*pairs-1)*stride+2*stripCols-1]
	interleavePairsAVX512(&dst[0], &src[0], stride, pairs)
	return 2 * pairs
}
