//go:build !purego

package kernels

// The reductions take any n >= 0. The sums run in 64 lanes; top is the largest of start and
// x[:n], where NaN never wins.

//go:noescape
func dotNEON(a, b *float32, n int) float32

//go:noescape
func sumNEON(x *float32, n int) float32

//go:noescape
func topNEON(x *float32, n int, start float32) float32

func dotSIMD(a, b []float32) (float32, bool) {
	if len(a) == 0 || !useNEON {
		return 0, false
	}
	return dotNEON(&a[0], &b[0], len(a)), true
}

func sumSIMD(x []float32) (float32, bool) {
	if len(x) == 0 || !useNEON {
		return 0, false
	}
	return sumNEON(&x[0], len(x)), true
}

func topSIMD(x []float32) (float32, bool) {
	if x[0] != x[0] || !useNEON {
		return 0, false
	}
	return topNEON(&x[0], len(x), x[0]), true
}
