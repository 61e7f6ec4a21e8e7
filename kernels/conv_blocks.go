package kernels

import (
	"math"
	"slices"
	"unsafe"
)

// BlockConv is the convolution of ImageConv with quantized filters (D8, D4, D3, D2) and gaps along a line too. Its result has the
// bits of the product that MatMul makes of gathered receptive fields, rows in (window, channel) order, with bias, z and
// activation after it, one rounded operation after another.
//
// A group of a receptive field is 32 values in that order: of one pixel, or, where channels are no multiple of 32, of
// several. Groups that read the same channels of pixels at the same distances from each other, wherever in the window
// they lie, are of one kind. Each kind is quantized once for each pixel that such groups begin at, instead of once for each output: a 3x3
// window of 16 channels has 5 groups of 3 kinds, one of 64 channels 18 groups of 2. Where channels are no multiple of 16 receptive
// fields are gathered before.
type BlockConv struct {
	imageLines
	n        int
	w        Weights
	bias     []float32 // of whole panels; -0, which changes no sum, where there is none
	biases   []float32 // the bias of some outputs, one after the other
	biased   bool
	act      Activation
	gathered bool
	flat     bool // outputs follow each other like the pixels that are quantized
	pixel    int  // values of a pixel that is quantized
	groups   int
	kinds    []blockKind
	places   []blockPlace
	begins   [][]lineSpan // of each kind: where its groups begin
	offsets  []int        // of each group, in blocks: where it lies for the first output of a band
	pieces   []fieldPiece
	reach    int // values that copying a field's pieces as a whole reads
	lines    int // output lines of a band; pixels if merged
	columns  int // pixels of a line
	plane    int // blocks of a kind
	parts    []*MatMul
}

// blockKind is what groups have in common: first is the number of values before its first 16 in a pixel, second of the
// other 16 in the pixel that is so many pixels further on. A negative second stands for zeros.
type blockKind struct {
	first, second, further int
}

// lineSpan is lines from..to-1 of a band.
type lineSpan struct{ from, to int }

// fieldPiece is up to blockHalf values of a receptive field: where they lie from its first pixel on, and where in it.
type fieldPiece struct{ from, to, n int }

// blockPlace is a group's kind, and the line and column of the window where it begins.
type blockPlace struct {
	kind, line, column int
}

const (
	// blockBand bounds the bytes of a band with its quantized groups.
	blockBand = 512 << 10
	// gatherBand bounds the bytes where receptive fields are gathered: more of them stay in the first cache, and no line is quantized
	// anew at a band's beginning.
	gatherBand = 96 << 10
	// blockHalf is the number of values of a group that lie in one pixel.
	blockHalf = groupHalf
	// blockRows is the most outputs of a product.
	blockRows = 256
	// blockFinish is about how many outputs are finished at a time.
	blockFinish = 512
	// gatherSlack is how many values may be written behind the fields that are gathered.
	gatherSlack = GroupLen
)

// blockZeros is the second half of groups that have none.
var blockZeros [blockHalf]float32

