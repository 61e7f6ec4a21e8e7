//go:build !amd64 || purego

package kernels

func binaryBytesSIMD(dst, a, b []uint8, o *bytesPair) int { return 0 }

func byteTableSIMD(dst, x []uint8, m *ByteMap) int { return 0 }

func maxBytesSIMD(dst, a, b []uint8) int { return 0 }

func addBytesSIMD(acc []int32, x []uint8) int { return 0 }

func rangeSIMD(x []float32) (lo, hi float32, n int) { return 0, 0, 0 }
