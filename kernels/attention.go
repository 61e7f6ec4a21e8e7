package kernels

import (
	"math"
	"unsafe"
)

// Attention computes scaled dot-product attention of the query heads that share one key/value
// head. Element d of head h of query t lies at q[t*ldq+h*QueryHead+d], of the result at dst[t*ldd+h*DstHead+d].
//
//	score[s] = Scale sum_d q[d] k[s,d]
//	score[s] = Softcap tanh(score[s] / Softcap)    if Softcap > 0
//	score[s] = score[s] + mask[s]                  if there is a mask
//	dst      = sum_s softmax(score)[s] v[s]        over the keys that t sees; 0 if it sees none
//
// Keys are taken in blocks with a running maximum and sum (Milakov and Gimelshein 2018, Dao et al. 2022), so memory does not
// grow with Keys. The blocks start at multiples of attentionKeys whatever the queries, so that a query's result
// has the same bits among others and alone. A block of keys and values is brought into the order of the products once
// for all heads and queries; what no query of a block of rows sees is skipped.
type Attention struct {
	Heads, Queries int // query heads of the group, query tokens
	Keys           int
	Dim, DimV      int // of a query and key head, of a value head
	// QueryHead and DstHead are the elements between the heads of a query and of a result.
	QueryHead, DstHead int
	Scale, Softcap     float32
	Causal             bool // query t sees the keys s <= t + Offset
	Offset             int
	Window             int // if > 0, query t sees only the keys s > t + Offset - Window
	// Sinks, if not nil, has for each head the score of one more key that every query sees, whose value is 0 (Xiao et al. 2023).
	Sinks []float32
}

const (
	attentionKeys = 1024 // keys of a block
	attentionRows = 24   // query rows of a block
	// scoresLd are the elements between rows of scores: an odd number of lines, so that rows do not share sets of the first cache.
	scoresLd = attentionKeys + PanelRows
)

// AttentionMask is an additive mask: the row for head h and query t starts at
// Data[h*HeadStride+t*QueryStride] and has Keys elements. A nil Data is no mask.
type AttentionMask struct {
	Data                    []float32
	HeadStride, QueryStride int
}

// ScratchBytes returns the bytes of scratch that Run needs.
func (a *Attention) ScratchBytes() int {
	c := scratchCutter{}
	g := attentionRun{Attention: *a}
	g.cut(&c)
	return c.used + LineBytes
}

// Run computes the group on the calling goroutine. dst must not overlap an operand. Keys and values may be of
// different kinds. With RowsI8 and VNNI the queries are rounded to 8 bits with a scale for each, the weights to
// 15 bits, and the products are exact integers; with RowsBF16 and AMX queries and weights are rounded to bfloat16. All else is
// computed in float32.
func (a *Attention) Run(dst []float32, ldd int, q []float32, ldq int, k, v Rows, mask AttentionMask, scratch []byte) {
	if n := a.Keys - 1; n >= 0 && (len(k.Data) < n*k.Stride+k.Kind.RowBytes(a.Dim) || len(v.Data) < n*v.Stride+v.Kind.RowBytes(a.DimV)) {
		panic("kernels: Attention: keys or values are too short")
	}
	g := attentionRun{Attention: *a, dst: dst, ldd: ldd, q: q, ldq: ldq, k: k, v: v, mask: mask}
	g.ints.keys, g.ints.values = intRows(k.Kind, a.Dim), intRows(v.Kind, a.DimV)
	g.pairs.keys, g.pairs.values = pairsOf(k.Kind, a.Dim), pairsOf(v.Kind, a.DimV)
	g.perBlock = attentionRows
	if g.pairs.keys || g.pairs.values {
		g.perBlock = pairRows
	}
	g.cut(&scratchCutter{from: scratch[-uintptr(unsafe.Pointer(unsafe.SliceData(scratch)))%LineBytes:]})
	if !g.fewRows() {
		g.run()
		return
	}
	// The few rows of all heads and queries, one after another, as if they were the heads of one query.
	g.Heads, g.Queries, g.QueryHead, g.DstHead = a.Heads*a.Queries, 1, a.Dim, a.DimV
	g.perQuery, g.dst, g.q = a.Heads, g.fewDst, g.fewQ
	for r := range g.Heads {
		copy(g.q[r*a.Dim:(r+1)*a.Dim], q[r/a.Heads*ldq+r%a.Heads*a.QueryHead:])
	}
	g.run()
	for r := range g.Heads {
		copy(dst[r/a.Heads*ldd+r%a.Heads*a.DstHead:], g.dst[r*a.DimV:(r+1)*a.DimV])
	}
}

