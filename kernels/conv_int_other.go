//go:build !amd64 || purego

package kernels

func intConvTileSIMD(*levelTile, int) bool { return false }

func intTapsSIMD(*intTaps, int) bool { return false }

func quantizeBytesSIMD([]uint8, []float32, float32, int32) int { return 0 }

func dequantizeBytesSIMD([]float32, []uint8, Quantized) int { return 0 }
