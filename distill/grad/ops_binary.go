package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

var _ = register("", map[string]binder{
	"Add": arithmetic(kernels.Add, func(da, dy, _, _, _ []float32) { copy(da, dy) },
		func(db, dy, _, _, _ []float32) { copy(db, dy) }),
	"Sub": arithmetic(kernels.Sub, func(da, dy, _, _, _ []float32) { copy(da, dy) },
		func(db, dy, _, _, _ []float32) { kernels.Scale(db, dy, -1) }),
	"Mul": arithmetic(kernels.Mul, func(da, dy, _, b, _ []float32) { kernels.Mul(da, dy, b) },
		func(db, dy, a, _, _ []float32) { kernels.Mul(db, dy, a) }),
	"Div": arithmetic(kernels.Div, func(da, dy, _, b, _ []float32) { kernels.Div(da, dy, b) },
		func(db, dy, _, b, y []float32) {
			for i, g := range dy {
				db[i] = -g * y[i] / b[i]
			}
		}),
	"Pow": arithmetic(power, func(da, dy, a, b, _ []float32) {
		for i, g := range dy {
			da[i] = g * b[i] * float32(math.Pow(float64(a[i]), float64(b[i]-1)))
		}
	}, func(db, dy, a, _, y []float32) {
		for i, g := range dy {
			if db[i] = 0; a[i] > 0 {
				db[i] = g * y[i] * float32(math.Log(float64(a[i])))
			}
		}
	}),
	"Max": arithmetic(kernels.Max, func(da, dy, a, b, _ []float32) { chosen(da, dy, a, b, 1) },
		func(db, dy, a, b, _ []float32) { chosen(db, dy, b, a, 1) }),
	"Min": arithmetic(kernels.Min, func(da, dy, a, b, _ []float32) { chosen(da, dy, a, b, -1) },
		func(db, dy, a, b, _ []float32) { chosen(db, dy, b, a, -1) }),
	"PRelu": arithmetic(prelu, func(da, dy, a, b, _ []float32) {
		for i, g := range dy {
			if da[i] = g; a[i] < 0 {
				da[i] = g * b[i]
			}
		}
	}, func(db, dy, a, _, _ []float32) {
		for i, g := range dy {
			db[i] = g * min(a[i], 0)
		}
	}),
})

// power is dst[i] = a[i]^b[i].
func power(dst, a, b []float32) {
	for i := range dst {
		if b[i] == 2 {
			dst[i] = a[i] * a[i]
			continue
		}
		dst[i] = float32(math.Pow(float64(a[i]), float64(b[i])))
	}
}

// prelu is dst[i] = a[i], times b[i] where it is negative.
func prelu(dst, a, b []float32) {
	for i, x := range a {
		if dst[i] = x; x < 0 {
			dst[i] = x * b[i]
		}
	}
}

// chosen is the gradient of an operand of Max (sign 1) or Min (-1): half of it where both are equal.
func chosen(d, dy, own, other []float32, sign float32) {
	for i, g := range dy {
		switch diff := sign * (own[i] - other[i]); {
		case diff > 0:
			d[i] = g
		case diff < 0:
			d[i] = 0
		default:
			d[i] = g / 2
		}
	}
}

// local writes the gradient that elements of an operand get: d from dy, a, b and y = f(a, b).
type local func(d, dy, a, b, y []float32)

// broadcast walks over the output of an operator of two operands: rows of the last axis, whose elements lie side by side.
type broadcast struct {
	outer []int    // dimensions before the row
	inner int      // of the row
	step  [2][]int // strides of the operands along outer
	unit  [2]int   // along the row: 0 or 1
	full  [2]bool  // the operand has an element for each of the output
}

