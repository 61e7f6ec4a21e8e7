package kernels

import "unsafe"

// MatMul is the product of a weight matrix with rows of activations, then a bias and an activation
// function, spread over a pool. Make it once, with NewMatMul; it is not for concurrent use.
//
// Quantized weights are multiplied with activations that are quantized to int8 in groups of
// GroupLen when the product begins; see quantizeActs and panelDotGeneric for the exact rules.
type MatMul struct {
	pool *Pool
	w    Weights
	bias []float32
	act  Activation

	format     Format // 0 if the product is one of floats
	expanded   Format // of quantized weights in a product of floats, else 0
	lut        panelLUT
	groups     int
	panels     int
	panelBytes int

	// The product that runs now.
	task     matMulTask
	dst, x   []float32
	ldd, ldx int
	rows     int
	tiles    int        // that the rows are parted in if they are computed by tiles, else 0
	acts     []actBlock // row by row, or packed in tiles
	given    []actBlock // of RunQuantized
	parts    []byte     // scratch of the parts, partBytes each
	size     int        // partBytes
}

// matMulTask is what the next Task.Do of a MatMul does.
type matMulTask uint8

const (
	taskQuantize matMulTask = iota // a share of the rows becomes int8
	taskPanels                     // a share of the outputs, all rows
	taskRows                       // a share of the rows, all outputs
)

const (
	// tileRows (of the architecture) x tileCols is the most that a kernel computes in one go; a tile in
	// scratch catches the columns that dst does not have.
	tileCols = 2 * PanelRows
	// serialWork is the number of multiplications below which a second thread costs more than it saves: they
	// take one about 3 microseconds, and to hand a part over and back takes about one.
	serialWork = 1 << 18
	// quantizeWork is the number of activations from which on they are quantized in parallel.
	quantizeWork = 1 << 14
)

// NewMatMul binds weights, an optional bias (w.N values or nil) and an activation. A nil pool means the
// caller's goroutine alone. The weights and the bias are kept, not copied.
func NewMatMul(p *Pool, w Weights, bias []float32, act Activation) *MatMul {
	if bias != nil && len(bias) != w.N {
		panic("kernels: NewMatMul: bias does not have a value per output")
	}
	m := &MatMul{pool: p, w: w, bias: bias, act: act, panels: Panels(w.N)}
	if f := w.Kind.Format(); f != 0 {
		lv := w.Levels
		if lv == nil {
			if f != D8 {
				panic("kernels: NewMatMul: quantized weights without levels")
			}
			lv = DefaultLevels(f)
		}
		if err := lv.Check(f); err != nil {
			panic("kernels: NewMatMul: " + err.Error())
		}
		if len(w.Data) < f.Bytes(w.N, w.K) {
			panic("kernels: NewMatMul: weights are too short")
		}
		m.format, m.lut, m.groups, m.panelBytes = f, newPanelLUT(f, lv), Groups(w.K), f.PanelBytes(w.K)
	}
	return m
}

// N returns the number of outputs.
func (m *MatMul) N() int { return m.w.N }

// K returns the number of inputs.
func (m *MatMul) K() int { return m.w.K }

