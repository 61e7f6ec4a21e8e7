package grad

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// imageConv is a dense convolution whose output and weights have their channels last. It goes piece by piece: over pictures, or over runs
// of pixels where each pixel is a receptive field. All that a step does with a piece is done while the piece is in the near caches. With
// g the gradient of the sums, which is dY where the activation lets it pass,
//
//	Y         = act(conv(X, W) + bias + Z)
//	dZ       += g,  dbias += sum_p g[p]
//	dW[m, k] += sum_p g[p, m] X[p + k]     outer products with fields, which overlap in the picture with its padding around
//	dX       += conv(g, W turned around)   with strides a convolution for each place that a pixel can have in a stride
type imageConv struct {
	*conv
	merged  bool // every pixel is a field: all pictures are one
	pieces  int
	pixels  int // outputs of a piece; the last one of a merged convolution may have less
	product *kernels.ImageConv
	panels  panels
	phases  []phase
	fh, fw  int  // size of the picture with its padding
	own     bool // that is the picture itself
	room    *buffer
	part    int // elements of room for a part
	sizes   imageRooms
}

// imageRooms are the sizes of what lies in a part's room, in this order.
type imageRooms struct{ scratch, g, fields, dx, line int }

// panels are filters as kernels.ImageConv reads them.
type panels struct {
	n, k int
	data *tensor.Tensor
}

func newPanels(n, k int) panels {
	return panels{n, k, tensor.New(tensor.F32, kernels.Panels(n)*kernels.PanelRows*k)}
}

func (p *panels) weights() kernels.Weights {
	return kernels.Weights{Kind: kernels.KindF32, N: p.n, K: p.k, Data: p.data.Data}
}

// pack takes filters w[n][k].
func (p *panels) pack(w []float32) {
	dst := p.data.F32()
	for at := 0; at < p.n; at += kernels.PanelRows {
		kernels.Transpose(dst[at*p.k:], kernels.PanelRows, w[at*p.k:], p.k, min(kernels.PanelRows, p.n-at), p.k)
	}
}

// phase is the part of dX whose pixels have the same place in a stride: every sh-th row from y on, every sw-th column from x on.
type phase struct {
	y, x, h, w int
	taps       []int              // of W, in the order of the convolution
	conv, tail *kernels.ImageConv // tail is of the last piece of a merged convolution
	panels     panels
}

// pack takes the phase's taps of W[m][count][c] as filters [c][tap][m].
func (p *phase) pack(w []float32, m, count, c int) {
	dst := p.panels.data.F32()
	for first := 0; first < c; first += kernels.PanelRows {
		for _, tap := range p.taps {
			for i := range m {
				copy(dst[i*kernels.PanelRows:], w[(i*count+tap)*c+first:][:min(kernels.PanelRows, c-first)])
			}
			dst = dst[m*kernels.PanelRows:]
		}
	}
}

// pieceElements is about how many elements of X and Y a run of pixels has.
const pieceElements = 1 << 16

