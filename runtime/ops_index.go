package runtime

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that read at places which another operand names. Indices are I32 or I64, counted from
// the end if negative, and checked before anything is read.

var _ = register("", map[string]Binder{"Gather": bindGather}) // also of tables in panels

var _ = register("", operands(2, map[string]Binder{
	"GatherElements": bindGatherElements,
	"GatherND":       bindGatherND,
}))

func errOutOfRange(what string, got, lo, hi int) error {
	return fmt.Errorf("%s %d is outside [%d, %d]", what, got, lo, hi)
}

// indexReader reads an operand of indices.
type indexReader struct{ t *tensor.Tensor }

// indices checks the type of operand i.
func (b *Bind) indices(i int) (indexReader, error) {
	if !b.Has(i) {
		return indexReader{}, b.errorf("input %d is missing", i)
	}
	if dt := b.In[i].DType; dt != tensor.I32 && dt != tensor.I64 {
		return indexReader{}, b.unsupportedType(dt)
	}
	return indexReader{b.In[i]}, nil
}

// at returns index i into an axis of d elements. It must have been checked.
func (r indexReader) at(i, d int) int {
	v := int(loadInt(r.t, i))
	if v < 0 {
		v += d
	}
	return v
}

// check reports the first index that is outside an axis of d elements.
func (r indexReader) check(d int) error {
	if r.t.DType == tensor.I32 {
		return checkIndices(tensor.View[int32](r.t), d)
	}
	return checkIndices(r.t.I64(), d)
}

func checkIndices[T int32 | int64](v []T, d int) error {
	for i, x := range v {
		if int64(x) < -int64(d) || int64(x) >= int64(d) {
			return fmt.Errorf("index %d (number %d of the indices) is outside [%d, %d]", x, i, -d, d-1)
		}
	}
	return nil
}

// bindGather takes slices along an axis: out[a, i, c] = data[a, indices[i], c]. A table of
// axis 0 may be in panels, quantized too: its rows become floats as they are read.
func bindGather(b *Bind) (Run, error) {
	if !b.Has(0) || !b.HasOut(0) {
		return nil, b.errorf("input 0 is missing")
	}
	data, out := b.In[0], b.Out[0]
	idx, err := b.indices(1)
	if err != nil {
		return nil, err
	}
	axis, err := b.axis("axis", 0, len(data.Shape))
	if err != nil {
		return nil, err
	}
	d, n := data.Shape[axis], idx.t.Len()
	if data.Layout == tensor.Panel16 {
		if axis != 0 {
			return nil, b.errorf("axis %d of a table in panels; only axis 0 is supported", axis)
		}
		return b.gatherPanel(idx)
	}
	outer := product(data.Shape[:axis])
	bytes := product(data.Shape[axis+1:]) * data.DType.Size()
	if bytes == 4 {
		return gatherWords[uint32](b, idx, outer, d, n), nil
	} else if bytes == 8 {
		return gatherWords[uint64](b, idx, outer, d, n), nil
	}
	move := b.split(outer*n, 1, 4+bytes/16, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			src := (i/n*d + idx.at(i%n, d)) * bytes
			copy(out.Data[i*bytes:(i+1)*bytes], data.Data[src:src+bytes])
		}
	})
	return func() error {
		if err := idx.check(d); err != nil {
			return err
		}
		move()
		return nil
	}, nil
}

// gatherWords is the case of slices of one word.
func gatherWords[T uint32 | uint64](b *Bind, idx indexReader, outer, d, n int) Run {
	move := b.split(outer*n, 16, 4, func(_, lo, hi int) {
		dst, src := tensor.View[T](b.Out[0]), tensor.View[T](b.In[0])
		for i := lo; i < hi; i++ {
			dst[i] = src[i/n*d+idx.at(i%n, d)]
		}
	})
	return func() error {
		if err := idx.check(d); err != nil {
			return err
		}
		move()
		return nil
	}
}

// gatherPanel reads rows of a table in panels.
func (b *Bind) gatherPanel(idx indexReader) (Run, error) {
	data, out := b.In[0], b.Out[0]
	rows, k := tensor.Matrix(data.Shape)
	var row func(dst []float32, r int)
	switch {
	case data.DType.IsQuantized():
		format := data.DType.Format()
		row = func(dst []float32, r int) { kernels.DequantizeRow(dst, data.Data, format, data.Levels, r, k) }
	default:
		kind := map[tensor.DType]kernels.Kind{tensor.F32: kernels.KindF32, tensor.F16: kernels.KindF16, tensor.BF16: kernels.KindBF16}
		w := kernels.Weights{Kind: kind[data.DType], N: rows, K: k}
		row = func(dst []float32, r int) {
			v := w
			v.Data = data.Data
			kernels.PanelRowF32(dst, v, r)
		}
	}
	var store func(dst []uint16, src []float32)
	var wide *tensor.Tensor
	switch out.DType {
	case tensor.F32:
	case tensor.F16:
		store = kernels.NarrowF16
	case tensor.BF16:
		store = kernels.NarrowBF16
	default:
		return nil, b.unsupportedType(out.DType)
	}
	if store != nil {
		wide = b.Scratch(4 * k * b.parts())
	}
	move := b.split(idx.t.Len(), 1, k, func(part, lo, hi int) {
		for i := lo; i < hi; i++ {
			r := idx.at(i, rows)
			if store == nil {
				row(out.F32()[i*k:(i+1)*k], r)
				continue
			}
			buf := wide.F32()[part*k : (part+1)*k]
			row(buf, r)
			store(tensor.View[uint16](out)[i*k:(i+1)*k], buf)
		}
	})
	return func() error {
		if err := idx.check(rows); err != nil {
			return err
		}
		move()
		return nil
	}, nil
}

