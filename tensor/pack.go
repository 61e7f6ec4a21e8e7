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
	seen := make([]bool, len(perm))
	for i, p := range perm {
		if p < 0 || p >= len(perm) || seen[p] {
			return nil, fmt.Errorf("cannot permute the axes of %v by %v", t, perm)
		}
		seen[p] = true
		shape[i] = t.Shape[p]
	}
	// Without axes of length 1, and with axes that stay neighbours as one, few orders are left.
	dims, order := mergeAxes(t.Shape, perm)
	if len(order) < 2 {
		return t.Reshaped(shape...), nil
	}
	return Deferred(t.DType, shape, RowMajor, nil, func(dst []byte) error {
		src, err := t.Loaded()
		if err != nil {
			return err
		}
		return fillAligned(t.DType, dst, func(d *Tensor) {
			switch t.DType.Size() {
			case 1:
				permute(View[uint8](d), View[uint8](src), dims, order)
			case 2:
				permute(View[uint16](d), View[uint16](src), dims, order)
			case 4:
				permute(View[uint32](d), View[uint32](src), dims, order)
			default:
				permute(View[uint64](d), View[uint64](src), dims, order)
			}
		})
	}), nil
}

// mergeAxes returns the source's dimensions and the permutation after axes of length 1 are
// dropped and runs of axes that stay together are joined. The order is empty or [0] if nothing moves.
func mergeAxes(shape, perm []int) (dims, order []int) {
	var runs [][2]int // first source axis and number of axes, in the result's order
	next := -1
	for _, p := range perm {
		if shape[p] == 1 {
			continue
		}
		// Axes of length 1 between two neighbours do not part them.
		for next >= 0 && next < len(shape) && shape[next] == 1 {
			next++
		}
		if next == p {
			runs[len(runs)-1][1] = p
		} else {
			runs = append(runs, [2]int{p, p})
		}
		next = p + 1
	}
	place := make(map[int]int, len(runs)) // first axis of a run: its number in the source's order
	for a := range shape {
		for _, r := range runs {
			if r[0] == a {
				place[a] = len(dims)
				n := 1
				for _, d := range shape[r[0] : r[1]+1] {
					n *= d
				}
				dims = append(dims, n)
			}
		}
	}
	for _, r := range runs {
		order = append(order, place[r[0]])
	}
	return dims, order
}

// permute writes src, of dimensions dims, to dst with its axes in another order.
func permute[T uint8 | uint16 | uint32 | uint64](dst, src []T, dims, order []int) {
	if len(dst) == 0 {
		return
	}
	rank := len(dims)
	shape, stride := make([]int, rank), make([]int, rank)
	s := 1
	of := make([]int, rank) // stride of each source axis
	for a := rank - 1; a >= 0; a-- {
		of[a] = s
		s *= dims[a]
	}
	for i, p := range order {
		shape[i], stride[i] = dims[p], of[p]
	}
	// Two inner axes are done in squares, so that reads and writes both stay in cache lines.
	rows, cols := shape[rank-2], shape[rank-1]
	rowStep, colStep := stride[rank-2], stride[rank-1]
	index := make([]int, rank-2)
	from := 0
	const side = 32
	for at := 0; at < len(dst); at += rows * cols {
		for r0 := 0; r0 < rows; r0 += side {
			r1 := min(r0+side, rows)
			for c0 := 0; c0 < cols; c0 += side {
				c1 := min(c0+side, cols)
				for r := r0; r < r1; r++ {
					row := dst[at+r*cols+c0 : at+r*cols+c1]
					p := from + r*rowStep + c0*colStep
					for i := range row {
						row[i] = src[p]
						p += colStep
					}
				}
			}
		}
		for a := rank - 3; a >= 0; a-- {
			index[a]++
			from += stride[a]
			if index[a] < shape[a] {
				break
			}
			from -= shape[a] * stride[a]
			index[a] = 0
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
	if err := Room(t.Bytes(), "the tensor "+t.String()); err != nil {
		return nil, err
	}
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
