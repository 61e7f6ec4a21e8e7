package gguf

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/dsk-toolkit/dsk/kernels"
)

// The decoders below give the weights of one block: dst has as many elements as the block, b its bytes. They compute what
// ggml's reference defines, bit by bit: a scale times a code is exact in float32, so only the sums round, once. The layouts
// are those of ggml-common.h and ggml-quants.c (https://github.com/ggml-org/ggml, MIT).

// half reads a float16 at b[at].
func half(b []byte, at int) float32 {
	return kernels.F16ToF32(binary.LittleEndian.Uint16(b[at:]))
}

// nibbles sets dst[i] to value(low half of b[i], i), and dst[len(b)+i] to value(high half, len(b)+i).
func nibbles(dst []float32, b []byte, value func(code byte, i int) float32) {
	for i, c := range b {
		dst[i] = value(c&15, i)
		dst[len(b)+i] = value(c>>4, len(b)+i)
	}
}

// decodeQ4 is Q4_0: d (code - 8).
func decodeQ4(dst []float32, b []byte) {
	d := half(b, 0)
	nibbles(dst, b[2:18], func(c byte, _ int) float32 { return d * float32(int(c)-8) })
}

// decodeQ4Min is Q4_1: d code + m.
func decodeQ4Min(dst []float32, b []byte) {
	d, m := half(b, 0), half(b, 2)
	nibbles(dst, b[4:20], func(c byte, _ int) float32 { return float32(d*float32(c)) + m })
}

// decodeQ5 is Q5_0: d (code - 16), with the fifth bits in a word of their own.
func decodeQ5(dst []float32, b []byte) {
	d, high := half(b, 0), binary.LittleEndian.Uint32(b[2:])
	nibbles(dst, b[6:22], func(c byte, i int) float32 { return d * float32(int(c)|int(high>>i&1)<<4-16) })
}

// decodeQ5Min is Q5_1: d code + m.
func decodeQ5Min(dst []float32, b []byte) {
	d, m, high := half(b, 0), half(b, 2), binary.LittleEndian.Uint32(b[4:])
	nibbles(dst, b[8:24], func(c byte, i int) float32 { return float32(d*float32(int(c)|int(high>>i&1)<<4)) + m })
}

// decodeQ8 is Q8_0: d code.
func decodeQ8(dst []float32, b []byte) {
	d := half(b, 0)
	for i := range dst {
		dst[i] = d * float32(int8(b[2+i]))
	}
}

// mxfp4 are twice the values of a 4-bit float with two bits of exponent (OCP Microscaling Formats, v1.0).
var mxfp4 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// decodeMXFP4 is MXFP4: 2^(e-128) times twice the value.
func decodeMXFP4(dst []float32, b []byte) {
	d := float32(math.Ldexp(1, int(b[0])-128))
	nibbles(dst, b[1:17], func(c byte, _ int) float32 { return d * float32(mxfp4[c]) })
}

