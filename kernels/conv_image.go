package kernels

import (
	"math"
	"unsafe"
)

// ImageConv is a dense convolution of images with their channels last,
//
//	dst[y,x,n] = act(sum_ijc w[n,i,j,c] src[y*StrideH-PadTop+i*DilationH, x*StrideW-PadLeft+j, c] + bias[n] + z[y,x,n])
//
// in float32. Receptive fields are not gathered: neighbours in a line of the image lie at a fixed distance, so that the
// tile kernels read them where they are, window line after window line. Where the window hangs over the sides, or
// the source has its channels first, a band of lines is copied with its padding before.
//
// It is made once and may be used by several goroutines at a time.
type ImageConv struct {
	imageLines
	n        int
	w        Weights
	expander *MatMul   // of filters that are no F32
	bias     []float32 // of whole panels
	act      Activation
	lines    int // output lines of a band
}

// imageBand bounds the bytes of a band of input lines, which should stay in the second cache beside two
// panels of filters.
const imageBand = 512 << 10

// NewImageConv binds filters w, in panels of any kind with rows in (window, channel) order, for images of c channels. Others than F32
// are expanded, two panels at a time, in each band. DilationW must be 1. bias has a value for each filter or is nil. planes says that
// sources are [C][H][W].
func NewImageConv(g *Window, c int, w Weights, bias []float32, act Activation, planes bool) *ImageConv {
	if w.K != g.KH*g.KW*c || g.DilationW != 1 || c < 1 || bias != nil && len(bias) != w.N {
		panic("kernels: NewImageConv: filters do not fit the window")
	}
	v := &ImageConv{imageLines: newImageLines(g, c, planes), n: w.N, w: w, act: act, bias: make([]float32, Panels(w.N)*PanelRows)}
	copy(v.bias, bias)
	if w.Kind != KindF32 {
		v.expander = NewMatMulFloat(nil, w, nil, Activation{})
	}
	v.lines = 1
	for v.lines < g.OH && v.bandLines(v.lines+1)*v.width*4 <= imageBand {
		v.lines++
	}
	return v
}

// SetBias changes the bias to one of as many values. The filters are read where NewImageConv was told: they may change too, but
// neither while Run runs.
func (v *ImageConv) SetBias(bias []float32) { copy(v.bias[:v.n], bias) }

// Panels is the number of panels of filters.
func (v *ImageConv) Panels() int { return Panels(v.n) }

// ScratchBytes is the memory that Run needs.
func (v *ImageConv) ScratchBytes() int {
	n := v.linesBytes()
	if v.expander != nil {
		n += 2*v.panelLen()*4 + Groups(v.w.K)*(PanelRows*GroupLen+2*PanelRows*4)
	}
	return n
}

// linesBytes is the memory of the lines of a band that are copied.
func (v *ImageConv) linesBytes() int {
	if !v.copied {
		return 0
	}
	return roundUp(v.bandLines(v.lines)*v.width*4, LineBytes)
}

// panelLen is the number of elements of a panel as the kernels read it.
func (v *ImageConv) panelLen() int {
	if v.w.Kind.Format() != 0 {
		return Groups(v.w.K) * GroupLen * PanelRows
	}
	return v.w.K * PanelRows
}

// filters returns one or two panels from number p on as float32.
func (v *ImageConv) filters(p, count int, scratch []byte) (b0, b1 []float32) {
	size := v.panelLen()
	var both []float32
	if v.expander == nil {
		both = floatsOf(v.w.Data)[p*size:][:count*size]
	} else {
		both = floatsOf(scratch[:count*size*4])
		for i := range count {
			dst := both[i*size : (i+1)*size]
			switch v.w.Kind {
			case KindF16:
				ExpandF16(dst, halvesOf(v.w.Data)[(p+i)*size:][:size])
			case KindBF16:
				ExpandBF16(dst, halvesOf(v.w.Data)[(p+i)*size:][:size])
			default:
				v.expander.expandBlock(dst, p+i, 0, Groups(v.w.K), scratch[2*size*4:])
			}
		}
	}
	return both[:size], both[(count-1)*size:]
}

// Run computes units [lo, hi) of an image for the filters of panels [p0, p1). z is nil or lies as dst. dst must not
// overlap src.
func (v *ImageConv) Run(dst, src, z []float32, lo, hi, p0, p1 int, scratch []byte) {
	g := &v.g
	out := g.OH * g.OW * v.n
	if len(dst) < out || len(src) < g.H*g.W*v.c || z != nil && len(z) < out || len(scratch) < v.ScratchBytes() ||
		lo < 0 || hi > v.Units() || p0 < 0 || p1 > v.Panels() {
		panic("kernels: ImageConv.Run: dst, src, z or scratch is too short")
	}
	if lo >= hi || p0 >= p1 || g.OW == 0 {
		return
	}
	if v.merged {
		step := max(imageBand/(v.c*4), 64) / convTilePixels * convTilePixels
		for ; lo < hi; lo += step {
			n := min(step, hi-lo)
			v.band(dst, z, src[lo*v.c:], 0, lo, n, 1, p0, p1, scratch)
		}
		return
	}
	rest := scratch[v.linesBytes():]
	for ; lo < hi; lo += v.lines {
		n := min(v.lines, hi-lo)
		x, line := src, lo*g.StrideH*v.width
		if v.copied {
			x, line = floatsOf(scratch), 0
			v.fill(x, src, lo*g.StrideH-g.PadTop, v.bandLines(n))
		}
		if v.picked {
			v.band(dst, z, x, 0, lo*g.OW, n*g.OW, 1, p0, p1, rest)
			continue
		}
		v.band(dst, z, x[line:], g.StrideH*v.width, lo*g.OW, g.OW, n, p0, p1, rest)
	}
}

