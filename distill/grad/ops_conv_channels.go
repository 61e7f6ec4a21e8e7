package grad

import "github.com/dsk-toolkit/dsk/kernels"

// channelConv is a depthwise convolution of pictures with their channels last, one filter for each channel. It goes picture by picture, as
// imageConv does; the gradient of its weights is
//
//	dW[c, k] += sum_p g[p, c] X[p + k, c]
type channelConv struct {
	*conv
	frame   frame
	turned  []float32 // W[tap][c]
	product *kernels.ChannelConv
	back    []channelPhase
	room    *buffer
	part    int // elements of room for a part
	sizes   channelRooms
}

// channelRooms are the sizes of what lies in a part's room, in this order.
type channelRooms struct{ g, fields, dx, line, sums int }

// channelPhase is a phase with what computes it.
type channelPhase struct {
	phase
	conv    *kernels.ChannelConv
	filters []float32 // [tap][c]
}

// newChannelConv returns nil for a convolution of another kind: with groups of several channels, with channels first, with strides and gaps.
func newChannelConv(v *conv) *channelConv {
	phases := v.phases()
	if v.c != 1 || v.m != 1 || !v.last || !v.weightLast || v.x.cs != 1 || phases == nil {
		return nil
	}
	n := v.x.c
	t := &channelConv{conv: v, frame: newFrame(v), turned: make([]float32, v.k*n)}
	g, act := v.window(), v.act
	if v.z != nil {
		act = kernels.Activation{}
	}
	t.product = kernels.NewChannelConv(&g, n, t.turned, nil, act)
	if !v.in.needs {
		return t
	}
	for _, p := range phases {
		b := channelPhase{phase: p}
		if len(p.taps) > 0 {
			b.filters = make([]float32, len(p.taps)*n)
			b.conv = kernels.NewChannelConv(&p.window, n, b.filters, nil, kernels.Activation{})
		}
		t.back = append(t.back, b)
	}
	return t
}

// bind binds the convolution: pictures in parallel, the gradients of W and the bias as shares of a fixed number of them.
func (t *channelConv) bind(b *binding, s *step) {
	n, most := t.x.c, 0
	for _, p := range t.back {
		most = max(most, p.h*p.w*n)
	}
	t.sizes = channelRooms{fields: lines(t.frame.elements()), dx: lines(most), line: lines(t.y.w * n), sums: lines(t.k * n)}
	if t.act.Kind != kernels.ActNone {
		t.sizes.g = lines(t.y.ns)
	}
	t.part = t.sizes.g + t.sizes.fields + t.sizes.dx + t.sizes.line + t.sizes.sums
	t.room = b.room(b.parts() * t.part)
	work := t.y.ns * t.k / 4
	product := b.split(t.batch, work, t.forward)
	s.forward = func() error {
		t.turn()
		if t.bias != nil {
			t.product.SetBias(t.bias.x())
		}
		product()
		return nil
	}
	back := b.shares([]*operand{t.weights, t.bias}, t.batch, 2*work, t.backward)
	s.backward = func() {
		for _, p := range t.back {
			for i, tap := range p.taps {
				copy(p.filters[i*n:(i+1)*n], t.turned[tap*n:])
			}
		}
		back()
	}
}

// turn brings the weights in the order that kernels read.
func (t *channelConv) turn() {
	kernels.Transpose(t.turned, t.x.c, t.weights.x(), t.k, t.x.c, t.k)
}

// forward computes pictures [lo, hi) of Y.
func (t *channelConv) forward(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		dst := t.out.x()[i*t.y.ns : (i+1)*t.y.ns]
		t.product.Run(dst, t.in.x()[i*t.x.ns:(i+1)*t.x.ns], 0, t.y.h)
		if t.z != nil {
			kernels.Add(dst, dst, t.z.x()[i*t.y.ns:])
			kernels.Activate(dst, dst, t.act)
		}
	}
}

// backward gives the gradients of pictures [lo, hi); those of W and the bias are added to sums, which are nil where they are not wanted.
func (t *channelConv) backward(part int, sums [][]float32, lo, hi int) {
	room := rooms{t.room.data[part*t.part : (part+1)*t.part]}
	roomG, fields, dx := room.take(t.sizes.g), room.take(t.sizes.fields), room.take(t.sizes.dx)
	line, dw := room.take(t.sizes.line), room.take(t.sizes.sums)[:t.k*t.x.c]
	clear(dw)
	for i := lo; i < hi; i++ {
		first, end := i*t.y.ns, (i+1)*t.y.ns
		g := t.out.dy()[first:end]
		if t.act.Kind != kernels.ActNone {
			g = roomG[:t.y.ns]
			t.pass(g, t.out.dy()[first:end], t.out.x()[first:end])
		}
		if t.z != nil && t.z.needs {
			t.z.give(g, first)
		}
		if sums[1] != nil {
			addPixels(sums[1], g, line[:t.y.w*t.y.c])
		}
		if sums[0] != nil {
			t.addSums(dw, g, t.frame.fields(fields, t.in.x()[i*t.x.ns:(i+1)*t.x.ns]), line)
		}
		for j := range t.back {
			p := &t.back[j]
			t.addPhase(&p.phase, dx, i, func(dst []float32) {
				if p.conv == nil {
					clear(dst)
					return
				}
				p.conv.Run(dst, g, 0, p.h)
			})
		}
	}
	if sums[0] != nil {
		kernels.Transpose(sums[0], t.k, dw, t.x.c, t.k, t.x.c)
	}
}

// addSums adds the products of a picture's gradients and fields to dw[tap][c].
func (t *channelConv) addSums(dw, g, fields, room []float32) {
	n := t.x.c
	row := t.frame.w * n
	o := kernels.ChannelOuter{N: n, Taps: t.kw, K: t.y.w, Segments: t.y.h, A: g, LDA: n, SegmentA: t.y.w * n,
		LDB: t.sw * n, Tap: t.dw * n, SegmentB: t.sh * row}
	for ky := range t.kh {
		o.B, o.C = fields[ky*t.dh*row:], dw[ky*t.kw*n:]
		o.Run(room)
	}
}
