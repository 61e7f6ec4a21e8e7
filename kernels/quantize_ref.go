package kernels

import (
	"errors"
	"fmt"
	"math"
)

// DefaultLevels returns the level table of a format. The tables of D4, D3 and D2 minimise the squared
// error of groups of GroupLen Gaussian weights when each group chooses its scale and table bit
// freely: Lloyd's alternation (S. Lloyd, "Least squares quantization in PCM", 1982) over simulated
// groups, rounded to integers by coordinate descent. TestDefaultLevels repeats the derivation and
// holds the tables to it. D8 has no table.
//
// D2's table has no level for 0 exactly; LinearLevels has one.
//
// The caller may change the returned value.
func DefaultLevels(f Format) *Levels {
	switch f {
	case D8:
		return &Levels{}
	case D4:
		return &Levels{Code: [16]uint8{1, 15, 25, 33, 40, 47, 53, 59, 65, 71, 77, 84, 91, 99, 109, 123}, Shift: 3}
	case D3:
		return &Levels{Code: [16]uint8{5, 27, 42, 55, 67, 80, 95, 117}, Shift: 6}
	case D2:
		return &Levels{Code: [16]uint8{2, 41, 73, 112}, Shift: 15}
	}
	panic("kernels: invalid Format")
}

// LinearLevels returns equally spaced levels for a format, with LevelZero among them.
// The table bit moves them by half a step, so that a group can choose on which side of zero
// the odd level lies.
func LinearLevels(f Format) *Levels {
	switch f {
	case D8:
		return &Levels{}
	case D4:
		lv := &Levels{Shift: 4}
		for c := range 16 {
			lv.Code[c] = uint8(8 * c)
		}
		return lv
	case D3:
		lv := &Levels{Shift: 8}
		for c := range 8 {
			lv.Code[c] = uint8(16 * c)
		}
		return lv
	case D2:
		lv := &Levels{Shift: 16}
		for c := range 4 {
			lv.Code[c] = uint8(32 * c)
		}
		return lv
	}
	panic("kernels: invalid Format")
}

// Check reports whether every level of the table, shifted or not, lies in 0..MaxLevel.
func (lv *Levels) Check(f Format) error {
	if f == D8 {
		if lv.Shift < 0 || lv.Shift > MaxLevel {
			return fmt.Errorf("level shift %d of %v is not in 0..%d", lv.Shift, f, MaxLevel)
		}
		return nil
	}
	for c, l := range lv.Code[:1<<f.Bits()] {
		if s := int(l) + int(lv.Shift); l > MaxLevel || s < 0 || s > MaxLevel {
			return fmt.Errorf("level %d of %v is %d, shifted %d: not in 0..%d", c, f, l, s, MaxLevel)
		}
	}
	return nil
}

// level returns the level of a code, shifted when table is set.
func (lv *Levels) level(f Format, code uint8, table bool) int {
	l := int(code)
	if f != D8 {
		l = int(lv.Code[code])
	}
	if table {
		l += int(lv.Shift)
	}
	return l
}

// refQuantizer holds what the search needs for one format and table.
// Index i of near and value stands for a wanted level in [i/2, (i+1)/2): midpoints
// between integer levels are multiples of a half, so the look-up finds the nearest level exactly.
type refQuantizer struct {
	f      Format
	tables int               // 1 when Shift is 0, else 2
	near   [2][256]uint8     // code of the nearest level
	value  [2][256]float64   // that level - LevelZero
	ratios []float64         // trial values of (wanted level of the largest weight) / LevelZero
	group  [GroupLen]float32 // the group, scaled by a power of two
	wx     [GroupLen]float64 // weight times value
	w      [GroupLen]float64 // weight
	best   []float64         // per group: the free scale
	codes  [GroupLen]uint8
}

// span returns lo, lo+step, .. up to hi.
func span(lo, hi, step float64) []float64 {
	var s []float64
	for i := 0; ; i++ {
		v := lo + float64(float64(i)*step)
		if v > hi {
			return s
		}
		s = append(s, v)
	}
}

