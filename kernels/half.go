package kernels

import (
	"math"

	"github.com/x448/float16"
)

// F16ToF32 converts one IEEE 754 binary16 number, exactly. The bits of h in the place of a float32's are the
// number but for the bias of the exponent, which a product sets right for subnormal
// numbers too: a library's case analysis costs five times as much, and this runs for every weight.
func F16ToF32(h uint16) float32 {
	u := uint32(h&0x7fff) << 13
	if u >= 0x7c00<<13 { // infinity or NaN
		return math.Float32frombits(uint32(h&0x8000)<<16 | 0xff<<23 | u)
	}
	return math.Float32frombits(uint32(h&0x8000)<<16 | math.Float32bits(math.Float32frombits(u)*0x1p112))
}

// F32ToF16 converts to binary16, to nearest even.
func F32ToF16(f float32) uint16 { return float16.Fromfloat32(f).Bits() }

// BF16ToF32 converts one bfloat16 number (the upper half of a float32), exactly.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 converts to bfloat16, to nearest even; a NaN stays a (quiet) NaN.
func F32ToBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// ExpandF16 converts src to float32: len(src) elements of dst.
func ExpandF16(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := expandF16SIMD(dst, src)
	for i, h := range src[n:] {
		dst[n+i] = F16ToF32(h)
	}
}

// ExpandBF16 converts src to float32: len(src) elements of dst.
func ExpandBF16(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := expandBF16SIMD(dst, src)
	for i, h := range src[n:] {
		dst[n+i] = BF16ToF32(h)
	}
}

// NarrowF16 converts src to binary16, to nearest even: len(src) elements of dst. It makes
// files: all its forms give the same bits, those of a NaN's upper half too.
func NarrowF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i := narrowF16SIMD(dst, src); i < len(src); i++ {
		dst[i] = F32ToF16(src[i])
	}
}

// NarrowBF16 converts src to bfloat16, to nearest even: len(src) elements of dst.
func NarrowBF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, f := range src {
		dst[i] = F32ToBF16(f)
	}
}
