package kernels

// Float products, after the usual plan for caches (Goto and van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication"): a block of gemmDepth weights of two panels stays in the near caches while
// gemmRows rows of x, packed, pass by.
//
// Every output is one chain of fused (in the generic form: separate) multiply-adds with k
// ascending, whatever the number of rows, threads or the position in the tile: splitting K stores and
// reloads the chain's value, which changes nothing.
const (
	gemmDepth = 384
	gemmRows  = 512
	// stripCols is the number of columns that the micro-kernels compute at once: two panels.
	stripCols = 2 * PanelRows
	// gemvCols is the same for one row.
	gemvCols = 4 * PanelRows
)

// packsRows reports whether a product of rows rows and n columns packs the rows of x: where they are read often
// enough. Rows that lie whole pages apart, as those of matrices with sides like 4096 do, share a few sets of the first cache
// and lose each other from it; packed they do not.
func packsRows(rows, n int) bool { return rows > directRows && n >= 4*stripCols }

// packedStride is the distance of packed rows: an odd number of lines.
const packedStride = gemmDepth + PanelRows

// packedRows returns the number of float32 that a block of packed rows takes.
func packedRows(rows int) int { return min(rows, gemmRows) * packedStride }

// packRows copies the first depth columns of m rows of x to packed and returns where the rows are and how far apart: in x if
// packed is nil.
func packRows(packed, x []float32, ldx, m, depth int) ([]float32, int) {
	if packed == nil {
		return x, ldx
	}
	for i := range m {
		copy(packed[i*packedStride:][:depth], x[i*ldx:])
	}
	return packed, packedStride
}

// panelsFloatScratch returns the bytes of scratch that panelsFloat needs: packed rows, and a block of two
// panels as float32.
func panelsFloatScratch(rows int, w *Weights) int {
	n := 0
	if packsRows(rows, w.N) {
		n = packedRows(rows) * 4
	}
	if w.Kind != KindF32 {
		n += stripBytes(w.K)
	}
	return n
}

func stripBytes(k int) int { return min(k, gemmDepth) * stripCols * 4 }

// panelsFloat computes, for i in [0, rows) and the outputs n of panels [lo, hi) of w,
//
//	dst[i*ldd+n] = sum_k x[i*ldx+k] w[n,k]
func panelsFloat(dst []float32, ldd int, x []float32, ldx, rows int, w *Weights, lo, hi int, scratch []byte) {
	n := min(hi*PanelRows, w.N)
	if rows <= 0 || lo*PanelRows >= n {
		return
	}
	if len(dst) < (rows-1)*ldd+n || len(x) < (rows-1)*ldx+w.K || ldd < n && rows > 1 {
		panic("kernels: panelsFloat: dst or x is too short")
	}
	if len(w.Data) < hi*PanelRows*w.K*w.Kind.floatBytes() {
		panic("kernels: panelsFloat: weights are too short")
	}
	if w.K == 0 {
		for i := range rows {
			clear(dst[i*ldd+lo*PanelRows : i*ldd+n])
		}
		return
	}
	if rows == 1 && gemvSIMD(dst[:n], x, w, lo) {
		return
	}
	block := floatsOf(scratch)
	var packed []float32
	if packsRows(rows, w.N) {
		packed = block[:packedRows(rows)]
		block = block[len(packed):]
	}
	for i := 0; i < rows; i += gemmRows {
		m := min(gemmRows, rows-i)
		for k := 0; k < w.K; k += gemmDepth {
			depth := min(gemmDepth, w.K-k)
			a, lda := packRows(packed, x[i*ldx+k:], ldx, m, depth)
			for p := lo; p < hi; p += 2 {
				b0, b1 := panelBlocks(w, p, min(p+2, hi), k, depth, block)
				c := p * PanelRows
				gemmStrip(dst[i*ldd+c:], ldd, a, lda, m, b0, b1, PanelRows, min(stripCols, n-c), depth, k > 0)
			}
		}
	}
}