func newRefQuantizer(f Format, lv *Levels) *refQuantizer {
	q := &refQuantizer{f: f, tables: 1}
	if lv.Shift != 0 {
		q.tables = 2
	}
	switch f {
	case D8:
		q.ratios = span(0.96, 1.02, 0.01)
	case D4:
		q.ratios = span(0.80, 1.30, 0.05)
	case D3:
		q.ratios = span(0.80, 1.75, 0.08)
	case D2:
		q.ratios = span(0.80, 2.60, 0.12)
	}
	n := 1 << f.Bits()
	if f == D8 {
		n = MaxLevel + 1
	}
	for t := range q.tables {
		for i := range 256 {
			want := 2*i + 1 // in quarters of a level: the middle of [i/2, (i+1)/2)
			best := math.MaxInt
			for c := range n {
				l := lv.level(f, uint8(c), t == 1)
				if l < 0 || l > MaxLevel {
					continue
				}
				d := 4*l - want
				if d < 0 {
					d = -d
				}
				if d < best {
					best = d
					q.near[t][i] = uint8(c)
					q.value[t][i] = float64(l - LevelZero)
				}
			}
		}
	}
	return q
}

// load takes group g of a row, times scale (a power of two), and its column weights.
// It returns the largest magnitude and the weighted sum of squares.
func (q *refQuantizer) load(row, importance []float32, g int, scale float32) (amax float32, sxx float64) {
	lo := g * GroupLen
	n := min(GroupLen, len(row)-lo)
	var bits uint32 // of the largest magnitude: magnitudes are ordered as their bits are
	for i := range GroupLen {
		if i >= n {
			q.group[i], q.w[i], q.wx[i] = 0, 0, 0
			continue
		}
		x := row[lo+i] * scale
		w := 1.0
		if importance != nil {
			w = float64(importance[lo+i])
		}
		q.group[i], q.w[i] = x, w
		q.wx[i] = w * float64(x)
		sxx += float64(q.wx[i] * float64(x))
		bits = max(bits, math.Float32bits(x)&^(1<<31))
	}
	return math.Float32frombits(bits), sxx
}

// sums quantizes the loaded group with step 1/inv and table t to values v and returns
// the weighted sums of x v and v v.
func (q *refQuantizer) sums(inv float64, t int) (sxv, svv float64) {
	inv2 := float32(2 * inv)
	value := &q.value[t]
	// Two chains of additions: one would wait for itself.
	var sxv1, svv1 float64
	for i := 0; i < GroupLen; i += 2 {
		v := value[wanted(q.group[i], inv2)]
		sxv += float64(q.wx[i] * v)
		svv += float64(q.w[i] * float64(v*v))
		v = value[wanted(q.group[i+1], inv2)]
		sxv1 += float64(q.wx[i+1] * v)
		svv1 += float64(q.w[i+1] * float64(v*v))
	}
	return sxv + sxv1, svv + svv1
}

// wanted returns the index into near and value for x at two levels per step.
func wanted(x, inv2 float32) uint8 {
	p := float32(x*inv2) + 2*LevelZero
	if p < 0 {
		p = 0
	}
	if p > 255 {
		p = 255
	}
	return uint8(int32(p))
}

// free returns the step that fits the loaded group best when it may be any number.
func (q *refQuantizer) free(amax float32, sxx float64) float64 {
	bestGain, step := 0.0, 0.0
	for t := range q.tables {
		for _, r := range q.ratios {
			sxv, svv := q.sums(r*LevelZero/float64(amax), t)
			// With these codes the best step is sxv/svv and lowers the error by sxv^2/svv.
			if sxv <= 0 || svv <= 0 {
				continue
			}
			if gain := sxv / svv * sxv; gain > bestGain {
				bestGain, step = gain, sxv/svv
			}
		}
	}
	return step
}

// choose finds the scale byte for the loaded group under a row scale, searching within
// reach of the free step. It returns the byte, the change that it makes to the group's
// squared error (never above 0) and the sums at the choice, in units of the row scale.
func (q *refQuantizer) choose(step, rowScale float64, reach int) (scale uint8, gain, sxv, svv float64) {
	mid := int(step/rowScale + 0.5)
	for s := max(1, mid-reach); s <= min(MaxScale, mid+reach); s++ {
		d := float64(float64(s) * rowScale)
		for t := range q.tables {
			a, b := q.sums(1/d, t)
			// |x - d v|^2 - |x|^2
			if e := float64(d*d*b) - float64(2*d*a); e < gain {
				gain = e
				scale = uint8(s)
				if t == 1 {
					scale |= TableBit
				}
				sxv, svv = float64(float64(s)*a), float64(float64(s*s)*b)
			}
		}
	}
	return scale, gain, sxv, svv
}

