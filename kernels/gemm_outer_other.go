//go:build !amd64 || purego

package kernels

func outerSIMD() bool { return false }

func outerTileSIMD(*outerTile, int) {}