func (m *MatMul) threads() int {
	if m.pool == nil {
		return 1
	}
	return m.pool.Threads()
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// actsBytes is the scratch that the quantized activations take.
func (m *MatMul) actsBytes(rows int) int {
	return roundUp(rows*m.groups*actBlockBytes, LineBytes)
}

// partBytes is the scratch of one part.
func (m *MatMul) partBytes(rows int) int {
	switch {
	case m.expanded != 0:
		return roundUp(expandedScratch(rows, m.w.N, m.w.K), LineBytes)
	case m.format == 0:
		return roundUp(panelsFloatScratch(rows, &m.w), LineBytes)
	}
	return tileRows*tileCols*4 + roundUp(gemmScratch(rows, m.groups), LineBytes)
}

// ScratchBytes returns the scratch that Run needs for up to rows rows.
func (m *MatMul) ScratchBytes(rows int) int {
	n := LineBytes + m.threads()*m.partBytes(rows)
	if m.format != 0 {
		n += m.actsBytes(rows)
	}
	return n
}

// Run computes, for i in [0, rows) and every output n,
//
//	dst[i*ldd+n] = act(sum_k x[i*ldx+k] w[n,k] + bias[n])
//
// without allocating. dst must not overlap x. scratch has at least ScratchBytes(rows) bytes.
// The result depends neither on the number of threads nor, for an output, on the other rows.
func (m *MatMul) Run(dst []float32, ldd int, x []float32, ldx, rows int, scratch []byte) {
	if rows <= 0 || m.w.N == 0 {
		return
	}
	if ldd < m.w.N && rows > 1 || ldx < m.w.K && rows > 1 ||
		len(dst) < (rows-1)*ldd+m.w.N || len(x) < (rows-1)*ldx+m.w.K || len(scratch) < m.ScratchBytes(rows) {
		panic("kernels: MatMul.Run: dst, x or scratch is too short")
	}
	m.dst, m.ldd, m.x, m.ldx, m.rows = dst, ldd, x, ldx, rows
	scratch = scratch[-uintptr(unsafe.Pointer(&scratch[0]))%LineBytes:]
	threads := m.threads()
	if rows*m.w.N*m.w.K < serialWork {
		threads = 1
	}
	m.multiply(scratch, threads)
}

// multiply runs the product that m describes. scratch begins on a line.
func (m *MatMul) multiply(scratch []byte, threads int) {
	m.prepare(scratch, threads)
	if m.splitRows(threads) {
		m.run(taskRows, threads)
	} else {
		m.run(taskPanels, threads)
	}
	m.release()
}

// divide divides scratch, which begins on a line.
func (m *MatMul) divide(scratch []byte) {
	m.size, m.tiles, m.parts = m.partBytes(m.rows), 0, scratch
	if m.format != 0 && m.w.K > 0 {
		m.tiles = m.tileCount(m.rows)
		m.acts, m.parts = actBlocks(scratch, m.rows*m.groups), scratch[m.actsBytes(m.rows):]
	}
}

// prepare divides scratch and quantizes or packs the activations.
func (m *MatMul) prepare(scratch []byte, threads int) {
	m.divide(scratch)
	switch {
	case m.acts == nil:
	case m.given != nil && m.tiles == 0:
		m.acts = m.given
	case m.rows >= threads && m.rows*m.w.K >= quantizeWork:
		m.run(taskQuantize, threads)
	default:
		m.run(taskQuantize, 1)
	}
}

// release forgets the operands of the product that ran.
func (m *MatMul) release() {
	m.dst, m.x, m.acts, m.given, m.parts = nil, nil, nil, nil, nil
}

// splitRows reports whether the parts of a product are better taken from its rows:
// when there are too few outputs to share evenly, and so many rows that preparing the
// same weights in every part costs little.
func (m *MatMul) splitRows(threads int) bool {
	return threads > 1 && m.rows >= 32*threads && (m.panels+1)/2 < 8*threads
}

func (m *MatMul) run(task matMulTask, threads int) {
	m.task = task
	if threads == 1 {
		m.Do(0, 1)
		return
	}
	m.pool.Run(m)
}

// Do does one part of the product that runs; it is for the pool.
func (m *MatMul) Do(part, parts int) {
	switch m.task {
	case taskQuantize:
		if m.tiles > 0 {
			lo, hi := Span(m.tiles, 1, part, parts)
			m.quantizeTiles(lo, hi, m.parts[part*m.size:][:m.size])
			return
		}
		lo, hi := Span(m.rows, 1, part, parts)
		for i := lo; i < hi; i++ {
			quantizeActs(m.acts[i*m.groups:(i+1)*m.groups], m.x[i*m.ldx:][:m.w.K])
		}
	case taskPanels:
		lo, hi := Span(m.panels, 2, part, parts)
		m.block(0, m.rows, lo, hi, m.parts[part*m.size:][:m.size])
	case taskRows:
		scratch := m.parts[part*m.size:][:m.size]
		if m.tiles > 0 {
			lo, hi := Span(m.tiles, 1, part, parts)
			m.block(m.tileRow(lo), m.tileRow(hi), 0, m.panels, scratch)
			return
		}
		lo, hi := Span(m.rows, tileRows, part, parts)
		m.block(lo, hi, 0, m.panels, scratch)
	}
}

// tileRow returns the first row of tile t.
func (m *MatMul) tileRow(t int) int { return t * m.rows / m.tiles }

// tileOf returns the tile whose first row is row.
func (m *MatMul) tileOf(row int) int { return (row*m.tiles + m.rows - 1) / m.rows }

// quantizeTiles quantizes the activations of tiles [lo, hi), or takes the given ones, and packs them.
func (m *MatMul) quantizeTiles(lo, hi int, scratch []byte) {
	acts := actBlocks(scratch, m.groups)
	for t := lo; t < hi; t++ {
		first, end := m.tileRow(t), m.tileRow(t+1)
		for i := first; i < end; i++ {
			if m.given != nil {
				acts = m.given[i*m.groups:][:m.groups]
			} else {
				quantizeActs(acts, m.x[i*m.ldx:][:m.w.K])
			}
			m.packTile(t, i-first, acts)
		}
	}
}

// block computes rows [row, rowEnd) of the outputs of panels [lo, hi).
func (m *MatMul) block(row, rowEnd, lo, hi int, scratch []byte) {
	col, colEnd := lo*PanelRows, min(hi*PanelRows, m.w.N)
	if row >= rowEnd || col >= colEnd {
		return
	}
	rows := rowEnd - row
	dst := m.dst[row*m.ldd:]
	switch {
	case m.w.K == 0:
		for i := range rows {
			clear(dst[i*m.ldd+col : i*m.ldd+colEnd])
		}
	case m.expanded != 0:
		m.panelsExpanded(dst, m.x[row*m.ldx:], rows, lo, hi, scratch)
	case m.format == 0:
		panelsFloat(dst, m.ldd, m.x[row*m.ldx:], m.ldx, rows, &m.w, lo, hi, scratch)
	case m.tiles > 0:
		m.gemmTiles(m.tileOf(row), m.tileOf(rowEnd), lo, hi, scratch)
	default:
		acts := m.acts[row*m.groups : rowEnd*m.groups]
		if !m.gemvSIMD(dst, acts, rows, lo, hi, scratch) {
			m.generic(dst, acts, rows, lo, hi, scratch)
		}
	}
	if m.bias == nil && m.act.Kind == ActNone {
		return
	}
	for i := range rows {
		out := dst[i*m.ldd+col : i*m.ldd+colEnd]
		if m.bias != nil {
			Add(out, out, m.bias[col:colEnd])
		}
		if m.act.Kind != ActNone {
			Activate(out, out, m.act)
		}
	}
}

// panel returns the bytes of panel p.
func (m *MatMul) panel(p int) []byte { return m.w.Data[p*m.panelBytes:][:m.panelBytes] }

// generic multiplies in plain Go, all rows by one panel after another.
func (m *MatMul) generic(dst []float32, acts []actBlock, rows, lo, hi int, scratch []byte) {
	tile := floatsOf(scratch[:PanelRows*4])
	for p := lo; p < hi; p++ {
		if rest := m.w.N - p*PanelRows; rest < PanelRows {
			for i := range rows {
				panelDotGeneric(tile, 0, m.panel(p), m.format, &m.lut, acts[i*m.groups:], m.groups, 1)
				copy(dst[i*m.ldd+p*PanelRows:][:rest], tile)
			}
			continue
		}
		panelDotGeneric(dst[p*PanelRows:], m.ldd, m.panel(p), m.format, &m.lut, acts, m.groups, rows)
	}
}
