package kernels

// GemmScratchBytes returns the bytes of scratch that Gemm needs for products of n columns and depth k.
func GemmScratchBytes(n, k int) int { return stripBytes(k) }

// GemmPackBytes returns the bytes of scratch with which Gemm packs the rows of a too, where that pays: large products are
// faster then.
func GemmPackBytes(m, n, k int) int {
	if !packsRows(m, n) {
		return stripBytes(k)
	}
	return stripBytes(k) + packedRows(m)*4
}

// Gemm computes, on the calling goroutine, for i in [0, m) and j in [0, n)
//
//	dst[i*ldd+j] = sum_k a[i*lda+k] b[k*ldb+j]        (transB false)
//	dst[i*ldd+j] = sum_k a[i*lda+k] b[j*ldb+k]        (transB true)
//
// dst must not overlap a or b. scratch has at least GemmScratchBytes(n, k) bytes; more of them do not change the result.
func Gemm(dst []float32, ldd int, a []float32, lda int, b []float32, ldb int, transB bool, m, n, k int, scratch []byte) {
	p := Product{M: m, N: n, K: k, A: a, LDA: lda, B: b, LDB: ldb, TransB: transB, C: dst, LDC: ldd, Alpha: 1}
	p.Run(scratch)
}

// Product is a product of row-major matrices with the distances LDA, LDB and LDC between their rows,
//
//	C = alpha op(A) op(B), or with Add C = C + alpha op(A) op(B)
//
// where op(A) is M x K, op(B) is K x N, and op(X) is X or with Trans its transpose. C must not overlap A or B.
type Product struct {
	M, N, K             int
	A, B, C             []float32
	LDA, LDB, LDC       int
	TransA, TransB, Add bool
	Alpha               float32
}

// copies reports whether the product needs a copy of op(A): for its transpose, or with a factor.
func (p *Product) copies() bool { return p.TransA || p.Alpha != 1 }

// ScratchBytes returns the bytes of scratch with which the product runs at its best.
func (p *Product) ScratchBytes() int {
	if p.copies() {
		return stripBytes(p.K) + packedRows(p.M)*4
	}
	return GemmPackBytes(p.M, p.N, p.K)
}

// Run computes the product on the calling goroutine. scratch has ScratchBytes, or without a transpose of A and a factor at
// least GemmScratchBytes; more of them do not change the result.
func (p *Product) Run(scratch []byte) {
	m, n, k := p.M, p.N, p.K
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 {
		for i := 0; i < m && !p.Add; i++ {
			clear(p.C[i*p.LDC : i*p.LDC+n])
		}
		return
	}
	arows, acols, brows, bcols := m, k, k, n
	if p.TransA {
		arows, acols = k, m
	}
	if p.TransB {
		brows, bcols = n, k
	}
	if len(p.C) < (m-1)*p.LDC+n || len(p.A) < (arows-1)*p.LDA+acols || len(p.B) < (brows-1)*p.LDB+bcols {
		panic("kernels: Product: a matrix is too short")
	}
	if len(scratch) < stripBytes(k) || p.copies() && len(scratch) < p.ScratchBytes() {
		panic("kernels: Product: scratch is too short")
	}
	block := floatsOf(scratch[:stripBytes(k)])
	var packed []float32
	if p.copies() || packsRows(m, n) && p.LDA > nearLine && len(scratch) >= GemmPackBytes(m, n, k) {
		packed = floatsOf(scratch[stripBytes(k):])
	}
	for i := 0; i < m; i += gemmRows {
		rows := min(gemmRows, m-i)
		for l := 0; l < k; l += gemmDepth {
			depth := min(gemmDepth, k-l)
			x, ldx := p.rows(packed, i, l, rows, depth)
			for j := 0; j < n; j += stripCols {
				p.strip(x, ldx, i, j, l, rows, depth, block)
			}
		}
	}
}