// newImageConv returns nil for a convolution of another kind: in groups, with gaps in the lines of its fields, with strides and gaps; and
// where X, channels first, wants a gradient.
func newImageConv(v *conv) *imageConv {
	strided, planes := v.sh > 1 || v.sw > 1, v.x.cs != 1
	if v.group != 1 || !v.last || !v.weightLast || v.dw != 1 || strided && v.dh != 1 || planes && v.in.needs || v.top < 0 || v.left < 0 {
		return nil
	}
	t := &imageConv{conv: v, pieces: v.batch, pixels: v.p}
	t.fh, t.fw = (v.y.h-1)*v.sh+(v.kh-1)*v.dh+1, (v.y.w-1)*v.sw+v.kw
	if v.top == 0 && v.left == 0 && t.fh <= v.x.h && t.fw <= v.x.w && !planes {
		t.fh, t.fw, t.own = v.x.h, v.x.w, true
	}
	g := kernels.Window{H: v.x.h, W: v.x.w, OH: v.y.h, OW: v.y.w, KH: v.kh, KW: v.kw, StrideH: v.sh, StrideW: v.sw,
		DilationH: v.dh, DilationW: 1, PadTop: v.top, PadLeft: v.left}
	if t.merged = t.own && v.k == v.c && !strided && v.p == v.x.h*v.x.w; t.merged {
		all := v.batch * v.p
		g.H, g.OH = v.batch*v.x.h, v.batch*v.y.h
		t.pixels = max(min(pieceElements/(v.c+v.m), (all+chunks-1)/chunks), 1)
		t.pieces = (all + t.pixels - 1) / t.pixels
	}
	t.panels = newPanels(v.m, v.k)
	t.product = kernels.NewImageConv(&g, v.c, t.panels.weights(), nil, v.act, planes)
	switch {
	case !v.in.needs:
	case t.merged:
		t.addPhase(&kernels.Window{H: t.pixels, W: 1, OH: t.pixels, OW: 1}, 0, 0)
		rest := v.batch*v.p - (t.pieces-1)*t.pixels
		t.phases[0].tail = t.phases[0].newConv(t, &kernels.Window{H: rest, W: 1, OH: rest, OW: 1, KH: 1, KW: 1})
	default:
		for y := range v.sh {
			for x := range v.sw {
				t.addPhase(&g, y, x)
			}
		}
	}
	return t
}

// backTaps says how the pixels of X along an axis of n that are read by taps r, r+stride ... of kernel get their gradient: those from first
// on, count of them, are a convolution of g with the taps in reverse and so much padding before.
func backTaps(n, kernel, stride, dilation, pad, r int) (first, count, taps, before int) {
	first = ((r-pad)%stride + stride) % stride
	count = max((n-first+stride-1)/stride, 0)
	taps = max((kernel-r+stride-1)/stride, 0)
	return first, count, taps, (taps-1)*dilation - (first+pad-r)/stride
}

// addPhase adds the phase of the pixels that taps read whose row is y and whose column is x in a stride.
func (t *imageConv) addPhase(g *kernels.Window, y, x int) {
	p := phase{}
	var kh, kw, top, left int
	p.y, p.h, kh, top = backTaps(g.H, t.kh, t.sh, t.dh, t.top, y)
	p.x, p.w, kw, left = backTaps(g.W, t.kw, t.sw, 1, t.left, x)
	if p.h == 0 || p.w == 0 {
		return
	}
	if kh > 0 && kw > 0 {
		for i := kh - 1; i >= 0; i-- {
			for j := kw - 1; j >= 0; j-- {
				p.taps = append(p.taps, (y+i*t.sh)*t.kw+x+j*t.sw)
			}
		}
		p.panels = newPanels(t.c, len(p.taps)*t.m)
		p.conv = p.newConv(t, &kernels.Window{H: g.OH, W: g.OW, OH: p.h, OW: p.w, KH: kh, KW: kw, PadTop: top, PadLeft: left})
	}
	t.phases = append(t.phases, p)
}

// newConv returns a convolution of g with the phase's filters.
func (p *phase) newConv(t *imageConv, g *kernels.Window) *kernels.ImageConv {
	g.StrideH, g.StrideW, g.DilationH, g.DilationW = 1, 1, t.dh, 1
	return kernels.NewImageConv(g, t.m, p.panels.weights(), nil, kernels.Activation{}, false)
}

