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
	frame   frame
	merged  bool // every pixel is a field: all pictures are one
	wide    bool // shares of dW would be larger than X and Y: its rows are computed apart, each from all pixels
	pieces  int
	pixels  int // outputs of a piece; the last one of a merged convolution may have less
	product *kernels.ImageConv
	panels  panels
	back    []imagePhase
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

// imagePhase is a phase with what computes it; tail is for the last piece of a merged convolution.
type imagePhase struct {
	phase
	conv, tail *kernels.ImageConv
	panels     panels
}

// pack takes the phase's taps of W[m][count][c] as filters [c][tap][m].
func (p *imagePhase) pack(w []float32, m, count, c int) {
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
	planes, phases := v.x.cs != 1, v.phases()
	if v.group != 1 || !v.last || !v.weightLast || v.dw != 1 || phases == nil || planes && v.in.needs {
		return nil
	}
	t := &imageConv{conv: v, frame: newFrame(v), pieces: v.batch, pixels: v.p}
	g := v.window()
	if t.merged = t.frame.own && v.k == v.c && v.sh == 1 && v.sw == 1 && v.p == v.x.h*v.x.w; t.merged {
		all := v.batch * v.p
		g.H, g.OH = v.batch*v.x.h, v.batch*v.y.h
		t.pixels = max(min(pieceElements/(v.c+v.m), (all+chunks-1)/chunks), 1)
		t.pieces = (all + t.pixels - 1) / t.pixels
		t.wide = v.weights.n*chunks > all*(v.c+v.m)
	}
	t.panels = newPanels(v.m, v.k)
	t.product = kernels.NewImageConv(&g, v.c, t.panels.weights(), nil, v.act, planes)
	if v.in.needs {
		for _, p := range phases {
			t.addBack(p)
		}
	}
	return t
}

