package runtime

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators that move elements without looking at them, for every element type.

var _ = register("", operands(1, map[string]Binder{
	"Shape":           bindShape,
	"Size":            bindSize,
	"Reshape":         bindView,
	"Flatten":         bindView,
	"Squeeze":         bindView,
	"Unsqueeze":       bindView,
	"Transpose":       bindTranspose,
	"Concat":          bindConcat,
	"Split":           bindSplit,
	"Slice":           bindSlice,
	"Expand":          bindExpand,
	"Tile":            bindTile,
	"DepthToSpace":    bindDepthToSpace,
	"SpaceToDepth":    bindSpaceToDepth,
	"Trilu":           bindTrilu,
	"ReverseSequence": bindReverseSequence,
}))

func bindShape(b *Bind) (Run, error) {
	shape := b.In[0].Shape
	rank := len(shape)
	limit := func(v int64) int {
		if v < 0 {
			v += int64(rank)
		}
		return int(min(max(v, 0), int64(rank)))
	}
	lo, hi := limit(b.Node.Int("start", 0)), limit(b.Node.Int("end", int64(rank)))
	return simple(func() {
		out := b.Out[0].I64()
		for i := lo; i < hi; i++ {
			out[i-lo] = int64(shape[i])
		}
	}), nil
}

func bindSize(b *Bind) (Run, error) {
	return simple(func() { b.Out[0].I64()[0] = int64(b.In[0].Len()) }), nil
}

// bindMove binds a strided copy from input 0 to output 0.
func bindMove(b *Bind, dims, src, dst []int, srcAt, dstAt int) (Run, error) {
	c := newStrided(b.In[0].DType.Size(), dims, src, dst, srcAt, dstAt)
	return simple(b.bindStrided(c, b.Out[0], b.In[0])), nil
}

// bindPermuted binds a copy whose output axis i is axis perm[i] of the input seen as dims.
func bindPermuted(b *Bind, dims, perm []int) (Run, error) {
	st := strides(dims)
	out, src := make([]int, len(perm)), make([]int, len(perm))
	moves, last := false, -1
	for i, p := range perm {
		out[i], src[i] = dims[p], st[p]
		if dims[p] != 1 {
			moves = moves || p < last
			last = p
		}
	}
	if !moves {
		return bindView(b)
	}
	return bindMove(b, out, src, strides(out), 0, 0)
}

func bindTranspose(b *Bind) (Run, error) {
	rank := len(b.In[0].Shape)
	perm := make([]int, rank)
	seen := make([]bool, rank)
	attr := b.Node.Ints("perm")
	if attr != nil && len(attr) != rank {
		return nil, b.errorf("perm %v of a tensor of rank %d", attr, rank)
	}
	for i := range perm {
		perm[i] = rank - 1 - i
		if attr != nil {
			p, err := b.normAxis(int(attr[i]), rank)
			if err != nil {
				return nil, err
			}
			perm[i] = p
		}
		if seen[perm[i]] {
			return nil, b.errorf("perm %v names an axis twice", attr)
		}
		seen[perm[i]] = true
	}
	return bindPermuted(b, b.In[0].Shape, perm)
}

func bindConcat(b *Bind) (Run, error) {
	out := b.Out[0]
	axis, err := b.axis("axis", 0, len(out.Shape))
	if err != nil {
		return nil, err
	}
	st := strides(out.Shape)
	var runs []func()
	at := 0
	for i, in := range b.In {
		if in == nil || in.DType != out.DType || len(in.Shape) != len(out.Shape) || at+in.Shape[axis] > out.Shape[axis] {
			return nil, b.errorf("input %d is %v, the result %v", i, in, out)
		}
		c := newStrided(in.DType.Size(), in.Shape, strides(in.Shape), st, 0, at*st[axis])
		runs = append(runs, b.bindStrided(c, out, in))
		at += in.Shape[axis]
	}
	if len(b.In) == 1 {
		return bindView(b)
	}
	return sequence(runs), nil
}

