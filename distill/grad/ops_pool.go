package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register("", map[string]binder{
		"MaxPool": bindMaxPool, "AveragePool": bindAveragePool,
		"GlobalAveragePool": bindGlobalAverage, "GlobalMaxPool": bindGlobalMax,
	})
	_ = register(model.DomainDsk, map[string]binder{"MaxPool": bindMaxPool, "AveragePool": bindAveragePool})
)

// pool is a window that moves over each channel of a batch of pictures.
type pool struct {
	plane
	x, y   image
	batch  int
	whole  bool // AveragePool divides by the window's size, padding included
	after  [2]int
	ys, xs []reach // of each row and column of the output
}

func newPool(b *binding) (*pool, error) {
	if err := b.floats(0); err != nil {
		return nil, err
	}
	last := b.node.Domain == model.DomainDsk
	v := &pool{batch: b.in[0].shape[0], whole: b.node.Int("count_include_pad", 0) != 0}
	var okX, okY bool
	v.x, okX = newImage(b.in[0].shape, last)
	v.y, okY = newImage(b.out[0].shape, last)
	if !okX || !okY {
		return nil, unsupported("other than one or two spatial axes")
	}
	spatial := len(b.in[0].shape) - 2
	var err error
	if v.plane, err = newPlane(b.node, v.x, spatial, nil); err != nil {
		return nil, err
	}
	dims := []model.Dim{model.Known(v.x.h), model.Known(v.x.w)}[2-spatial:]
	w, err := model.WindowOf(b.node, dims, nil)
	if err != nil {
		return nil, err
	}
	v.after[1] = w.After[spatial-1]
	if spatial == 2 {
		v.after[0] = w.After[0]
	}
	v.ys = reaches(v.y.h, v.x.h, v.kh, v.sh, v.dh, v.top)
	v.xs = reaches(v.y.w, v.x.w, v.kw, v.sw, v.dw, v.left)
	return v, nil
}

// reach is those taps of a window along an axis, [lo, hi), that lie inside of the picture.
type reach struct{ lo, hi int }

// reaches returns them for each of n outputs.
func reaches(n, in, kernel, stride, dilation, before int) []reach {
	list := make([]reach, n)
	for o := range list {
		inside := func(k int) bool { i := o*stride + k*dilation - before; return i >= 0 && i < in }
		t := reach{hi: kernel}
		for t.lo < t.hi && !inside(t.lo) {
			t.lo++
		}
		for t.hi > t.lo && !inside(t.hi-1) {
			t.hi--
		}
		list[o] = t
	}
	return list
}

// first returns where the first tap of an output's window that lies inside is in the picture, and the distances of the others.
func (v *pool) first(c, oy, ox int) (at, down, right int) {
	at = c*v.x.cs + (oy*v.sh+v.ys[oy].lo*v.dh-v.top)*v.x.hs + (ox*v.sw+v.xs[ox].lo*v.dw-v.left)*v.x.ws
	return at, v.dh * v.x.hs, v.dw * v.x.ws
}

// outputs calls f for each output of picture i: with its number and its place.
func (v *pool) outputs(i int, f func(c, oy, ox, at int)) {
	for c := range v.y.c {
		for oy := range v.y.h {
			for ox := range v.y.w {
				f(c, oy, ox, i*v.y.ns+c*v.y.cs+oy*v.y.hs+ox*v.y.ws)
			}
		}
	}
}

// bindMaxPool binds MaxPool: the gradient goes to the first of the largest elements.
func bindMaxPool(b *binding, s *step) error {
	if len(b.out) > 1 && b.out[1] != nil {
		return unsupported("indices as an output")
	}
	v, err := newPool(b)
	if err != nil {
		return err
	}
	x, y := b.in[0], b.out[0]
	from := make([]int32, y.n)
	cost := v.y.ns * v.kh * v.kw
	s.forward = run(b.split(v.batch, cost, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			v.largest(y.x()[i*v.y.ns:(i+1)*v.y.ns], from[i*v.y.ns:(i+1)*v.y.ns], x.x()[i*v.x.ns:(i+1)*v.x.ns])
		}
	}))
	s.backward = b.split(v.batch, v.x.ns, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			dx := x.sink(i*v.x.ns, (i+1)*v.x.ns)
			for at := i * v.y.ns; at < (i+1)*v.y.ns; at++ {
				if p := from[at]; p >= 0 {
					dx[p] += y.dy()[at]
				}
			}
		}
	})
	return nil
}

