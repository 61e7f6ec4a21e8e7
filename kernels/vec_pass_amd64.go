//go:build amd64 && !purego

package kernels

// The routines are Pass for n elements, n a multiple of 8 in the form for AVX2.

//go:noescape
func passAVX512(dst, d, y *float32, n int, low, high, slope float32)

//go:noescape
func passAVX2(dst, d, y *float32, n int, low, high, slope float32)

func passSIMD(dst, g, y []float32, low, high, slope float32) int {
	n := len(dst)
	if !useAVX512 {
		n &^= 7
	}
	switch {
	case n == 0:
		return 0
	case useAVX512:
		passAVX512(&dst[0], &g[0], &y[0], n, low, high, slope)
	case useAVX2:
		passAVX2(&dst[0], &g[0], &y[0], n, low, high, slope)
	default:
		return 0
	}
	return n
}