func sequence(runs []func()) Run {
	return func() error {
		for _, f := range runs {
			f()
		}
		return nil
	}
}

// bindSplit cuts input 0 along an axis into the sizes of input 1, or into equal ones.
func bindSplit(b *Bind) (Run, error) {
	in := b.In[0]
	axis, err := b.axis("axis", 0, len(in.Shape))
	if err != nil {
		return nil, err
	}
	sizes, err := b.constInts(1)
	if err != nil {
		return nil, err
	}
	if sizes == nil {
		n := len(b.Out)
		each := (in.Shape[axis] + n - 1) / n
		for i := range n {
			sizes = append(sizes, max(0, min(each, in.Shape[axis]-i*each)))
		}
	}
	if len(sizes) != len(b.Out) {
		return nil, b.errorf("%d sizes for %d outputs", len(sizes), len(b.Out))
	}
	st := strides(in.Shape)
	var runs []func()
	at := 0
	for i, out := range b.Out {
		if sizes[i] < 0 || sizes[i] > in.Shape[axis]-at {
			return nil, b.errorf("sizes %v of an axis of %d", sizes, in.Shape[axis])
		}
		if out != nil {
			c := newStrided(in.DType.Size(), out.Shape, st, strides(out.Shape), at*st[axis], 0)
			runs = append(runs, b.bindStrided(c, out, in))
		}
		at += sizes[i]
	}
	return sequence(runs), nil
}

// bindSlice takes every step-th index from start towards end. Inputs: data, starts, ends, axes, steps.
func bindSlice(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	var args [4][]int
	for i := range args {
		v, err := b.constInts(i + 1)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	starts, ends, axes, steps := args[0], args[1], args[2], args[3]
	if len(ends) != len(starts) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, b.errorf("starts, ends, axes and steps differ in length")
	}
	src := strides(in.Shape)
	at := 0
	for i, start := range starts {
		axis, step := i, 1
		if axes != nil {
			axis = axes[i]
		}
		axis, err := b.normAxis(axis, len(in.Shape))
		if err != nil {
			return nil, err
		}
		if steps != nil {
			step = steps[i]
		}
		if step == 0 {
			return nil, b.errorf("a step of 0")
		}
		d := in.Shape[axis]
		if start < 0 {
			start += d
		}
		if step > 0 {
			start = min(max(start, 0), d)
		} else {
			start = min(max(start, 0), d-1)
		}
		at += max(start, 0) * src[axis]
		src[axis] *= step
	}
	if tensor.SameShape(in.Shape, out.Shape) && tensor.SameShape(src, strides(in.Shape)) {
		return bindView(b)
	}
	if out.Len() == 0 {
		return simple(func() {}), nil
	}
	return bindMove(b, out.Shape, src, strides(out.Shape), at, 0)
}

func bindExpand(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if in.Len() == out.Len() {
		return bindView(b)
	}
	own := strides(in.Shape)
	src := make([]int, len(out.Shape))
	pad := len(out.Shape) - len(in.Shape)
	for i, d := range in.Shape {
		if d == out.Shape[pad+i] {
			src[pad+i] = own[i]
		}
	}
	return bindMove(b, out.Shape, src, strides(out.Shape), 0, 0)
}

func bindTile(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if in.Len() == out.Len() {
		return bindView(b)
	}
	si, so := strides(in.Shape), strides(out.Shape)
	var dims, src, dst []int
	for i, d := range in.Shape {
		if d == 0 {
			return simple(func() {}), nil
		}
		dims = append(dims, out.Shape[i]/d, d)
		src = append(src, 0, si[i])
		dst = append(dst, d*so[i], so[i])
	}
	return bindMove(b, dims, src, dst, 0, 0)
}