// panelBlocks returns columns k..k+depth of panels p and p+1 as float32: where they lie, or expanded in
// scratch. If p+1 is not below end the second is the first again.
func panelBlocks(w *Weights, p, end, k, depth int, scratch []float32) (b0, b1 []float32) {
	size := depth * PanelRows
	first, second := (p*w.K+k)*PanelRows, (p*w.K+k)*PanelRows
	if p+1 < end {
		second += w.K * PanelRows
	}
	switch w.Kind {
	case KindF32:
		data := floatsOf(w.Data)
		return data[first : first+size], data[second : second+size]
	case KindF16, KindBF16:
		expand := ExpandF16
		if w.Kind == KindBF16 {
			expand = ExpandBF16
		}
		data := halvesOf(w.Data)
		b0 = scratch[:size]
		b1 = b0
		expand(b0, data[first:first+size])
		if second != first {
			b1 = scratch[size : 2*size]
			expand(b1, data[second:second+size])
		}
		return b0, b1
	}
	panic("kernels: panelsFloat: not a float matrix")
}

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
	gemm(dst, ldd, a, lda, b, ldb, transB, m, n, k, scratch, false)
}

// GemmAdd is Gemm that adds to dst: every sum starts from what dst holds.
func GemmAdd(dst []float32, ldd int, a []float32, lda int, b []float32, ldb int, transB bool, m, n, k int, scratch []byte) {
	gemm(dst, ldd, a, lda, b, ldb, transB, m, n, k, scratch, true)
}

// gemm is Gemm; with accumulate it adds to dst.
func gemm(dst []float32, ldd int, a []float32, lda int, b []float32, ldb int, transB bool, m, n, k int, scratch []byte, accumulate bool) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 {
		for i := 0; i < m && !accumulate; i++ {
			clear(dst[i*ldd : i*ldd+n])
		}
		return
	}
	brows, bcols := k, n
	if transB {
		brows, bcols = n, k
	}
	if len(dst) < (m-1)*ldd+n || len(a) < (m-1)*lda+k || len(b) < (brows-1)*ldb+bcols {
		panic("kernels: Gemm: dst, a or b is too short")
	}
	if len(scratch) < GemmScratchBytes(n, k) {
		panic("kernels: Gemm: scratch is too short")
	}
	block := floatsOf(scratch[:stripBytes(k)])
	var packed []float32
	if packsRows(m, n) && len(scratch) >= GemmPackBytes(m, n, k) {
		packed = floatsOf(scratch[stripBytes(k):])
	}
	for i := 0; i < m; i += gemmRows {
		rows := min(gemmRows, m-i)
		for l := 0; l < k; l += gemmDepth {
			depth := min(gemmDepth, k-l)
			x, ldx := packRows(packed, a[i*lda+l:], lda, rows, depth)
			for j := 0; j < n; j += stripCols {
				cols := min(stripCols, n-j)
				d, acc := dst[i*ldd+j:], accumulate || l > 0
				// Few rows read b where it lies; packing pays when it is read again.
				if !transB && readsDirect(rows, depth, ldb) && cols%PanelRows == 0 {
					b0 := b[l*ldb+j:]
					b1 := b0
					if cols == stripCols {
						b1 = b0[PanelRows:]
					}
					gemmStrip(d, ldd, x, ldx, rows, b0, b1, ldb, cols, depth, acc)
					continue
				}
				if transB {
					packStripTrans(block, b[j*ldb+l:], ldb, cols, depth)
				} else {
					packStrip(block, b[l*ldb+j:], ldb, cols, depth)
				}
				gemmStrip(d, ldd, x, ldx, rows, block, block[PanelRows:], stripCols, cols, depth, acc)
			}
		}
	}
}

// directRows is the largest number of rows for which Gemm reads b unpacked however it lies, nearRows the largest where
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
