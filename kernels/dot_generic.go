package kernels

import "math"

// The product of a panel and a row of quantized activations, written out. Every
// implementation gives these very bits for dst, as each output is one chain over the groups of
// exact integers and fused multiply-adds:
//
//	for r := range PanelRows {
//		acc := float32(0)
//		for g := range groups {
//			offset := -LevelZero, or Shift - LevelZero where scale[g][r] has TableBit
//			sum := offset * act[g].sum
//			for k := range GroupLen {
//				sum += Code[code(g, r, k)] * act[g].q[k]      // u8 x s8 in int32, exact
//			}
//			t := float32(sum) * float32(scale[g][r] & MaxScale)
//			acc = fma(t, act[g].scale, acc)
//		}
//		dst[r] = acc * rowScale[r]
//	}
//
// So the result of a product depends neither on the machine, nor on the number of rows
// or threads it is computed with.

// panelLUT holds Levels in the form that kernels read: the codes' levels repeated in four
// lanes of 16 bytes, the two offsets as int16 in the low half of a uint32, and their difference.
type panelLUT struct {
	code    [LineBytes]uint8
	offset  uint32 // -LevelZero
	shifted uint32 // Shift - LevelZero
	shift   uint32 // Shift as int8, four times
}

func newPanelLUT(f Format, lv *Levels) panelLUT {
	zero, shifted := int16(-LevelZero), int16(lv.Shift)-LevelZero
	l := panelLUT{offset: uint32(uint16(zero)), shifted: uint32(uint16(shifted)), shift: uint32(uint8(lv.Shift)) * 0x01010101}
	for i := range l.code {
		c := i % 16
		if f != D8 {
			// Codes of D3 and D2 are repeated: their kernels may leave bits above the code set.
			c = int(lv.Code[i&(1<<f.Bits()-1)])
		}
		l.code[i] = uint8(c)
	}
	return l
}

// fma32 returns x*y+z rounded once. The product of two float32 is exact in float64; the
// sum is rounded to odd there, after which rounding to float32 cannot go wrong (S. Boldo and
// G. Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
func fma32(x, y, z float32) float32 {
	p, c := float64(float64(x)*float64(y)), float64(z)
	s := p + c
	b := s - p
	e := (p - (s - b)) + (c - b)
	if e != 0 && e == e {
		if u := math.Float64bits(s); u&1 == 0 {
			if (e > 0) == (s > 0) {
				u++
			} else {
				u--
			}
			s = math.Float64frombits(u)
		}
	}
	return float32(s)
}

// expandGroup writes the levels of one group, without Shift, row by row: dst[r][k].
func expandGroup(dst *[PanelRows][GroupLen]uint8, group []byte, f Format, lut *panelLUT) {
	switch f {
	case D8:
		for i, b := range group[:8*LineBytes] {
			dst[i/4%16][i/LineBytes*4+i%4] = b
		}
	case D4:
		for i, b := range group[:4*LineBytes] {
			row, k := &dst[i/4%16], i/LineBytes*8+i%4
			row[k], row[k+4] = lut.code[b&15], lut.code[b>>4]
		}
	default:
		for i, b := range group[:2*LineBytes] {
			row, k := &dst[i/4%16], i/LineBytes*16+i%4
			var high uint8 // of D3: bit 4j+b belongs to k = 16j+4b+i
			if f == D3 {
				high = group[2*LineBytes+i%LineBytes] >> (i / LineBytes * 4)
			}
			for j := range 4 {
				row[k+4*j] = lut.code[b>>(2*j)&3|high>>j&1<<2]
			}
		}
	}
}

// panelDotGeneric computes the 16 outputs of one panel for rows of quantized activations:
// dst[i*ldd+r] for activations acts[i*groups:].
func panelDotGeneric(dst []float32, ldd int, panel []byte, f Format, lut *panelLUT, acts []actBlock, groups, rows int) {
	var level [PanelRows][GroupLen]uint8
	codes := CodesOffset(groups * GroupLen)
	size := f.GroupBytes()
	for i := range rows {
		clear(dst[i*ldd:][:PanelRows])
	}
	for g := range groups {
		expandGroup(&level, panel[codes+g*size:][:size], f, lut)
		scales := panel[ScalesOffset+g*PanelRows:][:PanelRows]
		for i := range rows {
			a := &acts[i*groups+g]
			out := dst[i*ldd:][:PanelRows]
			for r, s := range scales {
				offset := int16(lut.offset)
				if s&TableBit != 0 {
					offset = int16(lut.shifted)
				}
				sum := int32(offset) * a.sum
				for k, l := range &level[r] {
					sum += int32(l) * int32(a.q[k])
				}
				t := float32(sum) * float32(s&MaxScale)
				out[r] = fma32(t, a.scale, out[r])
			}
		}
	}
	for i := range rows {
		out := dst[i*ldd:][:PanelRows]
		for r := range out {
			out[r] *= getFloat32(panel[r*4:])
		}
	}
}
