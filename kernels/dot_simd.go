//go:build (amd64 || arm64) && !purego

package kernels

const (
	// gemmMinRows is the least number of rows that gemmFrom may be.
	gemmMinRows = 4
	// gemvBytes is how much weight data stays in the cache while the rows of a small product pass.
	gemvBytes = 128 << 10
)

// gemmScratch is the scratch that gemmSIMD needs beside the tile.
func gemmScratch(rows, groups int) int {
	if rows < gemmMinRows {
		return 0
	}
	return 2 * groups * (expandedLevels + expandedScales)
}

// gemvSIMD multiplies straight from the panels, gemvPass rows at a time; the weights
// stay in the cache from one pass to the next.
func (m *MatMul) gemvSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	if !useSIMD() {
		return false
	}
	tile := floatsOf(scratch[:PanelRows*4])
	pass := min(gemvPass(), rows)
	step := hi - lo
	if rows > pass {
		step = max(1, gemvBytes/m.panelBytes)
	}
	full := min(hi, m.w.N/PanelRows) // panels without padding
	for p := lo; p < full; p += step {
		n := min(step, full-p)
		for i := 0; i < rows; i += pass {
			count := min(pass, rows-i)
			m.panelsDot(dst[i*m.ldd+p*PanelRows:][:(count-1)*m.ldd+n*PanelRows], p, n, acts[i*m.groups:][:count*m.groups], count)
		}
	}
	if full < hi {
		rest := m.w.N - full*PanelRows
		for i := range rows {
			m.panelsDot(tile, full, 1, acts[i*m.groups:][:m.groups], 1)
			copy(dst[i*m.ldd+full*PanelRows:][:rest], tile)
		}
	}
	return true
}

const (
	// A panel prepared for the tile kernels, per group: the levels without Shift in the order of D8,
	// (for SMMLA: 8 of a row side by side), and the group scales as 16 float32 before 16 offsets as in panelLUT.
	expandedLevels = PanelRows * GroupLen
	expandedScales = 2 * PanelRows * 4
)

// gemmSIMD prepares two panels at a time and passes all rows by them, tileRows at a time.
func (m *MatMul) gemmSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	if !useSIMD() || rows < gemmFrom() {
		return false
	}
	tile := floatsOf(scratch[:tileRows*tileCols*4])
	scratch = scratch[tileRows*tileCols*4:]
	var levels, scales [2][]byte
	for i := range 2 {
		levels[i], scratch = scratch[:m.groups*expandedLevels], scratch[m.groups*expandedLevels:]
		scales[i], scratch = scratch[:m.groups*expandedScales], scratch[m.groups*expandedScales:]
	}
	args := tileArgs{groups: m.groups, actStride: m.groups * actBlockBytes}
	for p := lo; p < hi; p += 2 {
		cols := min(m.w.N-p*PanelRows, tileCols)
		for i := range 2 {
			j := i
			if p+i >= hi {
				j = 0 // an odd panel is computed twice
				cols = min(cols, PanelRows)
			} else {
				m.expand(levels[i], scales[i], p+i)
			}
			panel := m.panel(p + j)
			args.levels[i], args.scales[i] = &levels[j][0], &scales[j][0]
			if m.format == D8 && tileReadsCodes() {
				args.levels[i] = &panel[CodesOffset(m.w.K)]
			}
			args.rowScales[i] = &panel[0]
		}
		for i := 0; i < rows; {
			// Sizes that differ by one at most: 8 rows are 4 + 4.
			n := rows - i
			n = (n + (n+tileRows-1)/tileRows - 1) / ((n + tileRows - 1) / tileRows)
			args.acts = &acts[i*m.groups]
			args.rows = n
			if cols == tileCols {
				args.dst, args.ldd = &dst[i*m.ldd+p*PanelRows], m.ldd*4
				dotTile(&args)
			} else {
				args.dst, args.ldd = &tile[0], tileCols*4
				dotTile(&args)
				for j := range n {
					copy(dst[(i+j)*m.ldd+p*PanelRows:][:cols], tile[j*tileCols:])
				}
			}
			i += n
		}
	}
	return true
}

// tileArgs is what the tile kernels read: rows of activations times two prepared panels.
// Strides are in bytes. They write a full row of tileCols float32 for each of rows rows.
type tileArgs struct {
	dst       *float32
	ldd       int
	acts      *actBlock
	actStride int
	levels    [2]*byte
	scales    [2]*byte
	rowScales [2]*byte
	groups    int
	rows      int // 1..tileRows
}
