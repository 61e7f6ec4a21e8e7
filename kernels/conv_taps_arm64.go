//go:build !purego

package kernels

import "unsafe"

// tapsFMAN, tapsMaxN and tapsMeanN compute N neighbouring pixels as tapTile says, with at least one element and 4 channels;
// those beyond the last multiple of 4 are left out. The reference is sliding.generic.
//
//go:noescape
func tapsFMA8NEON(t *tapTile)

//go:noescape
func tapsFMA7NEON(t *tapTile)

//go:noescape
func tapsFMA6NEON(t *tapTile)

//go:noescape
func tapsFMA5NEON(t *tapTile)

//go:noescape
func tapsFMA4NEON(t *tapTile)

//go:noescape
func tapsFMA3NEON(t *tapTile)

//go:noescape
func tapsFMA2NEON(t *tapTile)

//go:noescape
func tapsFMA1NEON(t *tapTile)

//go:noescape
func tapsMax8NEON(t *tapTile)

//go:noescape
func tapsMax7NEON(t *tapTile)

//go:noescape
func tapsMax6NEON(t *tapTile)

//go:noescape
func tapsMax5NEON(t *tapTile)

//go:noescape
func tapsMax4NEON(t *tapTile)

//go:noescape
func tapsMax3NEON(t *tapTile)

//go:noescape
func tapsMax2NEON(t *tapTile)

//go:noescape
func tapsMax1NEON(t *tapTile)

//go:noescape
func tapsMean8NEON(t *tapTile)

//go:noescape
func tapsMean7NEON(t *tapTile)

//go:noescape
func tapsMean6NEON(t *tapTile)

//go:noescape
func tapsMean5NEON(t *tapTile)

//go:noescape
func tapsMean4NEON(t *tapTile)

//go:noescape
func tapsMean3NEON(t *tapTile)

//go:noescape
func tapsMean2NEON(t *tapTile)

//go:noescape
func tapsMean1NEON(t *tapTile)

// tapPixels is the most pixels of a tile.
const tapPixels = 8

// tapsSIMD computes so many pixels of t and returns how many channels it did.
func tapsSIMD(op tapOp, t *tapTile, pixels int) int {
	channels := t.channels &^ 3
	if !useNEON || channels == 0 {
		return 0
	}
	tile := *t
	for tiles := (pixels + tapPixels - 1) / tapPixels; tiles > 0; tiles-- {
		n := (pixels + tiles - 1) / tiles // even tiles
		switch op {
		case tapFMA:
			tapsFMANEON(&tile, n)
		case tapMax:
			tapsMaxNEON(&tile, n)
		default:
			tapsMeanNEON(&tile, n)
		}
		if pixels -= n; pixels > 0 {
			tile.dst, tile.x = unsafe.Add(tile.dst, n*t.ldd), unsafe.Add(tile.x, n*t.ldx)
		}
	}
	return channels
}

func tapsFMANEON(t *tapTile, n int) {
	switch n {
	case 8:
		tapsFMA8NEON(t)
	case 7:
		tapsFMA7NEON(t)
	case 6:
		tapsFMA6NEON(t)
	case 5:
		tapsFMA5NEON(t)
	case 4:
		tapsFMA4NEON(t)
	case 3:
		tapsFMA3NEON(t)
	case 2:
		tapsFMA2NEON(t)
	case 1:
		tapsFMA1NEON(t)
	}
}

func tapsMaxNEON(t *tapTile, n int) {
	switch n {
	case 8:
		tapsMax8NEON(t)
	case 7:
		tapsMax7NEON(t)
	case 6:
		tapsMax6NEON(t)
	case 5:
		tapsMax5NEON(t)
	case 4:
		tapsMax4NEON(t)
	case 3:
		tapsMax3NEON(t)
	case 2:
		tapsMax2NEON(t)
	case 1:
		tapsMax1NEON(t)
	}
}

func tapsMeanNEON(t *tapTile, n int) {
	switch n {
	case 8:
		tapsMean8NEON(t)
	case 7:
		tapsMean7NEON(t)
	case 6:
		tapsMean6NEON(t)
	case 5:
		tapsMean5NEON(t)
	case 4:
		tapsMean4NEON(t)
	case 3:
		tapsMean3NEON(t)
	case 2:
		tapsMean2NEON(t)
	case 1:
		tapsMean1NEON(t)
	}
}
