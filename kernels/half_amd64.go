//go:build amd64 && !purego

package kernels

//go:noescape
func narrowF16AVX2(dst *uint16, src *float32, n int)

func narrowF16SIMD(dst []uint16, src []float32) int {
	n := len(src) &^ 7
	if !useAVX512 && !useAVX2 || n == 0 {
		return 0
	}
	narrowF16AVX2(&dst[:n][0], &src[0], n)
	return n
}