// bind binds the convolution: pieces in parallel, the gradients of W and the bias as shares of a fixed number of them.
func (t *imageConv) bind(b *binding, s *step) {
	lines := func(n int) int { return (n + lineFloats - 1) / lineFloats * lineFloats }
	scratch := max(t.product.ScratchBytes(), kernels.OuterScratchBytes(t.m, t.kw*t.c, t.outerRows()))
	most := 0
	for _, p := range t.phases {
		most = max(most, p.h*p.w*t.c)
		if p.conv != nil {
			scratch = max(scratch, p.conv.ScratchBytes())
		}
	}
	if t.merged {
		most = t.pixels * t.c
	}
	t.sizes = imageRooms{scratch: lines((scratch + 3) / 4), dx: lines(most), line: lines(t.y.w * t.m)}
	if t.act.Kind != kernels.ActNone {
		t.sizes.g = lines(t.pixels * t.m)
	}
	if !t.own {
		t.sizes.fields = lines(t.fh * t.fw * t.c)
	}
	t.part = t.sizes.scratch + t.sizes.g + t.sizes.fields + t.sizes.dx + t.sizes.line
	t.room = b.room(b.parts() * t.part)
	work := t.pixels * t.m * t.k / 8
	product := b.split(t.pieces, work, t.forward)
	s.forward = func() error {
		t.panels.pack(t.weights.x())
		if t.bias != nil {
			t.product.SetBias(t.bias.x())
		}
		product()
		return nil
	}
	back := b.shares([]*operand{t.weights, t.bias}, t.pieces, 2*work, func(part int, sums [][]float32, lo, hi int) {
		for i := lo; i < hi; i++ {
			t.backward(part, i, sums[0], sums[1])
		}
	})
	s.backward = func() {
		for i := range t.phases {
			if p := &t.phases[i]; p.conv != nil {
				p.pack(t.weights.x(), t.m, t.kh*t.kw, t.c)
			}
		}
		back()
	}
}

// outerRows is the number of rows of a segment of outer products.
func (t *imageConv) outerRows() int {
	if t.merged {
		return t.pixels
	}
	return t.conv.y.w
}

// scratch returns a part's room for kernels.
func (t *imageConv) scratch(part int) []byte { return t.room.bytes[4*part*t.part:][:4*t.sizes.scratch] }

// span returns the pixels of a merged convolution's piece.
func (t *imageConv) span(piece int) (lo, hi int) {
	return piece * t.pixels, min((piece+1)*t.pixels, t.batch*t.p)
}

// forward computes pieces [lo, hi) of Y.
func (t *imageConv) forward(part, lo, hi int) {
	x, y, room := t.in.x(), t.out.x(), t.scratch(part)
	var z []float32
	if t.z != nil {
		z = t.z.x()
	}
	panels := t.product.Panels()
	for i := lo; i < hi; i++ {
		if t.merged {
			from, to := t.span(i)
			t.product.Run(y, x, z, from, to, 0, panels, room)
			continue
		}
		out, of := i*t.y.ns, z
		if z != nil {
			of = z[out : out+t.y.ns]
		}
		t.product.Run(y[out:out+t.y.ns], x[i*t.x.ns:(i+1)*t.x.ns], of, 0, t.product.Units(), 0, panels, room)
	}
}

// backward gives a piece's gradients; those of W and the bias are added to sums, which are nil where they are not wanted.
func (t *imageConv) backward(part, piece int, dw, dbias []float32) {
	room := t.room.data[part*t.part : (part+1)*t.part][t.sizes.scratch:]
	take := func(n int) []float32 {
		r := room[:n]
		room = room[n:]
		return r
	}
	roomG, fields, dx, line := take(t.sizes.g), take(t.sizes.fields), take(t.sizes.dx), take(t.sizes.line)
	lo, hi := piece*t.p, (piece+1)*t.p
	if t.merged {
		lo, hi = t.span(piece)
	}
	first, end := lo*t.m, hi*t.m
	g := t.out.dy()[first:end]
	if t.act.Kind != kernels.ActNone {
		g = roomG[:end-first]
		t.pass(g, t.out.dy()[first:end], t.out.x()[first:end])
	}
	if t.z != nil && t.z.needs {
		t.z.give(g, first)
	}
	if dbias != nil {
		addPixels(dbias, g, line[:min(t.y.w*t.m, len(g))])
	}
	if dw != nil {
		x := t.in.x()
		if t.merged {
			x = x[lo*t.c : hi*t.c]
		} else if x = x[piece*t.x.ns : (piece+1)*t.x.ns]; !t.own {
			t.pad(fields, x)
			x = fields
		}
		t.addOuter(dw, g, x, hi-lo, t.scratch(part))
	}
	if !t.in.needs {
		return
	}
	if t.merged {
		t.addMerged(dx, g, lo, hi, t.scratch(part))
		return
	}
	for i := range t.phases {
		t.addInput(&t.phases[i], dx, g, piece, t.scratch(part))
	}
}

