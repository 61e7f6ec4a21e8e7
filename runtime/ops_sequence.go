package runtime

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Sequences and optional values: lists of tensors that are never changed. What goes into one is copied, since the
// plan uses the memory of values again.

var _ = register("", dense(map[string]Binder{
	"SequenceEmpty":      bindSequenceEmpty,
	"SequenceConstruct":  bindSequenceConstruct,
	"SequenceInsert":     bindSequenceInsert,
	"SequenceErase":      bindSequenceErase,
	"SequenceAt":         bindSequenceAt,
	"SequenceLength":     bindSequenceLength,
	"SplitToSequence":    bindSplitToSequence,
	"ConcatFromSequence": bindConcatFromSequence,
	"SequenceMap":        bindSequenceMap,
	"Optional":           bindOptional,
	"OptionalGetElement": bindOptionalGet,
	"OptionalHasElement": bindOptionalHas,
}))

// holding returns a Run that makes output 0 hold what f returns.
func (b *Bind) holding(f func() ([]*tensor.Tensor, error)) (Run, error) {
	if !b.HasOut(0) || !b.Out[0].DType.Holds() {
		return nil, b.errorf("its output holds no values")
	}
	return func() error {
		items, err := f()
		if err != nil {
			return err
		}
		b.Out[0].Items = items
		return nil
	}, nil
}

// needSequence checks that input 0 is a sequence.
func (b *Bind) needSequence() error {
	if !b.Has(0) || !b.In[0].DType.IsSequence() {
		return b.errorf("input 0 is no sequence")
	}
	return nil
}

func bindSequenceEmpty(b *Bind) (Run, error) {
	return b.holding(func() ([]*tensor.Tensor, error) { return nil, nil })
}

func bindSequenceConstruct(b *Bind) (Run, error) {
	for i := range b.In {
		if !b.Has(i) {
			return nil, b.errorf("input %d is missing", i)
		}
	}
	return b.holding(func() ([]*tensor.Tensor, error) {
		var items []*tensor.Tensor
		for _, t := range b.In {
			items = append(items, t.Clone())
		}
		return items, nil
	})
}

// position reads input i as an index of n items, def if it is absent.
func (b *Bind) position(i, n, def int) (int, error) {
	if !b.Has(i) {
		return def, nil
	}
	v, err := intsOf(b.In[i])
	if err != nil || len(v) != 1 {
		return 0, fmt.Errorf("position %v is not one integer", b.In[i])
	}
	p := v[0]
	if p < 0 {
		p += n
	}
	if p < 0 || p >= n {
		return 0, errOutOfRange("position", v[0], -n, n-1)
	}
	return p, nil
}

// bindSequenceInsert puts a tensor in front of a position, at the end without one.
func bindSequenceInsert(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	if !b.Has(1) {
		return nil, b.errorf("input 1 is missing")
	}
	return b.holding(func() ([]*tensor.Tensor, error) {
		old := b.In[0].Items
		at := len(old)
		if b.Has(2) {
			var err error
			if v, e := intsOf(b.In[2]); e != nil || len(v) != 1 || v[0] != len(old) {
				if at, err = b.position(2, len(old), len(old)); err != nil {
					return nil, err
				}
			}
		}
		items := make([]*tensor.Tensor, 0, len(old)+1)
		items = append(append(append(items, old[:at]...), b.In[1].Clone()), old[at:]...)
		return items, sequenceRoom(items)
	})
}

// sequenceRoom refuses a sequence that has grown past the memory there is; a loop without an end must not end the program. It
// looks each time that the length has doubled.
func sequenceRoom(items []*tensor.Tensor) error {
	const first = 64
	if n := len(items); n < first || n&(n-1) != 0 {
		return nil
	}
	size := 0
	for _, t := range items {
		size += 128 + 2*len(t.Data)
	}
	return room(size, "a sequence")
}

func bindSequenceErase(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	return b.holding(func() ([]*tensor.Tensor, error) {
		old := b.In[0].Items
		at, err := b.position(1, len(old), len(old)-1)
		if err != nil {
			return nil, err
		}
		if at < 0 {
			return nil, fmt.Errorf("the sequence is empty")
		}
		return slices.Delete(slices.Clone(old), at, at+1), nil
	})
}

func bindSequenceAt(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	return func() error {
		at, err := b.position(1, len(b.In[0].Items), -1)
		if err != nil {
			return err
		}
		if at < 0 {
			return fmt.Errorf("the position is missing")
		}
		b.SetOut(0, b.In[0].Items[at])
		return nil
	}, nil
}

func bindSequenceLength(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	return simple(func() { b.Out[0].I64()[0] = int64(len(b.In[0].Items)) }), nil
}

// bindSplitToSequence cuts along an axis: into parts of the sizes that input 1 lists, of its one size if it is a scalar, or of
// size 1, then without the axis if keepdims is 0.
func bindSplitToSequence(b *Bind) (Run, error) {
	if !b.Has(0) {
		return nil, b.errorf("input 0 is missing")
	}
	in := b.In[0]
	axis, err := b.axis("axis", 0, len(in.Shape))
	if err != nil {
		return nil, err
	}
	n := in.Shape[axis]
	drop := !b.Has(1) && b.Node.Int("keepdims", 1) == 0
	return b.holding(func() ([]*tensor.Tensor, error) {
		sizes, err := b.partSizes(n)
		if err != nil {
			return nil, err
		}
		if err := room(2*len(in.Data)+128*len(sizes), "a sequence"); err != nil {
			return nil, err
		}
		items := make([]*tensor.Tensor, len(sizes))
		at, outer, inner := 0, product(in.Shape[:axis]), product(in.Shape[axis+1:])*in.DType.Size()
		for i, size := range sizes {
			shape := slices.Clone(in.Shape)
			shape[axis] = size
			t := tensor.New(in.DType, shape...)
			for o := range outer {
				copy(t.Data[o*size*inner:(o+1)*size*inner], in.Data[(o*n+at)*inner:])
			}
			if drop {
				t.Shape = slices.Delete(shape, axis, axis+1)
			}
			at += size
			items[i] = t
		}
		return items, nil
	})
}

