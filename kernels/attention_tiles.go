package kernels

import (
	"unsafe"
)

// Attention with rows of bfloat16 in tiles of AMX: queries and weights are rounded to bfloat16 too, and products of pairs
// are summed in float32.

const (
	pairRows  = 32                 // query rows of a block: two tiles
	weightsLd = attentionKeys + 32 // elements between rows of weights: whole lines, an odd number of them
)

// attentionPairs is what a run with products of bfloat16 keeps.
type attentionPairs struct {
	keys, values bool // products with keys, with values, are of bfloat16

	queries []uint16  // a row for each row of the blocks, which have pairRows each
	weights []uint16  // of a block of rows, weightsLd each
	sums    []float32 // of weighted values, a row for each row of the blocks
}

func (p *attentionPairs) cut(c *scratchCutter, rows, dim, dimV int) {
	p.queries = halvesOf(c.bytes(2 * rows * dim))
	p.weights = halvesOf(c.bytes(2 * pairRows * weightsLd))
	p.sums = c.floats(rows * dimV)
}

// pairsOf reports whether products with rows of this kind are computed in tiles.
func pairsOf(kind RowKind, dim int) bool {
	return kind == RowsBF16 && dim > 0 && dim%stripCols == 0 && useTiles()
}

// pairTile is a product of rows of bfloat16 with strips of stripCols columns: for 16 rowTiles rows i and
// stripCols*strips columns c
//
//	dst[i*ldd+c] = sum_k a[i,k] b[k,c]     (added to dst if add is 1)
//
// k goes over 32*depth elements. Of a strip of b, b[2p,c] and b[2p+1,c] lie side by side at element 2*(p*stripCols+c); strips
// are strip bytes apart, as are ldd and lda bytes. Sums are float32 with subnormal numbers as 0, in an order that does not depend on other rows.
type pairTile struct {
	dst      *float32
	ldd      int
	a        *uint16
	lda      int
	b        *uint32
	strip    int
	depth    int
	strips   int
	rowTiles int
	add      int
	shapes   *tileShapes
}

// tileShapes is the operand of LDTILECFG: palette 1, bytes of a row and rows of each tile.
type tileShapes struct {
	palette  byte
	_        [15]byte
	rowBytes [16]uint16
	rows     [16]byte
}

// wholeTiles are eight tiles of 16 rows of 64 bytes.
var wholeTiles = tileShapes{palette: 1, rowBytes: [16]uint16{64, 64, 64, 64, 64, 64, 64, 64}, rows: [16]byte{16, 16, 16, 16, 16, 16, 16, 16}}

// dotPairsGeneric computes the tile in plain Go.
func dotPairsGeneric(t *pairTile) {
	for i := range 16 * t.rowTiles {
		out := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(t.dst), i*t.ldd)), t.strips*stripCols)
		a := unsafe.Slice((*uint16)(unsafe.Add(unsafe.Pointer(t.a), i*t.lda)), 32*t.depth)
		for c := range out {
			var sum float32
			if t.add != 0 {
				sum = out[c]
			}
			b := unsafe.Slice((*uint32)(unsafe.Add(unsafe.Pointer(t.b), c/stripCols*t.strip)), 16*t.depth*stripCols)
			for p := range 16 * t.depth {
				pair := b[p*stripCols+c%stripCols]
				sum += float32(BF16ToF32(a[2*p]) * BF16ToF32(uint16(pair)))
				sum += float32(BF16ToF32(a[2*p+1]) * BF16ToF32(uint16(pair>>16)))
			}
			out[c] = sum
		}
	}
}

// packPairKeys packs the keys of a block for dotPairs.
func (g *attentionRun) packPairKeys(s, n int) {
	words := g.Dim / 2
	strips := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(g.keys))), attentionKeys*words)
	for c := 0; c < n; c += stripCols {
		packBytes(strips[c*words:(c+stripCols)*words], g.k.from(s+c), g.k.Stride, min(stripCols, n-c), words)
	}
}