// decodeQ2K is Q2_K: sixteen groups of 16 codes of two bits, d scale code - dmin min.
func decodeQ2K(dst []float32, b []byte) {
	scales, codes, d, dmin := b[:16], b[16:80], half(b, 80), half(b, 82)
	for i := range dst {
		s := scales[i/16]
		code := codes[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
		dst[i] = float32(d*float32(s&15)*float32(code)) - float32(dmin*float32(s>>4))
	}
}

// decodeQ3K is Q3_K: sixteen groups of 16 codes of three bits, d (scale - 32) (code - 4); scales have six bits.
func decodeQ3K(dst []float32, b []byte) {
	high, codes, scales, d := b[:32], b[32:96], b[96:108], half(b, 108)
	for i := range dst {
		g := i / 16
		s := int(scales[g%8]>>(g/8*4)&15) | int(scales[8+g%4]>>(g/4*2)&3)<<4
		code := int(codes[i/128*32+i%32]>>(i%128/32*2)&3) | int(high[i%32]>>(i/32)&1)<<2
		dst[i] = d * float32(s-32) * float32(code-4)
	}
}

// scaleMin unpacks scale and minimum of group g of 8: six bits each in 12 bytes.
func scaleMin(b []byte, g int) (scale, low byte) {
	if g < 4 {
		return b[g] & 63, b[g+4] & 63
	}
	return b[g+4]&15 | b[g-4]>>6<<4, b[g+4]>>4 | b[g]>>6<<4
}

// decodeQ4K is Q4_K: eight groups of 32 codes of four bits, d scale code - dmin min.
func decodeQ4K(dst []float32, b []byte) {
	d, dmin, codes := half(b, 0), half(b, 2), b[16:144]
	for g := range 8 {
		s, m := scaleMin(b[4:16], g)
		scale, low := d*float32(s), dmin*float32(m)
		for i := range 32 {
			code := codes[g/2*32+i] >> (g % 2 * 4) & 15
			dst[g*32+i] = float32(scale*float32(code)) - low
		}
	}
}

// decodeQ5K is Q5_K: Q4_K with a fifth bit.
func decodeQ5K(dst []float32, b []byte) {
	d, dmin, high, codes := half(b, 0), half(b, 2), b[16:48], b[48:176]
	for g := range 8 {
		s, m := scaleMin(b[4:16], g)
		scale, low := d*float32(s), dmin*float32(m)
		for i := range 32 {
			code := codes[g/2*32+i]>>(g%2*4)&15 | high[i]>>g&1<<4
			dst[g*32+i] = float32(scale*float32(code)) - low
		}
	}
}

// decodeQ6K is Q6_K: sixteen groups of 16 codes of six bits, d scale (code - 32).
func decodeQ6K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b, 208)
	for i := range dst {
		h, quarter, at := i/128, i%128/32, i%32
		code := int(low[h*64+quarter%2*32+at]>>(quarter/2*4)&15) | int(high[h*32+at]>>(quarter*2)&3)<<4
		dst[i] = d * float32(int8(scales[i/16])) * float32(code-32)
	}
}

// decodeTQ1 is TQ1_0: d (code - 1) with codes 0 to 2, five in a byte as digits of a fraction of 256 with base 3.
func decodeTQ1(dst []float32, b []byte) {
	d := half(b, 52)
	powers := [5]uint8{1, 3, 9, 27, 81}
	at := 0
	for _, run := range [3]struct{ first, bytes, digits int }{{0, 32, 5}, {32, 16, 5}, {48, 4, 4}} {
		for digit := range run.digits {
			for _, c := range b[run.first : run.first+run.bytes] {
				code := uint16(c*powers[digit]) * 3 >> 8
				dst[at] = d * float32(int(code)-1)
				at++
			}
		}
	}
}

