//go:build (!amd64 && !arm64) || purego

package kernels

func depthwiseSIMD(dst, src, w []float32, bias float32, g *Window) bool { return false }
