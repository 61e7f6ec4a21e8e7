//go:build !amd64 || purego

package kernels

func convTileSIMD(*convTile, int) bool { return false }
