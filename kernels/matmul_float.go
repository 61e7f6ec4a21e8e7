package kernels

// NewMatMulFloat is NewMatMul for activations that stay floats: quantized weights are expanded, a block
// of two panels at a time, and multiplied as float32. The result is that of the float product
// with the weights that DequantizeRow gives, bit for bit. It costs more time than the product of integers and
// no more memory than a block. Weights that are floats are multiplied as NewMatMul does.
func NewMatMulFloat(p *Pool, w Weights, bias []float32, act Activation) *MatMul {
	m := NewMatMul(p, w, bias, act)
	m.format, m.expanded = 0, m.format
	return m
}

// expandedScratch returns the bytes of scratch that panelsExpanded needs: for packed rows, two panels as float32, and
// the levels and scales of one.
func expandedScratch(rows, n, k int) int {
	depth := roundUp(min(k, gemmDepth), GroupLen)
	bytes := depth*stripCols*4 + Groups(depth)*(PanelRows*GroupLen+2*PanelRows*4)
	if packsRows(rows, n) {
		bytes += packedRows(rows) * 4
	}
	return bytes
}

// panelsExpanded is panelsFloat for quantized weights.
func (m *MatMul) panelsExpanded(dst []float32, x []float32, rows, lo, hi int, scratch []byte) {
	n, k := min(hi*PanelRows, m.w.N), m.w.K
	var packed []float32
	if packsRows(rows, m.w.N) {
		packed = floatsOf(scratch[:packedRows(rows)*4])
		scratch = scratch[len(packed)*4:]
	}
	blockBytes := roundUp(min(k, gemmDepth), GroupLen) * stripCols * 4
	block, scratch := floatsOf(scratch[:blockBytes]), scratch[blockBytes:]
	for i := 0; i < rows; i += gemmRows {
		count := min(gemmRows, rows-i)
		for at := 0; at < k; at += gemmDepth {
			depth := min(gemmDepth, k-at)
			a, lda := packRows(packed, x[i*m.ldx+at:], m.ldx, count, depth)
			groups := Groups(depth)
			size := groups * GroupLen * PanelRows
			for p := lo; p < hi; p += 2 {
				b0 := block[:size]
				b1 := b0
				m.expandBlock(b0, p, at/GroupLen, groups, scratch)
				if p+1 < hi {
					b1 = block[size:][:size]
					m.expandBlock(b1, p+1, at/GroupLen, groups, scratch)
				}
				c := p * PanelRows
				gemmStrip(dst[i*m.ldd+c:], m.ldd, a, lda, count, b0, b1, PanelRows, min(stripCols, n-c), depth, at > 0)
			}
		}
	}
}

// expandBlock writes groups [g, g+n) of panel p to dst, 16 rows of a column side by side: dst[c*16+r] is column c
// of row r. scratch is for expandFloats.
func (m *MatMul) expandBlock(dst []float32, p, g, n int, scratch []byte) {
	if m.expandFloats(dst, p, g, n, scratch) {
		return
	}
	panel := m.panel(p)
	size := m.expanded.GroupBytes()
	offsets := [2]int32{int32(int16(m.lut.offset)), int32(int16(m.lut.shifted))}
	var level [PanelRows][GroupLen]uint8
	var offset [PanelRows]int32
	var scale [PanelRows]float32
	for ; n > 0; g, n = g+1, n-1 {
		expandGroup(&level, panel[CodesOffset(m.w.K)+g*size:][:size], m.expanded, &m.lut)
		for r, s := range panel[ScalesOffset+g*PanelRows:][:PanelRows] {
			offset[r] = offsets[s/TableBit]
			scale[r] = float32(s&MaxScale) * getFloat32(panel[r*4:])
		}
		for c := range GroupLen {
			out := (*[PanelRows]float32)(dst[c*PanelRows:])
			for r := range out {
				out[r] = float32(int32(level[r][c])+offset[r]) * scale[r]
			}
		}
		dst = dst[GroupLen*PanelRows:]
	}
}
