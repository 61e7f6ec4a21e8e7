package runtime

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// The operators along one axis that compare or accumulate: ArgMax, TopK, CumSum.

var _ = register("", operands(1, map[string]Binder{
	"ArgMax": widenedIntegers(func(b *Bind) (Run, error) { return bindArg(b, true) }),
	"ArgMin": widenedIntegers(func(b *Bind) (Run, error) { return bindArg(b, false) }),
}))

var _ = register("", operands(2, map[string]Binder{
	"TopK":    widenedIntegers(bindTopK),
	"CumSum":  func(b *Bind) (Run, error) { return bindCumulate(b, "Add") },
	"CumProd": func(b *Bind) (Run, error) { return bindCumulate(b, "Mul") },
}))

// lanes sees a tensor as outer x n x inner around an axis.
type lanes struct{ outer, n, inner int }

func newLanes(shape []int, axis int) lanes {
	return lanes{product(shape[:axis]), shape[axis], product(shape[axis+1:])}
}

// start returns the offset of the first element of lane i; the others follow inner apart.
func (l lanes) start(i int) int { return i/l.inner*l.n*l.inner + i%l.inner }

func bindArg(b *Bind, largest bool) (Run, error) {
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return argOf(b, largest, func(v float32) float32 { return v })
	case tensor.F64:
		return argOf(b, largest, func(v float64) float64 { return v })
	case tensor.F16, tensor.BF16:
		return argOf(b, largest, halfOf(dt).from)
	case tensor.BOOL:
		return argOf(b, largest, func(v uint8) uint8 { return v })
	case tensor.I32:
		return argOf(b, largest, func(v int32) int32 { return v })
	case tensor.I64:
		return argOf(b, largest, func(v int64) int64 { return v })
	case tensor.U64:
		return argOf(b, largest, func(v uint64) uint64 { return v })
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

// argOf binds the index of the largest (or smallest) element of each lane, by key; the first or the
// last of equals. A NaN counts as the largest and the smallest, as in NumPy.
func argOf[T tensor.Element, K number](b *Bind, largest bool, key func(T) K) (Run, error) {
	in, out := b.In[0], b.Out[0]
	axis, err := b.axis("axis", 0, len(in.Shape))
	if err != nil {
		return nil, err
	}
	l := newLanes(in.Shape, axis)
	last := b.Node.Int("select_last_index", 0) != 0
	if l.n == 0 && out.Len() > 0 {
		return nil, b.errorf("axis %d of %v is empty", axis, in)
	}
	return simple(b.split(l.outer*l.inner, 1, 2*l.n, func(_, lo, hi int) {
		src, dst := tensor.View[T](in), out.I64()
		for i := lo; i < hi; i++ {
			at := l.start(i)
			best, found := key(src[at]), 0
			for j := 1; j < l.n; j++ {
				v := key(src[at+j*l.inner])
				better := v > best
				if !largest {
					better = v < best
				}
				if better || v != v && best == best || last && v == best {
					best, found = v, j
				}
			}
			dst[i] = int64(found)
		}
	})), nil
}

func bindTopK(b *Bind) (Run, error) {
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return topK(b, func(v float32) float32 { return v })
	case tensor.F64:
		return topK(b, func(v float64) float64 { return v })
	case tensor.F16, tensor.BF16:
		return topK(b, halfOf(dt).from)
	case tensor.I32:
		return topK(b, func(v int32) int32 { return v })
	case tensor.I64:
		return topK(b, func(v int64) int64 { return v })
	case tensor.U64:
		return topK(b, func(v uint64) uint64 { return v })
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

// topK binds the k largest (or smallest) elements of each lane in order, and their indices;
// of equals the lower index comes first. k is the outputs' length along the axis.
func topK[T tensor.Element, K number](b *Bind, key func(T) K) (Run, error) {
	in := b.In[0]
	axis, err := b.axis("axis", -1, len(in.Shape))
	if err != nil {
		return nil, err
	}
	l := newLanes(in.Shape, axis)
	k := 0
	for _, o := range b.Out {
		if o != nil {
			k = o.Shape[axis]
		}
	}
	if k > l.n {
		return nil, b.errorf("k %d of an axis of %d", k, l.n)
	}
	largest := b.Node.Int("largest", 1) != 0
	heaps := b.Scratch(b.parts() * k * 8)
	return simple(b.split(l.outer*l.inner, 1, 8*l.n, func(part, lo, hi int) {
		src := tensor.View[T](in)
		heap := tensor.View[int64](heaps)[part*k:][:k]
		for i := lo; i < hi && k > 0; i++ {
			at := l.start(i)
			// before reports whether element x comes before y in the result.
			before := func(x, y int64) bool {
				a, c := key(src[at+int(x)*l.inner]), key(src[at+int(y)*l.inner])
				switch {
				case a == c || a != a && c != c:
					return x < y
				case a != a || c != c:
					return (a != a) == largest // a NaN counts as the largest
				}
				return (a > c) == largest
			}
			selectFirst(heap, l.n, before)
			base := i/l.inner*k*l.inner + i%l.inner
			for j, x := range heap {
				if b.HasOut(0) {
					tensor.View[T](b.Out[0])[base+j*l.inner] = src[at+int(x)*l.inner]
				}
				if b.HasOut(1) {
					b.Out[1].I64()[base+j*l.inner] = x
				}
			}
		}
	})), nil
}

// selectFirst fills h with the first len(h) of the numbers 0..n-1 in the order of before, sorted.
func selectFirst(h []int64, n int, before func(x, y int64) bool) {
	k := len(h)
	// A heap whose root is the last of those kept.
	down := func(i, n int) {
		for {
			c := 2*i + 1
			if c >= n {
				return
			}
			if c+1 < n && before(h[c], h[c+1]) {
				c++
			}
			if !before(h[i], h[c]) {
				return
			}
			h[i], h[c] = h[c], h[i]
			i = c
		}
	}
	for i := range h {
		h[i] = int64(i)
	}
	for i := k/2 - 1; i >= 0; i-- {
		down(i, k)
	}
	for x := int64(k); x < int64(n); x++ {
		if before(x, h[0]) {
			h[0] = x
			down(0, k)
		}
	}
	for i := k - 1; i > 0; i-- {
		h[0], h[i] = h[i], h[0]
		down(0, i)
	}
}

// bindCumulate binds the running sum or product along the axis in input 1; exclusive
// leaves out the element itself, reverse starts at the end.
func bindCumulate(b *Bind, op string) (Run, error) {
	axes, err := b.constInts(1)
	if err != nil {
		return nil, err
	}
	if len(axes) != 1 {
		return nil, b.errorf("%d axes", len(axes))
	}
	axis, err := b.normAxis(axes[0], len(b.In[0].Shape))
	if err != nil {
		return nil, err
	}
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return cumulate(b, axis, op, func(v float32) float64 { return float64(v) }, func(v float64) float32 { return float32(v) }), nil
	case tensor.F64:
		return cumulate(b, axis, op, func(v float64) float64 { return v }, func(v float64) float64 { return v }), nil
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return cumulate(b, axis, op, h.from, h.to), nil
	case tensor.I32:
		return cumulate(b, axis, op, func(v int32) int32 { return v }, func(v int32) int32 { return v }), nil
	case tensor.U32:
		return cumulate(b, axis, op, func(v uint32) uint32 { return v }, func(v uint32) uint32 { return v }), nil
	case tensor.I64:
		return cumulate(b, axis, op, func(v int64) int64 { return v }, func(v int64) int64 { return v }), nil
	case tensor.U64:
		return cumulate(b, axis, op, func(v uint64) uint64 { return v }, func(v uint64) uint64 { return v }), nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func cumulate[T tensor.Element, A number](b *Bind, axis int, op string, load func(T) A, store func(A) T) Run {
	in, out := b.In[0], b.Out[0]
	l := newLanes(in.Shape, axis)
	exclusive, reverse := b.Node.Int("exclusive", 0) != 0, b.Node.Int("reverse", 0) != 0
	join := numberPair[A](op)
	var first A
	if op == "Mul" {
		first = 1
	}
	return simple(b.split(l.outer*l.inner, 1, 4*l.n, func(_, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](in)
		for i := lo; i < hi; i++ {
			at, acc := l.start(i), first
			for j := range l.n {
				if reverse {
					j = l.n - 1 - j
				}
				p := at + j*l.inner
				v := load(src[p])
				if exclusive {
					dst[p] = store(acc)
					acc = join(acc, v)
				} else {
					acc = join(acc, v)
					dst[p] = store(acc)
				}
			}
		}
	}))
}
