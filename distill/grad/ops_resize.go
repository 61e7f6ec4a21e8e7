package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

var _ = register("", map[string]binder{"Resize": bindResize})

// taps are the inputs that each output along an axis is a weighted sum of: n for each.
type taps struct {
	n      int
	from   []int
	weight []float32
}

// newTaps computes those of an axis of in elements that becomes out, scaled by scale.
func newTaps(b *binding, in, out int, scale float64) (*taps, error) {
	mode := b.node.Str("mode", "nearest")
	transform := b.node.Str("coordinate_transformation_mode", "half_pixel")
	var source func(i int) float64
	switch transform {
	case "half_pixel":
		source = func(i int) float64 { return (float64(i)+0.5)/scale - 0.5 }
	case "pytorch_half_pixel":
		source = func(i int) float64 {
			if out == 1 {
				return 0
			}
			return (float64(i)+0.5)/scale - 0.5
		}
	case "align_corners":
		source = func(i int) float64 {
			if out == 1 {
				return 0
			}
			return float64(i) * float64(in-1) / float64(out-1)
		}
	case "asymmetric":
		source = func(i int) float64 { return float64(i) / scale }
	default:
		return nil, unsupported("coordinate_transformation_mode " + transform)
	}
	inside := func(i float64) int { return int(min(max(i, 0), float64(in-1))) }
	t := &taps{n: 1}
	switch mode {
	case "nearest":
		round := map[string]func(float64) float64{
			"floor": math.Floor, "ceil": math.Ceil,
			"round_prefer_floor": func(x float64) float64 { return math.Ceil(x - 0.5) },
			"round_prefer_ceil":  func(x float64) float64 { return math.Floor(x + 0.5) },
		}[b.node.Str("nearest_mode", "round_prefer_floor")]
		if round == nil {
			return nil, unsupported("nearest_mode " + b.node.Str("nearest_mode", ""))
		}
		for i := range out {
			t.from, t.weight = append(t.from, inside(round(source(i)))), append(t.weight, 1)
		}
	case "linear":
		if b.node.Int("antialias", 0) != 0 && scale < 1 {
			return nil, unsupported("antialias")
		}
		t.n = 2
		for i := range out {
			x := source(i)
			low := math.Floor(x)
			t.from = append(t.from, inside(low), inside(low+1))
			t.weight = append(t.weight, float32(1-(x-low)), float32(x-low))
		}
	default:
		return nil, unsupported("mode " + mode)
	}
	return t, nil
}

// resizing is one axis of a Resize: [outer, in, inner] -> [outer, out, inner].
type resizing struct {
	*taps
	outer, in, out, inner int
	buf                   *buffer // of the result, or nil for the last axis
	grad                  *buffer
}

// spread calls f for each output row and each of its inputs.
func (r *resizing) spread(o int, f func(to, from int, weight float32)) {
	for i := range r.out {
		for j := range r.n {
			f((o*r.out+i)*r.inner, (o*r.in+r.from[i*r.n+j])*r.inner, r.weight[i*r.n+j])
		}
	}
}

// bindResize binds Resize by nearest elements or linear interpolation, one axis after the other.
func bindResize(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	x, y := b.in[0], b.out[0]
	axes := b.node.Ints("axes")
	if axes == nil {
		for i := range x.shape {
			axes = append(axes, int64(i))
		}
	}
	given := make([]float64, len(x.shape))
	for i := range given {
		given[i] = float64(y.shape[i]) / float64(x.shape[i])
	}
	if b.has(2) && b.in[2].n == len(axes) {
		if b.val[2] == nil {
			return unsupported("scales that are no constants")
		}
		for i, a := range axes {
			axis, err := normAxis(int(a), len(x.shape))
			if err != nil {
				return err
			}
			given[axis] = float64(b.in[2].x()[i])
		}
	}
	var list []*resizing
	now := append([]int(nil), x.shape...)
	for i := range now {
		if now[i] == y.shape[i] {
			continue
		}
		t, err := newTaps(b, now[i], y.shape[i], given[i])
		if err != nil {
			return err
		}
		r := &resizing{taps: t, outer: product(now[:i]), in: now[i], out: y.shape[i], inner: product(now[i+1:])}
		now[i] = y.shape[i]
		list = append(list, r)
	}
	if list == nil {
		b.view()
		return nil
	}
	for _, r := range list[:len(list)-1] {
		r.buf, r.grad = b.scratch(r.outer*r.out*r.inner), b.scratch(r.outer*r.out*r.inner)
	}
	var forward, backward []func()
	for i, r := range list {
		src, dst := x.x, y.x
		back, g := func() []float32 { return x.root.grad }, y.dy
		if i > 0 {
			before := list[i-1]
			src, back = func() []float32 { return before.buf.data }, func() []float32 { return before.grad.data }
		}
		if r.buf != nil {
			dst, g = func() []float32 { return r.buf.data }, func() []float32 { return r.grad.data }
		}
		forward = append(forward, b.split(r.outer, r.out*r.inner*r.n, func(_, lo, hi int) {
			in, out := src(), dst()
			for o := lo; o < hi; o++ {
				clear(out[o*r.out*r.inner : (o+1)*r.out*r.inner])
				r.spread(o, func(to, from int, weight float32) {
					kernels.Axpy(out[to:to+r.inner], in[from:], weight)
				})
			}
		}))
		backward = append(backward, b.split(r.outer, r.out*r.inner*r.n, func(_, lo, hi int) {
			d, dy := back(), g()
			for o := lo; o < hi; o++ {
				first, end := o*r.in*r.inner, (o+1)*r.in*r.inner
				if i > 0 {
					clear(d[first:end])
				} else {
					x.sink(first, end)
				}
				r.spread(o, func(to, from int, weight float32) {
					kernels.Axpy(d[from:from+r.inner], dy[to:], weight)
				})
			}
		}))
	}
	for i, j := 0, len(backward)-1; i < j; i, j = i+1, j-1 {
		backward[i], backward[j] = backward[j], backward[i]
	}
	s.forward, s.backward = run(all(forward...)), all(backward...)
	return nil
}
