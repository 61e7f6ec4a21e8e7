package kernels

import (
	"math"
	"unsafe"
)

// Quantized says what the bytes of an image stand for: (byte - Zero) * Scale.
type Quantized struct {
	Scale float32
	Zero  uint8
}

// IntConv is a dense convolution of quantized images with their channels last. With exact integer sums
//
//	sum[y,x,n] = sum_ijc w[n,i,j,c] (src[y*StrideH-PadTop+i*DilationH, x*StrideW-PadLeft+j, c] - X.Zero)
//	v = float32(sum) * (X.Scale*scale[n]) + bias[n] + float32(z[y,x,n] - Z.Zero)*Z.Scale
//
// rounded after each operation, dst is act(v), or the byte nearest to act(v)/Y.Scale + Y.Zero, halves to even. Every
// implementation gives the same bits. It may be used by several goroutines at a time.
type IntConv struct {
	g      Window
	c, n   int
	x, z   Quantized
	y      *Quantized // nil: the output is float32
	act    Activation
	packed []int8 // panels of 16 filters: for each line of the window k lines of 16 x 4 weights
	start  []int32
	mult   []float32
	bias   []float32
	k      int  // of a window's line: fours of bytes
	copied bool // as of ImageConv
	picked bool
	merged bool
	width  int
	step   int
	lines  int
}

// NewIntConv binds n filters w in (window, channel) order for images of c channels; DilationW must be 1. y is nil for an output of floats.
func NewIntConv(g *Window, c, n int, w []int8, scale, bias []float32, x, z Quantized, y *Quantized, act Activation) *IntConv {
	row := g.KH * g.KW * c
	if len(w) != n*row || len(scale) != n || bias != nil && len(bias) != n || g.DilationW != 1 || c < 1 {
		panic("kernels: NewIntConv: filters do not fit the window")
	}
	size := (Panels(n) + 1) * PanelRows // tiles of two panels read on
	v := &IntConv{g: *g, c: c, n: n, x: x, z: z, y: y, act: act, k: (g.KW*c + 3) / 4,
		start: make([]int32, size), mult: make([]float32, size), bias: make([]float32, size)}
	copy(v.bias, bias)
	v.packed = make([]int8, Panels(n)*v.panelBytes())
	for r := range n {
		v.mult[r] = x.Scale * scale[r]
		panel := v.packed[r/PanelRows*v.panelBytes():]
		for i := range g.KH {
			line := w[r*row+i*g.KW*c:][:g.KW*c]
			for k, q := range line {
				panel[(i*v.k+k/4)*LineBytes+r%PanelRows*4+k%4] = q
				v.start[r] -= int32(q) * int32(x.Zero)
			}
		}
	}
	inside := g.PadTop == 0 && g.PadLeft == 0 && (g.OH-1)*g.StrideH+(g.KH-1)*g.DilationH < g.H && (g.OW-1)*g.StrideW+g.KW <= g.W
	pointwise := g.KH == 1 && g.KW == 1
	v.picked = pointwise && (g.StrideH > 1 || g.StrideW > 1)
	v.copied = !inside || v.picked || g.KW*c%4 != 0
	v.width, v.step = g.W*c, g.StrideW*c
	switch {
	case v.picked:
		v.width, v.step = g.OW*c, c
	case v.copied:
		v.width = ((g.OW-1)*g.StrideW + g.KW) * c
	}
	v.merged = !v.copied && pointwise && g.OW == g.W
	v.lines = 1
	for v.lines < g.OH && v.bandLines(v.lines+1)*v.width <= imageBand/2 {
		v.lines++
	}
	return v
}

func (v *IntConv) panelBytes() int { return v.g.KH * v.k * LineBytes }

func (v *IntConv) bandLines(n int) int {
	if v.picked {
		return n
	}
	return (n-1)*v.g.StrideH + (v.g.KH-1)*v.g.DilationH + 1
}

// Units is the number of pieces that an image's output can be split into: pixels or lines.
func (v *IntConv) Units() int {
	if v.merged {
		return v.g.OH * v.g.OW
	}
	return v.g.OH
}

