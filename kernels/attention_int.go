package kernels

import (
	"math"
	"unsafe"
)

// Attention with rows of bytes in exact integers: the queries as int8 with a scale for each row, the weights as int16,
// their scale the largest that a row can have in the block.

// attentionInts is what a run with integer products keeps.
type attentionInts struct {
	keys, values bool // products with keys, with values, are of integers

	dim        int
	codes      []byte    // of the queries, dim a row
	init       []int32   // -rowZero times the sum of a row's codes
	queryScale []float32 // per row
	keyScale   []float32 // per key of the block
	valueScale []float32 // per key of the block, relative to valueTop
	valueTop   float32
	weights    []int16   // of a block of rows
	rowScale   []float32 // of the weights
	ones       []float32
	zeros      []int32
}

func (n *attentionInts) cut(c *scratchCutter, rows, dim int) {
	n.dim = dim
	n.codes = c.bytes(rows * dim)
	n.init = intsOf(c.bytes(4 * rows))
	n.queryScale = c.floats(rows)
	n.keyScale, n.valueScale = c.floats(attentionKeys), c.floats(attentionKeys)
	n.weights = shortsOf(c.bytes(2 * pairRows * attentionKeys))
	n.rowScale = c.floats(pairRows)
	n.ones = c.floats(stripCols)
	n.zeros = intsOf(c.bytes(4 * pairRows))
	if n.values {
		for i := range n.ones {
			n.ones[i] = 1
		}
		clear(n.zeros)
	}
}

func intsOf(b []byte) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func shortsOf(b []byte) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

// intRows reports whether products with rows of this kind are computed in integers.
func intRows(kind RowKind, dim int) bool {
	return kind == RowsI8 && dim > 0 && dim%stripCols == 0 && dim <= 1024 && useIntTiles()
}

// intTile is a product of rows of integer codes with a strip: for rows i and columns c < stripCols
//
//	dst[i*ldd+c] = (init[i] + sum_k a[i,k] b[k,c]) rowScale[i] colScale[c]     (added to dst if add is 1)
//
// a has depth groups of 4 bytes a row, b has stripCols such groups for each of them: 4 int8 times 4 uint8
// (dotBytes), or 2 int16 times 2 int16 (dotWords). Strides are in bytes. The sums are exact in int32.
type intTile struct {
	dst      *float32
	ldd      int
	a        *byte
	lda      int
	b        *byte
	depth    int
	init     *int32
	rowScale *float32
	colScale *float32
	rows     int
	add      int
}

// sums computes the tile in plain Go, of groups of two words or of four bytes.
func (t *intTile) sums(words bool) {
	for i := range t.rows {
		a := unsafe.Add(unsafe.Pointer(t.a), i*t.lda)
		out := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(t.dst), i*t.ldd)), stripCols)
		for c := range out {
			sum := unsafe.Slice(t.init, t.rows)[i]
			for k := range t.depth {
				x, y := unsafe.Add(a, 4*k), unsafe.Add(unsafe.Pointer(t.b), 4*(k*stripCols+c))
				if words {
					x, y := (*[2]int16)(x), (*[2]int16)(y)
					sum += int32(x[0])*int32(y[0]) + int32(x[1])*int32(y[1])
					continue
				}
				for j, v := range (*[4]int8)(x) {
					sum += int32(v) * int32((*[4]uint8)(y)[j])
				}
			}
			v := float32(float32(sum) * unsafe.Slice(t.rowScale, t.rows)[i])
			v = float32(v * unsafe.Slice(t.colScale, stripCols)[c])
			if t.add != 0 {
				v += out[c]
			}
			out[c] = v
		}
	}
}

func dotBytesGeneric(t *intTile) { t.sums(false) }

func dotWordsGeneric(t *intTile) { t.sums(true) }

// query rounds row i of the queries to int8.
func (n *attentionInts) query(i int, q []float32) {
	codes := n.codes[i*n.dim : (i+1)*n.dim]
	var sum int32
	n.queryScale[i], sum = quantizeRow(codes, q)
	n.init[i] = -rowZero * sum
}

// quantizeRow is dst[i] = round(x[i] / scale) as int8 with scale = max |x| / 127; it returns the scale and the sum of dst.
func quantizeRow(dst []byte, x []float32) (scale float32, sum int32) {
	var bits uint32 // of the magnitudes: their order as integers has NaN on top
	for _, v := range x {
		bits = max(bits, math.Float32bits(v)&^(1<<31))
	}
	top := math.Float32frombits(bits)
	scale = top / 127
	if top-top != 0 || top < minActMax {
		clear(dst)
		return scale, 0
	}
	inv := 127 / top
	for i, v := range x {
		// Adding 1.5 * 2^23 leaves a float32 no bits below 1, rounded to even.
		const big = 3 << 22
		q := int32(float32(float32(v*inv)+big) - big)
		dst[i] = byte(int8(q))
		sum += q
	}
	return scale, sum
}

