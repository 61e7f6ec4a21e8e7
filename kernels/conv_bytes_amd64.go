//go:build amd64 && !purego

package kernels

//go:noescape
func quantizeBytesAVX512(dst *uint8, src *float32, n int, scale, lo, hi float32, zero int32)

//go:noescape
func dequantizeBytesAVX512(dst *float32, src *uint8, n int, scale float32, zero int32)

// quantizeBytesSIMD returns how many elements it has done.
func quantizeBytesSIMD(dst []uint8, src []float32, y Quantized) int {
	n := len(src) &^ 15
	if !useAVX512 || n == 0 {
		return 0
	}
	zero := int32(y.Zero)
	quantizeBytesAVX512(&dst[0], &src[0], n, y.Scale, float32(-zero), float32(255-zero), zero)
	return n
}

func dequantizeBytesSIMD(dst []float32, src []uint8, x Quantized) int {
	n := len(src) &^ 15
	if !useAVX512 || n == 0 {
		return 0
	}
	dequantizeBytesAVX512(&dst[0], &src[0], n, x.Scale, int32(x.Zero))
	return n
}

// IntConvFast reports whether IntConv and IntChannelConv run in assembly.
func IntConvFast() bool { return useAVX512 }