// Panels is the number of panels of filters.
func (v *IntConv) Panels() int { return Panels(v.n) }

// intStep is the most pixels of a strip.
const intStep = 96

// stripFloats are the results of a strip before their activation.
const stripFloats = intStep * stripCols * 4

// bandBytes is the copy of a band, with what tiles read beyond it.
func (v *IntConv) bandBytes() int {
	if !v.copied {
		return 0
	}
	return (v.bandLines(v.lines)*v.width + 4 + 63) &^ 63
}

// ScratchBytes is the memory that Run needs, on a line of 64 bytes.
func (v *IntConv) ScratchBytes() int {
	if v.fused() {
		return v.bandBytes()
	}
	return v.bandBytes() + stripFloats
}

// fused reports whether the tiles apply the activation.
func (v *IntConv) fused() bool {
	i := ImageConv{act: v.act}
	return i.fused()
}

// elem is the size of an element of dst.
func (v *IntConv) elem() int {
	if v.y == nil {
		return 4
	}
	return 1
}

// Run computes units [lo, hi) of an image for the filters of panels [p0, p1). dst holds bytes, or the bytes of float32;
// z is nil or lies as dst, in bytes. dst must not overlap src.
func (v *IntConv) Run(dst, src, z []byte, lo, hi, p0, p1 int, scratch []byte) {
	g := &v.g
	out := g.OH * g.OW * v.n
	if len(dst) < out*v.elem() || len(src) < g.H*g.W*v.c || z != nil && len(z) < out || len(scratch) < v.ScratchBytes() ||
		lo < 0 || hi > v.Units() || p0 < 0 || p1 > v.Panels() {
		panic("kernels: IntConv.Run: dst, src, z or scratch is too short")
	}
	if lo >= hi || p0 >= p1 || g.OW == 0 {
		return
	}
	floats := floatsOf(scratch[v.bandBytes():])
	if v.merged {
		step := max(imageBand/(2*v.c), 64) / convTilePixels * convTilePixels
		for ; lo < hi; lo += step {
			v.band(dst, z, src[lo*v.c:], 0, lo, min(step, hi-lo), 1, p0, p1, floats)
		}
		return
	}
	for ; lo < hi; lo += v.lines {
		n := min(v.lines, hi-lo)
		x, line := src, lo*g.StrideH*v.width
		if v.copied {
			x, line = scratch, 0
			v.fill(x, src, lo*g.StrideH-g.PadTop, v.bandLines(n))
		}
		if v.picked {
			v.band(dst, z, x, 0, lo*g.OW, n*g.OW, 1, p0, p1, floats)
			continue
		}
		v.band(dst, z, x[line:], g.StrideH*v.width, lo*g.OW, g.OW, n, p0, p1, floats)
	}
}

// band computes n lines of pixels pixels, the first of which is number at of the image; lines of x are ldy apart.
func (v *IntConv) band(dst, z, x []byte, ldy, at, pixels, n, p0, p1 int, floats []float32) {
	last := min(p1*PanelRows, v.n)
	for p := p0; p < p1; p += 2 {
		cols := min(last-p*PanelRows, stripCols)
		for l := range n {
			for i := 0; i < pixels; i += intStep {
				v.strip(dst, z, x[l*ldy+i*v.step:], at+l*pixels+i, min(intStep, pixels-i), p, cols, floats)
			}
		}
	}
}

// levelTile is what the tile kernels are told. Lengths are bytes, but for k, which counts fours.
type levelTile struct {
	dst, x, w0, w1, mult, bias, start, z unsafe.Pointer
	ldd, ldx, ldz                        int
	k, segments, jump                    int
	mask, act                            uint32
	lo, hi, slope, inverse               float32
	zero, zZero                          int32
	zScale                               float32
}

// tileBytesOut asks for bytes, beside tileBounded and tileLeaky; lo and hi count levels from the zero point then.
const tileBytesOut = 4

