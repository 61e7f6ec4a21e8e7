package kernels

import (
	"unsafe"
)

// IntChannelConv is a depthwise convolution of quantized images with their channels last: as IntConv, each channel with a
// filter of its own, to bytes. What lies outside the image counts as the zero point. It may be used by several goroutines at a time.
type IntChannelConv struct {
	g             Window
	c             int
	act           Activation
	x, y          Quantized
	rows, columns []tapSpan
	lists         [][]intTap // for each row, for each column, what a place sees
	starts        [][]int32  // what their sums start from, in the order of mult
	w             []int8     // w[element][c]
	spread        []int8     // for SIMD: of every 64 channels, for each element, four vectors with one weight in each four bytes
	mult, bias    []float32  // of every 64 channels, number 4i+j at 16j+i
}

// intTap is an element of a window: how far it lies from the window's first pixel, and its number.
type intTap struct{ x, w int }

// tapBlock is the channels that are computed at a time.
const tapBlock = 64

// IntTapsFit reports whether IntChannelConv takes a window with an activation.
func IntTapsFit(g *Window, act Activation) bool {
	all := 0
	for _, r := range tapSpans(g.OH, g.H, g.KH, g.StrideH, g.DilationH, g.PadTop) {
		for _, k := range tapSpans(g.OW, g.W, g.KW, g.StrideW, g.DilationW, g.PadLeft) {
			if r.lo >= r.hi || k.lo >= k.hi {
				return false
			}
			all += (r.hi - r.lo) * (k.hi - k.lo)
		}
	}
	return all <= maxTaps && tileFuses(act)
}

// permuted is where channel c's parameters lie.
func permuted(c int) int { return c&^(tapBlock-1) + c%4*16 + c%tapBlock/4 }

// NewIntChannelConv binds weights w[KH][KW][c], for which IntTapsFit must hold.
func NewIntChannelConv(g *Window, c int, w []int8, scale, bias []float32, x, y Quantized, act Activation) *IntChannelConv {
	taps := g.KH * g.KW
	if c < 1 || len(w) != taps*c || len(scale) != c || bias != nil && len(bias) != c || !IntTapsFit(g, act) {
		panic("kernels: NewIntChannelConv: weights, bias or activation do not fit")
	}
	size := (c + tapBlock - 1) &^ (tapBlock - 1)
	v := &IntChannelConv{g: *g, c: c, act: act, x: x, y: y, w: w, spread: make([]int8, size*taps*4), mult: make([]float32, size), bias: make([]float32, size)}
	for i := range c {
		v.mult[permuted(i)] = x.Scale * scale[i]
		if bias != nil {
			v.bias[permuted(i)] = bias[i]
		}
		for t := range taps {
			block := v.spread[i&^(tapBlock-1)*taps*4+t*4*LineBytes:]
			block[i%4*LineBytes+i%tapBlock] = w[t*c+i]
		}
	}
	v.rows = tapSpans(g.OH, g.H, g.KH, g.StrideH, g.DilationH, g.PadTop)
	v.columns = tapSpans(g.OW, g.W, g.KW, g.StrideW, g.DilationW, g.PadLeft)
	for _, r := range v.rows {
		for _, k := range v.columns {
			list, start := []intTap{}, make([]int32, size)
			for i := r.lo; i < r.hi; i++ {
				for j := k.lo; j < k.hi; j++ {
					e := i*g.KW + j
					list = append(list, intTap{((i-r.lo)*g.DilationH*g.W + (j-k.lo)*g.DilationW) * c, e})
					for ch := range c {
						start[permuted(ch)] -= int32(w[e*c+ch]) * int32(x.Zero)
					}
				}
			}
			v.lists, v.starts = append(v.lists, list), append(v.starts, start)
		}
	}
	return v
}

// intTaps is what the kernels of depthwise convolutions are told: neighbouring pixels that see the same elements, in 64 channels. Lengths are bytes.
type intTaps struct {
	dst, x, list, w, start, mult, bias unsafe.Pointer
	count, ldd, ldx                    int
	mask                               uint64
	act                                uint32
	lo, hi, slope, inverse             float32
	zero                               int32
}

// Run computes output lines [lo, hi) of an image. dst must not overlap src.
func (v *IntChannelConv) Run(dst, src []uint8, lo, hi int) {
	g := &v.g
	if len(dst) < g.OH*g.OW*v.c || len(src) < g.H*g.W*v.c || lo < 0 || hi > g.OH {
		panic("kernels: IntChannelConv.Run: dst or src is too short")
	}
	var tile levelTile
	tile.bounded(v.act, &v.y)
	t := intTaps{ldd: v.c, ldx: v.c * g.StrideW, act: tile.act, lo: tile.lo, hi: tile.hi, slope: tile.slope, inverse: tile.inverse, zero: tile.zero}
	taps := g.KH * g.KW
	for i, r := range v.rows {
		for y := max(r.from, lo); y < min(r.to, hi); y++ {
			for j, k := range v.columns {
				list, start := v.lists[i*len(v.columns)+j], v.starts[i*len(v.columns)+j]
				pixels := k.to - k.from
				out := dst[(y*g.OW+k.from)*v.c : (y*g.OW+k.to)*v.c]
				sy, sx := y*g.StrideH-g.PadTop+r.lo*g.DilationH, k.from*g.StrideW-g.PadLeft+k.lo*g.DilationW
				x := src[(sy*g.W+sx)*v.c:]
				_ = x[(pixels-1)*g.StrideW*v.c+list[len(list)-1].x+v.c-1]
				t.list, t.count = unsafe.Pointer(&list[0]), len(list)
				for c := 0; c < v.c; c += tapBlock {
					n := min(tapBlock, v.c-c)
					t.mask = ^uint64(0) >> (tapBlock - n)
					t.dst, t.x = unsafe.Pointer(&out[c]), unsafe.Pointer(&x[c])
					t.w, t.start = unsafe.Pointer(&v.spread[c*taps*4]), unsafe.Pointer(&start[c])
					t.mult, t.bias = unsafe.Pointer(&v.mult[c]), unsafe.Pointer(&v.bias[c])
					if !intTapsSIMD(&t, pixels) {
						v.generic(&tile, out[c:], x[c:], list, start, c, n, pixels)
					}
				}
			}
		}
	}
}

// generic computes n channels from number first on of pixels.
func (v *IntChannelConv) generic(t *levelTile, out, x []uint8, list []intTap, start []int32, first, n, pixels int) {
	for p := range pixels {
		for c := range n {
			at := permuted(first + c)
			sum := start[at]
			for _, e := range list {
				sum += int32(x[p*v.g.StrideW*v.c+e.x+c]) * int32(v.w[e.w*v.c+first+c])
			}
			f := float32(float32(sum)*v.mult[at]) + v.bias[at]
			if t.act&tileLeaky != 0 {
				f = max(f, float32(f*t.slope))
			}
			out[p*v.c+c] = level(f, t.inverse, t.lo, t.hi, t.zero)
		}
	}
}
