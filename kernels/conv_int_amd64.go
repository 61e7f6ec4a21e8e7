//go:build amd64 && !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// useByteTiles makes the AVX-512 level multiply bytes in tiles of AMX.
var useByteTiles = hasAVX512 && cpu.X86.HasAMXTile && cpu.X86.HasAMXInt8 && tilesAllowed()

// intConvTileNxP computes N pixels x P panels of filters as levelTile says; mask has a bit for each column.
// The reference is levelSums and levelTile.finish.

// tileSums asks for sums as they are.
const tileSums = 8

// tileValues says that sums are float32 numbers, which have their bias.
const tileValues = 16

// levelOrder is how dwords lie after levels of two rows are packed.
var levelOrder = [16]uint32{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}

// curveLast and curveMagic are constants of curves.
var curveLast, curveMagic float32 = curveParts - 1, expMagic

// levelStripAMX computes blocks blocks of rows rows each, and moves t to the last one; rows is 32, or fewer with shapes to fit.
//
//go:noescape
func levelStripAMX(t *levelTile, blocks, rows int, shapes *tileShapes)

//go:noescape
func levelSumsAMX(t *levelTile, rows int, shapes *tileShapes)

//go:noescape
func levelSumsAVX2(t *levelTile, rows int)

//go:noescape
func levelSumsAVXVNNI(t *levelTile, rows int)

//go:noescape
func levelFinishAVX2(t *levelTile, rows, cols int)

// levelFinishAVX512 is levelTile.finish to t.dst.
//
//go:noescape
func levelFinishAVX512(t *levelTile, rows int)

//go:noescape
func intConvTile12x2AVX512(t *levelTile)

//go:noescape
func intConvTile11x2AVX512(t *levelTile)

//go:noescape
func intConvTile10x2AVX512(t *levelTile)

//go:noescape
func intConvTile9x2AVX512(t *levelTile)

//go:noescape
func intConvTile8x2AVX512(t *levelTile)

//go:noescape
func intConvTile7x2AVX512(t *levelTile)

//go:noescape
func intConvTile6x2AVX512(t *levelTile)

//go:noescape
func intConvTile5x2AVX512(t *levelTile)

//go:noescape
func intConvTile4x2AVX512(t *levelTile)

//go:noescape
func intConvTile3x2AVX512(t *levelTile)

//go:noescape
func intConvTile2x2AVX512(t *levelTile)

//go:noescape
func intConvTile1x2AVX512(t *levelTile)

//go:noescape
func intConvTile12x1AVX512(t *levelTile)

//go:noescape
func intConvTile11x1AVX512(t *levelTile)

//go:noescape
func intConvTile10x1AVX512(t *levelTile)

//go:noescape
func intConvTile9x1AVX512(t *levelTile)

//go:noescape
func intConvTile8x1AVX512(t *levelTile)

//go:noescape
func intConvTile7x1AVX512(t *levelTile)

//go:noescape
func intConvTile6x1AVX512(t *levelTile)

//go:noescape
func intConvTile5x1AVX512(t *levelTile)

//go:noescape
func intConvTile4x1AVX512(t *levelTile)

//go:noescape
func intConvTile3x1AVX512(t *levelTile)

//go:noescape
func intConvTile2x1AVX512(t *levelTile)

//go:noescape
func intConvTile1x1AVX512(t *levelTile)

// levelStripSIMD computes pixels of a line as far as it can, moves t behind them if there are more and returns how many they are.
func levelStripSIMD(t *levelTile, pixels int) int {
	if !useAVX512 {
		return 0
	}
	done := 0
	if useByteTiles {
		done = t.tiled(pixels)
		last := 0 // rows that t has not moved by
		if t.mask == 1<<PanelRows-1 && t.ldd == PanelRows && t.act&tileBytesOut != 0 && t.q == nil {
			last = t.pairs(done)
		} else {
			last = t.blocks(done)
		}
		if 0 < done && done < pixels {
			t.advance(last)
		}
	}
	if t.q == nil && t.act&tileCurve == 0 && done < pixels {
		levelTilesAVX512(t, pixels-done)
		done = pixels
	}
	return done
}

// blocks computes so many rows in tiles, moves t to the last block and returns how many rows that has.
func (t *levelTile) blocks(rows int) int {
	last := levelRows
	n, rest := rows/levelRows, rows%levelRows
	if n > 0 {
		levelStripAMX(t, n, levelRows, &wholeTiles)
	}
	if rest > 0 {
		if n > 0 {
			t.advance(levelRows)
		}
		levelStripAMX(t, 1, rest, &rowTiles[rest])
		last = rest
	}
	return last
}

// pairs is blocks for rows of 16 outputs, in whole blocks two as one. Multipliers and bias go on with the same 16.
func (t *levelTile) pairs(rows int) int {
	n, rest := rows/levelRows, rows%levelRows
	if n > 0 {
		p := *t
		p.mask, p.paired, p.ldd, p.ldz = ^uint32(0), 1, 2*t.ldd, 2*t.ldz
		levelStripAMX(&p, n, levelRows, &wholeTiles)
		t.x, t.dst, t.z = p.x, p.dst, p.z
		if rest == 0 {
			return levelRows
		}
		t.advance(levelRows)
	}
	return t.blocks(rest)
}

