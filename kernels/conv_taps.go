package kernels

import (
	"math"
	"unsafe"
)

// tapOp is what is done with the elements under a window, channel by channel.
type tapOp uint8

const (
	tapFMA  tapOp = iota // act(bias + sum w x)
	tapMax               // the largest, at least lo
	tapMean              // the sum over the divisor
)

// tap is an element of a window: how many bytes it lies from the window's pixel x, and in the weights.
type tap struct{ x, w int }

// tapTile is what the kernels of windows are told: neighbouring pixels that see the same elements. Lengths are bytes,
// but for channels.
type tapTile struct {
	dst, x, w, bias, list  unsafe.Pointer
	count                  int // of the list
	ldd, ldx, channels     int
	act                    uint32 // as of convTile
	lo, hi, slope, divisor float32
}

// sliding is a window on its way over images with their channels last.
type sliding struct {
	g             Window
	c             int
	rows, columns []tapSpan
	lists         [][]tap // for each row, for each column, what a place sees; nil if there is too much of it
}

// tapSpan is a run of places [from, to) along an axis that see the elements [lo, hi) of the window.
type tapSpan struct{ from, to, lo, hi int }

func newSliding(g *Window, c int) *sliding {
	s := &sliding{g: *g, c: c}
	s.rows = tapSpans(g.OH, g.H, g.KH, g.StrideH, g.DilationH, g.PadTop)
	s.columns = tapSpans(g.OW, g.W, g.KW, g.StrideW, g.DilationW, g.PadLeft)
	all := 0
	for _, r := range s.rows {
		for _, k := range s.columns {
			all += (r.hi - r.lo) * (k.hi - k.lo)
		}
	}
	if all > maxTaps {
		return s
	}
	for _, r := range s.rows {
		for _, k := range s.columns {
			list := []tap{}
			for i := r.lo; i < r.hi; i++ {
				for j := k.lo; j < k.hi; j++ {
					list = append(list, s.tap(i, j, r, k))
				}
			}
			s.lists = append(s.lists, list)
		}
	}
	return s
}

// maxTaps bounds the elements of all lists together. More would be a window nearly as large as the image.
const maxTaps = 1 << 16

// tap is element (i, j) of the window, its place counted from the first that rows r and columns k see.
func (s *sliding) tap(i, j int, r, k tapSpan) tap {
	x := (i-r.lo)*s.g.DilationH*s.g.W + (j-k.lo)*s.g.DilationW
	return tap{4 * s.c * x, 4 * s.c * (i*s.g.KW + j)}
}

// tapSpans parts n places along an axis into runs that see the same elements.
func tapSpans(n, size, kernel, stride, dilation, pad int) []tapSpan {
	var out []tapSpan
	for o := range n {
		lo, hi := inside(o*stride-pad, dilation, size, kernel)
		if k := len(out); k > 0 && out[k-1].lo == lo && out[k-1].hi == hi {
			out[k-1].to = o + 1
			continue
		}
		out = append(out, tapSpan{o, o + 1, lo, hi})
	}
	return out
}

// lines computes output lines [lo, hi) of an image; like says how, but for places and elements. A place that sees
// nothing is left to empty. divisors holds, for tapMean, a number for every output.
func (s *sliding) lines(op tapOp, like *tapTile, dst, src []float32, lo, hi int, divisors []float32, empty func(out []float32)) {
	g, t := &s.g, *like
	t.ldd, t.ldx, t.channels = 4*s.c, 4*s.c*g.StrideW, s.c
	for i, r := range s.rows {
		for y := max(r.from, lo); y < min(r.to, hi); y++ {
			for j, k := range s.columns {
				out := dst[(y*g.OW+k.from)*s.c : (y*g.OW+k.to)*s.c]
				if r.lo == r.hi || k.lo == k.hi {
					for at := 0; at < len(out); at += s.c {
						empty(out[at : at+s.c])
					}
					continue
				}
				sy, sx := y*g.StrideH-g.PadTop+r.lo*g.DilationH, k.from*g.StrideW-g.PadLeft+k.lo*g.DilationW
				x := src[(sy*g.W+sx)*s.c:]
				_ = x[(k.to-k.from-1)*g.StrideW*s.c+s.tap(r.hi-1, k.hi-1, r, k).x/4+s.c-1]
				t.dst, t.x = unsafe.Pointer(&out[0]), unsafe.Pointer(&x[0])
				if s.lists != nil {
					list := s.lists[i*len(s.columns)+j]
					t.list, t.count = unsafe.Pointer(&list[0]), len(list)
				}
				if op == tapMean {
					s.means(&t, divisors[y*g.OW+k.from:y*g.OW+k.to], r, k)
				} else {
					s.run(op, &t, k.to-k.from, r, k)
				}
			}
		}
	}
}

// run computes so many pixels.
func (s *sliding) run(op tapOp, t *tapTile, pixels int, r, k tapSpan) {
	done := 0
	if s.lists != nil {
		done = tapsSIMD(op, t, pixels)
	}
	if done < s.c {
		s.generic(op, t, pixels, done, r, k)
	}
}

