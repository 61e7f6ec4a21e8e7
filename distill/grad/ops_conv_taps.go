package grad

import (
	"gonum.org/v1/gonum/blas"

	"github.com/dsk-toolkit/dsk/kernels"
)

// tapConv is a convolution of stride 1 as a sum of products, one for each tap of the kernel, of matrices that lie
// in pictures with their padding around them: no columns are made. With pictures side by side in rows [channel, place], where the
// place of a pixel is its number in the padded picture,
//
//	Y[m, p]  = sum_t W_t[m, c] X[c, p + o_t]
//	dX[c, p] = sum_t W_t^T[c, m] dY[m, p - o_t]
//	dW_t[c, m] = sum_p X[c, p + o_t] dY^T[p, m]
//
// A row of a padded picture ends where the next begins: what is padding on the right is that on the left of the next row. Places
// between rows and pictures are computed and left out; in dY they are zero.
type tapConv struct {
	*conv
	pitch   int   // of padded rows
	place   int   // of padded pictures
	group   int   // pictures side by side
	n       int   // places of a group of pictures
	offsets []int // of the taps
	reach   int   // the largest of them
}

// tapPlaces is about how many places are worked on at once.
const tapPlaces = 768

// newTapConv returns nil for a convolution of another kind: with strides, or where not both pictures and the weights have their
// channels first.
func newTapConv(v *conv) *tapConv {
	if v.sh != 1 || v.sw != 1 || v.last || v.weightLast || v.x.ws != 1 {
		return nil
	}
	right := max(v.y.w+(v.kw-1)*v.dw-v.left-v.x.w, 0)
	below := max(v.y.h+(v.kh-1)*v.dh-v.top-v.x.h, 0)
	t := &tapConv{conv: v, pitch: v.left + v.x.w + max(right-v.left, 0)}
	t.place = (v.top + v.x.h + max(below-v.top, 0)) * t.pitch
	t.group = min(max(tapPlaces/t.place, 1), v.batch)
	t.n = t.group * t.place
	for ky := range v.kh {
		for kx := range v.kw {
			t.offsets = append(t.offsets, ky*v.dh*t.pitch+kx*v.dw)
		}
	}
	t.reach = t.offsets[len(t.offsets)-1]
	return t
}

// stride is the distance of channels in room for a group of pictures: behind the last place there is padding that taps reach.
func (t *tapConv) stride() int { return t.n + t.reach }

// spread copies pictures [lo, hi) of a value's group of channels to padded places. Their first pixel comes to begin in each.
func (t *tapConv) spread(dst, src []float32, m image, first, channels, begin, lo, hi int) {
	clear(dst)
	stride := t.stride()
	for i := lo; i < hi; i++ {
		for c := range channels {
			to := dst[c*stride+(i-lo)*t.place+begin:]
			from := src[i*m.ns+(first+c)*m.cs:]
			for y := range m.h {
				copy(to[y*t.pitch:y*t.pitch+m.w], from[y*m.w:])
			}
		}
	}
}

// collect is the way back: add says whether dst holds a share.
func (t *tapConv) collect(dst, src []float32, m image, first, channels, begin, lo, hi int, add bool) {
	for i := lo; i < hi; i++ {
		for c := range channels {
			from := src[c*t.n+(i-lo)*t.place+begin:]
			to := dst[i*m.ns+(first+c)*m.cs:]
			for y := range m.h {
				row, have := to[y*m.w:(y+1)*m.w], from[y*t.pitch:]
				if add {
					kernels.Add(row, row, have)
				} else {
					copy(row, have)
				}
			}
		}
	}
}

// span returns the pictures of a group.
func (t *tapConv) span(group int) (lo, hi int) {
	return group * t.group, min((group+1)*t.group, t.batch)
}

