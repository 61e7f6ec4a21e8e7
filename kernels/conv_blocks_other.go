//go:build !amd64 || purego

package kernels

func (b *blockStrip) runSIMD([]byte) bool { return false }