// packIntKeys packs the keys of a block for dotBytes, and gathers their scales.
func (g *attentionRun) packIntKeys(s, n int) {
	words := g.Dim / 4
	panel := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(g.keys))), attentionKeys*words)
	for i := range n {
		g.ints.keyScale[i] = getFloat32(g.k.from(s + i))
	}
	for c := 0; c < n; c += stripCols {
		packBytes(panel[c*words:(c+stripCols)*words], g.k.from(s + c)[4:], g.k.Stride, min(stripCols, n-c), words)
	}
}

// packBytes writes groups of 4 bytes of rows rows to a strip: dst[k*stripCols+i] is group k of row i.
func packBytes(dst []uint32, src []byte, stride, rows, words int) {
	i := packBytesSIMD(dst, src, stride, rows, words)
	for ; i < rows; i++ {
		row := src[i*stride:][:4*words]
		for k := range words {
			dst[k*stripCols+i] = uint32(row[4*k]) | uint32(row[4*k+1])<<8 | uint32(row[4*k+2])<<16 | uint32(row[4*k+3])<<24
		}
	}
}

// intScores computes the scores of the block's rows for the strip of keys that begins at c.
func (b *attentionBlock) intScores(c int) {
	words := b.Dim / 4
	dotBytes(&intTile{dst: &b.scores[c], ldd: 4 * scoresLd, a: &b.ints.codes[b.index*b.Dim], lda: b.Dim,
		b: (*byte)(unsafe.Pointer(&b.keys[c*words])), depth: words, init: &b.ints.init[b.index],
		rowScale: &b.ints.queryScale[b.index], colScale: &b.ints.keyScale[c], rows: b.rows})
}

// packIntValues packs the values of a block for dotWords: the codes of pairs of keys side by side. The scales go to the weights.
func (g *attentionRun) packIntValues(s, n int) {
	top := float32(0)
	for i := range n {
		v := getFloat32(g.v.from(s + i))
		g.ints.valueScale[i] = v
		if !(v <= top) {
			top = v
		}
	}
	g.ints.valueTop = top
	inv := float32(0)
	if top > 0 {
		inv = 1 / top
	}
	Scale(g.ints.valueScale[:n], g.ints.valueScale[:n], inv)
	pairs := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(g.values))), attentionKeys/2*g.DimV)
	for c := 0; c < g.DimV; c += stripCols {
		packPairs(pairs[c*attentionKeys/2:(c+stripCols)*attentionKeys/2], g.v.from(s)[4+c:], g.v.Stride, n)
	}
}

// packPairs writes stripCols bytes of n rows, less rowZero, as pairs of int16: dst[i/2*stripCols+c] has the bytes c of rows i and i+1.
func packPairs(dst []uint32, src []byte, stride, n int) {
	i := packPairsSIMD(dst, src, stride, n)
	for ; i < n; i += 2 {
		out := dst[i/2*stripCols:][:stripCols]
		for c, v := range src[i*stride:][:stripCols] {
			out[c] = uint32(uint16(int16(v) - rowZero))
		}
		if i+1 < n {
			for c, v := range src[(i+1)*stride:][:stripCols] {
				out[c] |= uint32(int16(v)-rowZero) << 16
			}
		}
	}
}

// maxWeight is what the largest possible weight is rounded to.
const maxWeight = 1<<15 - 1

// narrow rounds the weights w[lo:hi] of row r times the values' scales to int16.
func (n *attentionInts) narrow(r int, w []float32, lo, hi int) {
	dst := n.weights[r*attentionKeys:][:attentionKeys]
	top := float32(0)
	if lo < hi {
		top = MaxRow(w[lo:hi])
	}
	n.rowScale[r] = top / maxWeight * n.valueTop
	if !(top > 0) || math.IsInf(float64(top), 0) {
		clear(dst[lo:roundUp(hi, 2)])
		return
	}
	inv := maxWeight / top
	i := lo + narrowWeightsSIMD(dst[lo:hi], w[lo:hi], n.valueScale[lo:hi], inv)
	for ; i < hi; i++ {
		dst[i] = int16(math.RoundToEven(float64(w[i] * n.valueScale[i] * inv)))
	}
	if hi%2 != 0 {
		dst[hi] = 0
	}
}

// intKeys is the most keys that dotWords takes at once: so many of the largest products fit an int32.
const intKeys = 512

// addIntValues adds the weighted values of the keys lo to hi of the block to the rows' sums.
func (b *attentionBlock) addIntValues(lo, hi int) {
	for ; hi-lo > intKeys; lo += intKeys {
		b.addIntValues(lo, lo+intKeys)
	}
	for c := 0; c < b.DimV; c += stripCols {
		dotWords(&intTile{dst: &b.dst[c], ldd: 4 * b.ldd, a: (*byte)(unsafe.Pointer(&b.ints.weights[lo])), lda: 2 * attentionKeys,
			b: (*byte)(unsafe.Pointer(&b.values[c*attentionKeys/2+lo/2*stripCols])), depth: (hi - lo + 1) / 2, init: &b.ints.zeros[0],
			rowScale: &b.ints.rowScale[0], colScale: &b.ints.ones[0], rows: b.rows, add: 1})
	}
}
