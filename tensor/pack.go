package tensor

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Pack returns t, a row-major tensor of F32, F16 or BF16, in the Panel16 layout. The bytes are
// made when they are asked for; t must not change until then. A tensor that has the layout
// already, or that cannot have it, is returned as it is.
func Pack(t *Tensor) *Tensor {
	if t.Layout != RowMajor || t.DType != F32 && t.DType != F16 && t.DType != BF16 || len(t.Shape) < 2 {
		return t
	}
	n, k := Matrix(t.Shape)
	return Deferred(t.DType, t.Shape, Panel16, nil, func(dst []byte) error {
		src, err := t.Loaded()
		if err != nil {
			return err
		}
		return fillAligned(t.DType, dst, func(d *Tensor) {
			if t.DType == F32 {
				kernels.PackPanel16(d.F32(), src.F32(), n, k, k, 1)
			} else {
				kernels.PackPanel16U16(View[uint16](d), View[uint16](src), n, k, k, 1)
			}
		})
	})
}

// Unpack returns t, in the Panel16 layout and of F32, F16 or BF16, in row-major layout, in the
// same way as Pack.
func Unpack(t *Tensor) *Tensor {
	if t.Layout != Panel16 || t.DType.IsQuantized() {
		return t
	}
	n, k := Matrix(t.Shape)
	return Deferred(t.DType, t.Shape, RowMajor, nil, func(dst []byte) error {
		src, err := t.Loaded()
		if err != nil {
			return err
		}
		return fillAligned(t.DType, dst, func(d *Tensor) {
			if t.DType == F32 {
				unpack(d.F32(), src.F32(), n, k)
			} else {
				unpack(View[uint16](d), View[uint16](src), n, k)
			}
		})
	})
}

func unpack[T float32 | uint16](dst, src []T, n, k int) {
	for r := range n {
		first := r/kernels.PanelRows*k*kernels.PanelRows + r%kernels.PanelRows
		for c := range k {
			dst[r*k+c] = src[first+c*kernels.PanelRows]
		}
	}
}

// Permuted returns t, row-major and of a type with a fixed width, with its axes in another
// order: axis i of the result is axis perm[i] of t. The bytes are made when they are asked for.
func Permuted(t *Tensor, perm ...int) (*Tensor, error) {
	if t.Layout != RowMajor || t.DType.Size() == 0 || len(perm) != len(t.Shape) {
		return nil, fmt.Errorf("cannot permute the axes of %v by %v", t, perm)
	}
	shape := make([]int, len(perm))
	stride := make([]int, len(perm)) // of the source, in elements, for each axis of the result
	s := 1
	inverse := make([]int, len(perm))
	for i := range inverse {
		inverse[i] = -1
	}
	for i, p := range perm {
		if p < 0 || p >= len(perm) || inverse[p] >= 0 {
			return nil, fmt.Errorf("cannot permute the axes of %v by %v", t, perm)
		}
		inverse[p] = i
		shape[i] = t.Shape[p]
	}
	moves := false // only axes of length 1 change place: the bytes stay
	last := -1
	for p := range perm {
		if t.Shape[p] != 1 {
			moves = moves || inverse[p] < last
			last = inverse[p]
		}
	}
	if !moves {
		return t.Reshaped(shape...), nil
	}
	for p := len(perm) - 1; p >= 0; p-- {
		stride[inverse[p]] = s
		s *= t.Shape[p]
	}
	return Deferred(t.DType, shape, RowMajor, nil, func(dst []byte) error {
		src, err := t.Loaded()
		if err != nil {
			return err
		}
		permuteBytes(dst, src.Data, shape, stride, t.DType.Size())
		return nil
	}), nil
}

// permuteBytes copies elements of size bytes into row-major order of shape.
func permuteBytes(dst, src []byte, shape, stride []int, size int) {
	if len(dst) == 0 {
		return
	}
	index := make([]int, len(shape))
	last := len(shape) - 1
	n, step := shape[last], stride[last]*size
	from := 0
	for at := 0; at < len(dst); {
		s := from * size
		for range n {
			copy(dst[at:at+size], src[s:s+size])
			at += size
			s += step
		}
		for axis := last - 1; axis >= 0; axis-- {
			index[axis]++
			from += stride[axis]
			if index[axis] < shape[axis] {
				break
			}
			from -= shape[axis] * stride[axis]
			index[axis] = 0
		}
	}
}

// Loaded returns t if its bytes are there and aligned, else a copy that has them; t itself
// stays deferred.
func (t *Tensor) Loaded() (*Tensor, error) {
	if !t.IsDeferred() {
		return t.Align(), nil
	}
	c := *t
	c.fill = nil
	c.Data = AlignedBytes(t.Bytes())
	if err := t.Fill(c.Data); err != nil {
		return nil, err
	}
	return &c, nil
}

// fillAligned calls f with dst as a tensor, or with an aligned one whose bytes it then copies.
func fillAligned(dt DType, dst []byte, f func(*Tensor)) error {
	d := (&Tensor{DType: dt, Data: dst}).Align()
	f(d)
	if len(dst) > 0 && &d.Data[0] != &dst[0] {
		copy(dst, d.Data)
	}
	return nil
}

// Computed returns a deferred row-major F32 tensor whose elements f computes into a zeroed slice.
func Computed(shape []int, f func(dst []float32) error) *Tensor {
	return Deferred(F32, shape, RowMajor, nil, func(dst []byte) error {
		var err error
		if e := fillAligned(F32, dst, func(d *Tensor) { err = f(d.F32()) }); e != nil {
			return e
		}
		return err
	})
}