// addOuter adds the outer products of a piece's gradients and fields to dW.
func (t *imageConv) addOuter(dw, g, fields []float32, pixels int, scratch []byte) {
	o := kernels.Outer{M: t.m, N: t.kw * t.c, K: t.y.w, Segments: t.y.h, A: g, LDA: t.m, SegmentA: t.y.w * t.m,
		LDB: t.sw * t.c, SegmentB: t.sh * t.fw * t.c, LDC: t.k}
	if t.merged {
		o.K, o.Segments = pixels, 1
	}
	for ky := range t.kh {
		o.B, o.C = fields[ky*t.dh*t.fw*t.c:], dw[ky*t.kw*t.c:]
		o.Run(scratch)
	}
}

// addMerged adds to the gradient of pixels [lo, hi) of X.
func (t *imageConv) addMerged(room, g []float32, lo, hi int, scratch []byte) {
	conv := t.phases[0].conv
	if hi-lo < t.pixels {
		conv = t.phases[0].tail
	}
	dx := t.in.root.grad[lo*t.c : hi*t.c]
	out := dx
	if t.in.add {
		out = room[:len(dx)]
	}
	conv.Run(out, g, nil, 0, hi-lo, 0, conv.Panels(), scratch)
	if t.in.add {
		kernels.Add(dx, dx, out)
	}
}

// addInput adds a phase of a picture to the gradient of X.
func (t *imageConv) addInput(p *phase, room, g []float32, picture int, scratch []byte) {
	dx := t.in.root.grad[picture*t.x.ns : (picture+1)*t.x.ns]
	whole := len(t.phases) == 1 && p.h == t.x.h && p.w == t.x.w
	out := dx
	if !whole || t.in.add {
		out = room[:p.h*p.w*t.c]
	}
	if p.conv != nil {
		p.conv.Run(out, g, nil, 0, p.conv.Units(), 0, p.conv.Panels(), scratch)
	} else {
		clear(out)
	}
	switch {
	case !whole:
		for y := range p.h {
			for x := range p.w {
				at := ((p.y+y*t.sh)*t.x.w + p.x + x*t.sw) * t.c
				t.in.give(out[(y*p.w+x)*t.c:][:t.c], picture*t.x.ns+at)
			}
		}
	case t.in.add:
		kernels.Add(dx, dx, out)
	}
}

// pad copies a picture of X with its padding; what lies behind the last field is left out.
func (t *imageConv) pad(dst, x []float32) {
	lo, hi := t.left, min(t.left+t.x.w, t.fw) // columns of the picture
	for y := range t.fh {
		line := dst[y*t.fw*t.c : (y+1)*t.fw*t.c]
		from := y - t.top
		if from < 0 || from >= t.x.h || lo >= hi {
			clear(line)
			continue
		}
		clear(line[:lo*t.c])
		clear(line[hi*t.c:])
		if line = line[lo*t.c : hi*t.c]; t.x.cs == 1 {
			copy(line, x[from*t.x.hs:])
		} else {
			kernels.Transpose(line, t.c, x[from*t.x.hs:], t.x.cs, t.c, hi-lo)
		}
	}
}

// addPixels adds the pixels of g to sum, by way of a line of them.
func addPixels(sum, g, line []float32) {
	n := len(g) / len(line) * len(line)
	copy(line, g)
	for at := len(line); at < n; at += len(line) {
		kernels.Add(line, line, g[at:])
	}
	for at := 0; at < len(line); at += len(sum) {
		kernels.Add(sum, sum, line[at:])
	}
	for at := n; at < len(g); at += len(sum) {
		kernels.Add(sum, sum, g[at:])
	}
}