// convTilePixels divides the bands of merged lines: whole tiles.
const convTilePixels = 12

// band computes n lines of pixels pixels, the first of which is number at of the image; lines of x are ldy apart.
func (v *ImageConv) band(dst, z, x []float32, ldy, at, pixels, n, p0, p1 int, scratch []byte) {
	last := min(p1*PanelRows, v.n)
	for p := p0; p < p1; p += 2 {
		c := p * PanelRows
		cols := min(last-c, stripCols)
		b0, b1 := v.filters(p, Panels(cols), scratch)
		for l := range n {
			first := (at+l*pixels)*v.n + c
			strip := convStrip{dst: dst[first:], x: x[l*ldy:], b0: b0, b1: b1, ldx: v.step, pixels: pixels, panel: p, cols: cols}
			if z != nil {
				strip.z = z[first:]
			}
			v.strip(&strip)
		}
	}
	if v.fused() {
		return
	}
	c0 := p0 * PanelRows
	if c0 == 0 && last == v.n {
		out := dst[at*v.n : (at+n*pixels)*v.n]
		Activate(out, out, v.act)
		return
	}
	for i := at; i < at+n*pixels; i++ {
		out := dst[i*v.n+c0 : i*v.n+last]
		Activate(out, out, v.act)
	}
}

// fused reports whether the tile kernels apply the activation.
func (v *ImageConv) fused() bool {
	switch v.act.Kind {
	case ActNone, ActRelu, ActClip:
		return true
	case ActLeakyRelu:
		return v.act.Alpha > 0 && v.act.Alpha <= 1
	}
	return false
}

// convStrip is one or two panels of filters for pixels of a line.
type convStrip struct {
	dst, x, z   []float32
	b0, b1      []float32
	ldx, pixels int
	panel, cols int
}

// convTile is what the tile kernels are told; lengths are bytes, but for k, which counts elements.
type convTile struct {
	dst, x, b0, b1, bias, z unsafe.Pointer
	ldd, ldx, ldz           int
	k, segments, jump       int
	mask                    uint32 // columns of dst
	act                     uint32
	lo, hi, slope           float32
}

// What convTile.act asks for.
const (
	tileBounded = 1 << iota // between lo and hi
	tileLeaky               // x or slope*x, the larger one
)

func (v *ImageConv) strip(s *convStrip) {
	g := &v.g
	b0, b1 := s.b0, s.b1
	_, _ = s.dst[(s.pixels-1)*v.n+s.cols-1], s.x[(s.pixels-1)*s.ldx+(g.KH-1)*g.DilationH*v.width+g.KW*v.c-1]
	t := convTile{
		dst: unsafe.Pointer(&s.dst[0]), x: unsafe.Pointer(&s.x[0]), b0: unsafe.Pointer(&b0[0]), b1: unsafe.Pointer(&b1[0]),
		bias: unsafe.Pointer(&v.bias[s.panel*PanelRows]), ldd: v.n * 4, ldx: s.ldx * 4, ldz: v.n * 4,
		k: g.KW * v.c, segments: g.KH, jump: (g.DilationH*v.width - g.KW*v.c) * 4, mask: uint32(1)<<s.cols - 1,
	}
	if s.z != nil {
		t.z = unsafe.Pointer(&s.z[:(s.pixels-1)*v.n+s.cols][0])
	}
	switch {
	case !v.fused():
	case v.act.Kind == ActRelu:
		t.act, t.lo, t.hi = tileBounded, 0, float32(math.Inf(1))
	case v.act.Kind == ActClip:
		t.act, t.lo, t.hi = tileBounded, v.act.Alpha, v.act.Beta
	case v.act.Kind == ActLeakyRelu:
		t.act, t.slope = tileLeaky, v.act.Alpha
	}
	if convTileSIMD(&t, s.pixels) {
		return
	}
	for i := range g.KH {
		k := g.KW * v.c
		x, from := s.x[i*g.DilationH*v.width:], i*k*PanelRows
		gemmStrip(s.dst, v.n, x, s.ldx, s.pixels, b0[from:], b1[from:], PanelRows, s.cols, k, i > 0)
	}
	bias := v.bias[s.panel*PanelRows:][:s.cols]
	for i := range s.pixels {
		row := s.dst[i*v.n:][:s.cols]
		Add(row, row, bias)
		if s.z != nil {
			Add(row, row, s.z[i*v.n:])
		}
		if t.act != 0 {
			Activate(row, row, v.act)
		}
	}
}
