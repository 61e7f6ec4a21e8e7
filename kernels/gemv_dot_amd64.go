//go:build amd64 && !purego

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// useVBMI makes the AVX-512 routines look levels up with VPERMB.
var useVBMI = cpu.X86.HasAVX512VBMI

// gemvArgs is what the routines read that walk panels: count panels of panelBytes, groups groups each.
type gemvArgs struct {
	dst        *float32 // gemv: PanelRows outputs per panel
	panel      *byte
	acts       *actBlock
	lut        *panelLUT
	count      int
	panelBytes int
	codes      int // offset of the codes in a panel
	groups     int
	levels     *byte // expand: as tileArgs.levels
	scales     *byte // expand: as tileArgs.scales

	// Of the AVX-512 routines for a few rows; strides are in bytes.
	rows      int // 1..gemvRows
	ldd       int
	stride    int // from one row of activations to the next
	second    int // one row: count panels from panel+second on too
	secondDst int // one row: and their outputs, from dst+secondDst on
	shapes    *tileShapes
}

// gemvRows is the number of rows that one call of the AVX-512 routines can take.
const gemvRows = 8

//go:noescape
func gemvD8AVX512(args *gemvArgs)

//go:noescape
func gemvD4AVX512(args *gemvArgs)

//go:noescape
func gemvD3AVX512(args *gemvArgs)

//go:noescape
func gemvD2AVX512(args *gemvArgs)

//go:noescape
func gemvD4VBMI(args *gemvArgs)

//go:noescape
func gemvD3VBMI(args *gemvArgs)

//go:noescape
func gemvD2VBMI(args *gemvArgs)

// The routines with tiles have gemvPlaces + 512*(groups+1) bytes from levels on, a multiple of gemvPlaces, for their own use.

//go:noescape
func gemvD8AMX(args *gemvArgs)

//go:noescape
func gemvD4AMX(args *gemvArgs)

//go:noescape
func gemvD3AMX(args *gemvArgs)

//go:noescape
func gemvD2AMX(args *gemvArgs)

//go:noescape
func gemvD8AVX2(args *gemvArgs)

//go:noescape
func gemvD4AVX2(args *gemvArgs)

//go:noescape
func gemvD3AVX2(args *gemvArgs)

//go:noescape
func gemvD2AVX2(args *gemvArgs)

//go:noescape
func gemvD8AVXVNNI(args *gemvArgs)

//go:noescape
func gemvD4AVXVNNI(args *gemvArgs)

//go:noescape
func gemvD3AVXVNNI(args *gemvArgs)

//go:noescape
func gemvD2AVXVNNI(args *gemvArgs)

const (
	// gemvTileRows is the least number of rows that tiles multiply faster than VPDPBUSD.
	gemvTileRows = 5
	// gemvPlaces are the bytes of levels and sums that the routines with tiles keep.
	gemvPlaces = 8 << 10
)

// gemvScratch is what panelsDot needs, wherever it begins.
func gemvScratch(groups int) int { return 2*gemvPlaces + (groups+1)*GroupLen*PanelRows }

// gemvShapes are the shapes of tiles for as many rows: 0 and 1 have sums of two groups, 4 and 5 their activations, 6 and 7 the levels.
var gemvShapes = func() (s [gemvRows + 1]tileShapes) {
	for n := range s {
		rows := byte(2 * n)
		s[n] = tileShapes{palette: 1, rowBytes: [16]uint16{64, 64, 0, 0, 64, 64, 64, 64}, rows: [16]byte{rows, rows, 0, 0, rows, rows, 16, 16}}
	}
	return s
}()

// useGemvTiles reports whether tiles multiply rows rows.
func useGemvTiles(rows int) bool { return useAVX512 && useByteTiles && useVBMI && rows >= gemvTileRows }

// gemvPass returns the number of rows that panelsDot can take.
func gemvPass() int {
	if useAVX512 {
		return gemvRows
	}
	return 1
}

// gemmFrom returns the number of rows, at least gemmMinRows, from which on it pays to prepare weights for tile kernels: as
// measured, with weights in the second cache and in memory.
func gemmFrom() int {
	if useAVX512 {
		return 3 * gemvRows
	}
	return gemmMinRows
}

// panelsDot multiplies n whole panels from panel p on with rows rows of activations, at most gemvPass. scratch has gemvScratch(m.groups) bytes.
func (m *MatMul) panelsDot(dst []float32, p, n int, acts []actBlock, rows int, scratch []byte) {
	_, _, _ = dst[(rows-1)*m.ldd+n*PanelRows-1], acts[rows*m.groups-1], m.w.Data[(p+n)*m.panelBytes-1]
	args := gemvArgs{
		dst: &dst[0], panel: &m.w.Data[p*m.panelBytes], acts: &acts[0], lut: &m.lut,
		count: n, panelBytes: m.panelBytes, codes: CodesOffset(m.w.K), groups: m.groups,
	}
	if useAVX512 {
		args.rows, args.ldd, args.stride = rows, m.ldd*4, m.groups*actBlockBytes
		if useGemvTiles(rows) {
			args.shapes = &gemvShapes[rows]
			args.levels = &scratch[-uintptr(unsafe.Pointer(&scratch[0]))%gemvPlaces:][:gemvScratch(m.groups)-gemvPlaces][0]
			m.gemvAMX(&args)
			return
		}
		if rows == 1 {
			// Two halves side by side; of an odd number both compute the panel in the middle.
			args.count = (n + 1) / 2
			args.second, args.secondDst = (n-args.count)*m.panelBytes, (n-args.count)*PanelRows*4
		}
		m.gemvAVX512(&args)
		return
	}
	if useVNNI {
		m.gemvAVXVNNI(&args)
	} else {
		m.gemvAVX2(&args)
	}
}

func (m *MatMul) gemvAMX(args *gemvArgs) {
	switch m.format {
	case D8:
		gemvD8AMX(args)
	case D4:
		gemvD4AMX(args)
	case D3:
		gemvD3AMX(args)
	case D2:
		gemvD2AMX(args)
	}
}

func (m *MatMul) gemvAVX2(args *gemvArgs) {
	switch m.format {
	case D8:
		gemvD8AVX2(args)
	case D4:
		gemvD4AVX2(args)
	case D3:
		gemvD3AVX2(args)
	case D2:
		gemvD2AVX2(args)
	}
}

func (m *MatMul) gemvAVXVNNI(args *gemvArgs) {
	switch m.format {
	case D8:
		gemvD8AVXVNNI(args)
	case D4:
		gemvD4AVXVNNI(args)
	case D3:
		gemvD3AVXVNNI(args)
	case D2:
		gemvD2AVXVNNI(args)
	}
}

func (m *MatMul) gemvAVX512(args *gemvArgs) {
	switch {
	case m.format == D8:
		gemvD8AVX512(args)
	case m.format == D4 && useVBMI:
		gemvD4VBMI(args)
	case m.format == D4:
		gemvD4AVX512(args)
	case m.format == D3 && useVBMI:
		gemvD3VBMI(args)
	case m.format == D3:
		gemvD3AVX512(args)
	case useVBMI:
		gemvD2VBMI(args)
	default:
		gemvD2AVX512(args)
	}
}
