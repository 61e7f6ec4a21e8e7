//go:build (amd64 || arm64) && !purego

package kernels

// Products of many rows. A tile is tileRows rows of activations by two panels of weights. The rows of a product are
// parted in tiles that differ by one row at most. Two panels at a time are expanded to levels, a block of tileGroups
// groups at a time, so that these stay in the first cache while all tiles pass. The activations are packed, when they are
// quantized, in the order in which they are read then: block by block, tile by tile, group by group, row by row.
const (
	// gemmMinRows is the least number of rows that gemmFrom may be.
	gemmMinRows = 4
	// tileGroups is the number of groups whose levels are expanded at once.
	tileGroups = 24
	// tileActs is the size of the packed activations of a block of rows, which are read again for every two panels.
	tileActs = 4 << 20

	// An expanded panel has, per group, the levels in the order of D8 (for SMMLA: 8 of a row side by
	// side), and the group scales as 16 float32 before 16 values that the architecture defines.
	expandedLevels = PanelRows * GroupLen
	expandedScales = 2 * PanelRows * 4
)

// tileArgs is what the tile kernels read: a tile of activations times one or two expanded panels. They write up to tileCols
// float32 in each of rows rows.
type tileArgs struct {
	dst     *float32
	ldd     int         // bytes
	sums    *float32    // what the sums start from: rows of tileCols
	acts    *actBlock   // packed
	levels  [2]*byte    // see expandedLevels
	scales  [2]*byte    // see expandedScales
	factors [2]*float32 // of the columns of the result
	groups  int
	rows    int // 1..tileRows
	panels  int // 1 or 2; routines for both at once compute the only one twice
}

var (
	zeroSums [tileRows * tileCols]float32
	oneScale = [PanelRows]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
)

// tileCount returns the number of tiles that a product of rows rows is parted in: 0 if it is not computed by tiles.
func (m *MatMul) tileCount(rows int) int {
	if !useSIMD() || rows < gemmFrom() || !m.tileLevels() {
		return 0
	}
	return (rows + tileRows - 1) / tileRows
}

// packTile stores one row of quantized activations as row i of tile t.
func (m *MatMul) packTile(t, i int, acts []actBlock) {
	first, rows := m.tileRow(t), m.tileRow(t+1)-m.tileRow(t)
	depth := tileBlock(m.groups)
	for g := 0; g < m.groups; g += depth {
		n := min(depth, m.groups-g)
		tile := m.acts[g*m.rows+first*n:][:rows*n]
		for j := range n {
			a, b := &acts[g+j], &tile[j*rows+i]
			b.scale, b.sum, b.q = a.scale, tileStart(a.sum), a.q
		}
	}
}

// packBlocks stores tile t, whose rows consist of the blocks that lie offsets after each of at.
func (m *MatMul) packBlocks(t int, blocks []actBlock, offsets, at []int) {
	first, rows := m.tileRow(t), len(at)
	depth := tileBlock(m.groups)
	for g := 0; g < m.groups; g += depth {
		n := min(depth, m.groups-g)
		tile := m.acts[g*m.rows+first*n:][:rows*n]
		for _, offset := range offsets[g : g+n] {
			for i, p := range at {
				a, b := &blocks[offset+p], &tile[i]
				b.scale, b.sum, b.q = a.scale, tileStart(a.sum), a.q
			}
			tile = tile[rows:]
		}
	}
}

// tileBlock returns the number of groups that are expanded at once.
func tileBlock(groups int) int {
	blocks := (groups + tileGroups - 1) / tileGroups
	return (groups + blocks - 1) / max(1, blocks)
}

// tileBlockRows returns about how many rows pass by expanded panels before the next panels are expanded.
func tileBlockRows(rows, groups int) int {
	return min(rows, max(96, tileActs/(groups*actBlockBytes)))
}

// gemmScratch is the scratch that a part of a product of rows rows needs: that of panelsDot, a row of activations, or
// a tile, the sums of a block of rows and the expanded panels.
func gemmScratch(rows, groups int) int {
	if rows < gemmMinRows || groups == 0 {
		return gemvScratch(groups)
	}
	tiles := (tileBlockRows(rows, groups) + 3*tileRows) * tileCols * 4
	return max(gemvScratch(groups), groups*actBlockBytes, tiles+2*tileBlock(groups)*(expandedLevels+expandedScales))
}

// gemmTiles computes tiles [first, end) of the product for panels [lo, hi).
func (m *MatMul) gemmTiles(first, end, lo, hi int, scratch []byte) {
	depth := tileBlock(m.groups)
	blocks := (m.groups + depth - 1) / depth
	edge := floatsOf(scratch[:tileRows*tileCols*4])
	scratch = scratch[tileRows*tileCols*4:]
	var levels, scales [2][]byte
	for i := range 2 {
		levels[i], scratch = scratch[:depth*expandedLevels], scratch[depth*expandedLevels:]
		scales[i], scratch = scratch[:depth*expandedScales], scratch[depth*expandedScales:]
	}
	sums := floatsOf(scratch)
	step := max(1, tileBlockRows(m.rows, m.groups)/tileRows)
	var args tileArgs
	for ; first < end; first += step {
		last := min(end, first+step)
		for p := lo; p < hi; p += 2 {
			cols := min(m.w.N-p*PanelRows, tileCols)
			panels := min(2, hi-p)
			cols = min(cols, panels*PanelRows)
			args.panels = panels
			for b := range blocks {
				g := b * depth
				args.groups = min(depth, m.groups-g)
				for i := range panels {
					args.levels[i] = m.expand(levels[i], scales[i], m.format, p+i, g, args.groups)
					args.scales[i] = &scales[i][0]
					args.factors[i] = &oneScale[0]
					if b == blocks-1 {
						args.factors[i] = &floatsOf(m.panel(p + i))[0]
					}
				}
				if panels == 1 {
					args.levels[1], args.scales[1], args.factors[1] = args.levels[0], args.scales[0], args.factors[0]
				}
				start := m.tileRow(first)
				for t := first; t < last; t++ {
					row := m.tileRow(t)
					args.rows = m.tileRow(t+1) - row
					args.acts = &m.acts[g*m.rows+row*args.groups]
					between := &sums[(row-start)*tileCols]
					args.sums = between
					if b == 0 {
						args.sums = &zeroSums[0]
					}
					switch {
					case b < blocks-1:
						args.dst, args.ldd = between, tileCols*4
						dotTile(&args)
					case cols == tileCols:
						args.dst, args.ldd = &m.dst[row*m.ldd+p*PanelRows], m.ldd*4
						dotTile(&args)
					default:
						args.dst, args.ldd = &edge[0], tileCols*4
						dotTile(&args)
						for i := range args.rows {
							copy(m.dst[(row+i)*m.ldd+p*PanelRows:][:cols], edge[i*tileCols:])
						}
					}
				}
			}
		}
	}
}