// bindGatherElements binds out[i, j, k] = data[i, indices[i, j, k], k] for axis 1, likewise others.
func bindGatherElements(b *Bind) (Run, error) {
	idx, err := b.indices(1)
	if err != nil {
		return nil, err
	}
	axis, err := b.axis("axis", 0, len(b.In[0].Shape))
	if err != nil {
		return nil, err
	}
	if err := b.checkElementIndices(axis); err != nil {
		return nil, err
	}
	switch b.In[0].DType.Size() {
	case 1:
		return gatherElements[uint8](b, idx, axis), nil
	case 2:
		return gatherElements[uint16](b, idx, axis), nil
	case 4:
		return gatherElements[uint32](b, idx, axis), nil
	}
	return gatherElements[uint64](b, idx, axis), nil
}

// checkElementIndices checks that indices (input 1) of GatherElements and ScatterElements fit the data.
func (b *Bind) checkElementIndices(axis int) error {
	data, idx := b.In[0].Shape, b.In[1].Shape
	ok := len(data) == len(idx)
	for a := 0; ok && a < len(data); a++ {
		ok = a == axis || idx[a] <= data[a]
	}
	if !ok {
		return b.errorf("indices %v do not fit the data %v", b.In[1], b.In[0])
	}
	return nil
}

// elementWalk steps through the elements of a shape with the offset, in a tensor of the given
// strides, of each element without its part along axis.
type elementWalk struct {
	shape, stride []int
	axis          int
	idx           [maxRank]int
	off           int
}

func newElementWalk(shape, stride []int, axis, start int) elementWalk {
	w := elementWalk{shape: shape, stride: stride, axis: axis}
	for a := len(shape) - 1; a >= 0; a-- {
		w.idx[a] = start % shape[a]
		start /= shape[a]
		if a != axis {
			w.off += w.idx[a] * stride[a]
		}
	}
	return w
}

func (w *elementWalk) next() {
	for a := len(w.shape) - 1; a >= 0; a-- {
		w.idx[a]++
		if a != w.axis {
			w.off += w.stride[a]
		}
		if w.idx[a] < w.shape[a] {
			return
		}
		if a != w.axis {
			w.off -= w.stride[a] * w.shape[a]
		}
		w.idx[a] = 0
	}
}

func gatherElements[T tensor.Element](b *Bind, idx indexReader, axis int) Run {
	data, out := b.In[0], b.Out[0]
	st := strides(data.Shape)
	d := data.Shape[axis]
	move := b.split(out.Len(), 16, 8, func(_, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](data)
		w := newElementWalk(out.Shape, st, axis, lo)
		for i := lo; i < hi; i++ {
			dst[i] = src[w.off+idx.at(i, d)*st[axis]]
			w.next()
		}
	})
	return func() error {
		if err := idx.check(d); err != nil {
			return err
		}
		move()
		return nil
	}
}

// tuples is an operand of index tuples into the leading axes of a tensor, after batch axes
// that the two have in common.
type tuples struct {
	idx   indexReader
	batch int   // tuples of batch b read from block b
	each  int   // tuples in one batch
	block int   // elements of one batch of the data
	dims  []int // axes that a tuple names
	st    []int // their strides
	slice int   // elements that a tuple names
}

func (b *Bind) tuples(batchDims int) (tuples, error) {
	idx, err := b.indices(1)
	if err != nil {
		return tuples{}, err
	}
	data, shape := b.In[0].Shape, idx.t.Shape
	if len(shape) == 0 || batchDims < 0 || batchDims >= len(shape) || batchDims > len(data) ||
		shape[len(shape)-1] > len(data)-batchDims || !tensor.SameShape(shape[:batchDims], data[:batchDims]) {
		return tuples{}, b.errorf("indices %v do not fit the data %v", idx.t, b.In[0])
	}
	n := shape[len(shape)-1]
	st := strides(data)
	return tuples{
		idx:   idx,
		batch: product(data[:batchDims]),
		each:  product(shape[batchDims : len(shape)-1]),
		block: product(data[batchDims:]),
		dims:  data[batchDims : batchDims+n],
		st:    st[batchDims : batchDims+n],
		slice: product(data[batchDims+n:]),
	}, nil
}

// offset returns where the data of tuple i begins.
func (t *tuples) offset(i int) (int, error) {
	off := i / t.each * t.block
	for a, d := range t.dims {
		v := int(loadInt(t.idx.t, i*len(t.dims)+a))
		if v < -d || v >= d {
			return 0, fmt.Errorf("index %d (part %d of tuple %d) is outside [%d, %d]", v, a, i, -d, d-1)
		}
		if v < 0 {
			v += d
		}
		off += v * t.st[a]
	}
	return off, nil
}

// bindGatherND takes the slice of the data that each index tuple names.
func bindGatherND(b *Bind) (Run, error) {
	t, err := b.tuples(int(b.Node.Int("batch_dims", 0)))
	if err != nil {
		return nil, err
	}
	data, out := b.In[0], b.Out[0]
	bytes := t.slice * data.DType.Size()
	if out.Len()*out.DType.Size() != t.batch*t.each*bytes {
		return nil, b.errorf("%v for %d slices of %d bytes", out, t.batch*t.each, bytes)
	}
	return func() error {
		for i := range t.batch * t.each {
			off, err := t.offset(i)
			if err != nil {
				return err
			}
			off *= data.DType.Size()
			copy(out.Data[i*bytes:(i+1)*bytes], data.Data[off:off+bytes])
		}
		return nil
	}, nil
}
