//go:build !amd64 || purego

package kernels

import "unsafe"

func levelFinishSIMD(t *levelTile, dst unsafe.Pointer, ldd, rows, cols int) int { return 0 }

func levelStoreSIMD(t *levelTile, src []float32, rows int) bool { return false }

func intTapsSIMD(*intTaps, int) bool { return false }

func quantizeBytesSIMD([]uint8, []float32, Quantized) int { return 0 }

func dequantizeBytesSIMD([]float32, []uint8, Quantized) int { return 0 }

// IntConvFast reports whether IntConv and IntChannelConv run in assembly.
func IntConvFast() bool { return false }