// packPairValues packs the values of a block for dotPairs, with zeros for keys up to a multiple of 32.
func (g *attentionRun) packPairValues(s, n int) {
	strips := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(g.values))), attentionKeys/2*g.DimV)
	for c := 0; c < g.DimV; c += stripCols {
		strip := strips[c*attentionKeys/2 : (c+stripCols)*attentionKeys/2]
		interleavePairs(strip, g.v.from(s)[2*c:], g.v.Stride, n)
		clear(strip[(n+1)/2*stripCols : roundUp(n, 32)/2*stripCols])
	}
}

// interleavePairs writes stripCols elements of n rows as pairs: dst[i/2*stripCols+c] has the elements c of rows i and i+1.
func interleavePairs(dst []uint32, src []byte, stride, n int) {
	i := interleavePairsSIMD(dst, src, stride, n)
	for ; i < n; i += 2 {
		out := dst[i/2*stripCols:][:stripCols]
		for c, v := range halvesOf(src[i*stride:][:2*stripCols]) {
			out[c] = uint32(v)
		}
		if i+1 < n {
			for c, v := range halvesOf(src[(i+1)*stride:][:2*stripCols]) {
				out[c] |= uint32(v) << 16
			}
		}
	}
}

// pairScores computes the scores of the block's rows for the keys lo to hi of the packed block.
func (b *attentionBlock) pairScores(lo, hi int) {
	dotPairs(&pairTile{dst: &b.scores[lo], ldd: 4 * scoresLd, a: &b.pairs.queries[b.index*b.Dim], lda: 2 * b.Dim,
		b: (*uint32)(unsafe.Pointer(&b.keys[lo*b.Dim/2])), strip: 2 * stripCols * b.Dim, depth: b.Dim / 32,
		strips: (hi - lo + stripCols - 1) / stripCols, rowTiles: (b.rows + 15) / 16, shapes: &wholeTiles})
}

// addPairValues adds the weighted values of the keys lo to hi of the block to the rows' sums.
func (b *attentionBlock) addPairValues(lo, hi int) {
	dotPairs(&pairTile{dst: &b.sums[0], ldd: 4 * b.ldsums, a: &b.pairs.weights[lo], lda: 2 * weightsLd,
		b: (*uint32)(unsafe.Pointer(&b.values[lo/2*stripCols])), strip: 2 * stripCols * attentionKeys, depth: (hi - lo + 31) / 32,
		strips: b.DimV / stripCols, rowTiles: (b.rows + 15) / 16, add: 1, shapes: &wholeTiles})
}

// expPairs is dst[i] = exp(x[i] scale - shift) as bfloat16, for x[i] scale <= shift; it returns the sum of the weights before they
// are rounded. In assembly they are within 2e-4 of the exponential then: with t = (x scale - shift) log2(e),
//
//	2^floor(t) P(t - floor(t))
func expPairs(dst []uint16, x []float32, scale, shift float32) float32 {
	if len(x) > 0 && useTiles() {
		return expPairsSIMD(dst, x, scale, shift)
	}
	sum := expScaled(x, scale, shift)
	NarrowBF16(dst, x)
	return sum
}

// pairExpTable holds 2^f for 0 <= f < 1 as 1 + f (c1 + f (c2 + f c3)), error 1.03e-4 relative, 1 and 2 at the ends; and 1.
var pairExpTable = [4]float32{0.6954243475489892, 0.22630768227869766, 0.07826797017231316, 1}

// clear finishes the rounded weights of row r for the keys lo to hi, those of [from, to) being there: the others are 0, up to a multiple of 32 keys.
func (p *attentionPairs) clear(r, lo, hi, from, to int) {
	row := p.weights[r*weightsLd:][:weightsLd]
	clear(row[lo:from])
	clear(row[to : lo+roundUp(hi-lo, 32)])
}

// query rounds row i of the queries.
func (p *attentionPairs) query(i int, q []float32) {
	NarrowBF16(p.queries[i*len(q):(i+1)*len(q)], q)
}