// fewRows reports whether the queries are so few, more than one, that all of their rows are one block with products from key rows.
func (g *attentionRun) fewRows() bool {
	return g.Queries > 1 && g.Heads*g.Queries <= scoreRowsMost() && g.Dim > 0 && g.Dim%4 == 0 &&
		g.mask.Data == nil && g.Sinks == nil && !g.ints.keys && !g.ints.values && !g.pairs.keys && !g.pairs.values
}

// scratchCutter cuts scratch into pieces of whole lines; without scratch it counts.
type scratchCutter struct {
	from []byte
	used int
}

func (c *scratchCutter) bytes(n int) []byte {
	at := c.used
	c.used += roundUp(n, LineBytes)
	if c.from == nil {
		return nil
	}
	if c.used > len(c.from) {
		panic("kernels: Attention: scratch is too short")
	}
	return c.from[at : at+n]
}

func (c *scratchCutter) floats(n int) []float32 { return floatsOf(c.bytes(4 * n)) }

// attentionRun is one run of a group.
type attentionRun struct {
	Attention
	dst          []float32
	ldd          int
	q            []float32
	ldq          int
	k, v         Rows
	mask         AttentionMask
	perBlock     int       // rows of a block; each block has as many places in what is kept for rows
	scores       []float32 // of a block of rows: scoresLd each
	keys, values []float32 // packed
	keyRows      attentionKeyRows
	wide         []float32 // rows widened to float32
	top, sum     []float32 // per row, in the order of the blocks
	direct       []float32 // values that are read where they lie; or nil
	directHalves []uint16  // the same of binary16
	directLd     int
	perQuery     int       // of fewRows: rows of a query; else 0
	fewQ, fewDst []float32 // of fewRows
	ints         attentionInts
	pairs        attentionPairs
}

// cut takes what the run needs from scratch.
func (g *attentionRun) cut(c *scratchCutter) {
	rows := 0
	for _, n := range []int{attentionRows, pairRows} {
		rows = max(rows, n*g.blocksOf(n))
	}
	g.scores = c.floats(pairRows * scoresLd)
	g.keys = c.floats(attentionKeys * g.Dim)
	g.values = c.floats(attentionKeys * roundUp(g.DimV, stripCols))
	g.wide = c.floats(attentionKeys * max(g.Dim, g.DimV))
	g.top, g.sum = c.floats(rows), c.floats(rows)
	if n := g.Heads * g.Queries; g.Queries > 1 && n <= scoreRowsMost() {
		g.fewQ, g.fewDst = c.floats(n*g.Dim), c.floats(n*g.DimV)
	}
	g.ints.cut(c, rows, g.Dim)
	g.pairs.cut(c, rows, g.Dim, g.DimV)
}

// attentionBlock is a block of query rows at even distances; row r is query first + r*step.
type attentionBlock struct {
	*attentionRun
	index             int // the place of row 0
	rows, first, step int
	dst               []float32
	ldd               int
	sums              []float32 // of weighted values, dst or elsewhere
	ldsums            int
	q                 []float32
	ldq               int
	mask              []float32
	ldmask            int
	top, sum          []float32
	sinks             []float32 // row r has sinks[r*sinkStep]; or nil
	sinkStep          int
}

// blocksOf returns the number of blocks of n rows. Lone queries (decoding) go by heads, several by tokens.
func (g *attentionRun) blocksOf(n int) int {
	if g.Queries == 1 {
		return (g.Heads + n - 1) / n
	}
	return g.Heads * ((g.Queries + n - 1) / n)
}

