package runtime

import "github.com/dsk-toolkit/dsk/tensor"

var _ = register("", operands(2, map[string]Binder{
	"Pad":           bindPad,
	"CenterCropPad": bindCenterCropPad,
}))

// bindPad adds to (or, with negative pads, cuts from) the ends of axes. Inputs: data, pads,
// constant_value, axes. Modes: constant, reflect (without the edge), edge, wrap.
func bindPad(b *Bind) (Run, error) {
	in := b.In[0]
	rank := len(in.Shape)
	pads, err := b.constInts(1)
	if err != nil {
		return nil, err
	}
	axes, err := b.constInts(3)
	if err != nil {
		return nil, err
	}
	if axes == nil {
		for i := range rank {
			axes = append(axes, i)
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, b.errorf("%d pads for %d axes", len(pads), len(axes))
	}
	before, after := make([]int, rank), make([]int, rank)
	for i, a := range axes {
		if a, err = b.normAxis(a, rank); err != nil {
			return nil, err
		}
		before[a], after[a] = pads[i], pads[len(axes)+i]
	}
	for a, d := range in.Shape {
		if d+before[a]+after[a] != b.Out[0].Shape[a] {
			return nil, b.errorf("pads %v of %v do not give %v", pads, in, b.Out[0])
		}
	}
	mode := b.Node.Str("mode", "constant")
	if mode == "constant" {
		if b.Has(2) && (b.In[2].DType != in.DType || b.In[2].Len() != 1) {
			return nil, b.errorf("padding value %v for a tensor %v", b.In[2], in)
		}
		return padConstant(b, before)
	}
	index := make([][]int, rank)
	for a, d := range in.Shape {
		if index[a], err = b.padIndex(mode, d, before[a], b.Out[0].Shape[a]); err != nil {
			return nil, err
		}
	}
	return bindIndexed(b, index)
}

// padIndex returns where each index of a padded axis reads an axis of d elements.
func (b *Bind) padIndex(mode string, d, before, n int) ([]int, error) {
	out := make([]int, n)
	if d == 0 && n > 0 {
		return nil, b.errorf("mode %s cannot pad an empty axis", mode)
	}
	for i := range out {
		x := i - before
		switch mode {
		case "edge":
			x = min(max(x, 0), d-1)
		case "wrap":
			x = (x%d + d) % d
		case "reflect":
			if d == 1 {
				x = 0
				break
			}
			period := 2 * (d - 1)
			x = (x%period + period) % period
			x = min(x, period-x)
		default:
			return nil, b.errorf("mode %q", mode)
		}
		out[i] = x
	}
	return out, nil
}

// padConstant fills the output and copies the input that is left; before holds its shift along each axis.
func padConstant(b *Bind, before []int) (Run, error) {
	in, out := b.In[0], b.Out[0]
	si, so := strides(in.Shape), strides(out.Shape)
	dims := make([]int, len(before))
	from, to := 0, 0
	whole := true
	for a, p := range before {
		lo, hi := max(0, -p), min(in.Shape[a], out.Shape[a]-p)
		dims[a] = max(0, hi-lo)
		from += lo * si[a]
		to += (lo + p) * so[a]
		whole = whole && dims[a] == out.Shape[a]
	}
	size := in.DType.Size()
	c := newStrided(size, dims, si, so, from, to)
	move := b.bindStrided(c, out, in)
	zero := make([]byte, size)
	return simple(func() {
		value := zero
		if b.Node.Op == "Pad" && b.Has(2) {
			value = b.In[2].Data
		}
		if !whole {
			setFrom(out.Data, value, size)
		}
		if product(dims) > 0 {
			move()
		}
	}), nil
}

// bindIndexed binds out[i, j, ...] = in[index[0][i], index[1][j], ...].
func bindIndexed(b *Bind, index [][]int) (Run, error) {
	switch b.In[0].DType.Size() {
	case 1:
		return indexed[uint8](b, index), nil
	case 2:
		return indexed[uint16](b, index), nil
	case 4:
		return indexed[uint32](b, index), nil
	}
	return indexed[uint64](b, index), nil
}

func indexed[T tensor.Element](b *Bind, index [][]int) Run {
	in, out := b.In[0], b.Out[0]
	rank := len(index)
	if rank == 0 {
		return simple(func() { copy(out.Data, in.Data) })
	}
	st := strides(in.Shape)
	last, cols := index[rank-1], out.Shape[rank-1]
	inRun := cols > 0
	for i, x := range last {
		inRun = inRun && x == last[0]+i
	}
	return simple(b.split(product(out.Shape[:rank-1]), 1, cols, func(_, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](in)
		before := -1
		for r := lo; r < hi; r++ {
			at, q := 0, r
			for a := rank - 2; a >= 0; a-- {
				at += index[a][q%out.Shape[a]] * st[a]
				q /= out.Shape[a]
			}
			row := dst[r*cols : (r+1)*cols]
			if at == before {
				copy(row, dst[(r-1)*cols:])
				continue
			}
			before = at
			if inRun {
				copy(row, src[at+last[0]:])
				continue
			}
			for i, x := range last {
				row[i] = src[at+x]
			}
		}
	}))
}

// bindCenterCropPad cuts or pads the middle of the axes (attribute axes, or all) to the sizes in input 1.
func bindCenterCropPad(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	before := make([]int, len(in.Shape))
	for a, d := range in.Shape {
		if n := out.Shape[a]; n < d {
			before[a] = -((d - n) / 2)
		} else {
			before[a] = (n - d) / 2
		}
	}
	return padConstant(b, before)
}
