package grad

import (
	"gonum.org/v1/gonum/blas"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

var (
	_ = register("", map[string]binder{"Conv": bindConv})
	_ = register(model.DomainDsk, map[string]binder{"Conv": bindConv})
)

// image says how an operand of [batch, channels, h, w] lies: with the channels before the spatial axes, or last.
type image struct {
	c, h, w        int
	cs, hs, ws, ns int // strides of channel, row, column and picture
}

// newImage reads a shape of one or two spatial axes.
func newImage(shape []int, last bool) (image, bool) {
	if len(shape) != 3 && len(shape) != 4 {
		return image{}, false
	}
	var m image
	if s := shape[1:]; last {
		m.c, m.h, m.w = s[len(s)-1], 1, s[len(s)-2]
		if len(s) == 3 {
			m.h = s[0]
		}
		m.cs, m.ws = 1, m.c
		m.hs = m.w * m.ws
	} else {
		m.c, m.h, m.w = s[0], 1, s[len(s)-1]
		if len(s) == 3 {
			m.h = s[1]
		}
		m.ws, m.hs = 1, m.w
		m.cs = m.h * m.w
	}
	m.ns = m.c * m.h * m.w
	return m, true
}

// plane is a window over one or two spatial axes, as two.
type plane struct{ kh, kw, sh, sw, dh, dw, top, left int }

// newPlane reads a node's window.
func newPlane(n *model.Node, x image, spatial int, kernel []int) (plane, error) {
	in := []model.Dim{model.Known(x.h), model.Known(x.w)}[2-spatial:]
	var dims []model.Dim
	if kernel != nil {
		dims = model.Dims(kernel...)
	}
	w, err := model.WindowOf(n, in, dims)
	if err != nil {
		return plane{}, err
	}
	p := plane{kh: 1, sh: 1, dh: 1}
	i := spatial - 1
	p.kw, p.sw, p.dw, p.left = w.Kernel[i], w.Stride[i], w.Dilation[i], w.Before[i]
	if spatial == 2 {
		p.kh, p.sh, p.dh, p.top = w.Kernel[0], w.Stride[0], w.Dilation[0], w.Before[0]
	}
	return p, nil
}

// valid returns the outputs [lo, hi) of n along an axis whose tap, at an offset before padding, lies inside of in elements.
func valid(n, in, stride, offset int) (lo, hi int) {
	if offset < 0 {
		lo = (-offset + stride - 1) / stride
	}
	hi = 0
	if last := in - 1 - offset; last >= 0 {
		hi = min(n, last/stride+1)
	}
	return min(lo, hi), hi
}

// conv is a convolution in groups, as products of matrices with the columns of receptive fields (Chellapilla et al. 2006).
// With channels first the columns are [k, pixels] and Y_i = W columns; with channels last they are [pixels, k] and
// Y_i = columns W^T. The k elements of a field lie in the order that the weights have.
type conv struct {
	plane
	x, y       image
	batch      int
	group      int
	m, c, k, p int  // per group: output and input channels, elements of a field; pixels of the output
	last       bool // Y has its channels last
	weightLast bool // the weights have

	in, weights, bias, z *operand // bias and z may be nil
	out                  *value
	act                  kernels.Activation
	sums                 *buffer // the gradient of what the activation reads, if that is not the output's
}

func bindConv(b *binding, s *step) error {
	if err := b.floats(0, 1, 2, 3); err != nil {
		return err
	}
	v := &conv{group: int(b.node.Int("group", 1)), batch: b.in[0].shape[0], in: b.in[0], weights: b.in[1], out: b.out[0]}
	if b.has(2) {
		v.bias = b.in[2]
	}
	var xLast bool
	if b.node.Domain == model.DomainDsk {
		var err error
		if xLast, v.last, err = model.ChannelsLast(b.node); err != nil {
			return err
		}
		v.weightLast = true
		v.act, _ = keptActivation(b.node)
		if b.has(3) {
			v.z = b.in[3]
		}
	}
	var okX, okY bool
	v.x, okX = newImage(b.in[0].shape, xLast)
	v.y, okY = newImage(b.out[0].shape, v.last)
	if !okX || !okY {
		return unsupported("other than one or two spatial axes")
	}
	shape := b.in[1].shape
	kernel := shape[2:]
	if v.weightLast {
		kernel = shape[1 : len(shape)-1]
	}
	var err error
	if v.plane, err = newPlane(b.node, v.x, len(shape)-2, kernel); err != nil {
		return err
	}
	v.m, v.c = v.y.c/v.group, v.x.c/v.group
	v.k, v.p = v.c*v.kh*v.kw, v.y.h*v.y.w
	if t := newImageConv(v); t != nil {
		t.bind(b, s)
		return nil
	}
	if t := newChannelConv(v); t != nil {
		t.bind(b, s)
		return nil
	}
	if v.act.Kind != kernels.ActNone && v.anyGradient() {
		v.sums = b.scratch(v.out.n)
	}
	switch t := newTapConv(v); {
	case v.c == 1 && v.m == 1:
		v.bindDepthwise(b, s)
	case t != nil:
		t.bind(b, s)
	default:
		v.bindColumns(b, s)
	}
	v.bindFinish(b, s)
	return nil
}

// tap returns the strides along a field's order: element (c, ky, kx) is number c*cs + ky*hs + kx*ws.
func (v *conv) tap() (cs, hs, ws int) {
	if v.weightLast {
		return 1, v.kw * v.c, v.c
	}
	return v.kh * v.kw, v.kw, 1
}

// fields calls f for each row of an output and each element of a field: the pixels [lo, hi) of output row oy read, with tap
// number k, the input from x[at] on in steps of step.
func (v *conv) fields(group int, f func(k, oy, lo, hi, at, step int)) {
	cs, hs, ws := v.tap()
	for c := range v.c {
		for ky := range v.kh {
			oyLo, oyHi := valid(v.y.h, v.x.h, v.sh, ky*v.dh-v.top)
			for kx := range v.kw {
				lo, hi := valid(v.y.w, v.x.w, v.sw, kx*v.dw-v.left)
				if lo >= hi {
					continue
				}
				k := c*cs + ky*hs + kx*ws
				base := (group*v.c+c)*v.x.cs + (lo*v.sw+kx*v.dw-v.left)*v.x.ws
				for oy := oyLo; oy < oyHi; oy++ {
					f(k, oy, lo, hi, base+(oy*v.sh+ky*v.dh-v.top)*v.x.hs, v.sw*v.x.ws)
				}
			}
		}
	}
}

// place returns the strides of a column matrix: of a tap and of a pixel.
func (v *conv) place() (tap, pixel int) {
	if v.last {
		return 1, v.k
	}
	return v.p, 1
}

// gather writes the columns of a group of a picture.
func (v *conv) gather(cols, x []float32, group int) {
	if v.padded() {
		clear(cols)
	}
	if v.channelRuns() {
		v.runs(group, func(k, pixel, at int) { copy(cols[pixel*v.k+k:][:v.c], x[at:]) })
		return
	}
	tap, pixel := v.place()
	v.fields(group, func(k, oy, lo, hi, at, step int) {
		to := k*tap + (oy*v.y.w+lo)*pixel
		if step == 1 && pixel == 1 {
			copy(cols[to:to+hi-lo], x[at:])
			return
		}
		for range hi - lo {
			cols[to] = x[at]
			to, at = to+pixel, at+step
		}
	})
}

// scatter adds columns to the picture that gather read them from.
func (v *conv) scatter(x, cols []float32, group int) {
	if v.channelRuns() {
		v.runs(group, func(k, pixel, at int) {
			dst := x[at : at+v.c]
			kernels.Add(dst, dst, cols[pixel*v.k+k:])
		})
		return
	}
	tap, pixel := v.place()
	v.fields(group, func(k, oy, lo, hi, at, step int) {
		from := k*tap + (oy*v.y.w+lo)*pixel
		if step == 1 && pixel == 1 {
			dst := x[at : at+hi-lo]
			kernels.Add(dst, dst, cols[from:])
			return
		}
		for range hi - lo {
			x[at] += cols[from]
			from, at = from+pixel, at+step
		}
	})
}

// padded reports whether some field reaches over the picture's edge.
func (v *conv) padded() bool {
	reach := func(out, stride, kernel, dilation, before, in int) bool {
		return before > 0 || (out-1)*stride+(kernel-1)*dilation-before >= in
	}
	return reach(v.y.h, v.sh, v.kh, v.dh, v.top, v.x.h) || reach(v.y.w, v.sw, v.kw, v.dw, v.left, v.x.w)
}

// channelRuns reports whether the channels of a pixel lie side by side in the picture and in the columns.
func (v *conv) channelRuns() bool { return v.x.cs == 1 && v.last && v.weightLast }

// runs calls f for the channels of each pixel of each field: those at x[at] are number k and following of an output pixel.
func (v *conv) runs(group int, f func(k, pixel, at int)) {
	for ky := range v.kh {
		oyLo, oyHi := valid(v.y.h, v.x.h, v.sh, ky*v.dh-v.top)
		for kx := range v.kw {
			lo, hi := valid(v.y.w, v.x.w, v.sw, kx*v.dw-v.left)
			for oy := oyLo; oy < oyHi; oy++ {
				at := group*v.c + (oy*v.sh+ky*v.dh-v.top)*v.x.hs
				for ox := lo; ox < hi; ox++ {
					f((ky*v.kw+kx)*v.c, oy*v.y.w+ox, at+(ox*v.sw+kx*v.dw-v.left)*v.x.ws)
				}
			}
		}
	}
}

// outOf returns the part of a picture of Y that a group makes, and its stride as a matrix.
func (v *conv) outOf(y []float32, picture, group int) ([]float32, int) {
	y = y[picture*v.y.ns : (picture+1)*v.y.ns]
	if v.last {
		return y[group*v.m:], v.y.c
	}
	return y[group*v.m*v.p : (group+1)*v.m*v.p], v.p
}

// bindColumns binds the products: pictures in parallel, the gradient of W as shares of a fixed number of them.
func (v *conv) bindColumns(b *binding, s *step) {
	x, w, y := b.in[0], b.in[1], b.out[0]
	size := v.k * v.p
	columns := b.scratch(b.parts() * size)
	weights := v.m * v.k
	work := v.group * v.m * size / 8
	s.forward = run(b.split(v.batch, work, func(part, lo, hi int) {
		cols := columns.data[part*size : (part+1)*size]
		for i := lo; i < hi; i++ {
			for g := range v.group {
				v.gather(cols, x.x()[i*v.x.ns:(i+1)*v.x.ns], g)
				dst, ld := v.outOf(y.x(), i, g)
				if wg := w.x()[g*weights : (g+1)*weights]; v.last {
					gemm(blas.NoTrans, blas.Trans, v.p, v.m, v.k, 1, cols, v.k, wg, v.k, 0, dst, ld)
				} else {
					gemm(blas.NoTrans, blas.NoTrans, v.m, v.p, v.k, 1, wg, v.k, cols, v.p, 0, dst, ld)
				}
			}
		}
	}))
	var backW, backX func()
	if w.needs {
		backW = b.chunked(w, v.batch, work, func(part int, sum []float32, lo, hi int) {
			cols := columns.data[part*size : (part+1)*size]
			for i := lo; i < hi; i++ {
				for g := range v.group {
					v.gather(cols, x.x()[i*v.x.ns:(i+1)*v.x.ns], g)
					dy, ld := v.outOf(v.dy(), i, g)
					if dw := sum[g*weights : (g+1)*weights]; v.last {
						gemm(blas.Trans, blas.NoTrans, v.m, v.k, v.p, 1, dy, ld, cols, v.k, 1, dw, v.k)
					} else {
						gemm(blas.NoTrans, blas.Trans, v.m, v.k, v.p, 1, dy, ld, cols, v.p, 1, dw, v.k)
					}
				}
			}
		})
	}
	if x.needs {
		turned := b.scratch(w.n) // W^T of each group
		back := b.split(v.batch, work, func(part, lo, hi int) {
			cols := columns.data[part*size : (part+1)*size]
			for i := lo; i < hi; i++ {
				dx := x.sink(i*v.x.ns, (i+1)*v.x.ns)
				for g := range v.group {
					dy, ld := v.outOf(v.dy(), i, g)
					if at := g * weights; v.last {
						gemm(blas.NoTrans, blas.NoTrans, v.p, v.k, v.m, 1, dy, ld, w.x()[at:at+weights], v.k, 0, cols, v.k)
					} else {
						gemm(blas.NoTrans, blas.NoTrans, v.k, v.p, v.m, 1, turned.data[at:at+weights], v.m, dy, ld, 0, cols, v.p)
					}
					v.scatter(dx, cols, g)
				}
			}
		})
		backX = all(func() {
			for g := range v.group {
				at := g * weights
				kernels.Transpose(turned.data[at:], v.m, w.x()[at:], v.k, v.m, v.k)
			}
		}, back)
	}
	s.backward = all(backW, backX)
}

// pixel returns where an output of a channel lies in a picture of Y.
func (v *conv) pixel(channel, oy, ox int) int { return channel*v.y.cs + oy*v.y.hs + ox*v.y.ws }

// bindDepthwise binds a convolution whose groups are single channels, tap by tap.
func (v *conv) bindDepthwise(b *binding, s *step) {
	x, w, y := b.in[0], b.in[1], b.out[0]
	work := v.k * v.p
	s.forward = run(b.split(v.batch, v.group*work, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			src, dst := x.x()[i*v.x.ns:(i+1)*v.x.ns], y.x()[i*v.y.ns:(i+1)*v.y.ns]
			clear(dst)
			for g := range v.group {
				v.fields(g, func(k, oy, lo, hi, at, step int) {
					axpy(hi-lo, w.x()[g*v.k+k], src[at:], step, dst[v.pixel(g, oy, lo):], v.y.ws)
				})
			}
		}
	}))
	var backW, backX func()
	if w.needs {
		backW = b.chunked(w, v.batch, v.group*work, func(_ int, sum []float32, lo, hi int) {
			for i := lo; i < hi; i++ {
				src, dy := x.x()[i*v.x.ns:(i+1)*v.x.ns], v.dy()[i*v.y.ns:(i+1)*v.y.ns]
				for g := range v.group {
					v.fields(g, func(k, oy, lo, hi, at, step int) {
						sum[g*v.k+k] += dot(hi-lo, src[at:], step, dy[v.pixel(g, oy, lo):], v.y.ws)
					})
				}
			}
		})
	}
	if x.needs {
		backX = b.split(v.batch, v.group*work, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				dx, dy := x.sink(i*v.x.ns, (i+1)*v.x.ns), v.dy()[i*v.y.ns:(i+1)*v.y.ns]
				for g := range v.group {
					v.fields(g, func(k, oy, lo, hi, at, step int) {
						axpy(hi-lo, w.x()[g*v.k+k], dy[v.pixel(g, oy, lo):], v.y.ws, dx[at:], step)
					})
				}
			}
		})
	}
	s.backward = all(backW, backX)
}

// axpy is y[i incY] += a x[i incX] for i < n.
func axpy(n int, a float32, x []float32, incX int, y []float32, incY int) {
	if incX == 1 && incY == 1 {
		kernels.Axpy(y[:n], x, a)
		return
	}
	for i := range n {
		y[i*incY] += a * x[i*incX]
	}
}

// dot is sum_i x[i incX] y[i incY] for i < n.
func dot(n int, x []float32, incX int, y []float32, incY int) float32 {
	if incX == 1 && incY == 1 {
		return kernels.Dot(x[:n], y)
	}
	var sum float32
	for i := range n {
		sum += x[i*incX] * y[i*incY]
	}
	return sum
}