// generic computes channels from first on of so many pixels, which see the rows r and columns k of the window.
func (s *sliding) generic(op tapOp, t *tapTile, pixels, first int, r, k tapSpan) {
	n := t.channels - first
	at := func(p unsafe.Pointer, bytes int) []float32 {
		return unsafe.Slice((*float32)(unsafe.Add(p, bytes+4*first)), n)
	}
	for p := range pixels {
		out := at(t.dst, p*t.ldd)
		if op == tapFMA {
			copy(out, at(t.bias, 0))
		} else {
			for c := range out {
				out[c] = t.lo
			}
		}
		for i := r.lo; i < r.hi; i++ {
			for j := k.lo; j < k.hi; j++ {
				e := s.tap(i, j, r, k)
				x := at(t.x, p*t.ldx+e.x)
				switch op {
				case tapFMA:
					w := at(t.w, e.w)
					for c := range out {
						out[c] += w[c] * x[c]
					}
				case tapMax:
					Max(out, out, x)
				case tapMean:
					Add(out, out, x)
				}
			}
		}
		switch {
		case op == tapMean:
			for c := range out {
				out[c] /= t.divisor
			}
		case t.act == tileBounded:
			activateGeneric(out, out, Activation{Kind: ActClip, Alpha: t.lo, Beta: t.hi})
		case t.act == tileLeaky:
			activateGeneric(out, out, Activation{Kind: ActLeakyRelu, Alpha: t.slope})
		}
	}
}

// means computes pixels in runs of the same divisor.
func (s *sliding) means(t *tapTile, divisors []float32, r, k tapSpan) {
	for {
		n := 1
		for n < len(divisors) && divisors[n] == divisors[0] {
			n++
		}
		t.divisor = divisors[0]
		s.run(tapMean, t, n, r, k)
		if divisors = divisors[n:]; len(divisors) == 0 {
			return
		}
		t.dst, t.x = unsafe.Add(t.dst, n*t.ldd), unsafe.Add(t.x, n*t.ldx)
	}
}

// ChannelConv is a depthwise convolution of images with their channels last: channel c is
//
//	dst[y,x,c] = act(bias[c] + sum_ij w[i,j,c] src[y*StrideH-PadTop+i*DilationH, x*StrideW-PadLeft+j*DilationW, c])
//
// what lies outside the image counting as 0. It may be used by several goroutines at a time.
type ChannelConv struct {
	s       *sliding
	w, bias []float32
	act     Activation
	tile    tapTile
}

// NewChannelConv binds weights w[KH][KW][c] and an optional bias.
func NewChannelConv(g *Window, c int, w, bias []float32, act Activation) *ChannelConv {
	if c < 1 || len(w) != g.KH*g.KW*c || bias != nil && len(bias) != c {
		panic("kernels: NewChannelConv: weights or bias do not fit the window")
	}
	v := &ChannelConv{s: newSliding(g, c), w: w, bias: make([]float32, c), act: act}
	copy(v.bias, bias)
	switch {
	case act.Kind == ActRelu:
		v.tile.act, v.tile.hi = tileBounded, float32(math.Inf(1))
	case act.Kind == ActClip:
		v.tile.act, v.tile.lo, v.tile.hi = tileBounded, act.Alpha, act.Beta
	case act.Kind == ActLeakyRelu && act.Alpha > 0 && act.Alpha <= 1:
		v.tile.act, v.tile.slope = tileLeaky, act.Alpha
	}
	return v
}

// SetBias changes the bias to one of as many values. The weights are read where NewChannelConv was told: they may change too, but
// neither while Run runs.
func (v *ChannelConv) SetBias(bias []float32) { copy(v.bias, bias) }

// Run computes output lines [lo, hi) of an image. dst must not overlap src.
func (v *ChannelConv) Run(dst, src []float32, lo, hi int) {
	g := &v.s.g
	if len(dst) < g.OH*g.OW*v.s.c || len(src) < g.H*g.W*v.s.c || lo < 0 || hi > g.OH {
		panic("kernels: ChannelConv.Run: dst or src is too short")
	}
	t := v.tile
	t.w, t.bias = unsafe.Pointer(&v.w[0]), unsafe.Pointer(&v.bias[0])
	for y := lo; y < hi; y++ {
		v.s.lines(tapFMA, &t, dst, src, y, y+1, nil, v.empty)
		if v.act.Kind != ActNone && t.act == 0 {
			line := dst[y*g.OW*v.s.c : (y+1)*g.OW*v.s.c]
			Activate(line, line, v.act)
		}
	}
}

// empty is the output where the window sees nothing.
func (v *ChannelConv) empty(out []float32) {
	copy(out, v.bias)
	if v.tile.act != 0 {
		Activate(out, out, v.act)
	}
}

// ChannelPool is a pool of images with their channels last. It may be used by several goroutines at a time.
type ChannelPool struct {
	s        *sliding
	divisors []float32
}

// NewMaxPool binds the largest element inside the image under the window; -Inf where there is none.
func NewMaxPool(g *Window, c int) *ChannelPool { return &ChannelPool{s: newSliding(g, c)} }

// NewMeanPool binds the sum of the elements inside the image under the window over divisors[OH][OW]; 0 where there is none.
func NewMeanPool(g *Window, c int, divisors []float32) *ChannelPool {
	if len(divisors) != g.OH*g.OW {
		panic("kernels: NewMeanPool: not a divisor for each output")
	}
	return &ChannelPool{s: newSliding(g, c), divisors: divisors}
}

// Run computes output lines [lo, hi) of an image. dst must not overlap src.
func (p *ChannelPool) Run(dst, src []float32, lo, hi int) {
	g := &p.s.g
	if len(dst) < g.OH*g.OW*p.s.c || len(src) < g.H*g.W*p.s.c || lo < 0 || hi > g.OH {
		panic("kernels: ChannelPool.Run: dst or src is too short")
	}
	if p.divisors != nil {
		p.s.lines(tapMean, &tapTile{}, dst, src, lo, hi, p.divisors, emptyMean)
		return
	}
	p.s.lines(tapMax, &tapTile{lo: float32(math.Inf(-1))}, dst, src, lo, hi, nil, emptyMax)
}

func emptyMean(out []float32) { clear(out) }

func emptyMax(out []float32) {
	for i := range out {
		out[i] = float32(math.Inf(-1))
	}
}
