package kernels

// DequantizeRow writes the k weights of one row of an n x k matrix in panels to dst:
//
//	dst[i] = (level - LevelZero) * groupScale * rowScale
//
// where the product of the two scales is rounded to float32 first.
// data starts at the matrix's first panel.
func DequantizeRow(dst []float32, data []byte, f Format, lv *Levels, row, k int) {
	size := f.PanelBytes(k)
	dequantizeRow(dst[:k], data[row/PanelRows*size:][:size], f, lv, row%PanelRows)
}

// DequantizePanel writes the rows of one panel to dst, row r at dst[r*stride:]; rows <= PanelRows.
func DequantizePanel(dst []float32, stride int, panel []byte, f Format, lv *Levels, rows, k int) {
	for r := range rows {
		dequantizeRow(dst[r*stride:][:k], panel, f, lv, r)
	}
}

func dequantizeRow(dst []float32, panel []byte, f Format, lv *Levels, r int) {
	k := len(dst)
	rowScale := getFloat32(panel[r*4:])
	size := f.GroupBytes()
	codes := panel[CodesOffset(k):]
	var values [2][128]float32
	n := 1 << f.Bits()
	if f == D8 {
		n = MaxLevel + 1
	}
	for c := range n {
		values[0][c] = float32(lv.level(f, uint8(c), false) - LevelZero)
		values[1][c] = float32(lv.level(f, uint8(c), true) - LevelZero)
	}
	for g := range Groups(k) {
		scale := panel[ScalesOffset+g*PanelRows+r]
		d := float32(scale&MaxScale) * rowScale
		table := &values[scale>>7]
		group := codes[g*size:][:size]
		for i := range dst[g*GroupLen : min(k, (g+1)*GroupLen)] {
			dst[g*GroupLen+i] = table[f.code(group, r, i)&MaxLevel] * d
		}
	}
}

// BlockCodes writes level - LevelZero of each weight of one row of an n x k matrix in panels to dst, of k bytes, in two's complement: -64..63
// but for D8 with a Shift, which adds to that.
func BlockCodes(dst, data []byte, f Format, lv *Levels, row, k int) {
	size := f.PanelBytes(k)
	panel, r := data[row/PanelRows*size:][:size], row%PanelRows
	codes, bytes := panel[CodesOffset(k):], f.GroupBytes()
	for i := range dst[:k] {
		g := i / GroupLen
		shifted := panel[ScalesOffset+g*PanelRows+r]&TableBit != 0
		dst[i] = uint8(lv.level(f, f.code(codes[g*bytes:][:bytes], r, i%GroupLen)&MaxLevel, shifted) - LevelZero)
	}
}

// BlockScales writes the float32 product of group scale and row scale, for each group of one row of an n x k matrix in panels, to dst in
// little-endian order: what DequantizeRow multiplies the codes of BlockCodes by.
func BlockScales(dst, data []byte, f Format, row, k int) {
	size := f.PanelBytes(k)
	panel, r := data[row/PanelRows*size:][:size], row%PanelRows
	rowScale := getFloat32(panel[r*4:])
	for g := range Groups(k) {
		putFloat32(dst[g*4:], float32(panel[ScalesOffset+g*PanelRows+r]&MaxScale)*rowScale)
	}
}