// newBroadcast merges axes along which both operands lie alike.
func newBroadcast(a, b, y []int) *broadcast {
	type axis struct {
		n    int
		step [2]int
	}
	strides := func(shape []int) []int {
		s := make([]int, len(y))
		at := 1
		for i := len(shape) - 1; i >= 0; i-- {
			if j := i + len(y) - len(shape); shape[i] > 1 {
				s[j] = at
			}
			at *= shape[i]
		}
		return s
	}
	sa, sb := strides(a), strides(b)
	var axes []axis
	for i, n := range y {
		if n == 1 {
			continue
		}
		x := axis{n, [2]int{sa[i], sb[i]}}
		if k := len(axes) - 1; k >= 0 && axes[k].step[0] == n*x.step[0] && axes[k].step[1] == n*x.step[1] {
			axes[k] = axis{axes[k].n * n, x.step}
			continue
		}
		axes = append(axes, x)
	}
	w := &broadcast{inner: 1, full: [2]bool{product(a) == product(y), product(b) == product(y)}}
	if k := len(axes) - 1; k >= 0 {
		w.inner, w.unit = axes[k].n, axes[k].step
		axes = axes[:k]
	}
	for _, x := range axes {
		w.outer = append(w.outer, x.n)
		w.step[0], w.step[1] = append(w.step[0], x.step[0]), append(w.step[1], x.step[1])
	}
	return w
}

// at returns where row r of an operand begins.
func (w *broadcast) at(operand, r int) int {
	off := 0
	for i := len(w.outer) - 1; i >= 0; i-- {
		off += r % w.outer[i] * w.step[operand][i]
		r /= w.outer[i]
	}
	return off
}

// arithmetic makes a binder of y = f(a, b) with broadcasting, and of the gradients of both.
func arithmetic(f func(dst, a, b []float32), da, db local) binder {
	return func(b *binding, s *step) error {
		if len(b.in) != 2 {
			return unsupported("other than two operands")
		}
		if err := b.floats(0, 1); err != nil {
			return err
		}
		w := newBroadcast(b.in[0].shape, b.in[1].shape, b.out[0].shape)
		y := b.out[0]
		blocks := (w.inner + blockElements - 1) / blockElements
		units, cost := product(w.outer)*blocks, min(w.inner, blockElements)
		filled := [2]*buffer{b.scratch(b.parts() * blockElements), b.scratch(b.parts() * blockElements)}
		// row returns elements [at, at+n) of a row of an operand.
		row := func(i, part, r, at, n int) []float32 {
			x := b.in[i].x()[w.at(i, r):]
			if w.unit[i] == 1 {
				return x[at : at+n]
			}
			out := filled[i].data[part*blockElements:][:n]
			for j := range out {
				out[j] = x[0]
			}
			return out
		}
		s.forward = run(b.split(units, cost, func(part, lo, hi int) {
			for u := lo; u < hi; u++ {
				r, at := u/blocks, u%blocks*blockElements
				n := min(blockElements, w.inner-at)
				f(y.x()[r*w.inner+at:][:n], row(0, part, r, at, n), row(1, part, r, at, n))
			}
		}))
		share := b.scratch(b.parts() * blockElements)
		back := func(i int, d local) func() {
			if !b.needs(i) {
				return nil
			}
			o := b.in[i]
			// unit adds the gradient of a block to dst, which lies as the operand does; first says that nothing is there yet.
			unit := func(dst []float32, part, u int, first bool) {
				r, at := u/blocks, u%blocks*blockElements
				n := min(blockElements, w.inner-at)
				from, to := r*w.inner+at, w.at(i, r)
				g := share.data[part*blockElements:][:n]
				if w.unit[i] == 1 {
					dst = dst[to+at : to+at+n]
				}
				if first {
					g = dst
				}
				d(g, y.dy()[from:from+n], row(0, part, r, at, n), row(1, part, r, at, n), y.x()[from:from+n])
				switch {
				case first:
				case w.unit[i] == 1:
					kernels.Add(dst, dst, g)
				default:
					dst[to] += kernels.SumRow(g)
				}
			}
			if w.full[i] && w.unit[i] == 1 {
				return b.split(units, cost, func(part, lo, hi int) {
					for u := lo; u < hi; u++ {
						unit(o.root.grad, part, u, !o.add)
					}
				})
			}
			return b.chunked(o, units, cost, func(part int, sum []float32, lo, hi int) {
				for u := lo; u < hi; u++ {
					unit(sum, part, u, false)
				}
			})
		}
		s.backward = all(back(0, da), back(1, db))
		return nil
	}
}
