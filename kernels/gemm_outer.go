package kernels

import "unsafe"

// Outer is a sum of outer products of rows that lie one after the other in two images,
//
//	C[i,j] += sum_s sum_k A[s,k,i] B[s,k,j]        for i < M, j < N, s < Segments, k < K
//
// where A[s,k,i] is A[s*SegmentA+k*LDA+i], and B alike. Rows of an image may overlap: with LDB below N they are receptive fields, which
// makes the sum the gradient of a convolution's filters. C[i,j] is C[i*LDC+j] and must overlap neither image.
//
// Every element is one chain of multiply-adds, s and then k ascending.
type Outer struct {
	M, N, K, Segments  int
	A, B, C            []float32
	LDA, LDB, LDC      int
	SegmentA, SegmentB int
}

// outerDepth is the number of rows of A that are turned at once where there is no kernel for outer products.
const outerDepth = gemmDepth

// OuterScratchBytes returns the bytes of scratch that Outer.Run needs, whichever kernels it uses.
func OuterScratchBytes(m, n, k int) int {
	depth := min(k, outerDepth)
	return m*depth*4 + GemmScratchBytes(n, depth)
}

// Run computes the sum on the calling goroutine. scratch has OuterScratchBytes.
func (o *Outer) Run(scratch []byte) {
	if o.M <= 0 || o.N <= 0 || o.K <= 0 || o.Segments <= 0 {
		return
	}
	rows := func(segment, ld, n int) int { return (o.Segments-1)*segment + (o.K-1)*ld + n }
	if len(o.C) < (o.M-1)*o.LDC+o.N || len(o.A) < rows(o.SegmentA, o.LDA, o.M) || len(o.B) < rows(o.SegmentB, o.LDB, o.N) {
		panic("kernels: Outer: a matrix is too short")
	}
	if len(scratch) < OuterScratchBytes(o.M, o.N, o.K) {
		panic("kernels: Outer: scratch is too short")
	}
	if outerSIMD() {
		o.tiles()
		return
	}
	depth := min(o.K, outerDepth)
	turned := floatsOf(scratch)[:o.M*depth]
	p := Product{M: o.M, N: o.N, LDA: depth, A: turned, LDB: o.LDB, C: o.C, LDC: o.LDC, Add: true, Alpha: 1}
	for s := range o.Segments {
		for k := 0; k < o.K; k += depth {
			p.K, p.B = min(depth, o.K-k), o.B[s*o.SegmentB+k*o.LDB:]
			Transpose(turned, depth, o.A[s*o.SegmentA+k*o.LDA:], o.LDA, p.K, o.M)
			p.Run(scratch[4*len(turned):])
		}
	}
}

// outerTile is what the tile kernels are told; lengths are bytes, but for k, which counts rows.
type outerTile struct {
	c, a, b       unsafe.Pointer
	ldc, lda, ldb int
	k, segments   int
	jumpA, jumpB  int    // from behind a segment to the next one
	mask          uint32 // columns of C
	_             uint32
}

// outerRows is the most rows of a tile.
const outerRows = 12

// outerBytes bounds the bytes of A that strips of B pass by one after the other: they should stay in the second cache with one strip.
const outerBytes = 512 << 10

// tiles computes the sum tile by tile, some segments at a time, or a part of one.
func (o *Outer) tiles() {
	row := 4 * (o.M + stripCols)
	depth := min(o.K, max(outerBytes/row, 1))
	step := 1
	if depth == o.K {
		step = max(outerBytes/(row*o.K), 1)
	}
	for s := 0; s < o.Segments; s += step {
		for k := 0; k < o.K; k += depth {
			o.block(s, min(step, o.Segments-s), k, min(depth, o.K-k))
		}
	}
}

// block adds rows [k, k+depth) of segments [s, s+segments).
func (o *Outer) block(s, segments, k, depth int) {
	a, b := o.A[s*o.SegmentA+k*o.LDA:], o.B[s*o.SegmentB+k*o.LDB:]
	t := outerTile{ldc: 4 * o.LDC, lda: 4 * o.LDA, ldb: 4 * o.LDB, k: depth, segments: segments,
		jumpA: 4 * (o.SegmentA - depth*o.LDA), jumpB: 4 * (o.SegmentB - depth*o.LDB)}
	for j := 0; j < o.N; j += stripCols {
		cols := min(stripCols, o.N-j)
		t.mask = uint32(1)<<cols - 1 // a shift by 32 gives 0
		t.b = unsafe.Pointer(&b[j])
		left := o.M
		for tiles := (o.M + outerRows - 1) / outerRows; tiles > 0; tiles-- {
			rows := (left + tiles - 1) / tiles // even tiles
			i := o.M - left
			t.a, t.c = unsafe.Pointer(&a[i]), unsafe.Pointer(&o.C[i*o.LDC+j])
			outerTileSIMD(&t, rows)
			left -= rows
		}
	}
}
