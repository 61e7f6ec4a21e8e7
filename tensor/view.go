package tensor

import (
	"unsafe"
)

// Element is a Go type that stores one tensor element as it lies in memory.
// F16, BF16 are read as uint16, BOOL as bool or uint8.
type Element interface {
	~float32 | ~float64 | ~int8 | ~uint8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~bool
}

// View returns t's bytes as a slice of T without a copy. It panics if the bytes are
// misaligned for T or not a whole number of T: Align a foreign tensor first.
func View[T Element](t *Tensor) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	if len(t.Data) == 0 {
		return nil
	}
	p := unsafe.Pointer(unsafe.SliceData(t.Data))
	if uintptr(p)%unsafe.Alignof(z) != 0 {
		panic("tensor: misaligned view of " + t.String())
	}
	if len(t.Data)%size != 0 {
		panic("tensor: ragged view of " + t.String())
	}
	return unsafe.Slice((*T)(p), len(t.Data)/size)
}

// F32 returns the elements of an F32 tensor (in layout order).
func (t *Tensor) F32() []float32 { return View[float32](t) }

// I64 returns the elements of an I64 tensor.
func (t *Tensor) I64() []int64 { return View[int64](t) }

// Align returns t itself if its bytes are aligned to 64, else a copy that is.
func (t *Tensor) Align() *Tensor {
	if len(t.Data) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))%64 == 0 {
		return t
	}
	return t.Clone()
}

// FromSlice returns a tensor that shares v's memory; the element type follows T
// (uint16 and uint8 give U16 and U8).
func FromSlice[T Element](v []T, shape ...int) *Tensor {
	var z T
	var dt DType
	switch any(z).(type) {
	case float32:
		dt = F32
	case float64:
		dt = F64
	case int8:
		dt = I8
	case uint8:
		dt = U8
	case int16:
		dt = I16
	case uint16:
		dt = U16
	case int32:
		dt = I32
	case uint32:
		dt = U32
	case int64:
		dt = I64
	case uint64:
		dt = U64
	case bool:
		dt = BOOL
	default:
		panic("tensor: FromSlice of a named type")
	}
	t := &Tensor{DType: dt, Shape: shape}
	if t.Len() != len(v) {
		panic("tensor: FromSlice: length does not match shape")
	}
	if len(v) == 0 {
		t.Data = []byte{}
		return t
	}
	t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(z)))
	return t
}

// AlignedBytes returns n zeroed bytes that start on a 64-byte line; never nil.
func AlignedBytes(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	b := make([]byte, n+63)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[off : off+n : off+n]
}