// refReach is how far from the free step, in integer scales, the search looks.
const refReach = 2

// refRounds is how often the row scale is fitted anew to the chosen codes.
const refRounds = 3

// row quantizes one row: it fills scales (one byte per group) and returns the row scale.
// The codes follow from both; see encode.
func (q *refQuantizer) row(scales []uint8, row, importance []float32) float32 {
	groups := Groups(len(row))
	clear(scales[:groups])
	var bits uint32
	for _, x := range row {
		bits = max(bits, math.Float32bits(x)&^(1<<31))
	}
	amax := math.Float32frombits(bits)
	if amax < minRowMax {
		return 0
	}
	// Bring the row near 1 by an exact power of two, so that no sum over- or underflows.
	_, exp := math.Frexp(float64(amax))
	norm := float32(math.Ldexp(1, -exp))
	if cap(q.best) < groups {
		q.best = make([]float64, groups)
	}
	best := q.best[:groups]
	var largest float64
	for g := range groups {
		m, sxx := q.load(row, importance, g, norm)
		best[g] = 0
		if m > 0 {
			best[g] = q.free(m, sxx)
		}
		largest = max(largest, best[g])
	}
	if largest == 0 {
		return 0
	}
	// Codes are made from the float32 row scale that is stored, at its true size.
	stored := func(s float64) float32 {
		scale := float32(math.Ldexp(s, exp))
		if groups == 1 && q.f == D8 { // the group's scale alone is coarse beside 8 bits
			return scale
		}
		return roundedScale(scale)
	}
	trial := make([]uint8, groups)
	scale := stored(largest / MaxScale)
	var result float32
	lowest := 0.0
	for range refRounds {
		rowScale := math.Ldexp(float64(scale), -exp)
		if rowScale == 0 {
			break
		}
		var gain, sxv, svv float64
		for g := range groups {
			trial[g] = 0
			if best[g] == 0 {
				continue
			}
			q.load(row, importance, g, norm)
			s, e, a, b := q.choose(best[g], rowScale, refReach)
			trial[g] = s
			gain += e
			sxv += a
			svv += b
		}
		if gain >= lowest {
			break
		}
		lowest, result = gain, scale
		copy(scales, trial)
		scale = stored(sxv / svv)
		if scale == result {
			break
		}
	}
	return result
}

// scaleBits are the bits of a row scale's mantissa that are used. The groups' scales, which multiply it, make up for the
// others, and a packed file does without them.
const scaleBits = 3

// roundedScale rounds a positive row scale up to scaleBits.
func roundedScale(s float32) float32 {
	const rest = 1<<(23-scaleBits) - 1
	if up := math.Float32frombits((math.Float32bits(s) + rest) &^ rest); up-up == 0 {
		return up
	}
	return s
}

// minRowMax is the magnitude below which a whole row counts as zero: its scale would be subnormal.
const minRowMax = 1e-33

// encode sets q.codes for group g of a row under the chosen scales.
func (q *refQuantizer) encode(row []float32, g int, scale uint8, rowScale float32) {
	q.codes = [GroupLen]uint8{}
	s := scale & MaxScale
	if s == 0 || rowScale == 0 {
		return
	}
	inv2 := 2 / (float64(s) * float64(rowScale))
	near := &q.near[scale>>7]
	lo := g * GroupLen
	for i, x := range row[lo:min(lo+GroupLen, len(row))] {
		p := float64(float64(x)*inv2) + 2*LevelZero
		q.codes[i] = near[uint8(int32(min(max(p, 0), 255)))]
	}
}

// putGroup writes the codes of row r of a group; the group's bytes are zero there.
func putGroup(dst []byte, f Format, r int, codes *[GroupLen]uint8) {
	for k, c := range codes {
		at := r*4 + k%4
		switch f {
		case D8:
			dst[k/4*LineBytes+at] = c
		case D4:
			dst[k/8*LineBytes+at] |= c << (k % 8 / 4 * 4)
		case D2, D3:
			dst[k/16*LineBytes+at] |= c & 3 << (k % 16 / 4 * 2)
			if f == D3 {
				dst[2*LineBytes+at] |= c >> 2 << (k / 4)
			}
		}
	}
}

