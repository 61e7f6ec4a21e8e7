package kernels

// imageLines is how a convolution reads an image with its channels last: lines as they lie, or, where the window hangs over the
// sides or the source has its channels first, a band of lines copied with their padding.
type imageLines struct {
	g      Window
	c      int
	planes bool // the source is [C][H][W]
	copied bool // lines are copied
	picked bool // the pixels that a pointwise convolution with strides reads are copied, and no others
	merged bool // every pixel is a receptive field: lines follow each other like the pixels of one
	width  int  // elements of a line as the kernels read it
	step   int  // elements from one output's first pixel to the next one's
}

func newImageLines(g *Window, c int, planes bool) imageLines {
	v := imageLines{g: *g, c: c, planes: planes}
	across := (g.OW-1)*g.StrideW + (g.KW-1)*g.DilationW + 1
	inside := g.PadTop == 0 && g.PadLeft == 0 && (g.OH-1)*g.StrideH+(g.KH-1)*g.DilationH < g.H && across <= g.W
	pointwise := g.KH == 1 && g.KW == 1
	v.picked = pointwise && (g.StrideH > 1 || g.StrideW > 1)
	v.copied = planes || !inside || v.picked
	v.width, v.step = g.W*c, g.StrideW*c
	switch {
	case v.picked:
		v.width, v.step = g.OW*c, c
	case v.copied:
		v.width = across * c
	}
	v.merged = !v.copied && pointwise && g.OW == g.W
	return v
}

// Units is the number of pieces that an image's output can be split into: pixels or lines.
func (v *imageLines) Units() int {
	if v.merged {
		return v.g.OH * v.g.OW
	}
	return v.g.OH
}

// bandLines is the number of input lines that n output lines read.
func (v *imageLines) bandLines(n int) int {
	if v.picked {
		return n
	}
	return (n-1)*v.g.StrideH + (v.g.KH-1)*v.g.DilationH + 1
}

// fill copies n lines of the source from line y on, which may lie outside, with their padding.
func (v *imageLines) fill(dst, src []float32, y, n int) {
	g := &v.g
	if v.picked {
		v.pick(dst, src, y, n)
		return
	}
	columns := v.width / v.c
	lo := min(max(g.PadLeft, 0), columns)
	hi := min(max(g.W+g.PadLeft, lo), columns)
	first := lo - g.PadLeft // column of the source
	for i := range n {
		line := dst[i*v.width : (i+1)*v.width]
		if y+i < 0 || y+i >= g.H || lo == hi {
			clear(line)
			continue
		}
		clear(line[:lo*v.c])
		clear(line[hi*v.c:])
		if v.planes {
			v.interleave(line[lo*v.c:hi*v.c], src[(y+i)*g.W+first:])
			continue
		}
		copy(line[lo*v.c:hi*v.c], src[((y+i)*g.W+first)*v.c:])
	}
}

// pick copies every StrideW-th pixel of every StrideH-th line from line y on.
func (v *imageLines) pick(dst, src []float32, y, n int) {
	g := &v.g
	for i := range n {
		sy := y + i*g.StrideH
		for x := range g.OW {
			pixel := dst[(i*g.OW+x)*v.c : (i*g.OW+x+1)*v.c]
			sx := x*g.StrideW - g.PadLeft
			switch {
			case sy < 0 || sy >= g.H || sx < 0 || sx >= g.W:
				clear(pixel)
			case v.planes:
				v.interleave(pixel, src[sy*g.W+sx:])
			default:
				copy(pixel, src[(sy*g.W+sx)*v.c:])
			}
		}
	}
}

// interleave writes pixels of planes that begin at src, one after the other.
func (v *imageLines) interleave(dst, src []float32) {
	size := v.g.H * v.g.W
	n := len(dst) / v.c
	if v.c == 3 {
		r, g, b := src[:n], src[size:size+n], src[2*size:2*size+n]
		for i := range r {
			d := (*[3]float32)(dst[3*i:])
			d[0], d[1], d[2] = r[i], g[i], b[i]
		}
		return
	}
	Transpose(dst, v.c, src, size, v.c, n)
}
