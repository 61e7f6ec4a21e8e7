//go:build (amd64 || arm64) && !purego

package kernels

// gemvBytes is how much weight data stays in the cache while the rows of a small product pass.
const gemvBytes = 128 << 10

// gemvSIMD multiplies straight from the panels, gemvPass rows at a time; the weights
// stay in the cache from one pass to the next.
func (m *MatMul) gemvSIMD(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) bool {
	if !useSIMD() {
		return false
	}
	tile := floatsOf(scratch[:PanelRows*4])
	scratch = scratch[PanelRows*4:]
	// Passes whose sizes differ by one at most.
	passes := (rows + gemvPass() - 1) / gemvPass()
	pass := (rows + passes - 1) / passes
	step := hi - lo
	if passes > 1 {
		step = max(1, gemvBytes/m.panelBytes)
	}
	full := min(hi, m.w.N/PanelRows) // panels without padding
	for p := lo; p < full; p += step {
		n := min(step, full-p)
		for i := 0; i < rows; i += pass {
			count := min(pass, rows-i)
			m.panelsDot(dst[i*m.ldd+p*PanelRows:][:(count-1)*m.ldd+n*PanelRows], p, n, acts[i*m.groups:][:count*m.groups], count, scratch)
		}
	}
	if full < hi {
		rest := m.w.N - full*PanelRows
		for i := range rows {
			m.panelsDot(tile, full, 1, acts[i*m.groups:][:m.groups], 1, scratch)
			copy(dst[i*m.ldd+full*PanelRows:][:rest], tile)
		}
	}
	return true
}
