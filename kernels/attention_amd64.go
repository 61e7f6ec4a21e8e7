//go:build amd64 && !purego

package kernels

import "unsafe"

//go:noescape
func expScaledAVX512(x *float32, n int, scale, shift float32) float32

//go:noescape
func expScaledAVX2(x *float32, n int, scale, shift float32)

//go:noescape
func narrowWeightsAVX512(dst *int16, w, scale *float32, n int, inv float32)

//go:noescape
func expandBytesAVX512(dst *float32, src *byte, n int, scale float32)

//go:noescape
func expandBytesAVX2(dst *float32, src *byte, n int, scale float32)

//go:noescape
func packPairsAVX512(dst *uint32, src *byte, stride, pairs int)

//go:noescape
func dotBytesAVX512(args *intTile)

//go:noescape
func dotWordsAVX512(args *intTile)

// useIntTiles reports whether products of integers are faster than widening.
func useIntTiles() bool { return useAVX512 }

func dotBytes(t *intTile) {
	if !useAVX512 {
		dotBytesGeneric(t)
		return
	}
	for done, n := 0, 0; done < t.rows; done += n {
		n = evenRows(t.rows - done)
		tile := t.part(done, n)
		dotBytesAVX512(&tile)
	}
}

func dotWords(t *intTile) {
	if !useAVX512 {
		dotWordsGeneric(t)
		return
	}
	for done, n := 0, 0; done < t.rows; done += n {
		n = evenRows(t.rows - done)
		tile := t.part(done, n)
		dotWordsAVX512(&tile)
	}
}

// intTileRows is the most rows that the routines take.
const intTileRows = 12

// evenRows is the size of the first of the tiles that left rows divide into: sizes differ by one at most.
func evenRows(left int) int {
	tiles := (left + intTileRows - 1) / intTileRows
	return (left + tiles - 1) / tiles
}

// part returns n rows of the tile.
func (t *intTile) part(first, n int) intTile {
	return intTile{
		dst:      (*float32)(unsafe.Add(unsafe.Pointer(t.dst), first*t.ldd)),
		a:        (*byte)(unsafe.Add(unsafe.Pointer(t.a), first*t.lda)),
		init:     (*int32)(unsafe.Add(unsafe.Pointer(t.init), 4*first)),
		rowScale: (*float32)(unsafe.Add(unsafe.Pointer(t.rowScale), 4*first)),
		ldd:      t.ldd, lda: t.lda, b: t.b, depth: t.depth, colScale: t.colScale, rows: n, add: t.add,
	}
}

func expScaledSIMD(x []float32, scale, shift float32) (float32, bool) {
	if useAVX512 {
		return expScaledAVX512(unsafe.SliceData(x), len(x), scale, shift), true
	}
	if !useAVX2 {
		return 0, false
	}
	n := len(x) &^ 7
	if n > 0 {
		expScaledAVX2(&x[0], n, scale, shift)
	}
	if n < len(x) {
		var edge [8]float32
		copy(edge[:], x[n:])
		expScaledAVX2(&edge[0], len(edge), scale, shift)
		copy(x[n:], edge[:])
	}
	return SumRow(x), true
}

func expandBytesSIMD(dst []float32, src []byte, scale float32) int {
	src = src[:len(dst)]
	if n := len(dst) &^ 15; useAVX512 && n > 0 {
		expandBytesAVX512(&dst[0], &src[0], n, scale)
		return n
	}
	if n := len(dst) &^ 7; useAVX2 && n > 0 {
		expandBytesAVX2(&dst[0], &src[0], n, scale)
		return n
	}
	return 0
}

func packBytesSIMD(dst []uint32, src []byte, stride, rows, words int) int {
	n := rows &^ 7
	if !useAVX512 && !useAVX2 || words%8 != 0 || words == 0 {
		return 0
	}
	_ = dst[words*stripCols-1]
	for i := 0; i < n; i += 8 {
		row := src[i*stride : (i+7)*stride+4*words]
		transpose8AVX((*float32)(unsafe.Pointer(&dst[i])), 4*stripCols, (*float32)(unsafe.Pointer(&row[0])), stride, words/8)
	}
	return n
}

func packPairsSIMD(dst []uint32, src []byte, stride, n int) int {
	pairs := n / 2
	if !useAVX512 || pairs == 0 {
		return 0
	}
	_, _ = dst[pairs*stripCols-1], src[(2*pairs-1)*stride+stripCols-1]
	packPairsAVX512(&dst[0], &src[0], stride, pairs)
	return 2 * pairs
}

func narrowWeightsSIMD(dst []int16, w, scale []float32, inv float32) int {
	n := len(dst)
	if !useAVX512 || n == 0 {
		return 0
	}
	narrowWeightsAVX512(&dst[0], &w[:n][0], &scale[:n][0], n, inv)
	return n
}
