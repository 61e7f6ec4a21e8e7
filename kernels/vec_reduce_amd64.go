//go:build amd64 && !purego

package kernels

// vecLanes is 0..63: what the AVX2 reductions compare with the number of elements left.
var vecLanes = [64]int32{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
	48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
}

// The reductions take any n >= 0. The sums run in 64 lanes; top is the largest of start and
// x[:n], where NaN never wins.

//go:noescape
func dotAVX512(a, b *float32, n int) float32

//go:noescape
func sumAVX512(x *float32, n int) float32

//go:noescape
func topAVX512(x *float32, n int, start float32) float32

//go:noescape
func dotAVX2(a, b *float32, n int) float32

//go:noescape
func sumAVX2(x *float32, n int) float32

//go:noescape
func topAVX2(x *float32, n int, start float32) float32

func dotSIMD(a, b []float32) (float32, bool) {
	if len(a) == 0 || !useAVX512 && !useAVX2 {
		return 0, false
	}
	if useAVX512 {
		return dotAVX512(&a[0], &b[0], len(a)), true
	}
	return dotAVX2(&a[0], &b[0], len(a)), true
}

func sumSIMD(x []float32) (float32, bool) {
	if len(x) == 0 || !useAVX512 && !useAVX2 {
		return 0, false
	}
	if useAVX512 {
		return sumAVX512(&x[0], len(x)), true
	}
	return sumAVX2(&x[0], len(x)), true
}

func topSIMD(x []float32) (float32, bool) {
	if x[0] != x[0] || !useAVX512 && !useAVX2 {
		return 0, false
	}
	if useAVX512 {
		return topAVX512(&x[0], len(x), x[0]), true
	}
	return topAVX2(&x[0], len(x), x[0]), true
}
