//go:build amd64 && !purego

package kernels

import "unsafe"

// tapsFMAN, tapsMaxN and tapsMeanN compute N neighbouring pixels as tapTile says, with at least one element. The AVX2
// forms leave out the channels beyond the last multiple of 8. The reference is sliding.generic.
//
//go:noescape
func tapsFMA12AVX512(t *tapTile)

//go:noescape
func tapsFMA11AVX512(t *tapTile)

//go:noescape
func tapsFMA10AVX512(t *tapTile)

//go:noescape
func tapsFMA9AVX512(t *tapTile)

//go:noescape
func tapsFMA8AVX512(t *tapTile)

//go:noescape
func tapsFMA7AVX512(t *tapTile)

//go:noescape
func tapsFMA6AVX512(t *tapTile)

//go:noescape
func tapsFMA5AVX512(t *tapTile)

//go:noescape
func tapsFMA4AVX512(t *tapTile)

//go:noescape
func tapsFMA3AVX512(t *tapTile)

//go:noescape
func tapsFMA2AVX512(t *tapTile)

//go:noescape
func tapsFMA1AVX512(t *tapTile)

//go:noescape
func tapsMax12AVX512(t *tapTile)

//go:noescape
func tapsMax11AVX512(t *tapTile)

//go:noescape
func tapsMax10AVX512(t *tapTile)

//go:noescape
func tapsMax9AVX512(t *tapTile)

//go:noescape
func tapsMax8AVX512(t *tapTile)

//go:noescape
func tapsMax7AVX512(t *tapTile)

//go:noescape
func tapsMax6AVX512(t *tapTile)

//go:noescape
func tapsMax5AVX512(t *tapTile)

//go:noescape
func tapsMax4AVX512(t *tapTile)

//go:noescape
func tapsMax3AVX512(t *tapTile)

//go:noescape
func tapsMax2AVX512(t *tapTile)

//go:noescape
func tapsMax1AVX512(t *tapTile)

//go:noescape
func tapsMean12AVX512(t *tapTile)

//go:noescape
func tapsMean11AVX512(t *tapTile)

//go:noescape
func tapsMean10AVX512(t *tapTile)

//go:noescape
func tapsMean9AVX512(t *tapTile)

//go:noescape
func tapsMean8AVX512(t *tapTile)

//go:noescape
func tapsMean7AVX512(t *tapTile)

//go:noescape
func tapsMean6AVX512(t *tapTile)

//go:noescape
func tapsMean5AVX512(t *tapTile)

//go:noescape
func tapsMean4AVX512(t *tapTile)

//go:noescape
func tapsMean3AVX512(t *tapTile)

//go:noescape
func tapsMean2AVX512(t *tapTile)

//go:noescape
func tapsMean1AVX512(t *tapTile)

//go:noescape
func tapsFMA12AVX2(t *tapTile)

//go:noescape
func tapsFMA11AVX2(t *tapTile)

//go:noescape
func tapsFMA10AVX2(t *tapTile)

//go:noescape
func tapsFMA9AVX2(t *tapTile)

//go:noescape
func tapsFMA8AVX2(t *tapTile)

//go:noescape
func tapsFMA7AVX2(t *tapTile)

//go:noescape
func tapsFMA6AVX2(t *tapTile)

//go:noescape
func tapsFMA5AVX2(t *tapTile)

//go:noescape
func tapsFMA4AVX2(t *tapTile)

//go:noescape
func tapsFMA3AVX2(t *tapTile)

//go:noescape
func tapsFMA2AVX2(t *tapTile)

//go:noescape
func tapsFMA1AVX2(t *tapTile)

//go:noescape
func tapsMax12AVX2(t *tapTile)

//go:noescape
func tapsMax11AVX2(t *tapTile)

//go:noescape
func tapsMax10AVX2(t *tapTile)

//go:noescape
func tapsMax9AVX2(t *tapTile)

//go:noescape
func tapsMax8AVX2(t *tapTile)

//go:noescape
func tapsMax7AVX2(t *tapTile)

//go:noescape
func tapsMax6AVX2(t *tapTile)

//go:noescape
func tapsMax5AVX2(t *tapTile)

//go:noescape
func tapsMax4AVX2(t *tapTile)

//go:noescape
func tapsMax3AVX2(t *tapTile)

//go:noescape
func tapsMax2AVX2(t *tapTile)

//go:noescape
func tapsMax1AVX2(t *tapTile)

//go:noescape
func tapsMean12AVX2(t *tapTile)

//go:noescape
func tapsMean11AVX2(t *tapTile)

//go:noescape
func tapsMean10AVX2(t *tapTile)

//go:noescape
func tapsMean9AVX2(t *tapTile)

//go:noescape
func tapsMean8AVX2(t *tapTile)

//go:noescape
func tapsMean7AVX2(t *tapTile)

//go:noescape
func tapsMean6AVX2(t *tapTile)

//go:noescape
func tapsMean5AVX2(t *tapTile)

//go:noescape
func tapsMean4AVX2(t *tapTile)

//go:noescape
func tapsMean3AVX2(t *tapTile)

//go:noescape
func tapsMean2AVX2(t *tapTile)

//go:noescape
func tapsMean1AVX2(t *tapTile)

// tapPixels is the most pixels of a tile.
const tapPixels = 12

