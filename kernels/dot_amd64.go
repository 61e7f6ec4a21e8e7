//go:build amd64 && !purego

package kernels

//go:noescape
func quantizeActsAVX2(dst *actBlock, x *float32, groups int)

//go:noescape
func expandScalesAVX512(args *gemvArgs)

//go:noescape
func expandD8AVX512(args *gemvArgs)

//go:noescape
func expandD4AVX512(args *gemvArgs)

//go:noescape
func expandD3AVX512(args *gemvArgs)

//go:noescape
func expandD2AVX512(args *gemvArgs)

//go:noescape
func expandFloatsAVX512(dst *float32, levels, scales, rowScales *byte, groups int)

//go:noescape
func expandScalesAVX2(args *gemvArgs)

//go:noescape
func expandD8AVX2(args *gemvArgs)

//go:noescape
func expandD4AVX2(args *gemvArgs)

//go:noescape
func expandD3AVX2(args *gemvArgs)

//go:noescape
func expandD2AVX2(args *gemvArgs)

//go:noescape
func expandFloatsAVX2(dst *float32, levels, scales, rowScales *byte, groups int)

func quantizeActsSIMD(dst []actBlock, x []float32) int {
	groups := len(x) / GroupLen
	if groups == 0 || !useAVX512 && !useAVX2 {
		return 0
	}
	_ = dst[groups-1]
	quantizeActsAVX2(&dst[0], &x[0], groups)
	return groups
}
