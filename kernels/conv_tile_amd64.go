//go:build amd64 && !purego

package kernels

import "unsafe"

// convTileNxP computes N pixels x P panels of filters as convTile says; mask has a bit for each column.
// The reference is convTileGeneric.
//
//go:noescape
func convTile12x2AVX512(t *convTile)

//go:noescape
func convTile11x2AVX512(t *convTile)

//go:noescape
func convTile10x2AVX512(t *convTile)

//go:noescape
func convTile9x2AVX512(t *convTile)

//go:noescape
func convTile8x2AVX512(t *convTile)

//go:noescape
func convTile7x2AVX512(t *convTile)

//go:noescape
func convTile6x2AVX512(t *convTile)

//go:noescape
func convTile5x2AVX512(t *convTile)

//go:noescape
func convTile4x2AVX512(t *convTile)

//go:noescape
func convTile3x2AVX512(t *convTile)

//go:noescape
func convTile2x2AVX512(t *convTile)

//go:noescape
func convTile1x2AVX512(t *convTile)

//go:noescape
func convTile12x1AVX512(t *convTile)

//go:noescape
func convTile11x1AVX512(t *convTile)

//go:noescape
func convTile10x1AVX512(t *convTile)

//go:noescape
func convTile9x1AVX512(t *convTile)

//go:noescape
func convTile8x1AVX512(t *convTile)

//go:noescape
func convTile7x1AVX512(t *convTile)

//go:noescape
func convTile6x1AVX512(t *convTile)

//go:noescape
func convTile5x1AVX512(t *convTile)

//go:noescape
func convTile4x1AVX512(t *convTile)

//go:noescape
func convTile3x1AVX512(t *convTile)

//go:noescape
func convTile2x1AVX512(t *convTile)

//go:noescape
func convTile1x1AVX512(t *convTile)

// convTileRows is the most pixels of a tile.
const convTileRows = 12

// convTileSIMD computes t for so many pixels of a line, tile by tile.
func convTileSIMD(t *convTile, pixels int) bool {
	if !useAVX512 {
		return false
	}
	for tiles := (pixels + convTileRows - 1) / convTileRows; tiles > 0; tiles-- {
		n := (pixels + tiles - 1) / tiles // even tiles
		if t.mask>>PanelRows != 0 {
			convTile2AVX512(t, n)
		} else {
			convTile1AVX512(t, n)
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
	return true
}

func convTile2AVX512(t *convTile, n int) {
	switch n {
	case 12:
		convTile12x2AVX512(t)
	case 11:
		convTile11x2AVX512(t)
	case 10:
		convTile10x2AVX512(t)
	case 9:
		convTile9x2AVX512(t)
	case 8:
		convTile8x2AVX512(t)
	case 7:
		convTile7x2AVX512(t)
	case 6:
		convTile6x2AVX512(t)
	case 5:
		convTile5x2AVX512(t)
	case 4:
		convTile4x2AVX512(t)
	case 3:
		convTile3x2AVX512(t)
	case 2:
		convTile2x2AVX512(t)
	case 1:
		convTile1x2AVX512(t)
	}
}

func convTile1AVX512(t *convTile, n int) {
	switch n {
	case 12:
		convTile12x1AVX512(t)
	case 11:
		convTile11x1AVX512(t)
	case 10:
		convTile10x1AVX512(t)
	case 9:
		convTile9x1AVX512(t)
	case 8:
		convTile8x1AVX512(t)
	case 7:
		convTile7x1AVX512(t)
	case 6:
		convTile6x1AVX512(t)
	case 5:
		convTile5x1AVX512(t)
	case 4:
		convTile4x1AVX512(t)
	case 3:
		convTile3x1AVX512(t)
	case 2:
		convTile2x1AVX512(t)
	case 1:
		convTile1x1AVX512(t)
	}
}
