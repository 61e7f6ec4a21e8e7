package kernels

// scoreKeys are the keys whose products scoreRows computes at once.
const scoreKeys = 16

// attentionKeyRows are the keys of a block where few query rows need them: products are computed from rows, which change places in
// registers, as storing them in strips would cost more than the products. Each is the same sum in the same order as from strips.
type attentionKeyRows struct {
	x      []float32 // scoreKeys rows at least; or nil
	halves []uint16  // the same of binary16; or nil
	ld     int
}

// readsKeyRows reports whether one block of rows can take its products from key rows.
func (g *attentionRun) readsKeyRows() bool {
	return g.Dim > 0 && g.Dim%4 == 0 && g.Heads*g.Queries <= scoreRowsMost() && g.blocksOf(g.perBlock) == 1
}

// findKeyRows sets the rows of the n keys from s on. Fewer than scoreKeys are copied and followed by rows of 0.
func (g *attentionRun) findKeyRows(s, n int) {
	if g.k.Kind == RowsF16 && useHalfRows() && g.Dim%8 == 0 {
		x, ld := halvesOf(g.k.from(s)), g.k.Stride/2
		if n < scoreKeys {
			x, ld = fillKeys(halvesOf(FloatRows(g.keys, 1).Data), x, ld, n, g.Dim)
		}
		g.keyRows = attentionKeyRows{halves: x, ld: ld}
		return
	}
	x, ld := g.k.floats(s, n, g.Dim, g.keys)
	if n < scoreKeys {
		x, ld = fillKeys(g.keys, x, ld, n, g.Dim)
	}
	g.keyRows = attentionKeyRows{x: x, ld: ld}
}

// fillKeys copies n rows to room and adds rows of 0 up to scoreKeys.
func fillKeys[T float32 | uint16](room, x []T, ld, n, dim int) ([]T, int) {
	for i := range n {
		copy(room[i*dim:(i+1)*dim], x[i*ld:])
	}
	clear(room[n*dim : scoreKeys*dim])
	return room[:scoreKeys*dim], dim
}

// rowScores computes the products with the keys lo to hi of the block, the last of the block. The last scoreKeys overlap
// those before: equal sums are stored twice.
func (b *attentionBlock) rowScores(lo, hi int) {
	k := &b.keyRows
	for c := lo; c < hi; c += scoreKeys {
		at := max(0, min(c, hi-scoreKeys))
		if k.halves != nil {
			scoreHalves(b.scores[at:], b.q, b.ldq, b.rows, k.halves[at*k.ld:], k.ld, b.Dim)
			continue
		}
		scoreRows(b.scores[at:], b.q, b.ldq, b.rows, k.x[at*k.ld:], k.ld, b.Dim)
	}
}

// scoreRowsGeneric is
//
//	dst[r*scoresLd+s] = sum_d q[r*ldq+d] k[s*ldk+d]    for s < scoreKeys
//
// with d ascending and products fused to the sums, in float32.
func scoreRowsGeneric(dst, q []float32, ldq, rows int, k []float32, ldk, dim int) {
	for r := range rows {
		for s := range scoreKeys {
			var sum float32
			for d, x := range q[r*ldq : r*ldq+dim] {
				sum = fma32(x, k[s*ldk+d], sum)
			}
			dst[r*scoresLd+s] = sum
		}
	}
}