// bounded sets the bounds of an activation, and of the levels of y.
func (t *levelTile) bounded(act Activation, y *Quantized) {
	t.lo, t.hi = float32(math.Inf(-1)), float32(math.Inf(1))
	switch act.Kind {
	case ActRelu:
		t.act, t.lo = tileBounded, 0
	case ActClip:
		t.act, t.lo, t.hi = tileBounded, act.Alpha, act.Beta
	case ActLeakyRelu:
		t.act, t.slope = tileLeaky, act.Alpha
	}
	if y == nil {
		return
	}
	t.act |= tileBytesOut
	t.inverse, t.zero = 1/y.Scale, int32(y.Zero)
	low, high := float32(-t.zero), float32(255-t.zero)
	t.lo = min(max(t.lo*t.inverse, low), high)
	t.hi = min(max(t.hi*t.inverse, low), high)
}

// strip computes pixels of a line, from number at of the image on, for cols filters from panel p on.
func (v *IntConv) strip(dst, z, x []byte, at, pixels, p, cols int, floats []float32) {
	g := &v.g
	c := p * PanelRows
	w0 := v.packed[p*v.panelBytes():][:v.panelBytes()]
	w1 := w0
	if cols > PanelRows {
		w1 = v.packed[(p+1)*v.panelBytes():][:v.panelBytes()]
	}
	e := v.elem()
	out := dst[(at*v.n+c)*e : ((at+pixels-1)*v.n+c+cols)*e]
	_ = x[(pixels-1)*v.step+(g.KH-1)*g.DilationH*v.width+4*v.k-1]
	t := levelTile{
		dst: unsafe.Pointer(&out[0]), x: unsafe.Pointer(&x[0]), w0: unsafe.Pointer(&w0[0]), w1: unsafe.Pointer(&w1[0]),
		mult: unsafe.Pointer(&v.mult[c]), bias: unsafe.Pointer(&v.bias[c]), start: unsafe.Pointer(&v.start[c]),
		ldd: v.n * e, ldx: v.step, ldz: v.n, k: v.k, segments: g.KH, jump: g.DilationH*v.width - 4*v.k,
		mask: uint32(1)<<cols - 1, zZero: int32(v.z.Zero), zScale: v.z.Scale,
	}
	if z != nil {
		t.z = unsafe.Pointer(&z[at*v.n+c : (at+pixels-1)*v.n+c+cols][0])
	}
	if v.fused() {
		t.bounded(v.act, v.y)
		intConvTile(&t, pixels, cols)
		return
	}
	t.bounded(Activation{}, nil)
	t.dst, t.ldd = unsafe.Pointer(&floats[:pixels*cols][0]), cols*4
	intConvTile(&t, pixels, cols)
	Activate(floats[:pixels*cols], floats[:pixels*cols], v.act)
	for i := range pixels {
		row := floats[i*cols : (i+1)*cols]
		if v.y != nil {
			QuantizeBytes(out[i*v.n:][:cols], row, *v.y)
		} else {
			copy(floatsOf(out[i*v.n*4:])[:cols], row)
		}
	}
}

func intConvTile(t *levelTile, pixels, cols int) {
	if intConvTileSIMD(t, pixels) {
		return
	}
	var acc [stripCols]int32
	for i := range pixels {
		copy(acc[:], unsafe.Slice((*int32)(t.start), cols))
		x, at := unsafe.Add(t.x, i*t.ldx), 0
		for range t.segments {
			line := unsafe.Slice((*uint8)(x), 4*t.k)
			for k := range t.k {
				b := line[4*k : 4*k+4]
				for c := range cols {
					w := unsafe.Slice((*int8)(unsafe.Add(t.w0, at)), LineBytes)
					if c >= PanelRows {
						w = unsafe.Slice((*int8)(unsafe.Add(t.w1, at)), LineBytes)
					}
					q := w[c%PanelRows*4:][:4]
					acc[c] += int32(b[0])*int32(q[0]) + int32(b[1])*int32(q[1]) + int32(b[2])*int32(q[2]) + int32(b[3])*int32(q[3])
				}
				at += LineBytes
			}
			x = unsafe.Add(x, 4*t.k+t.jump)
		}
		var z []uint8
		if t.z != nil {
			z = unsafe.Slice((*uint8)(unsafe.Add(t.z, i*t.ldz)), cols)
		}
		t.store(unsafe.Add(t.dst, i*t.ldd), acc[:cols], z)
	}
}

