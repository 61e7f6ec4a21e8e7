package kernels

import "math"

// packKeys brings the n keys from s on into the order of products: strips of stripCols keys, element by element.
func (g *attentionRun) packKeys(s, n int) {
	if g.ints.keys {
		g.packIntKeys(s, n)
		return
	}
	if g.pairs.keys {
		g.packPairKeys(s, n)
		return
	}
	if g.readsKeyRows() {
		g.findKeyRows(s, n)
		return
	}
	x, ld := g.k.floats(s, n, g.Dim, g.wide)
	for c := 0; c < n; c += stripCols {
		packStripTrans(g.keys[c*g.Dim:(c+stripCols)*g.Dim], x[c*ld:], ld, min(stripCols, n-c), g.Dim)
	}
}

// packValues is packKeys for the values: strips of stripCols elements, key by key.
func (g *attentionRun) packValues(s, n int) {
	if g.ints.values {
		g.packIntValues(s, n)
		return
	}
	if g.pairs.values {
		g.packPairValues(s, n)
		return
	}
	g.direct, g.directHalves = nil, nil
	if g.v.Kind == RowsF16 && useHalfRows() && g.Heads*g.Queries <= directRows && g.DimV%wideCols == 0 {
		g.directHalves, g.directLd = halvesOf(g.v.from(s)), g.v.Stride/2
		return
	}
	x, ld := g.v.floats(s, n, g.DimV, g.wide)
	if g.Heads*g.Queries <= directRows && g.DimV%stripCols == 0 {
		g.direct, g.directLd = x, ld
		return
	}
	for c := 0; c < g.DimV; c += stripCols {
		packStrip(g.values[c*attentionKeys:(c+stripCols)*attentionKeys], x[c:], ld, min(stripCols, g.DimV-c), n)
	}
}

// keysFrom takes the keys s+lo to s+hi of the packed block in: lo is a multiple of stripCols.
func (b *attentionBlock) keysFrom(s, lo, hi int) {
	if b.Dim == 0 {
		for r := range b.rows {
			clear(b.scores[r*scoresLd+lo : r*scoresLd+hi])
		}
	}
	switch {
	case b.pairs.keys:
		b.pairScores(lo, hi)
	case b.keyRows.x != nil || b.keyRows.halves != nil:
		b.rowScores(lo, hi)
	default:
		b.stripScores(lo, hi)
	}
	for r := range b.rows {
		b.weigh(r, s, lo, hi)
	}
	b.addValues(lo, hi)
}

// stripScores computes the products with the packed keys lo to hi of the block.
func (b *attentionBlock) stripScores(lo, hi int) {
	for c := lo; c < hi && b.Dim > 0; c += stripCols {
		if b.ints.keys {
			b.intScores(c)
			continue
		}
		strip := b.keys[c*b.Dim : (c+stripCols)*b.Dim]
		gemmStrip(b.scores[c:], scoresLd, b.q, b.ldq, b.rows, strip, strip[PanelRows:], stripCols, min(stripCols, hi-c), b.Dim, false)
	}
}

// addValues adds the values lo to hi of the block by their weights.
func (b *attentionBlock) addValues(lo, hi int) {
	if b.ints.values {
		b.addIntValues(lo, hi)
		return
	}
	if b.pairs.values {
		b.addPairValues(lo, hi)
		return
	}
	c := 0
	for ; b.directHalves != nil && c < b.DimV; c += wideCols {
		addWideHalves(b.dst[c:], b.ldd, b.scores[lo:], scoresLd, b.rows, b.directHalves[c+lo*b.directLd:], b.directLd, hi-lo)
	}
	for ; b.direct != nil && c+wideCols <= b.DimV; c += wideCols {
		addWide(b.dst[c:], b.ldd, b.scores[lo:], scoresLd, b.rows, b.direct[c+lo*b.directLd:], b.directLd, hi-lo)
	}
	for ; c < b.DimV; c += stripCols {
		b0, ld := b.values[c*attentionKeys:], stripCols
		if b.direct != nil {
			b0, ld = b.direct[c:], b.directLd
		}
		b0 = b0[lo*ld:]
		gemmStrip(b.dst[c:], b.ldd, b.scores[lo:], scoresLd, b.rows, b0, b0[PanelRows:], ld, min(stripCols, b.DimV-c), hi-lo, true)
	}
}

