package grad

import "github.com/dsk-toolkit/dsk/kernels"

// frame is a picture of X with the padding around it that receptive fields reach, channels last.
type frame struct {
	of   *conv
	h, w int
	own  bool // the picture itself serves
}

func newFrame(v *conv) frame {
	f := frame{v, (v.y.h-1)*v.sh + (v.kh-1)*v.dh + 1, (v.y.w-1)*v.sw + (v.kw-1)*v.dw + 1, false}
	if v.top == 0 && v.left == 0 && f.h <= v.x.h && f.w <= v.x.w && v.x.cs == 1 {
		f.h, f.w, f.own = v.x.h, v.x.w, true
	}
	return f
}

// elements is how many there are in room for a frame.
func (f *frame) elements() int {
	if f.own {
		return 0
	}
	return f.h * f.w * f.of.x.c
}

// fields returns the frame of a picture of X; room has its elements. What lies behind the last field is left out.
func (f *frame) fields(room, x []float32) []float32 {
	if f.own {
		return x
	}
	m, top, left := &f.of.x, f.of.top, f.of.left
	hi := min(left+m.w, f.w) // of the picture's columns, from left on
	for y := range f.h {
		line := room[y*f.w*m.c : (y+1)*f.w*m.c]
		from := y - top
		if from < 0 || from >= m.h || left >= hi {
			clear(line)
			continue
		}
		clear(line[:left*m.c])
		clear(line[hi*m.c:])
		if line = line[left*m.c : hi*m.c]; m.cs == 1 {
			copy(line, x[from*m.hs:])
		} else {
			kernels.Transpose(line, m.c, x[from*m.hs:], m.cs, m.c, hi-left)
		}
	}
	return room
}

// phase is the part of dX whose pixels have the same place in a stride: every sh-th row from y on, every sw-th column from x on. It is a
// convolution of the sums' gradients with some taps of W turned around; without taps it is zero.
type phase struct {
	y, x, h, w int
	taps       []int // of W, in the order of the convolution
	window     kernels.Window
}

// phases returns the phases of a convolution, or nil where they do not serve: with strides and gaps.
func (v *conv) phases() []phase {
	if (v.sh > 1 || v.sw > 1) && (v.dh > 1 || v.dw > 1) || v.top < 0 || v.left < 0 {
		return nil
	}
	var list []phase
	for y := range v.sh {
		for x := range v.sw {
			p := phase{}
			var kh, kw, top, left int
			p.y, p.h, kh, top = backTaps(v.x.h, v.kh, v.sh, v.dh, v.top, y)
			p.x, p.w, kw, left = backTaps(v.x.w, v.kw, v.sw, v.dw, v.left, x)
			if p.h == 0 || p.w == 0 {
				continue
			}
			for i := kh - 1; i >= 0; i-- {
				for j := kw - 1; j >= 0; j-- {
					p.taps = append(p.taps, (y+i*v.sh)*v.kw+x+j*v.sw)
				}
			}
			p.window = kernels.Window{H: v.y.h, W: v.y.w, OH: p.h, OW: p.w, KH: kh, KW: kw, StrideH: 1, StrideW: 1,
				DilationH: v.dh, DilationW: v.dw, PadTop: top, PadLeft: left}
			list = append(list, p)
		}
	}
	return list
}

// backTaps says how the pixels of X along an axis of n that are read by taps r, r+stride ... of kernel get their gradient: those from first
// on, count of them, are a convolution with the taps in reverse and so much padding before.
func backTaps(n, kernel, stride, dilation, pad, r int) (first, count, taps, before int) {
	first = ((r-pad)%stride + stride) % stride
	count = max((n-first+stride-1)/stride, 0)
	taps = max((kernel-r+stride-1)/stride, 0)
	return first, count, taps, (taps-1)*dilation - (first+pad-r)/stride
}

// window returns the geometry of a convolution as package kernels takes it.
func (v *conv) window() kernels.Window {
	return kernels.Window{H: v.x.h, W: v.x.w, OH: v.y.h, OW: v.y.w, KH: v.kh, KW: v.kw, StrideH: v.sh, StrideW: v.sw,
		DilationH: v.dh, DilationW: v.dw, PadTop: v.top, PadLeft: v.left}
}

// addPhase gives the pixels of a phase in a picture of X their gradient: f writes it, where it lies or in room.
func (v *conv) addPhase(p *phase, room []float32, picture int, f func(dst []float32)) {
	begin := picture * v.x.ns
	whole := p.h == v.x.h && p.w == v.x.w
	if whole && !v.in.add {
		f(v.in.root.grad[begin : begin+v.x.ns])
		return
	}
	c := v.x.c
	out := room[:p.h*p.w*c]
	f(out)
	if whole {
		v.in.give(out, begin)
		return
	}
	for y := range p.h {
		for x := range p.w {
			v.in.give(out[(y*p.w+x)*c:][:c], begin+((p.y+y*v.sh)*v.x.w+p.x+x*v.sw)*c)
		}
	}
}

// rooms hands out parts of a part's room, one after the other.
type rooms struct{ left []float32 }

func (r *rooms) take(n int) []float32 {
	out := r.left[:n]
	r.left = r.left[n:]
	return out
}

// lines rounds up to whole lines of the cache.
func lines(n int) int { return (n + lineFloats - 1) / lineFloats * lineFloats }

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