// rows returns columns [l, l+depth) of rows [i, i+m) of alpha op(A), and how far the rows are apart: in A if packed is nil.
func (p *Product) rows(packed []float32, i, l, m, depth int) ([]float32, int) {
	if !p.TransA {
		x, ldx := packRows(packed, p.A[i*p.LDA+l:], p.LDA, m, depth)
		if p.Alpha != 1 {
			for r := range m {
				Scale(x[r*ldx:r*ldx+depth], x[r*ldx:], p.Alpha)
			}
		}
		return x, ldx
	}
	// A few rows of A at a time, so that each line of packed is written while it is near.
	for at := 0; at < depth; at += PanelRows {
		Transpose(packed[at:], packedStride, p.A[(l+at)*p.LDA+i:], p.LDA, min(PanelRows, depth-at), m)
	}
	if p.Alpha != 1 {
		for r := range m {
			Scale(packed[r*packedStride:r*packedStride+depth], packed[r*packedStride:], p.Alpha)
		}
	}
	return packed, packedStride
}

// strip computes the share of columns [l, l+depth) of op(A) in the stripCols columns of C from j on. x has the rows of op(A)
// from i on; block is room for the strip of op(B).
func (p *Product) strip(x []float32, ldx, i, j, l, rows, depth int, block []float32) {
	cols := min(stripCols, p.N-j)
	d, add := p.C[i*p.LDC+j:], p.Add || l > 0
	// Few rows read b where it lies; packing pays when it is read again.
	if !p.TransB && readsDirect(rows, depth, p.LDB) && cols%PanelRows == 0 {
		b0 := p.B[l*p.LDB+j:]
		b1 := b0
		if cols == stripCols {
			b1 = b0[PanelRows:]
		}
		gemmStrip(d, p.LDC, x, ldx, rows, b0, b1, p.LDB, cols, depth, add)
		return
	}
	if p.TransB {
		packStripTrans(block, p.B[j*p.LDB+l:], p.LDB, cols, depth)
	} else {
		packStrip(block, p.B[l*p.LDB+j:], p.LDB, cols, depth)
	}
	gemmStrip(d, p.LDC, x, ldx, rows, block, block[PanelRows:], stripCols, cols, depth, add)
}

// nearLine is the largest distance of rows, in elements, at which they are read as fast where they lie as packed.
const nearLine = gemmDepth

// directRows is the largest number of rows for which a product reads b unpacked however it lies, nearRows the largest where
// the columns that are read together stay in the first cache: nearDepth rows of b, or rows not further apart than nearStride.
const (
	directRows = 12
	nearRows   = 64
	nearDepth  = 96
	nearStride = 4 * stripCols
)

// readsDirect reports whether rows of x read a block of b where it lies.
func readsDirect(rows, depth, ldb int) bool {
	return rows <= directRows || rows <= nearRows && (depth <= nearDepth || ldb <= nearStride)
}

// packStrip copies cols columns of a depth x cols block to rows of stripCols, the rest 0.
func packStrip(block, b []float32, ldb, cols, depth int) {
	if cols == stripCols {
		for k := range depth {
			*(*[stripCols]float32)(block[k*stripCols:]) = *(*[stripCols]float32)(b[k*ldb:])
		}
		return
	}
	for k := range depth {
		row := block[k*stripCols : (k+1)*stripCols]
		clear(row[copy(row, b[k*ldb:k*ldb+cols]):])
	}
}

// packStripTrans is packStrip from a cols x depth block.
func packStripTrans(block, b []float32, ldb, cols, depth int) {
	c := packTransSIMD(block, b, ldb, cols, depth)
	for ; c < cols; c++ {
		for k, v := range b[c*ldb : c*ldb+depth] {
			block[k*stripCols+c] = v
		}
	}
	for ; c < stripCols; c++ {
		for k := range depth {
			block[k*stripCols+c] = 0
		}
	}
}