// block returns block i.
func (g *attentionRun) block(i int) attentionBlock {
	b := attentionBlock{attentionRun: g}
	var h, t int
	if g.Queries == 1 {
		h = i * g.perBlock
		b.rows, b.ldd, b.ldq, b.ldmask, b.sinkStep = min(g.perBlock, g.Heads-h), g.DstHead, g.QueryHead, g.mask.HeadStride, 1
	} else {
		perHead := (g.Queries + g.perBlock - 1) / g.perBlock
		h, t = i/perHead, i%perHead*g.perBlock
		b.rows, b.first, b.step = min(g.perBlock, g.Queries-t), t, 1
		b.ldd, b.ldq, b.ldmask = g.ldd, g.ldq, g.mask.QueryStride
	}
	b.index = i * g.perBlock
	b.dst, b.q = g.dst[t*g.ldd+h*g.DstHead:], g.q[t*g.ldq+h*g.QueryHead:]
	b.sums, b.ldsums = b.dst, b.ldd
	if g.pairs.values {
		b.sums, b.ldsums = g.pairs.sums[b.index*g.DimV:], g.DimV
	}
	b.top, b.sum = g.top[b.index:b.index+b.rows], g.sum[b.index:b.index+b.rows]
	if g.mask.Data != nil {
		b.mask = g.mask.Data[h*g.mask.HeadStride+t*g.mask.QueryStride:]
	}
	if g.Sinks != nil {
		b.sinks = g.Sinks[h:]
	}
	return b
}

// sees returns the keys [lo, hi) that row r sees.
func (b *attentionBlock) sees(r int) (lo, hi int) {
	t := b.first + r*b.step + b.Offset
	if b.perQuery > 0 {
		t += r / b.perQuery
	}
	hi = b.Keys
	if b.Causal {
		hi = max(0, min(hi, t+1))
	}
	if b.Window > 0 {
		lo = max(0, t-b.Window+1)
	}
	return min(lo, hi), hi
}

// span returns the keys [lo, hi) that any row sees: later rows see later keys.
func (b *attentionBlock) span() (lo, hi int) {
	lo, _ = b.sees(0)
	_, hi = b.sees(b.rows - 1)
	return lo, hi
}

func (g *attentionRun) run() {
	blocks := g.blocksOf(g.perBlock)
	lo, hi := g.Keys, 0
	for i := range blocks {
		b := g.block(i)
		b.begin()
		first, end := b.span()
		lo, hi = min(lo, first), max(hi, end)
	}
	for s := lo / attentionKeys * attentionKeys; s < hi; s += attentionKeys {
		n := min(attentionKeys, hi-s)
		packed := false
		for i := range blocks {
			b := g.block(i)
			first, end := b.span()
			if end <= s || first >= s+n {
				continue
			}
			if !packed {
				g.packKeys(s, n)
				g.packValues(s, n)
				packed = true
			}
			b.keysFrom(s, max(0, first-s)/stripCols*stripCols, min(n, end-s))
		}
	}
	for i := range blocks {
		b := g.block(i)
		b.end()
	}
}

func (b *attentionBlock) begin() {
	for r := range b.rows {
		b.top[r], b.sum[r] = float32(math.Inf(-1)), 0
		if b.sinks != nil {
			b.top[r], b.sum[r] = b.sinks[r*b.sinkStep], 1
		}
		clear(b.sums[r*b.ldsums : r*b.ldsums+b.DimV])
		switch query := b.q[r*b.ldq : r*b.ldq+b.Dim]; {
		case b.ints.keys:
			b.ints.query(b.index+r, query)
		case b.pairs.keys:
			b.pairs.query(b.index+r, query)
		}
	}
}

func (b *attentionBlock) end() {
	for r, sum := range b.sum {
		row, from := b.dst[r*b.ldd:r*b.ldd+b.DimV], b.sums[r*b.ldsums:r*b.ldsums+b.DimV]
		if sum > 0 {
			Scale(row, from, 1/sum)
		} else {
			copy(row, from)
		}
	}
}