// store finishes one pixel.
func (t *levelTile) store(dst unsafe.Pointer, acc []int32, z []uint8) {
	mult, bias := unsafe.Slice((*float32)(t.mult), len(acc)), unsafe.Slice((*float32)(t.bias), len(acc))
	for c, sum := range acc {
		f := float32(float32(sum)*mult[c]) + bias[c]
		if z != nil {
			f += float32(float32(int32(z[c])-t.zZero) * t.zScale)
		}
		if t.act&tileLeaky != 0 {
			f = max(f, float32(f*t.slope))
		}
		if t.act&tileBytesOut == 0 {
			if t.act&tileBounded != 0 {
				f = bound(f, t.lo, t.hi)
			}
			unsafe.Slice((*float32)(dst), len(acc))[c] = f
			continue
		}
		unsafe.Slice((*uint8)(dst), len(acc))[c] = level(f, t.inverse, t.lo, t.hi, t.zero)
	}
}

// bound is f between lo and hi; lo for a NaN.
func bound(f, lo, hi float32) float32 {
	if !(f > lo) {
		f = lo
	}
	if !(f < hi) {
		f = hi
	}
	return f
}

func level(f, inverse, lo, hi float32, zero int32) uint8 {
	return uint8(int32(math.RoundToEven(float64(bound(f*inverse, lo, hi)))) + zero)
}

// QuantizeBytes writes the bytes nearest to src[i]/y.Scale + y.Zero, halves to even; the zero point for a NaN.
func QuantizeBytes(dst []uint8, src []float32, y Quantized) {
	dst = dst[:len(src)]
	n := quantizeBytesSIMD(dst, src, y)
	zero := int32(y.Zero)
	for i, f := range src[n:] {
		// Adding 1.5 * 2^23 leaves a float32 no bits below 1, rounded to even.
		const big = 3 << 22
		if f /= y.Scale; f != f {
			f = 0
		}
		f = min(max(f, float32(-zero)), float32(255-zero))
		dst[n+i] = uint8(int32(float32(f+big)-big) + zero)
	}
}

// DequantizeBytes writes (src[i]-x.Zero)*x.Scale.
func DequantizeBytes(dst []float32, src []uint8, x Quantized) {
	dst = dst[:len(src)]
	n := dequantizeBytesSIMD(dst, src, x)
	for i, q := range src[n:] {
		dst[n+i] = float32(int32(q)-int32(x.Zero)) * x.Scale
	}
}

// fill copies n lines of the source from line y on, which may lie outside, with their padding: the zero point.
func (v *IntConv) fill(dst, src []byte, y, n int) {
	g := &v.g
	if v.picked {
		for i := range n {
			for x := range g.OW {
				pixel := dst[(i*g.OW+x)*v.c : (i*g.OW+x+1)*v.c]
				sy, sx := y+i*g.StrideH, x*g.StrideW-g.PadLeft
				if sy < 0 || sy >= g.H || sx < 0 || sx >= g.W {
					v.pad(pixel)
					continue
				}
				copy(pixel, src[(sy*g.W+sx)*v.c:])
			}
		}
		return
	}
	columns := v.width / v.c
	lo := min(max(g.PadLeft, 0), columns)
	hi := min(max(g.W+g.PadLeft, lo), columns)
	for i := range n {
		line := dst[i*v.width : (i+1)*v.width]
		if y+i < 0 || y+i >= g.H || lo == hi {
			v.pad(line)
			continue
		}
		v.pad(line[:lo*v.c])
		v.pad(line[hi*v.c:])
		copy(line[lo*v.c:hi*v.c], src[((y+i)*g.W+lo-g.PadLeft)*v.c:])
	}
}

func (v *IntConv) pad(b []byte) {
	if v.x.Zero == 0 {
		clear(b)
		return
	}
	for i := range b {
		b[i] = v.x.Zero
	}
}
