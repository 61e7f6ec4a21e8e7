//go:build !purego

package kernels

// tileRows is the number of rows that a tile kernel computes in one go.
const tileRows = 4

// gemvArgs is what the routines read that walk panels: count panels of panelBytes, groups groups each.
type gemvArgs struct {
	dst        *float32 // gemv: PanelRows outputs per panel
	panel      *byte
	acts       *actBlock // gemv: one row
	lut        *panelLUT
	count      int
	panelBytes int
	codes      int // offset of the codes in a panel
	groups     int
	levels     *byte // expand: as tileArgs.levels
	scales     *byte // expand: as tileArgs.scales, the offsets as int32
}

//go:noescape
func quantizeActsNEON(dst *actBlock, first, second *float32, ld, ldSecond, groups int)

//go:noescape
func gemvD8NEON(args *gemvArgs)

//go:noescape
func gemvD4NEON(args *gemvArgs)

//go:noescape
func gemvD3NEON(args *gemvArgs)

//go:noescape
func gemvD2NEON(args *gemvArgs)

//go:noescape
func gemvD8DotProd(args *gemvArgs)

//go:noescape
func gemvD4DotProd(args *gemvArgs)

//go:noescape
func gemvD3DotProd(args *gemvArgs)

//go:noescape
func gemvD2DotProd(args *gemvArgs)

//go:noescape
func expandScalesNEON(args *gemvArgs)

//go:noescape
func expandD4NEON(args *gemvArgs)

//go:noescape
func expandD3NEON(args *gemvArgs)

//go:noescape
func expandD2NEON(args *gemvArgs)

//go:noescape
func expandD8I8MM(args *gemvArgs)

//go:noescape
func expandD4I8MM(args *gemvArgs)

//go:noescape
func expandD3I8MM(args *gemvArgs)

//go:noescape
func expandD2I8MM(args *gemvArgs)

// The tile kernels compute 8 of a tile's 32 columns: quarter 0..3.

//go:noescape
func dotTileNEON(args *tileArgs, quarter int)

//go:noescape
func dotTileDotProd(args *tileArgs, quarter int)

//go:noescape
func dotTileI8MM(args *tileArgs, quarter int)

func quantizeHalvesSIMD(dst []actBlock, first, second *float32, ld, ldSecond int) bool {
	if !useNEON {
		return false
	}
	quantizeActsNEON(&dst[0], first, second, 4*ld, 4*ldSecond, len(dst))
	return true
}

// gemvScratch is what panelsDot needs.
func gemvScratch(int) int { return 0 }

// gemvPass returns the number of rows that panelsDot can take.
func gemvPass() int { return 1 }

// gemmFrom returns the number of rows, at least gemmMinRows, from which on it pays to prepare weights for tile kernels.
func gemmFrom() int { return gemmMinRows }

// panelsDot multiplies n whole panels from panel p on with one row of activations.
func (m *MatMul) panelsDot(dst []float32, p, n int, acts []actBlock, _ int, _ []byte) {
	_, _, _ = dst[n*PanelRows-1], acts[m.groups-1], m.w.Data[(p+n)*m.panelBytes-1]
	args := gemvArgs{
		dst: &dst[0], panel: &m.w.Data[p*m.panelBytes], acts: &acts[0], lut: &m.lut,
		count: n, panelBytes: m.panelBytes, codes: CodesOffset(m.w.K), groups: m.groups,
	}
	if useDotProd {
		switch m.format {
		case D8:
			gemvD8DotProd(&args)
		case D4:
			gemvD4DotProd(&args)
		case D3:
			gemvD3DotProd(&args)
		case D2:
			gemvD2DotProd(&args)
		}
		return
	}
	switch m.format {
	case D8:
		gemvD8NEON(&args)
	case D4:
		gemvD4NEON(&args)
	case D3:
		gemvD3NEON(&args)
	case D2:
		gemvD2NEON(&args)
	}
}

// tileLevels reports whether the tile kernel can take the levels.
func (m *MatMul) tileLevels() bool { return true }

// tileStart is what packed activations have for the sum of a group.
func tileStart(sum int32) int32 { return sum }

// expand prepares groups [g, g+n) of panel p for the tile kernels and returns where the levels are: in
// levels, or with D8 where they lie. Offsets lie behind the scales.
func (m *MatMul) expand(levels, scales []byte, format Format, p, g, n int) *byte {
	panel := m.panel(p)
	codes := CodesOffset(m.w.K) + g*format.GroupBytes()
	_, _ = levels[n*expandedLevels-1], scales[n*expandedScales-1]
	args := gemvArgs{
		panel: &panel[g*PanelRows], lut: &m.lut, codes: codes - g*PanelRows, groups: n, levels: &levels[0], scales: &scales[0],
	}
	expandScalesNEON(&args)
	if useI8MM {
		switch format {
		case D8:
			expandD8I8MM(&args)
		case D4:
			expandD4I8MM(&args)
		case D3:
			expandD3I8MM(&args)
		case D2:
			expandD2I8MM(&args)
		}
		return &levels[0]
	}
	switch format {
	case D8:
		return &panel[codes]
	case D4:
		expandD4NEON(&args)
	case D3:
		expandD3NEON(&args)
	case D2:
		expandD2NEON(&args)
	}
	return &levels[0]
}

// expandFloats is there for other architectures.
func (m *MatMul) expandFloats(dst []float32, p, g, n int, scratch []byte) bool { return false }

func dotTile(args *tileArgs) {
	for quarter := range 2 * args.panels {
		switch {
		case useI8MM:
			dotTileI8MM(args, quarter)
		case useDotProd:
			dotTileDotProd(args, quarter)
		default:
			dotTileNEON(args, quarter)
		}
	}
}
