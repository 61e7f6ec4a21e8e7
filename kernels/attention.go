package kernels

import "math"

// Attention computes scaled dot-product attention of the query heads that share one key/value
// head. All operands are token-major rows: element d of head h of query t lies at
// q[t*ldq+h*Dim+d], of key s at k[s*ldk+d], of its value at v[s*ldv+d], of the result at dst[t*ldd+h*DimV+d].
//
//	score[s] = Scale sum_d q[d] k[s,d]
//	score[s] = Softcap tanh(score[s] / Softcap)    if Softcap > 0
//	score[s] = score[s] + mask[s]                  if there is a mask
//	dst      = sum_s softmax(score)[s] v[s]        over the keys that t sees; 0 if it sees none
//
// Keys are taken in blocks with a running maximum and sum (Milakov and Gimelshein 2018, Dao et al. 2022), so memory does not
// grow with Keys. The blocks start at multiples of attentionKeys whatever the queries.
type Attention struct {
	Heads, Queries int // query heads of the group, query tokens
	Keys           int
	Dim, DimV      int // of a query and key head, of a value head
	Scale, Softcap float32
	Causal         bool // query t sees the keys s <= t + Offset
	Offset         int
	Window         int // if > 0, query t sees only the keys s > t + Offset - Window
	// Sinks, if not nil, has for each head the score of one more key that every query sees, whose value is 0 (Xiao et al. 2023).
	Sinks []float32
}

const (
	attentionKeys = 128 // keys of a block
	attentionRows = 64  // query rows of a block: its scores fill 32 KiB
)

// AttentionMask is an additive mask: the row for head h and query t starts at
// Data[h*HeadStride+t*QueryStride] and has Keys elements. A nil Data is no mask.
type AttentionMask struct {
	Data                    []float32
	HeadStride, QueryStride int
}

// ScratchBytes returns the bytes of scratch that Run needs.
func (a *Attention) ScratchBytes() int {
	return (attentionRows*attentionKeys+2*attentionRows)*4 + GemmScratchBytes(attentionKeys, max(a.Dim, attentionKeys))
}

// Run computes the group on the calling goroutine. dst must not overlap an operand.
func (a *Attention) Run(dst []float32, ldd int, q []float32, ldq int, k []float32, ldk int, v []float32, ldv int, mask AttentionMask, scratch []byte) {
	if len(scratch) < a.ScratchBytes() {
		panic("kernels: Attention: scratch is too short")
	}
	// Lone queries (decoding) go by heads, several by tokens.
	if a.Queries == 1 {
		for h := 0; h < a.Heads; h += attentionRows {
			r := attentionBlock{Attention: a, rows: min(attentionRows, a.Heads-h), first: 0, step: 0,
				dst: dst[h*a.DimV:], ldd: a.DimV, q: q[h*a.Dim:], ldq: a.Dim, mask: mask.from(h, 0), ldmask: mask.HeadStride}
			if a.Sinks != nil {
				r.sinks, r.sinkStep = a.Sinks[h:], 1
			}
			r.run(k, ldk, v, ldv, scratch)
		}
		return
	}
	for h := range a.Heads {
		for t := 0; t < a.Queries; t += attentionRows {
			r := attentionBlock{Attention: a, rows: min(attentionRows, a.Queries-t), first: t, step: 1,
				dst: dst[t*ldd+h*a.DimV:], ldd: ldd, q: q[t*ldq+h*a.Dim:], ldq: ldq, mask: mask.from(h, t), ldmask: mask.QueryStride}
			if a.Sinks != nil {
				r.sinks = a.Sinks[h:]
			}
			r.run(k, ldk, v, ldv, scratch)
		}
	}
}

func (m *AttentionMask) from(h, t int) []float32 {
	if m.Data == nil {
		return nil
	}
	return m.Data[h*m.HeadStride+t*m.QueryStride:]
}

