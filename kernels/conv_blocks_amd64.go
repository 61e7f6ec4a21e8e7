//go:build amd64 && !purego

package kernels

import (
	"math"
	"unsafe"
)

// Bands on AVX-512. Codes and pairs of scale and start (see tileStart) of the blocks lie apart, so that both are written and
// read sixteen at a time; tiles read the blocks of their groups where they are.

// blockTile is one panel of filters for up to blockTileRows outputs of a line; lengths are bytes but for groups.
type blockTile struct {
	dst, codes, pairs, offsets, levels, scales, factors, bias, z unsafe.Pointer
	ldd, codeStep, pairStep                                      int
	groups, rows                                                 int
	mask, act                                                    uint32 // columns of dst; as convTile.act
	lo, hi, slope                                                float32
}

// blockTileRows is the most outputs of a tile.
const blockTileRows = 12

// blockRun is blocks times sixteen groups of a kind that begin at neighbouring pixels, ld bytes from each other. The two halves of
// a group are quantized as quantizeActsGroup does, but what is not finite gives codes without meaning, and sets wild.
type blockRun struct {
	codes, pairs, first, second unsafe.Pointer
	ld, ldSecond, blocks        int
	wild                        uint32
	inverse                     [16]float32 // for the routine
}

// gatherFieldsAVX2 copies count pieces, 16 values each, of fields receptive fields, which begin step bytes apart, to dst, where they begin
// pixel bytes apart, and zeros from tail bytes behind the beginning of each on to the next one, or up to 7 more.
//
//go:noescape
func gatherFieldsAVX2(dst, x *float32, pieces *fieldPiece, count, fields, step, pixel, tail int)

//go:noescape
func blockTileAVX512(t *blockTile)

//go:noescape
func blockRunAVX512(r *blockRun)

// blockPlanes is where the blocks of a band lie.
type blockPlanes struct {
	codes []byte    // GroupLen each
	pairs []float32 // scale, and start as it lies in memory
}

func (b *blockStrip) runSIMD(scratch []byte) bool {
	if !useAVX512 {
		return false
	}
	n := len(b.kinds) * b.plane
	planes := blockPlanes{codes: scratch[:n*GroupLen], pairs: floatsOf(scratch[n*GroupLen : n*actBlockBytes])}
	scratch = scratch[b.planeBytes(b.lines):]
	for kind := range b.kinds {
		for _, span := range b.begins[kind] {
			from, to := b.pixelSpan(kind, span)
			b.quantize(&planes, kind, from, to)
		}
	}
	m := b.parts[b.part]
	size := b.groups * expandedLevels
	levels, scales := scratch[:size], scratch[size:][:b.groups*expandedScales]
	lines, outputs := b.units, b.g.OW
	if b.flat {
		lines, outputs = 1, b.outputs(b.units)
	}
	t := blockTile{offsets: unsafe.Pointer(&b.offsets[0]), groups: b.groups, ldd: b.n * 4}
	fused := t.finish(b.act)
	for p := b.p0; p < b.p1; p++ {
		t.levels, t.scales = unsafe.Pointer(m.expand(levels, scales, m.format, p, 0, b.groups)), unsafe.Pointer(&scales[0])
		t.factors, t.bias = unsafe.Pointer(&m.panel(p)[0]), unsafe.Pointer(&b.bias[p*PanelRows])
		t.mask = uint32(1)<<min(b.n-p*PanelRows, PanelRows) - 1
		for line := range lines {
			b.tiles(&t, &planes, p*PanelRows, line, outputs)
		}
	}
	if fused {
		return true
	}
	c0, c1 := b.p0*PanelRows, min(b.p1*PanelRows, b.n)
	for o := 0; o < len(b.dst); o += b.n {
		Activate(b.dst[o+c0:o+c1], b.dst[o+c0:o+c1], b.act)
	}
	return true
}

