//go:build (amd64 || arm64) && !purego

package kernels

// The SIMD form copies a band of input rows, padded with zeros and parted into StrideW phases (phase p holds the
// columns p, p+StrideW, ...), to the stack. Every output of the band is then inside, its taps are at fixed distances and
// neighbours in a row read neighbours, whatever the strides and dilations.
const (
	depthwiseTaps  = 64   // more taps take the generic form
	depthwiseSmall = 512  // elements of a small band: clearing it costs next to nothing
	depthwiseLarge = 6144 // of a large one: half of the first cache
	depthwiseSlack = 64   // what a vector may read beyond a row
)

// band is the layout of a depthwiseSIMD band.
type band struct {
	*Window
	phase int // elements of a phase of a row
	line  int // elements of a row: StrideW phases
	rows  int // input rows of a full band
	out   int // output rows of a full band
	// Elements [lo, hi) of phases 0 and 1 lie inside the plane.
	lo, hi [2]int
}

// newBand fits a band into size elements. It has no output rows if not even one fits.
func newBand(g *Window, size int) band {
	columns := (g.OW-1)*g.StrideW + (g.KW-1)*g.DilationW + 1
	b := band{Window: g, phase: (columns + g.StrideW - 1) / g.StrideW}
	b.line = b.phase * g.StrideW
	for p := range min(g.StrideW, 2) {
		b.lo[p], b.hi[p] = inside(p-g.PadLeft, g.StrideW, g.W, b.phase)
	}
	fit := (size - depthwiseSlack) / b.line // input rows
	reach := (g.KH-1)*g.DilationH + 1
	if fit < reach {
		return b
	}
	b.out = min((fit-reach)/g.StrideH+1, g.OH)
	b.rows = (b.out-1)*g.StrideH + reach
	return b
}

func depthwiseSIMD(dst, src, w []float32, bias float32, g *Window) bool {
	if !useSIMD() || len(w) == 0 || len(w) > depthwiseTaps {
		return false
	}
	if b := newBand(g, depthwiseSmall); b.out == g.OH {
		var space [depthwiseSmall]float32
		b.run(dst, src, w, bias, space[:])
		return true
	}
	b := newBand(g, depthwiseLarge)
	if b.out == 0 {
		return false
	}
	var space [depthwiseLarge]float32
	b.run(dst, src, w, bias, space[:])
	return true
}

// run computes band by band.
func (b *band) run(dst, src, w []float32, bias float32, space []float32) {
	var offsets [depthwiseTaps]int
	for i := range b.KH {
		for j := range b.KW {
			column := j * b.DilationW
			offsets[i*b.KW+j] = 4 * (i*b.DilationH*b.line + column%b.StrideW*b.phase + column/b.StrideW)
		}
	}
	for y := 0; y < b.OH; y += b.out {
		n := min(b.out, b.OH-y)
		top := y*b.StrideH - b.PadTop
		for r := range b.rows - (b.out-n)*b.StrideH {
			b.fill(space[r*b.line:(r+1)*b.line], src, top+r)
		}
		depthwiseRows(&dst[y*b.OW], b.OW, &space[0], b.StrideH*b.line, &offsets[0], &w[0], len(w), b.OW, n, bias)
	}
}

// fill copies row y of src, which may lie outside, to a row of the band. The padding within the row is
// never written: it is 0 from the start.
func (b *band) fill(line, src []float32, y int) {
	if y < 0 || y >= b.H {
		clear(line)
		return
	}
	row := src[y*b.W : (y+1)*b.W]
	switch b.StrideW {
	case 1:
		copy(line[b.lo[0]:b.hi[0]], row[b.lo[0]-b.PadLeft:])
	case 2:
		even, odd := line[:b.phase], line[b.phase:]
		lo, hi := max(b.lo[0], b.lo[1]), min(b.hi[0], b.hi[1])
		n := max(hi-lo, 0) &^ 7
		if n > 0 {
			deinterleave(&even[lo], &odd[lo], &row[2*lo-b.PadLeft], n)
		}
		b.fillPhase(even, row, 0, b.lo[0], lo)
		b.fillPhase(even, row, 0, lo+n, b.hi[0])
		b.fillPhase(odd, row, 1, b.lo[1], lo)
		b.fillPhase(odd, row, 1, lo+n, b.hi[1])
	default:
		for p := range b.StrideW {
			lo, hi := inside(p-b.PadLeft, b.StrideW, b.W, b.phase)
			b.fillPhase(line[p*b.phase:], row, p, lo, hi)
		}
	}
}

// fillPhase copies elements [lo, hi) of phase p of a row.
func (b *band) fillPhase(phase, row []float32, p, lo, hi int) {
	for i := lo; i < hi; i++ {
		phase[i] = row[i*b.StrideW+p-b.PadLeft]
	}
}
