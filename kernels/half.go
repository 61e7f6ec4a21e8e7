package kernels

import (
	"math"

	"github.com/x448/float16"
)

// F16ToF32 converts one IEEE 754 binary16 number, exactly.
func F16ToF32(h uint16) float32 { return float16.Frombits(h).Float32() }

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
// files, so it has one form only.
func NarrowF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, f := range src {
		dst[i] = F32ToF16(f)
	}
}

// NarrowBF16 converts src to bfloat16, to nearest even: len(src) elements of dst.
func NarrowBF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, f := range src {
		dst[i] = F32ToBF16(f)
	}
}