// NewBlockConv binds filters w for images of c channels. bias has a value for each filter or is nil. planes says that
// sources are [C][H][W]. Up to parts goroutines may use it at a time.
func NewBlockConv(g *Window, c int, w Weights, bias []float32, act Activation, planes bool, parts int) *BlockConv {
	if w.Kind.Format() == 0 || w.K != g.KH*g.KW*c || c < 1 || w.N < 1 || bias != nil && len(bias) != w.N {
		panic("kernels: NewBlockConv: filters do not fit the window")
	}
	v := &BlockConv{imageLines: newImageLines(g, c, planes), n: w.N, w: w, act: act, groups: Groups(w.K), pixel: c}
	v.bias = make([]float32, Panels(w.N)*PanelRows)
	for i := range v.bias {
		v.bias[i] = float32(math.Copysign(0, -1))
		if i < len(bias) {
			v.bias[i] = bias[i]
		}
	}
	v.biased = bias != nil
	v.biases = make([]float32, max(1, blockFinish/w.N)*w.N)
	for i := range v.biases {
		v.biases[i] = v.bias[i%w.N]
	}
	for range parts {
		v.parts = append(v.parts, NewMatMul(nil, w, nil, Activation{}))
	}
	v.gathered = c%blockHalf != 0
	v.flat = v.gathered || v.merged || v.picked
	v.columns = v.width / c
	if v.gathered {
		v.pixel, v.columns = v.groups*GroupLen, g.OW
		v.findPieces()
	}
	v.findKinds()
	units := v.Units()
	v.lines = 1
	most := blockBand
	if v.gathered {
		most = gatherBand
	}
	for step := 1; v.lines < units; {
		if next := min(v.lines+step, units); v.bandBytes(next) <= most {
			v.lines, step = next, 2*step
		} else if step == 1 {
			break
		} else {
			step = 1
		}
	}
	v.plane = v.pixels(v.lines)
	v.offsets = make([]int, v.groups)
	v.begins = make([][]lineSpan, len(v.kinds))
	for i, p := range v.places {
		v.offsets[i] = p.kind*v.plane + p.line*v.g.DilationH*v.columns + p.column*v.g.DilationW
	}
	for kind := range v.kinds {
		v.begins[kind] = v.findSpans(kind)
	}
	return v
}

// findPieces finds what gather copies.
func (v *BlockConv) findPieces() {
	g := &v.g
	run, taps := g.KW*v.c, 1
	if g.DilationW > 1 {
		run, taps = v.c, g.KW
	}
	for i := range g.KH * taps {
		from := i/taps*g.DilationH*v.width + i%taps*g.DilationW*v.c
		for k := 0; k < run; k += blockHalf {
			v.pieces = append(v.pieces, fieldPiece{from + k, i*run + k, min(blockHalf, run-k)})
			v.reach = from + k + blockHalf
		}
	}
}

// findKinds finds the kinds, and where each group begins.
func (v *BlockConv) findKinds() {
	if v.gathered {
		for i := range v.groups {
			v.kinds = append(v.kinds, blockKind{first: i * GroupLen, second: i*GroupLen + blockHalf})
			v.places = append(v.places, blockPlace{kind: i})
		}
		return
	}
	index := map[blockKind]int{}
	halves := v.c / blockHalf
	for i := range v.groups {
		tap, at := 2*i/halves, 2*i%halves
		k := blockKind{first: at * blockHalf, second: -1}
		place := blockPlace{line: tap / v.g.KW, column: tap % v.g.KW}
		if tap2, at2 := (2*i+1)/halves, (2*i+1)%halves; tap2 < v.g.KH*v.g.KW {
			k.second = at2 * blockHalf
			k.further = (tap2/v.g.KW-place.line)*v.g.DilationH*v.columns + (tap2%v.g.KW-place.column)*v.g.DilationW
		}
		known, ok := index[k]
		if !ok {
			known = len(v.kinds)
			index[k] = known
			v.kinds = append(v.kinds, k)
		}
		place.kind = known
		v.places = append(v.places, place)
	}
}

// findSpans returns the lines of a band in which groups of a kind begin: with strides not in all.
func (v *BlockConv) findSpans(kind int) []lineSpan {
	if v.flat {
		return []lineSpan{{}}
	}
	var lines []int
	for _, p := range v.places {
		for i := 0; p.kind == kind && i < v.lines; i++ {
			lines = append(lines, i*v.g.StrideH+p.line*v.g.DilationH)
		}
	}
	slices.Sort(lines)
	var spans []lineSpan
	for i, line := range slices.Compact(lines) {
		if i > 0 && spans[len(spans)-1].to == line {
			spans[len(spans)-1].to++
			continue
		}
		spans = append(spans, lineSpan{line, line + 1})
	}
	return spans
}

// pixels is the number of pixels that are quantized for n units of output.
func (v *BlockConv) pixels(n int) int {
	switch {
	case v.merged:
		return n
	case v.gathered:
		return n * v.g.OW
	}
	return v.bandLines(n) * v.columns
}