// bind binds the products: groups of pictures in parallel, the gradient of W as shares of a fixed number of them.
func (t *tapConv) bind(b *binding, s *step) {
	x, w, y := b.in[0], b.in[1], b.out[0]
	count := len(t.offsets)
	groups := (t.batch + t.group - 1) / t.group
	work := t.conv.group * t.m * t.c * count * t.n / 8
	most := max(t.m, t.c)
	size := most*t.stride() + most*t.n + t.m*t.n
	rooms := b.scratch(b.parts() * size)
	// room is two groups of padded pictures, and Y^T.
	room := func(part int) (padded, plain, turned []float32) {
		r := rooms.data[part*size : (part+1)*size]
		return r[:most*t.stride()], r[most*t.stride() : most*(t.stride()+t.n)], r[most*(t.stride()+t.n):]
	}
	// The weights [m, c, tap] by taps: [tap, m, c] forward and [tap, c, m] backward.
	weights := t.m * t.c
	forward, backward := b.scratch(w.n), b.scratch(w.n)
	sort := func(dst []float32, turn bool) {
		for g := range t.conv.group {
			src, dst := w.x()[g*weights*count:(g+1)*weights*count], dst[g*weights*count:]
			for i := range t.m {
				for c := range t.c {
					at := i*t.c + c
					to := at
					if turn {
						to = c*t.m + i
					}
					for k := range count {
						dst[k*weights+to] = src[at*count+k]
					}
				}
			}
		}
	}
	run := b.split(groups, work, func(part, lo, hi int) {
		padded, plain, _ := room(part)
		for i := lo; i < hi; i++ {
			from, to := t.span(i)
			for g := range t.conv.group {
				in, stride := padded[:t.c*t.stride()], t.stride()
				t.spread(in, x.x(), t.x, g*t.c, t.c, t.top*t.pitch+t.left, from, to)
				for k, o := range t.offsets {
					gemm(blas.NoTrans, blas.NoTrans, t.m, t.n, t.c, 1, forward.data[(g*count+k)*weights:], t.c, in[o:], stride, beta(k > 0), plain, t.n)
				}
				t.collect(y.x(), plain, t.y, g*t.m, t.m, 0, from, to, false)
			}
		}
	})
	s.forward = func() error {
		sort(forward.data, false)
		run()
		return nil
	}
	var backW, backX func()
	if w.needs {
		backW = t.bindWeights(b, x, w, y, groups, work, room)
	}
	if x.needs {
		back := b.split(groups, work, func(part, lo, hi int) {
			padded, plain, _ := room(part)
			for i := lo; i < hi; i++ {
				from, to := t.span(i)
				for g := range t.conv.group {
					dy, stride := padded[:t.m*t.stride()], t.stride()
					t.spread(dy, t.dy(), t.y, g*t.m, t.m, t.reach, from, to)
					for k, o := range t.offsets {
						gemm(blas.NoTrans, blas.NoTrans, t.c, t.n, t.m, 1, backward.data[(g*count+k)*weights:], t.m, dy[t.reach-o:], stride, beta(k > 0), plain, t.n)
					}
					t.collect(x.root.grad, plain, t.x, g*t.c, t.c, t.top*t.pitch+t.left, from, to, x.add)
				}
			}
		})
		backX = all(func() { sort(backward.data, true) }, back)
	}
	s.backward = all(backW, backX)
}

// bindWeights returns what adds to the gradient of the weights.
func (t *tapConv) bindWeights(b *binding, x, w *operand, y *value, groups, work int, room func(part int) (padded, plain, turned []float32)) func() {
	count, weights := len(t.offsets), t.m*t.c
	sums := b.scratch(b.parts() * w.n)
	return b.chunked(w, groups, work, func(part int, sum []float32, lo, hi int) {
		padded, plain, turned := room(part)
		byTap := sums.data[part*w.n : (part+1)*w.n]
		clear(byTap)
		for i := lo; i < hi; i++ {
			from, to := t.span(i)
			for g := range t.conv.group {
				t.spreadPlain(plain[:t.m*t.n], t.dy(), g*t.m, from, to)
				kernels.Transpose(turned, t.m, plain, t.n, t.m, t.n)
				in, stride := padded[:t.c*t.stride()], t.stride()
				t.spread(in, x.x(), t.x, g*t.c, t.c, t.top*t.pitch+t.left, from, to)
				for k, o := range t.offsets {
					gemm(blas.NoTrans, blas.NoTrans, t.c, t.m, t.n, 1, in[o:], stride, turned, t.m, 1, byTap[(g*count+k)*weights:], t.m)
				}
			}
		}
		for g := range t.conv.group {
			src, dst := byTap[g*weights*count:], sum[g*weights*count:]
			for i := range t.m {
				for c := range t.c {
					for k := range count {
						dst[(i*t.c+c)*count+k] += src[k*weights+c*t.m+i]
					}
				}
			}
		}
	})
}

// spreadPlain copies the gradient of Y of a group of pictures to places without padding behind them.
func (t *tapConv) spreadPlain(dst, dy []float32, first, lo, hi int) {
	clear(dst)
	for i := lo; i < hi; i++ {
		for c := range t.m {
			to := dst[c*t.n+(i-lo)*t.place:]
			from := dy[i*t.y.ns+(first+c)*t.y.cs:]
			for r := range t.y.h {
				copy(to[r*t.pitch:r*t.pitch+t.y.w], from[r*t.y.w:])
			}
		}
	}
}

// beta is the factor with which a product takes what there is.
func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}
