package kernels

import (
	"math"
	"unsafe"
)

// levelPanels are int8 weights of n outputs in panels of 16: for each of segments lines k fours of weights by 16 outputs, which
// are LineBytes, and zeros up to steps times 16 fours. Sixteen such lines are a tile of AMX.
type levelPanels struct {
	data            []int8
	columns         []int32 // sums of each output's weights
	n, segments     int
	k, steps, panel int // fours of a line, sixteen of those, bytes of a panel
}

// levelStep is the fours of weights that tiles take at a time.
const levelStep = 16

// packLevels packs w[n][segments][line].
func packLevels(w []int8, n, segments, line int) levelPanels {
	p := levelPanels{n: n, segments: segments, k: (line + 3) / 4}
	p.steps = (p.k + levelStep - 1) / levelStep
	p.panel = segments * p.steps * levelStep * LineBytes
	p.data = alignedLevels(Panels(n) * p.panel)
	p.columns = make([]int32, (Panels(n)+1)*PanelRows) // tiles of two panels read on
	for r := range n {
		panel := p.data[r/PanelRows*p.panel:]
		for i := range segments {
			to := panel[i*p.steps*levelStep*LineBytes+r%PanelRows*4:]
			for k, q := range w[(r*segments+i)*line:][:line] {
				to[k/4*LineBytes+k%4] = q
				p.columns[r] += int32(q)
			}
		}
	}
	return p
}

// alignedLevels returns n zeros on a line of 64 bytes.
func alignedLevels(n int) []int8 {
	b := make([]int8, n+63)
	shift := int(-uintptr(unsafe.Pointer(&b[0])) & 63)
	return b[shift : shift+n : shift+n]
}

// strip makes t read the weights of cols outputs from panel i on.
func (p *levelPanels) strip(t *levelTile, i, cols int) {
	w0 := p.data[i*p.panel:][:p.panel]
	w1 := w0
	if cols > PanelRows {
		w1 = p.data[(i+1)*p.panel:][:p.panel]
	}
	t.w0, t.w1 = unsafe.Pointer(&w0[0]), unsafe.Pointer(&w1[0])
	t.columns = unsafe.Pointer(&p.columns[i*PanelRows])
	t.k, t.steps, t.segments = p.k, p.steps, p.segments
	t.gap = (p.steps*levelStep - p.k) * LineBytes
	t.mask = uint32(1)<<cols - 1
}

// levelTile is what the kernels of bytes by int8 weights are told. Lengths are bytes, but for k, which counts fours, and steps.
type levelTile struct {
	dst, x, w0, w1, mult, bias, start, z unsafe.Pointer
	ldd, ldx, ldz                        int
	k, segments, jump                    int
	mask, act                            uint32
	lo, hi, slope, inverse               float32
	zero, zZero                          int32
	zScale                               float32
	steps, gap                           int            // of a line: tiles' worth of weights, and bytes of zeros behind it
	sums                                 unsafe.Pointer // levelRows x stripCols integers, on a line
	q, negative                          unsafe.Pointer // where quantization runs along with the rows: Quantized, and what its zero is multiplied with
	ldq                                  int
	room                                 int            // that may be read from x on
	paired                               int            // 1: of 16 outputs, two rows are one of 32
	columns                              unsafe.Pointer // levelPanels.columns
	curve                                unsafe.Pointer // levelCurve
	curveScale, curveShift, curveTop     float32
}

// levelRows is the most rows (pixels) of a block of sums.
const levelRows = 32

const levelSumBytes = levelRows * stripCols * 4

// tileBytesOut asks for bytes, beside tileBounded and tileLeaky; lo and hi count levels from the zero point then.
const tileBytesOut = 4

// tileCurve asks for levels by a curve, with tileBytesOut.
const tileCurve = 32

// outputBytes is the size of an element of an output.
func outputBytes(y *Quantized) int {
	if y == nil {
		return 4
	}
	return 1
}

// tileFuses reports whether tiles apply an activation.
func tileFuses(act Activation) bool {
	i := ImageConv{act: act}
	return i.fused()
}

// bounded sets the bounds of an activation, and of the levels of y.
func (t *levelTile) bounded(act Activation, y *Quantized) {
	t.act, t.lo, t.hi = 0, float32(math.Inf(-1)), float32(math.Inf(1))
	switch act.Kind {
	case ActRelu:
		t.act, t.lo = tileBounded, 0
	case ActClip:
		t.act, t.lo, t.hi = tileBounded, act.Alpha, act.Beta
	case ActLeakyRelu:
		t.act, t.slope = tileLeaky, act.Alpha
	}
	if y == nil {
		return
	}
	t.act |= tileBytesOut
	t.inverse, t.zero = 1/y.Scale, int32(y.Zero)
	low, high := float32(-t.zero), float32(255-t.zero)
	t.hi = min(max(t.hi*t.inverse, low), high)
	t.lo = min(max(t.lo*t.inverse, low), t.hi)
}

// outputs makes t finish as o says. It returns false if the activation must be applied to values in between.
func (t *levelTile) outputs(o *levelOutput) bool {
	switch {
	case o.curve != nil:
		t.bounded(Activation{}, o.y)
		t.act |= tileCurve
		t.curve, t.curveScale, t.curveShift, t.curveTop = unsafe.Pointer(o.curve), o.curve.scale, o.curve.shift, o.curve.top
	case tileFuses(o.act):
		t.bounded(o.act, o.y)
	default:
		return false
	}
	return true
}

