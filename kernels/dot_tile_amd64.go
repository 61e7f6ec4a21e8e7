//go:build amd64 && !purego

package kernels

import "unsafe"

// The tile kernels compute what panelDotGeneric writes out, with fewer instructions. Levels hold Shift where it applies, so
// that the integer sum of a group starts, for all outputs, from -LevelZero*sum(q). That start also holds the bits of
// the float32 tileMagic: as the sum stays within 2^22 of 0, the integer with the sum added is the float32 tileMagic+sum.
// Then
//
//	t = fma(tileMagic+sum, scale, -tileMagic*scale)
//
// is sum*scale rounded once, as it shall be: tileMagic*scale is exact for scales of seven bits.
const (
	// tileRows is the number of rows that a tile kernel computes in one go.
	tileRows = 6

	tileMagic     = 3 << 22
	tileMagicBits = 0x4b400000 // tileMagic as float32
)

// tileLevels reports whether the tile kernel can take the levels with Shift in them: the sums of
// VPMADDUBSW hold levels to MaxLevel, which D8 may exceed.
func (m *MatMul) tileLevels() bool {
	return m.format != D8 || m.lut.shift == 0 || useVNNI || useAVX512
}

// tileStart is what packed activations have for the sum of a group.
func tileStart(sum int32) int32 { return tileMagicBits - LevelZero*sum }

//go:noescape
func dotTileAVX512(args *tileArgs)

// The others compute one panel of the tile: 0 or 1.

//go:noescape
func dotTileAVXVNNI(args *tileArgs, panel int)

//go:noescape
func dotTileAVX2(args *tileArgs, panel int)

func dotTile(args *tileArgs) {
	switch {
	case useAVX512:
		dotTileAVX512(args)
	case useVNNI:
		for panel := range args.panels {
			dotTileAVXVNNI(args, panel)
		}
	default:
		for panel := range args.panels {
			dotTileAVX2(args, panel)
		}
	}
}

// expand prepares groups [g, g+n) of panel p for the tile kernels and returns where the levels are: in
// levels, or with D8 where they lie if they need no shift.
func (m *MatMul) expand(levels, scales []byte, format Format, p, g, n int) *byte {
	panel := m.panel(p)
	codes := CodesOffset(m.w.K) + g*format.GroupBytes()
	_, _ = levels[n*expandedLevels-1], scales[n*expandedScales-1]
	args := gemvArgs{
		panel: &panel[g*PanelRows], lut: &m.lut, codes: codes - g*PanelRows, groups: n, levels: &levels[0], scales: &scales[0],
	}
	if useAVX512 {
		expandScalesAVX512(&args)
	} else {
		expandScalesAVX2(&args)
	}
	switch {
	case format == D8 && m.lut.shift == 0:
		return &panel[codes]
	case useAVX512:
		switch format {
		case D8:
			expandD8AVX512(&args)
		case D4:
			expandD4AVX512(&args)
		case D3:
			expandD3AVX512(&args)
		case D2:
			expandD2AVX512(&args)
		}
	default:
		switch format {
		case D8:
			expandD8AVX2(&args)
		case D4:
			expandD4AVX2(&args)
		case D3:
			expandD3AVX2(&args)
		case D2:
			expandD2AVX2(&args)
		}
	}
	return &levels[0]
}

// expandFloats writes groups [g, g+n) of panel p to dst as float32, 16 rows of each column side by side, and reports
// whether it could. scratch holds n groups of levels and scales.
func (m *MatMul) expandFloats(dst []float32, p, g, n int, scratch []byte) bool {
	if !useSIMD() || n == 0 {
		return false
	}
	scales := scratch[n*expandedLevels:]
	levels := m.expand(scratch, scales, m.expanded, p, g, n)
	_ = dst[n*GroupLen*PanelRows-1]
	if useAVX512 {
		expandFloatsAVX512(&dst[0], levels, &scales[0], unsafe.SliceData(m.panel(p)), n)
	} else {
		expandFloatsAVX2(&dst[0], levels, &scales[0], unsafe.SliceData(m.panel(p)), n)
	}
	return true
}