// finish makes t apply an activation, or returns false.
func (t *blockTile) finish(act Activation) bool {
	if !tileFuses(act) {
		return false
	}
	var l levelTile
	l.bounded(act, nil)
	t.act, t.lo, t.hi, t.slope = l.act, l.lo, l.hi, l.slope
	return true
}

// tiles computes the outputs of a line for the panel of t, whose first column is col.
func (b *blockStrip) tiles(t *blockTile, planes *blockPlanes, col, line, outputs int) {
	at, step := b.origin(line)
	t.codeStep, t.pairStep = step*GroupLen, step*8
	first := line*outputs*b.n + col
	for tiles := (outputs + blockTileRows - 1) / blockTileRows; tiles > 0; tiles-- {
		t.rows = (outputs + tiles - 1) / tiles // even tiles
		t.dst = unsafe.Pointer(&b.dst[first])
		if b.z != nil {
			t.z = unsafe.Pointer(&b.z[first])
		}
		t.codes, t.pairs = unsafe.Pointer(&planes.codes[at*GroupLen]), unsafe.Pointer(&planes.pairs[2*at])
		blockTileAVX512(t)
		at += t.rows * step
		first += t.rows * b.n
		outputs -= t.rows
	}
}

// quantize makes the blocks of the groups of a kind that begin at pixels [from, to).
func (b *blockStrip) quantize(planes *blockPlanes, kind, from, to int) {
	k := &b.kinds[kind]
	n := to - from
	if n < 16 {
		b.quantizeOne(planes, kind, from, to)
		return
	}
	r := blockRun{ld: b.pixel * 4, second: unsafe.Pointer(&blockZeros[0])}
	_ = b.x[(to-1)*b.pixel+k.first+blockHalf-1]
	if k.second >= 0 {
		_ = b.x[(to-1+k.further)*b.pixel+k.second+blockHalf-1]
		r.ldSecond = r.ld
	}
	_, _ = planes.codes[(kind*b.plane+to)*GroupLen-1], planes.pairs[2*(kind*b.plane+to)-1]
	whole := n / 16
	b.quantizeRun(&r, planes, kind, from, whole)
	if n > whole*16 {
		b.quantizeRun(&r, planes, kind, to-16, 1) // some of those before again
	}
}

// quantizeRun makes blocks times sixteen blocks from a pixel on.
func (b *blockStrip) quantizeRun(r *blockRun, planes *blockPlanes, kind, from, blocks int) {
	k := &b.kinds[kind]
	at := kind*b.plane + from
	r.blocks = blocks
	r.codes, r.pairs = unsafe.Pointer(&planes.codes[at*GroupLen]), unsafe.Pointer(&planes.pairs[2*at])
	r.first = unsafe.Pointer(&b.x[from*b.pixel+k.first])
	if k.second >= 0 {
		r.second = unsafe.Pointer(&b.x[(from+k.further)*b.pixel+k.second])
	}
	blockRunAVX512(r)
	if r.wild != 0 {
		b.quantizeOne(planes, kind, from, from+16*blocks)
	}
}

// quantizeOne is quantize, block by block.
func (b *blockStrip) quantizeOne(planes *blockPlanes, kind, from, to int) {
	var act [1]actBlock
	for i := from; i < to; i++ {
		b.quantizeAct(act[:], kind, i, i+1)
		at := kind*b.plane + i
		*(*[GroupLen]int8)(unsafe.Pointer(&planes.codes[at*GroupLen])) = act[0].q
		planes.pairs[2*at] = act[0].scale
		planes.pairs[2*at+1] = math.Float32frombits(uint32(tileStart(act[0].sum)))
	}
}

// gatherFieldsSIMD gathers fields of k values; it reads and writes whole pieces.
func gatherFieldsSIMD(dst, x []float32, pieces []fieldPiece, fields, step, pixel, k int) bool {
	if !useSIMD() {
		return false
	}
	if fields > 0 {
		gatherFieldsAVX2(&dst[0], &x[0], &pieces[0], len(pieces), fields, 4*step, 4*pixel, 4*k)
	}
	return true
}