// run computes rows (pixels) of cols outputs.
func (t *levelTile) run(rows, cols int, o *levelOutput) {
	fused := t.outputs(o)
	if fused {
		if rows -= levelStripSIMD(t, rows); rows == 0 {
			return
		}
	}
	for {
		n := min(rows, levelRows)
		levelSums(t, n, cols)
		if fused {
			t.finish(t.dst, t.ldd, n, cols)
		} else {
			t.bounded(Activation{}, nil)
			t.finish(t.sums, 4*stripCols, n, cols)
			floats := unsafe.Slice((*float32)(t.sums), n*stripCols)
			Activate(floats, floats, o.act)
			t.bounded(Activation{}, o.y)
			t.store(floats, n, cols)
		}
		if rows -= n; rows == 0 {
			return
		}
		t.advance(n)
	}
}

// advance moves t by rows, behind which there are more: no pointer may leave its buffer.
func (t *levelTile) advance(rows int) {
	t.dst, t.x = unsafe.Add(t.dst, rows*t.ldd), unsafe.Add(t.x, rows*t.ldx)
	t.q, t.room = unsafe.Add(t.q, rows*t.ldq), t.room-rows*t.ldx
	if t.z != nil {
		t.z = unsafe.Add(t.z, rows*t.ldz)
	}
}

// levelSums computes t.sums of up to levelRows rows.
func levelSums(t *levelTile, rows, cols int) {
	if levelSumsSIMD(t, rows) {
		return
	}
	sums := unsafe.Slice((*int32)(t.sums), rows*stripCols)
	for i := range rows {
		acc := sums[i*stripCols:][:cols]
		copy(acc, unsafe.Slice((*int32)(t.start), cols))
		x, at := unsafe.Add(t.x, i*t.ldx), 0
		for range t.segments {
			line := unsafe.Slice((*uint8)(x), 4*t.k)
			for k := range t.k {
				b := line[4*k : 4*k+4]
				for c := range acc {
					w := unsafe.Slice((*int8)(unsafe.Add(t.w0, at)), LineBytes)
					if c >= PanelRows {
						w = unsafe.Slice((*int8)(unsafe.Add(t.w1, at)), LineBytes)
					}
					q := w[c%PanelRows*4:][:4]
					acc[c] += int32(b[0])*int32(q[0]) + int32(b[1])*int32(q[1]) + int32(b[2])*int32(q[2]) + int32(b[3])*int32(q[3])
				}
				at += LineBytes
			}
			x, at = unsafe.Add(x, 4*t.k+t.jump), at+t.gap
		}
	}
}

// finish turns the sums of rows into outputs at dst, which may be the sums, ldd bytes from row to row.
func (t *levelTile) finish(dst unsafe.Pointer, ldd, rows, cols int) {
	first := levelFinishSIMD(t, dst, ldd, rows, cols)
	if first == cols {
		return
	}
	sums := unsafe.Slice((*int32)(t.sums), rows*stripCols)
	mult, bias := unsafe.Slice((*float32)(t.mult), cols), unsafe.Slice((*float32)(t.bias), cols)
	for i := range rows {
		out := unsafe.Add(dst, i*ldd)
		q := Quantized{Scale: 1}
		var negative []int32
		if t.q != nil {
			q, negative = *(*Quantized)(unsafe.Add(t.q, i*t.ldq)), unsafe.Slice((*int32)(t.negative), cols)
		}
		var z []uint8
		if t.z != nil {
			z = unsafe.Slice((*uint8)(unsafe.Add(t.z, i*t.ldz)), cols)
		}
		for c := first; c < cols; c++ {
			sum, m := sums[i*stripCols+c], mult[c]
			if negative != nil {
				sum += negative[c] * int32(q.Zero)
				m *= q.Scale
			}
			f := float32(float32(sum)*m) + bias[c]
			if z != nil {
				f += float32(float32(int32(z[c])-t.zZero) * t.zScale)
			}
			if t.act&tileLeaky != 0 {
				f = max(f, float32(f*t.slope))
			}
			if t.act&tileCurve != 0 {
				unsafe.Slice((*uint8)(out), cols)[c] = (*levelCurve)(t.curve).level(f, t.zero)
				continue
			}
			if t.act&tileBytesOut != 0 {
				unsafe.Slice((*uint8)(out), cols)[c] = level(f, t.inverse, t.lo, t.hi, t.zero)
				continue
			}
			if t.act&tileBounded != 0 {
				f = bound(f, t.lo, t.hi)
			}
			unsafe.Slice((*float32)(out), cols)[c] = f
		}
	}
}

// store writes rows of stripCols values as they are, or as levels.
func (t *levelTile) store(src []float32, rows, cols int) {
	if levelStoreSIMD(t, src, rows) {
		return
	}
	for i := range rows {
		row, out := src[i*stripCols:][:cols], unsafe.Add(t.dst, i*t.ldd)
		if t.act&tileBytesOut == 0 {
			copy(unsafe.Slice((*float32)(out), cols), row)
			continue
		}
		for c, f := range row {
			unsafe.Slice((*uint8)(out), cols)[c] = level(f, t.inverse, t.lo, t.hi, t.zero)
		}
	}
}

// bound is f between lo and hi; lo for a NaN.
func bound(f, lo, hi float32) float32 {
	if !(f > lo) {
		f = lo
	}
	if !(f < hi) {
		f = hi
	}
	return f
}

func level(f, inverse, lo, hi float32, zero int32) uint8 {
	return uint8(int32(math.RoundToEven(float64(bound(f*inverse, lo, hi)))) + zero)
}
