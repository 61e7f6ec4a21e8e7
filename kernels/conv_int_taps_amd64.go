//go:build amd64 && !purego

package kernels

import "unsafe"

// intTapsNAVX512 computes N pixels of 64 channels as IntChannelConv.generic does.

//go:noescape
func intTaps4AVX512(t *intTaps)

//go:noescape
func intTaps3AVX512(t *intTaps)

//go:noescape
func intTaps2AVX512(t *intTaps)

//go:noescape
func intTaps1AVX512(t *intTaps)

// intTapsSIMD computes t for so many pixels.
func intTapsSIMD(t *intTaps, pixels int) bool {
	if !useAVX512 {
		return false
	}
	for ; pixels > 4; pixels -= 4 { // no pointer may leave its buffer
		intTaps4AVX512(t)
		t.dst, t.x = unsafe.Add(t.dst, 4*t.ldd), unsafe.Add(t.x, 4*t.ldx)
	}
	switch pixels {
	case 4:
		intTaps4AVX512(t)
	case 3:
		intTaps3AVX512(t)
	case 2:
		intTaps2AVX512(t)
	case 1:
		intTaps1AVX512(t)
	}
	return true
}
