//go:build amd64 && !purego

package kernels

//go:noescape
func ropePairsAVX2(dst, x, cos, sin *float32, n int)

// ropePairsSIMD rotates the first pairs of neighbours and returns how many.
func ropePairsSIMD(dst, x, cos, sin []float32) int {
	n := len(cos) &^ 3
	if !useAVX512 && !useAVX2 || n == 0 {
		return 0
	}
	ropePairsAVX2(&dst[:2*n][0], &x[:2*n][0], &cos[0], &sin[:n][0], n)
	return n
}