// outputs is the number of outputs of n units.
func (v *BlockConv) outputs(n int) int {
	if v.merged {
		return n
	}
	return n * v.g.OW
}

// copyBytes is the memory of the lines copied for n units, gatherBytes of the receptive fields gathered, planeBytes of the kinds'
// blocks. Each ends on a line.
func (v *BlockConv) copyBytes(n int) int {
	if !v.copied {
		return 0
	}
	return roundUp(v.bandLines(n)*v.width*4, LineBytes)
}

func (v *BlockConv) gatherBytes(n int) int {
	if !v.gathered {
		return 0
	}
	return roundUp((v.pixels(n)*v.pixel+gatherSlack)*4, LineBytes)
}

func (v *BlockConv) planeBytes(n int) int {
	return roundUp(len(v.kinds)*v.pixels(n)*actBlockBytes, LineBytes)
}

func (v *BlockConv) bandBytes(n int) int { return v.copyBytes(n) + v.gatherBytes(n) + v.planeBytes(n) }

// Panels is the number of panels of filters.
func (v *BlockConv) Panels() int { return Panels(v.n) }

// ScratchBytes is the memory that Run needs.
func (v *BlockConv) ScratchBytes() int {
	rows := min(v.outputs(v.lines), blockRows)
	return LineBytes + v.bandBytes(v.lines) + max(v.parts[0].ScratchBytes(rows), v.groups*(PanelRows*GroupLen+2*PanelRows*4))
}

// Run computes units [lo, hi) of an image for the filters of panels [p0, p1). z is nil or lies as dst. dst must not
// overlap src. part, below NewBlockConv's parts, is nobody else's meanwhile.
func (v *BlockConv) Run(part int, dst, src, z []float32, lo, hi, p0, p1 int, scratch []byte) {
	g := &v.g
	out := g.OH * g.OW * v.n
	if len(dst) < out || len(src) < g.H*g.W*v.c || z != nil && len(z) < out || len(scratch) < v.ScratchBytes() ||
		lo < 0 || hi > v.Units() || p0 < 0 || p1 > v.Panels() {
		panic("kernels: BlockConv.Run: dst, src, z or scratch is too short")
	}
	if p0 >= p1 || g.OW == 0 {
		return
	}
	scratch = scratch[-uintptr(unsafe.Pointer(&scratch[0]))%LineBytes:]
	for ; lo < hi; lo += v.lines {
		n := min(v.lines, hi-lo)
		b := blockStrip{BlockConv: v, units: n, first: lo, p0: p0, p1: p1, part: part}
		b.dst = dst[v.outputs(lo)*v.n : v.outputs(lo+n)*v.n]
		if z != nil {
			b.z = z[v.outputs(lo)*v.n : v.outputs(lo+n)*v.n]
		}
		rest := b.load(src, scratch)
		if !b.runSIMD(rest) {
			b.run(rest)
		}
	}
}

// blockStrip is a band of units that is computed now.
type blockStrip struct {
	*BlockConv
	dst, z       []float32
	x            []float32 // the pixels that are quantized
	units, first int
	p0, p1, part int
}

// load makes b.x, and returns what it leaves of scratch.
func (b *blockStrip) load(src []float32, scratch []byte) []byte {
	line := b.first * b.g.StrideH
	n := b.bandLines(b.units) * b.width
	switch {
	case b.merged:
		b.x = src[b.first*b.c:][:b.units*b.c]
	case b.copied:
		b.x = floatsOf(scratch[:n*4])
		b.fill(b.x, src, line-b.g.PadTop, b.bandLines(b.units))
	default:
		b.x = src[line*b.width:][:n]
	}
	scratch = scratch[b.copyBytes(b.lines):]
	if b.gathered {
		fields := floatsOf(scratch[:b.gatherBytes(b.units)])
		b.gather(fields)
		b.x = fields[:b.outputs(b.units)*b.pixel]
	}
	return scratch[b.gatherBytes(b.lines):]
}

