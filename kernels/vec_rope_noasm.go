//go:build !amd64 || purego

package kernels

func ropePairsSIMD(dst, x, cos, sin []float32) int { return 0 }
