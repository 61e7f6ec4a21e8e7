package grad

import (
	"gonum.org/v1/gonum/blas"

	"github.com/dsk-toolkit/dsk/kernels"
)

// lastTaps is tapConv for pictures with their channels last: rows are [place, channel], and the weights [m, tap, c] are read and
// their gradient is written where they lie.
//
//	Y[p, m]    = sum_t X[p + o_t, c] W_t^T
//	dX[p, c]   = sum_t dY[p - o_t, m] W_t
//	dW_t[m, c] = sum_p dY^T[m, p] X[p + o_t, c]
type lastTaps struct{ *tapConv }

// spread copies pictures [lo, hi) to padded places, of which they begin at begin.
func (t lastTaps) spread(dst, src []float32, m image, begin, lo, hi int) {
	clear(dst)
	for i := lo; i < hi; i++ {
		to, from := dst[(begin+(i-lo)*t.place)*m.c:], src[i*m.ns:(i+1)*m.ns]
		for y := range m.h {
			copy(to[y*t.pitch*m.c:], from[y*m.hs:(y+1)*m.hs])
		}
	}
}

// collect is the way back: add says whether dst holds a share.
func (t lastTaps) collect(dst, src []float32, m image, begin, lo, hi int, add bool) {
	for i := lo; i < hi; i++ {
		from, to := src[(begin+(i-lo)*t.place)*m.c:], dst[i*m.ns:(i+1)*m.ns]
		for y := range m.h {
			row, have := to[y*m.hs:(y+1)*m.hs], from[y*t.pitch*m.c:]
			if add {
				kernels.Add(row, row, have)
			} else {
				copy(row, have)
			}
		}
	}
}

// bind binds the products as tapConv.bind does.
func (t lastTaps) bind(b *binding, s *step) {
	x, w, y := b.in[0], b.in[1], b.out[0]
	ct, mt, count := t.x.c, t.y.c, len(t.offsets)
	groups := (t.batch + t.group - 1) / t.group
	work := t.conv.group * t.m * t.c * count * t.n / 8
	most := max(ct, mt)
	size := most*t.stride() + most*t.n + t.m*t.n
	rooms := b.scratch(b.parts() * size)
	room := func(part int) (padded, plain, turned []float32) {
		r := rooms.data[part*size : (part+1)*size]
		return r[:most*t.stride()], r[most*t.stride() : most*(t.stride()+t.n)], r[most*(t.stride()+t.n):]
	}
	begin := t.top*t.pitch + t.left
	// weights returns those of a group's tap, whose rows are count*c apart.
	weights := func(of []float32, g, k int) []float32 { return of[g*t.m*count*t.c+k*t.c : (g+1)*t.m*count*t.c] }
	s.forward = run(b.split(groups, work, func(part, lo, hi int) {
		padded, plain, _ := room(part)
		in := padded[:t.stride()*ct]
		for i := lo; i < hi; i++ {
			from, to := t.span(i)
			t.spread(in, x.x(), t.x, begin, from, to)
			for g := range t.conv.group {
				for k, o := range t.offsets {
					gemm(blas.NoTrans, blas.Trans, t.n, t.m, t.c, 1, in[o*ct+g*t.c:], ct, weights(w.x(), g, k), count*t.c, beta(k > 0), plain[g*t.m:], mt)
				}
			}
			t.collect(y.x(), plain, t.y, 0, from, to, false)
		}
	}))
	var backW, backX func()
	if w.needs {
		backW = b.chunked(w, groups, work, func(part int, sum []float32, lo, hi int) {
			padded, plain, turned := room(part)
			in, dy := padded[:t.stride()*ct], plain[:t.n*mt]
			for i := lo; i < hi; i++ {
				from, to := t.span(i)
				t.spread(in, x.x(), t.x, begin, from, to)
				t.spread(dy, t.dy(), t.y, 0, from, to)
				for g := range t.conv.group {
					kernels.Transpose(turned, t.n, dy[g*t.m:], mt, t.n, t.m)
					for k, o := range t.offsets {
						gemm(blas.NoTrans, blas.NoTrans, t.m, t.c, t.n, 1, turned, t.n, in[o*ct+g*t.c:], ct, 1, weights(sum, g, k), count*t.c)
					}
				}
			}
		})
	}
	if x.needs {
		backX = b.split(groups, work, func(part, lo, hi int) {
			padded, plain, _ := room(part)
			dy := padded[:t.stride()*mt]
			for i := lo; i < hi; i++ {
				from, to := t.span(i)
				t.spread(dy, t.dy(), t.y, t.reach, from, to)
				for g := range t.conv.group {
					for k, o := range t.offsets {
						gemm(blas.NoTrans, blas.NoTrans, t.n, t.c, t.m, 1, dy[(t.reach-o)*mt+g*t.m:], mt, weights(w.x(), g, k), count*t.c, beta(k > 0), plain[g*t.c:], ct)
					}
				}
				t.collect(x.root.grad, plain, t.x, begin, from, to, x.add)
			}
		})
	}
	s.backward = all(backW, backX)
}
