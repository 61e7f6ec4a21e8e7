package kernels

// IntPool is a pool of quantized images with their channels last. Places outside the image do not count. It may be used by
// several goroutines at a time.
type IntPool struct {
	g       Window
	c       int
	mean    bool
	x, y    Quantized
	counted bool // the divisor is the window's size, not what of it lies in the image
	rows    []tapSpan
	columns []tapSpan
	remap   *ByteMap
}

// NewIntMaxPool binds the largest byte inside the image under the window, x's quantization taken over to y: that of the largest
// value, since scales are positive. A window that sees nothing gives value 0 of x.
func NewIntMaxPool(g *Window, c int, x, y Quantized) *IntPool {
	p := newIntPool(g, c, x, y)
	if x != y {
		p.remap = NewByteMap(x, y, Activation{})
	}
	return p
}

// NewIntMeanPool binds the mean of the values inside the image under the window,
//
//	v = float32(sum (x - X.Zero)) * X.Scale / float32(count)
//
// with an exact sum, rounded after each operation, as a byte of y. count is the elements inside the image, or all of the window with
// includePad. A window that sees nothing gives value 0.
func NewIntMeanPool(g *Window, c int, x, y Quantized, includePad bool) *IntPool {
	p := newIntPool(g, c, x, y)
	p.mean, p.counted = true, includePad
	return p
}

func newIntPool(g *Window, c int, x, y Quantized) *IntPool {
	if c < 1 {
		panic("kernels: IntPool without channels")
	}
	return &IntPool{g: *g, c: c, x: x, y: y,
		rows:    tapSpans(g.OH, g.H, g.KH, g.StrideH, g.DilationH, g.PadTop),
		columns: tapSpans(g.OW, g.W, g.KW, g.StrideW, g.DilationW, g.PadLeft)}
}

// Run computes output lines [lo, hi) of an image. dst must not overlap src.
func (p *IntPool) Run(dst, src []uint8, lo, hi int) {
	g := &p.g
	if len(dst) < g.OH*g.OW*p.c || len(src) < g.H*g.W*p.c || lo < 0 || hi > g.OH {
		panic("kernels: IntPool.Run: dst or src is too short")
	}
	for _, r := range p.rows {
		for y := max(r.from, lo); y < min(r.to, hi); y++ {
			for _, k := range p.columns {
				for x := k.from; x < k.to; x++ {
					out := dst[(y*g.OW+x)*p.c:][:p.c]
					at := ((y*g.StrideH-g.PadTop+r.lo*g.DilationH)*g.W + x*g.StrideW - g.PadLeft + k.lo*g.DilationW) * p.c
					if p.mean {
						p.means(out, src, at, r, k)
					} else {
						p.top(out, src, at, r, k)
					}
				}
			}
			if p.remap != nil {
				line := dst[y*g.OW*p.c : (y+1)*g.OW*p.c]
				ByteTable(line, line, p.remap)
			}
		}
	}
}

// top writes the largest bytes of the elements in rows r and columns k of the window, the first of which is at src[at].
func (p *IntPool) top(out, src []uint8, at int, r, k tapSpan) {
	if r.lo >= r.hi || k.lo >= k.hi {
		for c := range out {
			out[c] = p.x.Zero
		}
		return
	}
	for i := range r.hi - r.lo {
		for j := range k.hi - k.lo {
			from := src[at+(i*p.g.DilationH*p.g.W+j*p.g.DilationW)*p.c:][:p.c]
			if i+j == 0 {
				copy(out, from)
				continue
			}
			MaxBytes(out, out, from)
		}
	}
}

// poolChannels is the channels that are summed at a time.
const poolChannels = 256

func (p *IntPool) means(out, src []uint8, at int, r, k tapSpan) {
	var sums [poolChannels]int32
	count := max(r.hi-r.lo, 0) * max(k.hi-k.lo, 0)
	divisor := float32(count)
	if p.counted {
		divisor = float32(p.g.KH * p.g.KW)
	}
	if count == 0 {
		divisor = 1
	}
	for c := 0; c < p.c; c += poolChannels {
		n := min(poolChannels, p.c-c)
		acc := sums[:n]
		for i := range acc {
			acc[i] = -int32(p.x.Zero) * int32(count)
		}
		for i := range max(r.hi-r.lo, 0) {
			for j := range max(k.hi-k.lo, 0) {
				addBytes(acc, src[at+(i*p.g.DilationH*p.g.W+j*p.g.DilationW)*p.c+c:][:n])
			}
		}
		for i := range acc {
			out[c+i] = nearestByte(float32(float32(acc[i])*p.x.Scale)/divisor/p.y.Scale, p.y.Zero)
		}
	}
}

// MaxBytes is dst[i] = max(a[i], b[i]).
func MaxBytes(dst, a, b []uint8) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := maxBytesSIMD(dst, a, b); i < len(dst); i++ {
		dst[i] = max(a[i], b[i])
	}
}

// addBytes is acc[i] += x[i].
func addBytes(acc []int32, x []uint8) {
	x = x[:len(acc)]
	for i := addBytesSIMD(acc, x); i < len(acc); i++ {
		acc[i] += int32(x[i])
	}
}