// blockSize returns the attribute blocksize for an input [B, C, H, W].
func (b *Bind) blockSize() (int, error) {
	n := int(b.Node.Int("blocksize", 0))
	if n < 1 || len(b.In[0].Shape) != 4 {
		return 0, b.errorf("blocksize %d of a tensor %v", n, b.In[0])
	}
	return n, nil
}

func bindDepthToSpace(b *Bind) (Run, error) {
	n, err := b.blockSize()
	if err != nil {
		return nil, err
	}
	s := b.In[0].Shape
	c := s[1] / (n * n)
	if b.Node.Str("mode", "DCR") == "CRD" {
		return bindPermuted(b, []int{s[0], c, n, n, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3})
	}
	return bindPermuted(b, []int{s[0], n, n, c, s[2], s[3]}, []int{0, 3, 4, 1, 5, 2})
}

func bindSpaceToDepth(b *Bind) (Run, error) {
	n, err := b.blockSize()
	if err != nil {
		return nil, err
	}
	s := b.In[0].Shape
	return bindPermuted(b, []int{s[0], s[1], s[2] / n, n, s[3] / n, n}, []int{0, 3, 5, 1, 2, 4})
}

// bindTrilu keeps the triangle of each matrix on and above (or below) diagonal k, input 1.
func bindTrilu(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	rank := len(in.Shape)
	if rank < 2 {
		return nil, b.errorf("a tensor %v has no matrices", in)
	}
	if b.Has(1) && !b.isScalar(1, tensor.DType.IsInteger) {
		return nil, b.errorf("diagonal %v is not an integer", b.In[1])
	}
	upper := b.Node.Int("upper", 1) != 0
	rows, cols, size := in.Shape[rank-2], in.Shape[rank-1], in.DType.Size()
	b.InPlace(0, 0)
	return simple(b.split(product(in.Shape[:rank-1]), 1, cols, func(_, lo, hi int) {
		k := 0
		if b.Has(1) {
			k = int(min(max(loadInt(b.In[1], 0), -int64(rows)-1), int64(cols)+1))
		}
		for r := lo; r < hi; r++ {
			dst, src := out.Data[r*cols*size:(r+1)*cols*size], in.Data[r*cols*size:]
			cut := r%rows + k // the diagonal's column
			if upper {
				cut = min(max(cut, 0), cols) * size
				clear(dst[:cut])
				copy(dst[cut:], src[cut:])
			} else {
				cut = min(max(cut+1, 0), cols) * size
				copy(dst[:cut], src)
				clear(dst[cut:])
			}
		}
	})), nil
}

// bindReverseSequence turns the first sequence_lens[i] (input 1) steps of sequence i around.
func bindReverseSequence(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	if !b.Has(1) || !b.In[1].DType.IsInteger() || len(in.Shape) < 2 {
		return nil, b.errorf("needs a tensor of rank 2 or more and the lengths")
	}
	batchAxis, timeAxis := int(b.Node.Int("batch_axis", 1)), int(b.Node.Int("time_axis", 0))
	if batchAxis+timeAxis != 1 || batchAxis*timeAxis != 0 {
		return nil, b.errorf("axes %d and %d; they must be 0 and 1", batchAxis, timeAxis)
	}
	steps, batch := in.Shape[timeAxis], in.Shape[batchAxis]
	bytes := product(in.Shape[2:]) * in.DType.Size()
	st := strides(in.Shape[:2])
	if b.In[1].Len() != batch {
		return nil, b.errorf("%d lengths for a batch of %d", b.In[1].Len(), batch)
	}
	return func() error {
		for i := range batch {
			n := int(loadInt(b.In[1], i))
			if n < 0 || n > steps {
				return errOutOfRange("sequence length", n, 0, steps)
			}
			for t := range steps {
				from := t
				if t < n {
					from = n - 1 - t
				}
				d, s := (i*st[batchAxis]+t*st[timeAxis])*bytes, (i*st[batchAxis]+from*st[timeAxis])*bytes
				copy(out.Data[d:d+bytes], in.Data[s:s+bytes])
			}
		}
		return nil
	}, nil
}
