package kernels

import "unsafe"

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
	z      Quantized
	pad    uint8 // what lies outside the image: the zero point of x
	out    levelOutput
	w      levelPanels // a segment for each line of the window
	start  []int32     // -x.Zero sum w
	mult   []float32
	bias   []float32
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
	v := &IntConv{g: *g, c: c, n: n, z: z, pad: x.Zero, out: newLevelOutput(act, y), w: packLevels(w, n, g.KH, g.KW*c),
		start: make([]int32, size), mult: make([]float32, size), bias: make([]float32, size)}
	copy(v.bias, bias)
	for r := range n {
		v.mult[r] = x.Scale * scale[r]
		v.start[r] = -v.w.columns[r] * int32(x.Zero)
	}
	if n == PanelRows { // for two pixels side by side
		copy(v.mult[n:], v.mult[:n])
		copy(v.bias[n:], v.bias[:n])
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

// bandBytes is the copy of a band, with what tiles read beyond it.
func (v *IntConv) bandBytes() int {
	if !v.copied {
		return 0
	}
	return (v.bandLines(v.lines)*v.width + LineBytes + 63) &^ 63
}

// ScratchBytes is the memory that Run needs, on a line of 64 bytes.
func (v *IntConv) ScratchBytes() int { return levelSumBytes + v.bandBytes() }

// Run computes units [lo, hi) of an image for the filters of panels [p0, p1). dst holds bytes, or the bytes of float32;
// z is nil or lies as dst, in bytes. dst must not overlap src.
func (v *IntConv) Run(dst, src, z []byte, lo, hi, p0, p1 int, scratch []byte) {
	g := &v.g
	size := g.OH * g.OW * v.n
	if len(dst) < size*outputBytes(v.out.y) || len(src) < g.H*g.W*v.c || z != nil && len(z) < size || len(scratch) < v.ScratchBytes() ||
		lo < 0 || hi > v.Units() || p0 < 0 || p1 > v.Panels() {
		panic("kernels: IntConv.Run: dst, src, z or scratch is too short")
	}
	if lo >= hi || p0 >= p1 || g.OW == 0 {
		return
	}
	sums, copied := scratch[:levelSumBytes], scratch[levelSumBytes:]
	if v.merged {
		step := max(imageBand/(2*v.c), 64) / convTilePixels * convTilePixels
		for ; lo < hi; lo += step {
			v.band(dst, z, src[lo*v.c:], 0, lo, min(step, hi-lo), 1, p0, p1, sums)
		}
		return
	}
	for ; lo < hi; lo += v.lines {
		n := min(v.lines, hi-lo)
		x, line := src, lo*g.StrideH*v.width
		if v.copied {
			x, line = copied, 0
			v.fill(x, src, lo*g.StrideH-g.PadTop, v.bandLines(n))
		}
		if v.picked {
			v.band(dst, z, x, 0, lo*g.OW, n*g.OW, 1, p0, p1, sums)
			continue
		}
		v.band(dst, z, x[line:], g.StrideH*v.width, lo*g.OW, g.OW, n, p0, p1, sums)
	}
}

// band computes n lines of pixels pixels, the first of which is number at of the image; lines of x are ldy apart.
func (v *IntConv) band(dst, z, x []byte, ldy, at, pixels, n, p0, p1 int, sums []byte) {
	g := &v.g
	last, e := min(p1*PanelRows, v.n), outputBytes(v.out.y)
	t := levelTile{ldd: v.n * e, ldx: v.step, ldz: v.n, zZero: int32(v.z.Zero), zScale: v.z.Scale, sums: unsafe.Pointer(&sums[0])}
	t.jump = g.DilationH*v.width - 4*v.w.k
	_ = x[(n-1)*ldy+(pixels-1)*v.step+(g.KH-1)*g.DilationH*v.width+4*v.w.k-1]
	for c := p0 * PanelRows; c < last; c += stripCols {
		cols := min(last-c, stripCols)
		v.w.strip(&t, c/PanelRows, cols)
		t.mult, t.bias, t.start = unsafe.Pointer(&v.mult[c]), unsafe.Pointer(&v.bias[c]), unsafe.Pointer(&v.start[c])
		for l := range n {
			first := (at+l*pixels)*v.n + c
			end := first + (pixels-1)*v.n + cols
			line := x[l*ldy:]
			t.dst, t.x, t.room = unsafe.Pointer(&dst[first*e : end*e][0]), unsafe.Pointer(&line[0]), len(line)
			if z != nil {
				t.z = unsafe.Pointer(&z[first:end][0])
			}
			t.run(pixels, cols, &v.out)
		}
	}
}

// QuantizeBytes writes the bytes nearest to src[i]/y.Scale + y.Zero, halves to even; the zero point for a NaN.
func QuantizeBytes(dst []uint8, src []float32, y Quantized) {
	dst = dst[:len(src)]
	n := quantizeBytesSIMD(dst, src, y)
	for i, f := range src[n:] {
		dst[n+i] = nearestByte(f/y.Scale, y.Zero)
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
					v.blank(pixel)
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
			v.blank(line)
			continue
		}
		v.blank(line[:lo*v.c])
		v.blank(line[hi*v.c:])
		copy(line[lo*v.c:hi*v.c], src[((y+i)*g.W+lo-g.PadLeft)*v.c:])
	}
}

func (v *IntConv) blank(b []byte) {
	if v.pad == 0 {
		clear(b)
		return
	}
	for i := range b {
		b[i] = v.pad
	}
}
