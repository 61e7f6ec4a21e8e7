// Package tensor owns the one tensor type: an element type, a shape, a layout
// and the bytes. The bytes may be a view of a mapped file; they are then read-only,
// and nothing here ever copies them unasked. All targets are little-endian.
package tensor

import (
	"errors"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Tensor is a typed, shaped view of bytes. The zero value is not useful.
type Tensor struct {
	DType  DType
	Layout Layout
	Shape  []int
	// Data holds ByteSize(DType, Shape, Layout) bytes, or is nil while the tensor is
	// deferred (see Deferred) or not yet bound to memory.
	Data []byte
	// Items are what a sequence or an optional value holds; they are never changed.
	Items []*Tensor
	// Levels is set for quantized types only.
	Levels *kernels.Levels

	fill func(dst []byte) error
}

// ErrShape is wrapped by errors about negative, overflowing or mismatching shapes.
var ErrShape = errors.New("invalid shape")

// NumElements returns the product of shape; an error if a dimension is negative or the product overflows.
func NumElements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("%w %v: negative dimension", ErrShape, shape)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("%w %v: too many elements", ErrShape, shape)
		}
		n *= d
	}
	return n, nil
}

// Matrix returns the n rows and k columns as which Panel16 sees shape.
func Matrix(shape []int) (n, k int) {
	if len(shape) == 0 {
		return 1, 1
	}
	k = 1
	for _, d := range shape[1:] {
		k *= d
	}
	return shape[0], k
}

// ByteSize returns how many bytes a tensor takes.
func ByteSize(dt DType, shape []int, l Layout) (int, error) {
	elems, err := NumElements(shape)
	if err != nil {
		return 0, err
	}
	if dt == Invalid || int(dt&^holdsFlags) >= len(dtypeSizes) {
		return 0, fmt.Errorf("invalid element type %v", dt)
	}
	// Above 2^56 elements the byte counts below could overflow.
	if elems > math.MaxInt>>7 {
		return 0, fmt.Errorf("%w %v: too many elements", ErrShape, shape)
	}
	if l == RowMajor {
		if dt.IsQuantized() {
			return 0, fmt.Errorf("%v needs the panel16 layout", dt)
		}
		return elems * dt.Size(), nil
	}
	n, k := Matrix(shape)
	if n > math.MaxInt>>8 || k > math.MaxInt>>8 {
		return 0, fmt.Errorf("%w %v: dimension too large", ErrShape, shape)
	}
	switch {
	case elems == 0:
		return 0, nil
	case dt.IsQuantized():
		return dt.Format().Bytes(n, k), nil
	case dt == F32 || dt == F16 || dt == BF16:
		return kernels.Panels(n) * kernels.PanelRows * k * dt.Size(), nil
	}
	return 0, fmt.Errorf("%v has no panel16 layout", dt)
}

// New returns a zeroed tensor in row-major layout; it panics on an invalid shape or a quantized type.
func New(dt DType, shape ...int) *Tensor {
	n, err := ByteSize(dt, shape, RowMajor)
	if err != nil {
		panic("tensor: " + err.Error())
	}
	return &Tensor{DType: dt, Shape: shape, Data: AlignedBytes(n)}
}

// Of returns a tensor over data, which it checks for length but does not copy.
func Of(dt DType, shape []int, l Layout, data []byte) (*Tensor, error) {
	n, err := ByteSize(dt, shape, l)
	if err != nil {
		return nil, err
	}
	if n != len(data) {
		return nil, fmt.Errorf("%v tensor of shape %v takes %d bytes, have %d", dt, shape, n, len(data))
	}
	return &Tensor{DType: dt, Shape: shape, Layout: l, Data: data}, nil
}

// Deferred returns a tensor whose bytes are made by fill when they are asked for:
// a weight that is repacked or quantized while it is written, one at a time.
// fill gets a zeroed buffer of the tensor's size and must always write the same bytes.
func Deferred(dt DType, shape []int, l Layout, levels *kernels.Levels, fill func(dst []byte) error) *Tensor {
	return &Tensor{DType: dt, Shape: shape, Layout: l, Levels: levels, fill: fill}
}

// IsDeferred reports whether the bytes have yet to be made.
func (t *Tensor) IsDeferred() bool { return t.Data == nil && t.fill != nil }

// Bytes returns the size in bytes.
func (t *Tensor) Bytes() int {
	n, err := ByteSize(t.DType, t.Shape, t.Layout)
	if err != nil {
		panic("tensor: " + err.Error())
	}
	return n
}

// Len returns the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Load makes a deferred tensor's bytes and keeps them. It does nothing for others.
func (t *Tensor) Load() error {
	if !t.IsDeferred() {
		return nil
	}
	if err := Room(t.Bytes(), "the tensor "+t.String()); err != nil {
		return err
	}
	buf := AlignedBytes(t.Bytes())
	if err := t.fill(buf); err != nil {
		return err
	}
	t.Data = buf
	return nil
}

// Fill writes the tensor's bytes to dst, which must have their size, without keeping them.
func (t *Tensor) Fill(dst []byte) error {
	if t.IsDeferred() {
		clear(dst)
		return t.fill(dst)
	}
	copy(dst, t.Data)
	return nil
}

// Reshaped returns a view of t with another shape of as many elements.
func (t *Tensor) Reshaped(shape ...int) *Tensor {
	r := *t
	r.Shape = shape
	if r.Len() != t.Len() {
		panic(fmt.Sprintf("tensor: cannot view %v as %v", t.Shape, shape))
	}
	return &r
}

// Clone returns a deep copy of a loaded tensor.
func (t *Tensor) Clone() *Tensor {
	c := *t
	c.Shape = append([]int(nil), t.Shape...)
	if t.Data != nil {
		c.Data = AlignedBytes(len(t.Data))
		copy(c.Data, t.Data)
	}
	return &c
}

// SameShape reports whether two shapes are equal.
func SameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// String describes the tensor without its values: "F32[2,3]".
func (t *Tensor) String() string {
	s := t.DType.String() + "["
	for i, d := range t.Shape {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprint(d)
	}
	s += "]"
	if t.Layout != RowMajor {
		s += "/" + t.Layout.String()
	}
	return s
}