// code returns the code of row r, element k of a group.
func (f Format) code(group []byte, r, k int) uint8 {
	at := r*4 + k%4
	switch f {
	case D8:
		return group[k/4*LineBytes+at]
	case D4:
		return group[k/8*LineBytes+at] >> (k % 8 / 4 * 4) & 15
	}
	c := group[k/16*LineBytes+at] >> (k % 16 / 4 * 2) & 3
	if f == D3 {
		c |= group[2*LineBytes+at] >> (k / 4) & 1 << 2
	}
	return c
}

// QuantizePanelRef fills one panel from up to PanelRows rows of equal length, which must be finite;
// missing rows become zero. importance weighs the squared error of each column (nil: all alike).
//
// For each row it searches a row scale, and for each group of GroupLen weights a scale in 0..MaxScale
// and a table, that minimise the weighted squared error; every weight takes its nearest level.
// The bytes are the same on every machine.
func QuantizePanelRef(dst []byte, f Format, lv *Levels, rows [][]float32, importance []float32) {
	newRefQuantizer(f, lv).panel(dst, rows, importance)
}

func (q *refQuantizer) panel(dst []byte, rows [][]float32, importance []float32) {
	if len(rows) == 0 || len(rows) > PanelRows {
		panic("kernels: a panel takes 1 to 16 rows")
	}
	k := len(rows[0])
	dst = dst[:q.f.PanelBytes(k)]
	clear(dst)
	groups := Groups(k)
	scales := make([]uint8, groups)
	size := q.f.GroupBytes()
	for r, row := range rows {
		if len(row) != k || importance != nil && len(importance) != k {
			panic("kernels: rows of a panel differ in length")
		}
		rowScale := q.row(scales, row, importance)
		putFloat32(dst[r*4:], rowScale)
		for g, s := range scales {
			dst[ScalesOffset+g*PanelRows+r] = s
			q.encode(row, g, s, rowScale)
			putGroup(dst[CodesOffset(k)+g*size:][:size], q.f, r, &q.codes)
		}
	}
}

func putFloat32(b []byte, x float32) {
	u := math.Float32bits(x)
	b[0], b[1], b[2], b[3] = byte(u), byte(u>>8), byte(u>>16), byte(u>>24)
}

func getFloat32(b []byte) float32 {
	return math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

// Quantize fills dst (at least f.Bytes(n, k) bytes) with the row-major n x k matrix src, panel by panel
// as QuantizePanelRef does, spread over the pool (nil: the calling goroutine).
// importance has k weights, finite and not negative, or is nil.
// An infinity or NaN in src or importance, or a level outside 0..MaxLevel, is an error.
func Quantize(dst []byte, f Format, lv *Levels, src []float32, n, k int, importance []float32, pool *Pool) error {
	if n < 1 || k < 1 || len(src) < n*k || len(dst) < f.Bytes(n, k) || importance != nil && len(importance) != k {
		panic("kernels: Quantize: lengths do not match")
	}
	if err := lv.Check(f); err != nil {
		return err
	}
	for i, x := range src[:n*k] {
		if x-x != 0 {
			return fmt.Errorf("weight [%d,%d] is %v", i/k, i%k, x)
		}
	}
	if importance != nil {
		var sum float64
		for i, w := range importance {
			if w-w != 0 || w < 0 {
				return fmt.Errorf("importance of column %d is %v", i, w)
			}
			sum += float64(w)
		}
		if sum == 0 {
			return errors.New("importance is zero in every column")
		}
	}
	work := TaskFunc(func(part, parts int) {
		q := newRefQuantizer(f, lv)
		lo, hi := Span(Panels(n), 1, part, parts)
		rows := make([][]float32, 0, PanelRows)
		for p := lo; p < hi; p++ {
			rows = rows[:0]
			for r := p * PanelRows; r < min(n, (p+1)*PanelRows); r++ {
				rows = append(rows, src[r*k:(r+1)*k])
			}
			q.panel(dst[p*f.PanelBytes(k):], rows, importance)
		}
	})
	if pool == nil {
		work(0, 1)
	} else {
		pool.Run(work)
	}
	return nil
}
