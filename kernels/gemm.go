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
// enough. Rows that lie whole pages apart, as those of matrices with sides like 4096 do, share a few sets of the caches
// and lose each other from them; packed they do not.
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