// decodeTQ2 is TQ2_0: d (code - 1), four codes in a byte.
func decodeTQ2(dst []float32, b []byte) {
	d := half(b, 64)
	for i := range dst {
		code := b[i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
		dst[i] = d * float32(int(code)-1)
	}
}

// iq4 are the sixteen values of IQ4_NL and IQ4_XS.
var iq4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// decodeIQ4NL is IQ4_NL: d value.
func decodeIQ4NL(dst []float32, b []byte) {
	d := half(b, 0)
	nibbles(dst, b[2:18], func(c byte, _ int) float32 { return d * float32(iq4[c]) })
}

// decodeIQ4XS is IQ4_XS: eight groups of 32, d (scale - 32) value; scales have six bits.
func decodeIQ4XS(dst []float32, b []byte) {
	d, high := half(b, 0), binary.LittleEndian.Uint16(b[2:])
	for g := range 8 {
		s := int(b[4+g/2]>>(g%2*4)&15) | int(high>>(2*g)&3)<<4
		scale := d * float32(s-32)
		nibbles(dst[g*32:], b[8+g*16:8+(g+1)*16], func(c byte, _ int) float32 { return scale * float32(iq4[c]) })
	}
}

// signed sets dst[i] to scale times point[i], negative where bit i of signs is set.
func signed(dst []float32, point []int8, signs byte, scale float32) {
	for i, v := range point {
		dst[i] = scale * float32(v)
		if signs>>i&1 != 0 {
			dst[i] = -dst[i]
		}
	}
}

// evenSigns completes seven signs with an eighth that makes their number even.
func evenSigns(s uint32) byte {
	s &= 127
	return byte(s) | byte(bits.OnesCount32(s)&1)<<7
}

// decodeIQ2XXS is IQ2_XXS: points of eight, seven signs each, a scale of four bits for 32 weights.
func decodeIQ2XXS(dst []float32, b []byte) {
	d := half(b, 0)
	for g := range 8 {
		points, rest := b[2+8*g:], binary.LittleEndian.Uint32(b[6+8*g:])
		scale := d * (0.5 + float32(rest>>28)) * 0.25
		for l := range 4 {
			signed(dst[g*32+l*8:], gridIQ2XXS.point(int(points[l])), evenSigns(rest>>(7*l)), scale)
		}
	}
}

// decodeIQ2XS is IQ2_XS: points and signs in one word, a scale of four bits for 16 weights.
func decodeIQ2XS(dst []float32, b []byte) {
	d := half(b, 0)
	for i := range 32 {
		w := binary.LittleEndian.Uint16(b[2+2*i:])
		scale := d * (0.5 + float32(b[66+i/4]>>(i%4/2*4)&15)) * 0.25
		signed(dst[i*8:], gridIQ2XS.point(int(w&511)), evenSigns(uint32(w>>9)), scale)
	}
}

// decodeIQ2S is IQ2_S: points of ten bits, eight signs each, a scale of four bits for 16 weights.
func decodeIQ2S(dst []float32, b []byte) {
	d := half(b, 0)
	for i := range 32 {
		point := int(b[2+i]) | int(b[66+i/4]>>(i%4*2)&3)<<8
		scale := d * (0.5 + float32(b[74+i/4]>>(i%4/2*4)&15)) * 0.25
		signed(dst[i*8:], gridIQ2S.point(point), b[34+i], scale)
	}
}

// decodeIQ3XXS is IQ3_XXS: points of four, seven signs for two of them, a scale of four bits for 32 weights.
func decodeIQ3XXS(dst []float32, b []byte) {
	d := half(b, 0)
	for g := range 8 {
		rest := binary.LittleEndian.Uint32(b[66+4*g:])
		scale := d * (0.5 + float32(rest>>28)) * 0.5
		for l := range 8 {
			signs := evenSigns(rest>>(l/2*7)) >> (l % 2 * 4)
			signed(dst[g*32+l*4:], gridIQ3XXS.point(int(b[2+8*g+l])), signs, scale)
		}
	}
}

// decodeIQ3S is IQ3_S: points of nine bits, a sign for each weight, a scale of four bits for 32 weights.
func decodeIQ3S(dst []float32, b []byte) {
	d := half(b, 0)
	for i := range 64 {
		g := i / 8
		point := int(b[2+i]) | int(b[66+g]>>(i%8)&1)<<8
		scale := d * float32(1+2*int(b[106+g/2]>>(g%2*4)&15))
		signed(dst[i*4:], gridIQ3S.point(point), b[74+i/2]>>(i%2*4), scale)
	}
}

// shifted sets dst[i] to scale (point[i] +- 1/8).
func shifted(dst []float32, point []int8, negative bool, scale float32) {
	delta := float32(0.125)
	if negative {
		delta = -delta
	}
	for i, v := range point {
		dst[i] = scale * (float32(v) + delta)
	}
}

// decodeIQ1S is IQ1_S: points of eleven bits; 32 weights share a scale of three bits and the sign of a shift.
func decodeIQ1S(dst []float32, b []byte) {
	d := half(b, 0)
	for i := range 32 {
		w := binary.LittleEndian.Uint16(b[34+i/4*2:])
		point := int(b[2+i]) | int(w>>(i%4*3)&7)<<8
		shifted(dst[i*8:], gridIQ1.point(point), w>>15 != 0, d*float32(2*(w>>12&7)+1))
	}
}

// decodeIQ1M is IQ1_M: points of eleven bits with the sign of a shift each; 16 weights share a scale of three bits. The bits of the
// block's scale lie at the upper ends of four words of the others.
func decodeIQ1M(dst []float32, b []byte) {
	var words [4]uint16
	var scale uint16
	for i := range words {
		words[i] = binary.LittleEndian.Uint16(b[48+2*i:])
		scale |= words[i] >> 12 << (4 * i)
	}
	d := kernels.F16ToF32(scale)
	for i := range 32 {
		h := b[32+i/2] >> (i % 2 * 4)
		s := words[i/8] >> (i % 8 / 2 * 3) & 7
		shifted(dst[i*8:], gridIQ1.point(int(b[i])|int(h&7)<<8), h&8 != 0, d*float32(2*s+1))
	}
}
