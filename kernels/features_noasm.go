//go:build !amd64 || purego

package kernels

const hasAVX2, hasAVX512 = false, false