// weigh turns the scores of row r for the keys s+lo to s+hi into weights relative to the row's
// running maximum, and rescales what the row has summed so far if that grows.
func (b *attentionBlock) weigh(r, s, lo, hi int) {
	row := b.scores[r*scoresLd : r*scoresLd+attentionKeys]
	from, to := b.sees(r)
	from, to = min(max(from-s, lo), hi), min(max(to-s, lo), hi)
	if from >= to {
		b.setWeights(r, lo, hi, hi, hi)
		return
	}
	w, scale := row[from:to], b.Scale
	if b.Softcap > 0 || b.mask != nil || scale < 0 {
		b.refine(w, r, s+from)
		scale = 1
	}
	m := MaxRow(w) * scale
	top := max(b.top[r], m)
	if math.IsInf(float64(top), -1) {
		b.setWeights(r, lo, hi, hi, hi)
		return
	}
	if top > b.top[r] {
		if !math.IsInf(float64(b.top[r]), -1) {
			c := expGeneric(b.top[r] - top)
			out := b.sums[r*b.ldsums : r*b.ldsums+b.DimV]
			Scale(out, out, c)
			b.sum[r] *= c
		}
		b.top[r] = top
	}
	if b.pairs.values {
		b.sum[r] += expPairs(b.pairs.weights[r*weightsLd+from:], w, scale, top)
	} else {
		b.sum[r] += expScaled(w, scale, top)
	}
	b.setWeights(r, lo, hi, from, to)
}

// setWeights finishes the weights of row r for the keys lo to hi of the block: those of [from, to) are there, the others are 0.
func (b *attentionBlock) setWeights(r, lo, hi, from, to int) {
	row := b.scores[r*scoresLd : r*scoresLd+attentionKeys]
	if b.pairs.values {
		b.pairs.clear(r, lo, hi, from, to)
		return
	}
	clear(row[lo:from])
	clear(row[to:hi])
	if b.ints.values {
		b.ints.narrow(r, row, lo, hi)
	}
}

// refine takes row r of products with the keys from s on to scores.
func (b *attentionBlock) refine(w []float32, r, s int) {
	Scale(w, w, b.Scale)
	if b.Softcap > 0 {
		Scale(w, w, 1/b.Softcap)
		Activate(w, w, Activation{Kind: ActTanh})
		Scale(w, w, b.Softcap)
	}
	if b.mask != nil {
		Add(w, w, b.mask[r*b.ldmask+s:])
	}
}

// The constants of expScaled in assembly: 2^f for |f| <= 1/2 is a minimax polynomial of degree 5, error 9.1e-8 relative.
const (
	softC0     = 1
	softC1     = 0.6931470036506653
	softC2     = 0.24022242426872253
	softC3     = 0.05550733581185341
	softC4     = 0.009671512991189957
	softC5     = 0.001326472731307149
	softLowest = -86 // below this a weight is 0
)

// expScaled is x[i] = exp(x[i] scale - shift), within 4e-7, for x[i] scale <= shift; it returns the sum. In assembly it is,
// with products fused to the sums,
//
//	t = x scale - shift,  u = t log2(e),  n = round(u),  x = 2^n P(u - n), or 0 if t < softLowest
func expScaled(x []float32, scale, shift float32) float32 {
	if s, ok := expScaledSIMD(x, scale, shift); ok {
		return s
	}
	if scale != 1 {
		Scale(x, x, scale)
	}
	return expSum(x, x, shift)
}

// softTable holds the constants of expScaled; the assembly files have the offsets.
var softTable = [9]float32{log2e, expMagic, softC0, softC1, softC2, softC3, softC4, softC5, softLowest}