// tapsSIMD computes so many pixels of t and returns how many channels it did.
func tapsSIMD(op tapOp, t *tapTile, pixels int) int {
	channels := t.channels
	if useAVX2 && !useAVX512 {
		channels &^= 7
	}
	if !useAVX512 && !useAVX2 || channels == 0 {
		return 0
	}
	tile := *t
	for tiles := (pixels + tapPixels - 1) / tapPixels; tiles > 0; tiles-- {
		n := (pixels + tiles - 1) / tiles // even tiles
		switch {
		case useAVX512 && op == tapFMA:
			tapsFMAAVX512(&tile, n)
		case useAVX512 && op == tapMax:
			tapsMaxAVX512(&tile, n)
		case useAVX512:
			tapsMeanAVX512(&tile, n)
		case op == tapFMA:
			tapsFMAAVX2(&tile, n)
		case op == tapMax:
			tapsMaxAVX2(&tile, n)
		default:
			tapsMeanAVX2(&tile, n)
		}
		if pixels -= n; pixels > 0 {
			tile.dst, tile.x = unsafe.Add(tile.dst, n*t.ldd), unsafe.Add(tile.x, n*t.ldx)
		}
	}
	return channels
}

func tapsFMAAVX512(t *tapTile, n int) {
	switch n {
	case 12:
		tapsFMA12AVX512(t)
	case 11:
		tapsFMA11AVX512(t)
	case 10:
		tapsFMA10AVX512(t)
	case 9:
		tapsFMA9AVX512(t)
	case 8:
		tapsFMA8AVX512(t)
	case 7:
		tapsFMA7AVX512(t)
	case 6:
		tapsFMA6AVX512(t)
	case 5:
		tapsFMA5AVX512(t)
	case 4:
		tapsFMA4AVX512(t)
	case 3:
		tapsFMA3AVX512(t)
	case 2:
		tapsFMA2AVX512(t)
	case 1:
		tapsFMA1AVX512(t)
	}
}

func tapsMaxAVX512(t *tapTile, n int) {
	switch n {
	case 12:
		tapsMax12AVX512(t)
	case 11:
		tapsMax11AVX512(t)
	case 10:
		tapsMax10AVX512(t)
	case 9:
		tapsMax9AVX512(t)
	case 8:
		tapsMax8AVX512(t)
	case 7:
		tapsMax7AVX512(t)
	case 6:
		tapsMax6AVX512(t)
	case 5:
		tapsMax5AVX512(t)
	case 4:
		tapsMax4AVX512(t)
	case 3:
		tapsMax3AVX512(t)
	case 2:
		tapsMax2AVX512(t)
	case 1:
		tapsMax1AVX512(t)
	}
}

func tapsMeanAVX512(t *tapTile, n int) {
	switch n {
	case 12:
		tapsMean12AVX512(t)
	case 11:
		tapsMean11AVX512(t)
	case 10:
		tapsMean10AVX512(t)
	case 9:
		tapsMean9AVX512(t)
	case 8:
		tapsMean8AVX512(t)
	case 7:
		tapsMean7AVX512(t)
	case 6:
		tapsMean6AVX512(t)
	case 5:
		tapsMean5AVX512(t)
	case 4:
		tapsMean4AVX512(t)
	case 3:
		tapsMean3AVX512(t)
	case 2:
		tapsMean2AVX512(t)
	case 1:
		tapsMean1AVX512(t)
	}
}

func tapsFMAAVX2(t *tapTile, n int) {
	switch n {
	case 12:
		tapsFMA12AVX2(t)
	case 11:
		tapsFMA11AVX2(t)
	case 10:
		tapsFMA10AVX2(t)
	case 9:
		tapsFMA9AVX2(t)
	case 8:
		tapsFMA8AVX2(t)
	case 7:
		tapsFMA7AVX2(t)
	case 6:
		tapsFMA6AVX2(t)
	case 5:
		tapsFMA5AVX2(t)
	case 4:
		tapsFMA4AVX2(t)
	case 3:
		tapsFMA3AVX2(t)
	case 2:
		tapsFMA2AVX2(t)
	case 1:
		tapsFMA1AVX2(t)
	}
}

func tapsMaxAVX2(t *tapTile, n int) {
	switch n {
	case 12:
		tapsMax12AVX2(t)
	case 11:
		tapsMax11AVX2(t)
	case 10:
		tapsMax10AVX2(t)
	case 9:
		tapsMax9AVX2(t)
	case 8:
		tapsMax8AVX2(t)
	case 7:
		tapsMax7AVX2(t)
	case 6:
		tapsMax6AVX2(t)
	case 5:
		tapsMax5AVX2(t)
	case 4:
		tapsMax4AVX2(t)
	case 3:
		tapsMax3AVX2(t)
	case 2:
		tapsMax2AVX2(t)
	case 1:
		tapsMax1AVX2(t)
	}
}

func tapsMeanAVX2(t *tapTile, n int) {
	switch n {
	case 12:
		tapsMean12AVX2(t)
	case 11:
		tapsMean11AVX2(t)
	case 10:
		tapsMean10AVX2(t)
	case 9:
		tapsMean9AVX2(t)
	case 8:
		tapsMean8AVX2(t)
	case 7:
		tapsMean7AVX2(t)
	case 6:
		tapsMean6AVX2(t)
	case 5:
		tapsMean5AVX2(t)
	case 4:
		tapsMean4AVX2(t)
	case 3:
		tapsMean3AVX2(t)
	case 2:
		tapsMean2AVX2(t)
	case 1:
		tapsMean1AVX2(t)
	}
}
