//go:build amd64 && !purego

package kernels

// outerTileNxP adds the sum for N rows of C and P panels of its columns as outerTile says; mask has a bit for each column.
// The reference is the product in Outer.Run.
//
//go:noescape
func outerTile12x2AVX512(t *outerTile)

//go:noescape
func outerTile11x2AVX512(t *outerTile)

//go:noescape
func outerTile10x2AVX512(t *outerTile)

//go:noescape
func outerTile9x2AVX512(t *outerTile)

//go:noescape
func outerTile8x2AVX512(t *outerTile)

//go:noescape
func outerTile7x2AVX512(t *outerTile)

//go:noescape
func outerTile6x2AVX512(t *outerTile)

//go:noescape
func outerTile5x2AVX512(t *outerTile)

//go:noescape
func outerTile4x2AVX512(t *outerTile)

//go:noescape
func outerTile3x2AVX512(t *outerTile)

//go:noescape
func outerTile2x2AVX512(t *outerTile)

//go:noescape
func outerTile1x2AVX512(t *outerTile)

//go:noescape
func outerTile12x1AVX512(t *outerTile)

//go:noescape
func outerTile11x1AVX512(t *outerTile)

//go:noescape
func outerTile10x1AVX512(t *outerTile)

//go:noescape
func outerTile9x1AVX512(t *outerTile)

//go:noescape
func outerTile8x1AVX512(t *outerTile)

//go:noescape
func outerTile7x1AVX512(t *outerTile)

//go:noescape
func outerTile6x1AVX512(t *outerTile)

//go:noescape
func outerTile5x1AVX512(t *outerTile)

//go:noescape
func outerTile4x1AVX512(t *outerTile)

//go:noescape
func outerTile3x1AVX512(t *outerTile)

//go:noescape
func outerTile2x1AVX512(t *outerTile)

//go:noescape
func outerTile1x1AVX512(t *outerTile)

// outerSIMD reports whether there is a kernel for outer products.
func outerSIMD() bool { return useAVX512 }

// outerTileSIMD adds the sum for so many rows of C.
func outerTileSIMD(t *outerTile, rows int) {
	if t.mask>>PanelRows == 0 {
		outerTile1AVX512(t, rows)
		return
	}
	switch rows {
	case 12:
		outerTile12x2AVX512(t)
	case 11:
		outerTile11x2AVX512(t)
	case 10:
		outerTile10x2AVX512(t)
	case 9:
		outerTile9x2AVX512(t)
	case 8:
		outerTile8x2AVX512(t)
	case 7:
		outerTile7x2AVX512(t)
	case 6:
		outerTile6x2AVX512(t)
	case 5:
		outerTile5x2AVX512(t)
	case 4:
		outerTile4x2AVX512(t)
	case 3:
		outerTile3x2AVX512(t)
	case 2:
		outerTile2x2AVX512(t)
	case 1:
		outerTile1x2AVX512(t)
	}
}

func outerTile1AVX512(t *outerTile, rows int) {
	switch rows {
	case 12:
		outerTile12x1AVX512(t)
	case 11:
		outerTile11x1AVX512(t)
	case 10:
		outerTile10x1AVX512(t)
	case 9:
		outerTile9x1AVX512(t)
	case 8:
		outerTile8x1AVX512(t)
	case 7:
		outerTile7x1AVX512(t)
	case 6:
		outerTile6x1AVX512(t)
	case 5:
		outerTile5x1AVX512(t)
	case 4:
		outerTile4x1AVX512(t)
	case 3:
		outerTile3x1AVX512(t)
	case 2:
		outerTile2x1AVX512(t)
	case 1:
		outerTile1x1AVX512(t)
	}
}