// gather copies the receptive fields of all outputs of the band, each with zeros up to whole groups. dst has
// room for gatherSlack values more.
func (b *blockStrip) gather(dst []float32) {
	lines, columns := b.units, b.g.OW
	if b.merged {
		lines, columns = 1, b.units
	}
	ld := b.g.StrideH * b.width
	if b.picked {
		ld = b.width
	}
	for l := range lines {
		x, fields := b.x[l*ld:], dst[l*columns*b.pixel:][:columns*b.pixel+gatherSlack]
		// Pieces are copied as a whole, as far as the source has as much: what lies behind one is overwritten by the next piece or field.
		whole := 0
		if len(x) >= b.reach {
			whole = min((len(x)-b.reach)/b.step+1, columns)
		}
		if !gatherFieldsSIMD(fields, x, b.pieces, whole, b.step, b.pixel, b.w.K) {
			whole = 0
		}
		for o := whole; o < columns; o++ {
			row := fields[o*b.pixel:][:b.pixel]
			for _, p := range b.pieces {
				copy(row[p.to:p.to+p.n], x[o*b.step+p.from:])
			}
			clear(row[b.w.K:])
		}
	}
}

// pixelSpan returns the pixels [from, to) of a span of lines at which groups of a kind may begin.
func (b *blockStrip) pixelSpan(kind int, s lineSpan) (from, to int) {
	total := len(b.x)/b.pixel - b.kinds[kind].further
	if b.flat {
		return 0, total
	}
	return s.from * b.columns, min(s.to*b.columns, total)
}

// origin returns where the groups of the first output of a line begin, in blocks from their offsets on, and how far those of the next
// output are.
func (b *blockStrip) origin(line int) (at, step int) {
	if b.flat {
		return line * b.g.OW, 1
	}
	return line * b.g.StrideH * b.columns, b.g.StrideW
}

// quantizeAct makes the blocks of the groups of a kind that begin at pixels [from, to), at least one.
func (b *blockStrip) quantizeAct(dst []actBlock, kind, from, to int) {
	k := &b.kinds[kind]
	second, ld := blockZeros[:], 0
	if k.second >= 0 {
		second, ld = b.x[(from+k.further)*b.pixel+k.second:], b.pixel
	}
	quantizeHalves(dst[:to-from], b.x[from*b.pixel+k.first:], second, b.pixel, ld)
}

// run computes the band as a product of rows of blocks.
func (b *blockStrip) run(scratch []byte) {
	planes := actBlocks(scratch, len(b.kinds)*b.plane)
	for kind := range b.kinds {
		for _, span := range b.begins[kind] {
			if from, to := b.pixelSpan(kind, span); from < to {
				b.quantizeAct(planes[kind*b.plane+from:], kind, from, to)
			}
		}
	}
	rows := b.outputs(b.units)
	at := blockOrigins{columns: rows, step: 1}
	if !b.flat {
		at = blockOrigins{columns: b.g.OW, step: b.g.StrideW, ld: b.g.StrideH * b.columns}
	}
	for ; at.first < rows; at.first += blockRows {
		n := min(blockRows, rows-at.first)
		b.parts[b.part].runBlocks(b.dst[at.first*b.n:], b.n, planes, b.offsets, at, n, b.p0, b.p1, scratch[b.planeBytes(b.lines):])
	}
	c0, c1 := b.p0*PanelRows, min(b.p1*PanelRows, b.n)
	if c0 > 0 || c1 < b.n {
		for o := 0; o < len(b.dst); o += b.n {
			b.finish(o+c0, o+c1, b.bias[c0:])
		}
		return
	}
	// Whole rows are finished many at a time.
	for o := 0; o < len(b.dst); o += len(b.biases) {
		b.finish(o, min(o+len(b.biases), len(b.dst)), b.biases)
	}
}

// finish adds bias and z to outputs [lo, hi) of the band, and activates them.
func (b *blockStrip) finish(lo, hi int, bias []float32) {
	out := b.dst[lo:hi]
	if b.biased {
		Add(out, out, bias)
	}
	if b.z != nil {
		Add(out, out, b.z[lo:])
	}
	if b.act.Kind != ActNone {
		Activate(out, out, b.act)
	}
}
