//go:build (!amd64 && !arm64) || purego

package kernels

func levelStripSIMD(*levelTile, int) int { return 0 }

func levelSumsSIMD(*levelTile, int) bool { return false }