// partSizes returns the sizes of SplitToSequence's parts of n elements.
func (b *Bind) partSizes(n int) ([]int, error) {
	size := 1
	if b.Has(1) {
		v, err := intsOf(b.In[1])
		if err != nil {
			return nil, err
		}
		if len(b.In[1].Shape) > 0 {
			left := n
			for _, s := range v {
				if s < 0 || s > left {
					return nil, fmt.Errorf("parts of sizes %v of %d elements", v, n)
				}
				left -= s
			}
			if left != 0 {
				return nil, fmt.Errorf("parts of sizes %v of %d elements", v, n)
			}
			return v, nil
		}
		if size = v[0]; size < 1 {
			return nil, fmt.Errorf("parts of size %d", size)
		}
	}
	var sizes []int
	for ; n > 0; n -= size {
		sizes = append(sizes, min(size, n))
	}
	return sizes, nil
}

// bindConcatFromSequence joins a sequence's tensors along an axis, or along a new one.
func bindConcatFromSequence(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	axis, fresh := int(b.Node.Int("axis", 0)), b.Node.Int("new_axis", 0) != 0
	return func() error {
		items := b.In[0].Items
		if len(items) == 0 {
			return fmt.Errorf("the sequence is empty")
		}
		size := 0
		for _, t := range items {
			size += len(t.Data)
		}
		if err := room(size, "joining a sequence"); err != nil {
			return err
		}
		join := concat
		if fresh {
			join = func(parts []*tensor.Tensor, axis int) (*tensor.Tensor, error) {
				return stack(parts, axis, false, model.Type{})
			}
		}
		joined, err := join(items, axis)
		if err != nil {
			return err
		}
		b.SetOut(0, joined)
		return nil
	}, nil
}

// concat joins tensors along an axis that they have.
func concat(parts []*tensor.Tensor, axis int) (*tensor.Tensor, error) {
	first := parts[0]
	if axis < 0 {
		axis += len(first.Shape)
	}
	if axis < 0 || axis >= len(first.Shape) {
		return nil, fmt.Errorf("axis %d of %v", axis, first)
	}
	shape := slices.Clone(first.Shape)
	shape[axis] = 0
	for _, p := range parts {
		same := p.DType == first.DType && len(p.Shape) == len(shape)
		for i := range shape {
			same = same && (i == axis || p.Shape[i] == shape[i])
		}
		if !same {
			return nil, fmt.Errorf("%v and %v do not join along axis %d", first, p, axis)
		}
		shape[axis] += p.Shape[axis]
	}
	out := tensor.New(first.DType, shape...)
	outer, inner := product(shape[:axis]), product(shape[axis+1:])*first.DType.Size()
	at := 0
	for _, p := range parts {
		bytes := p.Shape[axis] * inner
		for o := range outer {
			copy(out.Data[o*shape[axis]*inner+at:][:bytes], p.Data[o*bytes:])
		}
		at += bytes
	}
	return out, nil
}

// bindSequenceMap runs the body for each item of input 0, with the items of the other sequences and the tensors.
func bindSequenceMap(b *Bind) (Run, error) {
	if err := b.needSequence(); err != nil {
		return nil, err
	}
	g, err := b.subgraph("body", len(b.In), len(b.Out))
	if err != nil {
		return nil, err
	}
	return func() error {
		lists := make([][]*tensor.Tensor, len(b.Out))
		for k := range b.In[0].Items {
			in := make([]*tensor.Tensor, len(b.In))
			for i, t := range b.In {
				switch {
				case t == nil:
					return fmt.Errorf("input %d is missing", i)
				case !t.DType.IsSequence():
					in[i] = t
				case k < len(t.Items):
					in[i] = t.Items[k]
				default:
					return fmt.Errorf("sequences of %d and %d items", len(b.In[0].Items), len(t.Items))
				}
			}
			out, err := b.runGraph(g, in)
			if err != nil {
				return err
			}
			for i := range lists {
				lists[i] = append(lists[i], out[i])
				if err := sequenceRoom(lists[i]); err != nil {
					return err
				}
			}
		}
		for i, o := range b.Out {
			if o != nil {
				b.SetOut(i, tensor.Holding(o.DType, lists[i]...))
			}
		}
		return nil
	}, nil
}

func bindOptional(b *Bind) (Run, error) {
	return b.holding(func() ([]*tensor.Tensor, error) {
		if !b.Has(0) {
			return nil, nil
		}
		return []*tensor.Tensor{b.In[0].Clone()}, nil
	})
}

func bindOptionalGet(b *Bind) (Run, error) {
	if !b.Has(0) {
		return nil, b.errorf("input 0 is missing")
	}
	if !b.In[0].DType.IsOptional() {
		return bindView(b)
	}
	return func() error {
		if len(b.In[0].Items) == 0 {
			return fmt.Errorf("the optional value is empty")
		}
		b.SetOut(0, b.In[0].Items[0])
		return nil
	}, nil
}

func bindOptionalHas(b *Bind) (Run, error) {
	return simple(func() {
		b.Out[0].Data[0] = 0
		if b.Has(0) && (!b.In[0].DType.IsOptional() || len(b.In[0].Items) > 0) {
			b.Out[0].Data[0] = 1
		}
	}), nil
}
