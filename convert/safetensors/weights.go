package safetensors

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// bytes returns the elements as they lie in the file.
func (w weight) bytes() []byte {
	return w.file.mapping.Data[w.Offset : w.Offset+w.Bytes]
}

// done lets the system drop the elements' pages: each is needed once.
func (w weight) done() {
	w.file.mapping.Advise(tensor.AdviceDontNeed, w.Offset, w.Bytes)
}

// panels returns the matrix [n, k] in panels of 16 rows, in the file's element type. It is packed
// when it is asked for, panel by panel out of the map, and checked for NaN and Inf on the way.
func (w weight) panels() *tensor.Tensor {
	if w.read != nil {
		return w.panelsOf(rowsOf(w.Shape[0], w.Shape[0], w.Shape[1], from(0)))
	}
	return tensor.Deferred(w.DType, w.Shape, tensor.Panel16, nil, func(dst []byte) error {
		defer w.done()
		src := w.bytes()
		n, k := w.Shape[0], w.Shape[1]
		row := k * w.DType.Size()
		if err := w.finite(src); err != nil {
			return err
		}
		if w.DType == tensor.F32 {
			packRows(dst, src, n, k, row, kernels.PackPanel16)
		} else {
			packRows(dst, src, n, k, row, kernels.PackPanel16U16)
		}
		return nil
	})
}

// packRows packs 16 rows at a time. A file may place elements anywhere, so rows that
// are not aligned for T are copied first.
func packRows[T float32 | uint16](dst, src []byte, n, k, row int, pack func(dst, src []T, n, k, rowStride, colStride int)) {
	const rows = kernels.PanelRows
	var aligned []T
	for r := 0; r < n; r += rows {
		m := min(rows, n-r)
		part := src[r*row : (r+m)*row]
		elems, ok := viewOf[T](part)
		if !ok {
			if aligned == nil {
				aligned = make([]T, rows*k)
			}
			elems = aligned[:m*k]
			copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(elems))), len(part)), part)
		}
		out, _ := viewOf[T](dst[r*row : r*row+rows*row])
		pack(out, elems, m, k, k, 1)
	}
}

// viewOf returns b as elements, false if it is not aligned for them.
func viewOf[T float32 | uint16](b []byte) ([]T, bool) {
	var z T
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%unsafe.Sizeof(z) != 0 {
		return nil, false
	}
	return unsafe.Slice((*T)(p), len(b)/int(unsafe.Sizeof(z))), true
}

// vector returns the elements as F32 in row-major order.
func (w weight) vector() (*tensor.Tensor, error) {
	defer w.done()
	src, err := w.load()
	if err != nil {
		return nil, err
	}
	if err := w.finite(src); err != nil {
		return nil, err
	}
	t := tensor.New(tensor.F32, w.Shape...)
	if w.DType == tensor.F32 {
		copy(t.Data, src)
		return t, nil
	}
	// Widening is exact.
	dst := t.F32()
	for i := range dst {
		half := uint16(src[2*i]) | uint16(src[2*i+1])<<8
		if w.DType == tensor.F16 {
			dst[i] = kernels.F16ToF32(half)
		} else {
			dst[i] = bf16ToF32(half)
		}
	}
	return t, nil
}

func bf16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// finite returns an error if any element is NaN or infinite: its exponent is all ones, which
// the upper 16 bits of an F32 show as well as a BF16.
func (w weight) finite(src []byte) error {
	return w.finiteFrom(src, 0, len(src)/w.DType.Size())
}

// finiteFrom is finite for the elements [lo, hi).
func (w weight) finiteFrom(src []byte, lo, hi int) error {
	size, exponent := w.DType.Size(), uint16(0x7f80)
	if w.DType == tensor.F16 {
		exponent = 0x7c00
	}
	for i := lo*size + size - 2; i < hi*size; i += size {
		if v := uint16(src[i]) | uint16(src[i+1])<<8; v&exponent == exponent {
			at := i - (size - 2)
			offset := int64(w.Offset + at)
			if w.read != nil {
				offset = int64(w.Offset) // the element has no place of its own
			}
			return &fault.Format{File: w.file.path, Offset: offset, Where: "tensor " + w.Name,
				Why: fmt.Sprintf("element %d is NaN or infinite", at/size), Next: "the checkpoint is damaged or its training diverged; get another"}
		}
	}
	return nil
}
