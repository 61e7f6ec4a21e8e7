//go:build amd64 && !purego

package kernels

import "unsafe"

// intConvTileNxP computes N pixels x P panels of filters as levelTile says; mask has a bit for each column.
// The reference is levelSums and levelTile.finish.

// tileSums asks for sums as they are.
const tileSums = 8

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

// levelStripSIMD computes t for so many pixels of a line, tile by tile.
func levelStripSIMD(t *levelTile, pixels int) bool {
	if !useAVX512 || t.q != nil {
		return false
	}
	levelTilesAVX512(t, pixels)
	return true
}

// levelTilesAVX512 computes pixels tile by tile.
func levelTilesAVX512(t *levelTile, pixels int) {
	for tiles := (pixels + convTileRows - 1) / convTileRows; tiles > 0; tiles-- {
		n := (pixels + tiles - 1) / tiles // even tiles
		if t.mask>>PanelRows != 0 {
			intConvTile2AVX512(t, n)
		} else {
			intConvTile1AVX512(t, n)
		}
		if pixels -= n; pixels == 0 {
			break
		}
		t.dst = unsafe.Add(t.dst, n*t.ldd)
		t.x = unsafe.Add(t.x, n*t.ldx)
		if t.z != nil {
			t.z = unsafe.Add(t.z, n*t.ldz)
		}
	}
}

// levelSumsSIMD computes t.sums.
func levelSumsSIMD(t *levelTile, rows int) bool {
	if !useAVX512 {
		return false
	}
	s := *t
	s.dst, s.ldd, s.z, s.act = t.sums, 4*stripCols, nil, tileSums
	levelTilesAVX512(&s, rows)
	return true
}

func levelFinishSIMD(t *levelTile, dst unsafe.Pointer, ldd, rows int) bool { return false }

func levelStoreSIMD(t *levelTile, src []float32, rows int) bool { return false }

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