// addBack binds a phase.
func (t *imageConv) addBack(p phase) {
	b := imagePhase{phase: p}
	if len(p.taps) > 0 {
		b.panels = newPanels(t.c, len(p.taps)*t.m)
		bind := func(g kernels.Window) *kernels.ImageConv {
			return kernels.NewImageConv(&g, t.m, b.panels.weights(), nil, kernels.Activation{}, false)
		}
		if t.merged {
			run := func(pixels int) kernels.Window {
				return kernels.Window{H: pixels, W: 1, OH: pixels, OW: 1, KH: 1, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
			}
			b.tail = bind(run(t.batch*t.p - (t.pieces-1)*t.pixels))
			p.window = run(t.pixels)
		}
		b.conv = bind(p.window)
	}
	t.back = append(t.back, b)
}

// bind binds the convolution: pieces in parallel, the gradients of W and the bias as shares of a fixed number of them.
func (t *imageConv) bind(b *binding, s *step) {
	rows := t.conv.y.w
	if t.merged {
		rows = t.batch * t.p
	}
	scratch := max(t.product.ScratchBytes(), kernels.OuterScratchBytes(t.m, t.kw*t.c, rows))
	most := 0
	for _, p := range t.back {
		most = max(most, p.h*p.w*t.c)
		if p.conv != nil {
			scratch = max(scratch, p.conv.ScratchBytes())
		}
	}
	if t.merged {
		most = t.pixels * t.c
	}
	t.sizes = imageRooms{scratch: lines((scratch + 3) / 4), fields: lines(t.frame.elements()), dx: lines(most), line: lines(t.y.w * t.m)}
	switch {
	case t.act.Kind == kernels.ActNone:
	case t.wide:
		t.sums = b.scratch(t.out.n)
	default:
		t.sizes.g = lines(t.pixels * t.m)
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
	shared := []*operand{t.weights, t.bias}
	var apart func()
	if t.wide && t.weights.needs {
		shared[0] = nil
		apart = b.split((t.m+outerRows-1)/outerRows, outerRows*t.c*t.batch*t.p/8, t.addRows)
	}
	back := b.shares(shared, t.pieces, 2*work, func(part int, sums [][]float32, lo, hi int) {
		for i := lo; i < hi; i++ {
			t.backward(part, i, sums[0], sums[1])
		}
	})
	s.backward = func() {
		for i := range t.back {
			if p := &t.back[i]; p.conv != nil {
				p.pack(t.weights.x(), t.m, t.kh*t.kw, t.c)
			}
		}
		back()
		if apart != nil {
			apart()
		}
	}
}

// outerRows is how many rows of dW are computed together.
const outerRows = 48

// addRows adds to runs [lo, hi) of outerRows rows of dW.
func (t *imageConv) addRows(part, lo, hi int) {
	lo, hi = lo*outerRows, min(hi*outerRows, t.m)
	o := kernels.Outer{M: hi - lo, N: t.c, K: t.batch * t.p, Segments: 1, A: t.dy()[lo:], LDA: t.m, B: t.in.x(), LDB: t.c,
		C: t.weights.sink(lo*t.c, hi*t.c), LDC: t.c}
	o.Run(t.scratch(part))
}

// scratch returns a part's room for kernels.
func (t *imageConv) scratch(part int) []byte { return t.room.bytes[4*part*t.part:][:4*t.sizes.scratch] }

// span returns the pixels of a piece.
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
	room := rooms{t.room.data[part*t.part : (part+1)*t.part][t.sizes.scratch:]}
	roomG, fields, dx, line := room.take(t.sizes.g), room.take(t.sizes.fields), room.take(t.sizes.dx), room.take(t.sizes.line)
	lo, hi := t.span(piece)
	first, end := lo*t.m, hi*t.m
	g := t.out.dy()[first:end]
	if t.act.Kind != kernels.ActNone {
		if g = roomG; t.wide {
			g = t.sums.data[first:end]
		}
		g = g[:end-first]
		t.pass(g, t.out.dy()[first:end], t.out.x()[first:end])
	}
	if t.z != nil && t.z.needs {
		t.z.give(g, first)
	}
	if dbias != nil {
		addPixels(dbias, g, line[:min(t.y.w*t.m, len(g))])
	}
	if dw != nil {
		var x []float32
		if t.merged {
			x = t.in.x()[lo*t.c : hi*t.c]
		} else {
			x = t.frame.fields(fields, t.in.x()[piece*t.x.ns:(piece+1)*t.x.ns])
		}
		t.addOuter(dw, g, x, hi-lo, t.scratch(part))
	}
	for i := range t.back {
		p := &t.back[i]
		switch {
		case t.merged:
			t.addMerged(p, dx, g, lo, hi, t.scratch(part))
		default:
			t.addPhase(&p.phase, dx, piece, func(dst []float32) {
				if p.conv == nil {
					clear(dst)
					return
				}
				p.conv.Run(dst, g, nil, 0, p.conv.Units(), 0, p.conv.Panels(), t.scratch(part))
			})
		}
	}
}

// addOuter adds the outer products of a piece's gradients and fields to dW.
func (t *imageConv) addOuter(dw, g, fields []float32, pixels int, scratch []byte) {
	line := t.frame.w * t.c
	o := kernels.Outer{M: t.m, N: t.kw * t.c, K: t.y.w, Segments: t.y.h, A: g, LDA: t.m, SegmentA: t.y.w * t.m,
		LDB: t.sw * t.c, SegmentB: t.sh * line, LDC: t.k}
	if t.merged {
		o.K, o.Segments = pixels, 1
	}
	for ky := range t.kh {
		o.B, o.C = fields[ky*t.dh*line:], dw[ky*t.kw*t.c:]
		o.Run(scratch)
	}
}

// addMerged adds to the gradient of pixels [lo, hi) of X.
func (t *imageConv) addMerged(p *imagePhase, room, g []float32, lo, hi int, scratch []byte) {
	conv := p.conv
	if hi-lo < t.pixels {
		conv = p.tail
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