// tiled is how many of so many rows tiles may compute, which read whole steps.
func (t *levelTile) tiled(rows int) int {
	last := (t.segments-1)*(4*t.k+t.jump) + t.steps*levelStep*4
	if last > t.room {
		return 0
	}
	return min(rows, (t.room-last)/t.ldx+1)
}

// rowTiles are the shapes of tiles for a block of fewer rows: of sums in tiles 0..3, of x in 4 and 5.
var rowTiles = func() (all [levelRows]tileShapes) {
	for rows := range all {
		all[rows] = wholeTiles
		first := byte(min(rows, 16))
		second := max(byte(rows), 17) - 16
		copy(all[rows].rows[:], []byte{first, first, second, second, first, second})
	}
	return all
}()

// levelTilesAVX512 computes pixels tile by tile.
func levelTilesAVX512(t *levelTile, pixels int) {
	for tiles := (pixels + convTileRows - 1) / convTileRows; tiles > 0; tiles-- {
		n := (pixels + tiles - 1) / tiles // even tiles
		if t.mask>>PanelRows != 0 {
			intConvTile2AVX512(t, n)
		} else {
			intConvTile1AVX512(t, n)
		}
		if pixels -= n; pixels > 0 {
			t.advance(n)
		}
	}
}

// levelSumsSIMD computes t.sums.
func levelSumsSIMD(t *levelTile, rows int) bool {
	if useAVX2 {
		levelSumsYMM(t, rows)
		return true
	}
	if !useAVX512 {
		return false
	}
	if useByteTiles && t.tiled(rows) == rows {
		shapes := &wholeTiles
		if rows < levelRows {
			shapes = &rowTiles[rows]
		}
		levelSumsAMX(t, rows, shapes)
		return true
	}
	s := *t
	s.dst, s.ldd, s.z, s.act = t.sums, 4*stripCols, nil, tileSums
	levelTilesAVX512(&s, rows)
	return true
}

// levelSumsYMM computes t.sums a panel at a time.
func levelSumsYMM(t *levelTile, rows int) {
	s := *t
	for {
		if useVNNI {
			levelSumsAVXVNNI(&s, rows)
		} else {
			levelSumsAVX2(&s, rows)
		}
		if s.w0 == t.w1 {
			return
		}
		s.w0 = t.w1
		s.sums, s.start = unsafe.Add(s.sums, LineBytes), unsafe.Add(s.start, LineBytes)
	}
}

// levelFinishSIMD returns how many columns it has done.
func levelFinishSIMD(t *levelTile, dst unsafe.Pointer, ldd, rows, cols int) int {
	s := *t
	s.dst, s.ldd = dst, ldd
	if useAVX512 {
		levelFinishAVX512(&s, rows)
		return cols
	}
	if cols &^= 7; !useAVX2 || cols == 0 || t.act&tileCurve != 0 {
		return 0
	}
	levelFinishAVX2(&s, rows, cols)
	return cols
}

func levelStoreSIMD(t *levelTile, src []float32, rows int) bool {
	if !useAVX512 {
		return false
	}
	s := *t
	s.sums, s.z, s.act = unsafe.Pointer(&src[0]), nil, t.act|tileValues
	levelFinishAVX512(&s, rows)
	return true
}

func intConvTile2AVX512(t *levelTile, n int) {
	switch n {
	case 12:
		intConvTile12x2AVX512(t)
	case 11:
		intConvTile11x2AVX512(t)
	case 10:
		intConvTile10x2AVX512(t)
	case 9:
		intConvTile9x2AVX512(t)
	case 8:
		intConvTile8x2AVX512(t)
	case 7:
		intConvTile7x2AVX512(t)
	case 6:
		intConvTile6x2AVX512(t)
	case 5:
		intConvTile5x2AVX512(t)
	case 4:
		intConvTile4x2AVX512(t)
	case 3:
		intConvTile3x2AVX512(t)
	case 2:
		intConvTile2x2AVX512(t)
	case 1:
		intConvTile1x2AVX512(t)
	}
}

func intConvTile1AVX512(t *levelTile, n int) {
	switch n {
	case 12:
		intConvTile12x1AVX512(t)
	case 11:
		intConvTile11x1AVX512(t)
	case 10:
		intConvTile10x1AVX512(t)
	case 9:
		intConvTile9x1AVX512(t)
	case 8:
		intConvTile8x1AVX512(t)
	case 7:
		intConvTile7x1AVX512(t)
	case 6:
		intConvTile6x1AVX512(t)
	case 5:
		intConvTile5x1AVX512(t)
	case 4:
		intConvTile4x1AVX512(t)
	case 3:
		intConvTile3x1AVX512(t)
	case 2:
		intConvTile2x1AVX512(t)
	case 1:
		intConvTile1x1AVX512(t)
	}
}