// largest writes the largest element of each window of a picture to dst, and its place to from. Which one is the largest no
// processor could foresee, so elements and places are compared as integers, which has no branch: above, the element's bits in an
// order that integers share with floats; below, the place, an earlier one being larger.
func (v *pool) largest(dst []float32, from []int32, src []float32) {
	for c := range v.y.c {
		for oy := range v.y.h {
			for ox := range v.y.w {
				best := int64(math.MinInt64)
				row, down, right := v.first(c, oy, ox)
				for range v.ys[oy].hi - v.ys[oy].lo {
					p := row
					for range v.xs[ox].hi - v.xs[ox].lo {
						bits := int32(math.Float32bits(src[p]))
						best = max(best, int64(bits^bits>>31&math.MaxInt32)<<32|int64(math.MaxInt32-p))
						p += right
					}
					row += down
				}
				at := c*v.y.cs + oy*v.y.hs + ox*v.y.ws
				from[at] = -1
				if best != math.MinInt64 {
					from[at] = math.MaxInt32 - int32(best)
				}
				dst[at] = float32(math.Inf(-1))
				if p := from[at]; p >= 0 {
					dst[at] = src[p]
				}
			}
		}
	}
}

// share is what a window's elements are multiplied with in AveragePool.
func (v *pool) share(oy, ox int) float32 {
	count := func(o, stride, kernel, dilation, before, in, after int) int {
		n := 0
		for k := range kernel {
			i := o*stride + k*dilation - before
			if v.whole && i < in+after || i >= 0 && i < in {
				n++
			}
		}
		return n
	}
	n := count(oy, v.sh, v.kh, v.dh, v.top, v.x.h, v.after[0]) * count(ox, v.sw, v.kw, v.dw, v.left, v.x.w, v.after[1])
	return 1 / float32(max(n, 1))
}

func bindAveragePool(b *binding, s *step) error {
	v, err := newPool(b)
	if err != nil {
		return err
	}
	x, y := b.in[0], b.out[0]
	cost := v.y.ns * v.kh * v.kw
	shares := make([]float32, v.y.h*v.y.w)
	for i := range shares {
		shares[i] = v.share(i/v.y.w, i%v.y.w)
	}
	s.forward = run(b.split(v.batch, cost, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			src := x.x()[i*v.x.ns : (i+1)*v.x.ns]
			v.outputs(i, func(c, oy, ox, at int) {
				var sum float32
				row, down, right := v.first(c, oy, ox)
				for range v.ys[oy].hi - v.ys[oy].lo {
					p := row
					for range v.xs[ox].hi - v.xs[ox].lo {
						sum += src[p]
						p += right
					}
					row += down
				}
				y.x()[at] = sum * shares[oy*v.y.w+ox]
			})
		}
	}))
	s.backward = b.split(v.batch, cost, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			dx := x.sink(i*v.x.ns, (i+1)*v.x.ns)
			v.outputs(i, func(c, oy, ox, at int) {
				g := y.dy()[at] * shares[oy*v.y.w+ox]
				row, down, right := v.first(c, oy, ox)
				for range v.ys[oy].hi - v.ys[oy].lo {
					p := row
					for range v.xs[ox].hi - v.xs[ox].lo {
						dx[p] += g
						p += right
					}
					row += down
				}
			})
		}
	})
	return nil
}

func bindGlobalAverage(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	x, y := b.in[0], b.out[0]
	n := x.n / y.n
	s.forward = run(b.split(y.n, n, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			y.x()[i] = kernels.SumRow(x.x()[i*n:(i+1)*n]) / float32(n)
		}
	}))
	s.backward = b.split(y.n, n, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			dx := x.sink(i*n, (i+1)*n)
			kernels.AddScalar(dx, dx, y.dy()[i]/float32(n))
		}
	})
	return nil
}

func bindGlobalMax(b *binding, s *step) error {
	if err := b.floats(0); err != nil {
		return err
	}
	x, y := b.in[0], b.out[0]
	n := x.n / y.n
	s.forward = run(b.split(y.n, n, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			y.x()[i] = kernels.MaxRow(x.x()[i*n : (i+1)*n])
		}
	}))
	s.backward = b.split(y.n, n, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			dx := x.sink(i*n, (i+1)*n)
			for j, v := range x.x()[i*n : (i+1)*n] {
				if v == y.x()[i] {
					dx[j] += y.dy()[i]
					break
				}
			}
		}
	})
	return nil
}
