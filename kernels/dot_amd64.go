//go:build amd64 && !purego

package kernels

//go:noescape
func quantizeActsAVX2(dst *actBlock, first, second *float32, ld, ldSecond, groups int)

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

func quantizeHalvesSIMD(dst []actBlock, first, second *float32, ld, ldSecond int) bool {
	if !useSIMD() {
		return false
	}
	quantizeActsAVX2(&dst[0], first, second, 4*ld, 4*ldSecond, len(dst))
	return true
}