// attentionBlock is a block of query rows at even distances; row r is query first + r*step.
type attentionBlock struct {
	*Attention
	rows, first, step int
	dst               []float32
	ldd               int
	q                 []float32
	ldq               int
	mask              []float32
	ldmask            int
	sinks             []float32 // row r has sinks[r*sinkStep]; or nil
	sinkStep          int
}

// sees returns the keys [lo, hi) that row r sees.
func (b *attentionBlock) sees(r int) (lo, hi int) {
	t := b.first + r*b.step + b.Offset
	hi = b.Keys
	if b.Causal {
		hi = max(0, min(hi, t+1))
	}
	if b.Window > 0 {
		lo = max(0, t-b.Window+1)
	}
	return min(lo, hi), hi
}

func (b *attentionBlock) run(k []float32, ldk int, v []float32, ldv int, scratch []byte) {
	f := floatsOf(scratch)
	scores, f := f[:attentionRows*attentionKeys], f[attentionRows*attentionKeys:]
	top, sum := f[:b.rows], f[attentionRows:attentionRows+b.rows]
	packing := scratch[(attentionRows*attentionKeys+2*attentionRows)*4:]

	for r := range b.rows {
		top[r], sum[r] = float32(math.Inf(-1)), 0
		if b.sinks != nil {
			top[r], sum[r] = b.sinks[r*b.sinkStep], 1
		}
		clear(b.dst[r*b.ldd : r*b.ldd+b.DimV])
	}
	// Later rows see later keys.
	first, _ := b.sees(0)
	_, end := b.sees(b.rows - 1)
	for s := first / attentionKeys * attentionKeys; s < end; s += attentionKeys {
		n := min(attentionKeys, end-s)
		b.products(scores, k[s*ldk:], ldk, n, packing)
		for r := range b.rows {
			b.weigh(scores[r*attentionKeys:r*attentionKeys+n], r, s, &top[r], &sum[r])
		}
		gemm(b.dst, b.ldd, scores, attentionKeys, v[s*ldv:], ldv, false, b.rows, b.DimV, n, packing, true)
	}
	for r := range b.rows {
		if sum[r] > 0 {
			row := b.dst[r*b.ldd : r*b.ldd+b.DimV]
			Scale(row, row, 1/sum[r])
		}
	}
}

// products computes the scores of n keys for all rows.
func (b *attentionBlock) products(scores, k []float32, ldk, n int, packing []byte) {
	if b.rows > 1 {
		gemm(scores, attentionKeys, b.q, b.ldq, k, ldk, true, b.rows, n, b.Dim, packing, false)
		return
	}
	for s := range n {
		scores[s] = Dot(b.q[:b.Dim], k[s*ldk:s*ldk+b.Dim])
	}
}

// weigh turns the scores of row r for the keys from s on into weights relative to the row's
// running maximum, and rescales what the row has summed so far if that grows.
func (b *attentionBlock) weigh(w []float32, r, s int, top, sum *float32) {
	lo, hi := b.sees(r)
	lo, hi = min(max(lo-s, 0), len(w)), min(max(hi-s, 0), len(w))
	if lo >= hi {
		clear(w)
		return
	}
	clear(w[:lo])
	clear(w[hi:])
	w = w[lo:hi]
	Scale(w, w, b.Scale)
	if b.Softcap > 0 {
		Scale(w, w, 1/b.Softcap)
		Activate(w, w, Activation{Kind: ActTanh})
		Scale(w, w, b.Softcap)
	}
	if b.mask != nil {
		Add(w, w, b.mask[r*b.ldmask+s+lo:])
	}
	m := max(*top, MaxRow(w))
	if math.IsInf(float64(m), -1) {
		clear(w)
		return
	}
	if m > *top {
		c := expGeneric(*top - m)
		row := b.dst[r*b.ldd : r*b.ldd+b.DimV]
		Scale(row, row, c)
		*sum *= c
		*top = m
	}
	*sum += expSum(w, w, m)
}
