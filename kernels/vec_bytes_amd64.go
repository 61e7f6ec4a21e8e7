//go:build amd64 && !purego

package kernels

// bytePairsAVX512 is bytesPair.row.
//
//go:noescape
func bytePairsAVX512(dst, a, b *uint8, n int, o *bytesPair)

//go:noescape
func byteTableVBMI(dst, x *uint8, n int, m *ByteMap)

//go:noescape
func maxBytesAVX512(dst, a, b *uint8, n int)

//go:noescape
func addBytesAVX512(acc *int32, x *uint8, n int)

//go:noescape
func rangeAVX512(x *float32, n int) (lo, hi float32)

// The SIMD forms do the first elements and return how many.

func binaryBytesSIMD(dst, a, b []uint8, o *bytesPair) int {
	if !useAVX512 || len(dst) == 0 {
		return 0
	}
	bytePairsAVX512(&dst[0], &a[0], &b[0], len(dst), o)
	return len(dst)
}

func byteTableSIMD(dst, x []uint8, m *ByteMap) int {
	if !useAVX512 || !useVBMI || len(dst) == 0 {
		return 0
	}
	byteTableVBMI(&dst[0], &x[0], len(dst), m)
	return len(dst)
}

func maxBytesSIMD(dst, a, b []uint8) int {
	if !useAVX512 || len(dst) == 0 {
		return 0
	}
	maxBytesAVX512(&dst[0], &a[0], &b[0], len(dst))
	return len(dst)
}

func addBytesSIMD(acc []int32, x []uint8) int {
	if !useAVX512 || len(acc) == 0 {
		return 0
	}
	addBytesAVX512(&acc[0], &x[0], len(acc))
	return len(acc)
}

func rangeSIMD(x []float32) (lo, hi float32, n int) {
	if n = len(x) &^ 63; !useAVX512 || n == 0 {
		return 0, 0, 0
	}
	lo, hi = rangeAVX512(&x[0], n)
	return lo, hi, n
}
