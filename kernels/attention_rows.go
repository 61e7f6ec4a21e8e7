package kernels

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// RowKind says how the elements of a key or value row are kept.
type RowKind uint8

// The kinds of rows.
const (
	RowsF32 RowKind = iota // float32
	RowsF16                // IEEE binary16
	// RowsI8 is a float32 scale and a byte u for each element: x = scale (u - 128), |u - 128| <= 127.
	RowsI8
	RowsBF16 // bfloat16
)

// rowZero is the byte that stands for 0 in RowsI8: biased bytes are what VPDPBUSD wants on one side.
const rowZero = 128

// RowBytes returns the bytes of one row of dim elements.
func (k RowKind) RowBytes(dim int) int {
	switch k {
	case RowsF16, RowsBF16:
		return 2 * dim
	case RowsI8:
		return 4 + dim
	}
	return 4 * dim
}

// Store writes x as a row of the kind: RowBytes(len(x)) bytes of dst, which is aligned to the element (RowsI8: to
// nothing). RowsI8 has scale = max |x| / 127 and rounds to nearest, halves to even; a row whose largest
// magnitude is below 1e-35 is zero, one with an infinity or NaN has scale NaN, and so has all that is computed from it.
func (k RowKind) Store(dst []byte, x []float32) {
	dst = dst[:k.RowBytes(len(x))]
	switch {
	case len(x) == 0:
	case k == RowsF32:
		copy(floatsOf(dst), x)
	case k == RowsF16:
		NarrowF16(halvesOf(dst), x)
	case k == RowsBF16:
		NarrowBF16(halvesOf(dst), x)
	default:
		storeBytes(dst, x)
	}
}

func storeBytes(dst []byte, x []float32) {
	scale, _ := quantizeRow(dst[4:], x)
	if scale-scale != 0 {
		scale = float32(math.NaN())
	}
	binary.LittleEndian.PutUint32(dst, math.Float32bits(scale))
	for i, v := range dst[4:] {
		dst[4+i] = v + rowZero
	}
}

// Load is the inverse of Store, for len(dst) elements.
func (k RowKind) Load(dst []float32, src []byte) {
	src = src[:k.RowBytes(len(dst))]
	switch {
	case len(dst) == 0:
	case k == RowsF32:
		copy(dst, floatsOf(src))
	case k == RowsF16:
		ExpandF16(dst, halvesOf(src))
	case k == RowsBF16:
		ExpandBF16(dst, halvesOf(src))
	default:
		scale := getFloat32(src)
		src = src[4:]
		for i := expandBytesSIMD(dst, src, scale); i < len(dst); i++ {
			dst[i] = scale * float32(int32(src[i])-rowZero)
		}
	}
}

// Rows are the keys or values of one head: row s begins at Data[s*Stride].
type Rows struct {
	Kind   RowKind
	Data   []byte
	Stride int // bytes
}

// FloatRows views x as rows that begin ld elements apart.
func FloatRows(x []float32, ld int) Rows {
	return Rows{Data: unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x)), Stride: 4 * ld}
}

// from returns the rows from row s on.
func (r *Rows) from(s int) []byte { return r.Data[s*r.Stride:] }

// floats returns n rows of dim elements from row s on as float32, and the elements between their beginnings: where
// they lie, or widened in wide.
func (r *Rows) floats(s, n, dim int, wide []float32) (x []float32, ld int) {
	if r.Kind == RowsF32 {
		x = floatsOf(r.from(s))
		return x[:(n-1)*(r.Stride/4)+dim], r.Stride / 4
	}
	size := r.Kind.RowBytes(dim)
	for i := range n {
		r.Kind.Load(wide[i*dim:(i+1)*dim], r.Data[(s+i)*r.Stride:][:size])
	}
	return wide[:n*dim], dim
}
