package kernels

import "fmt"

// Format names a quantized weight format: D8, D4, D3 or D2. The digit is the
// number of bits of one code; docs/quantization.md describes the family.
type Format uint8

// The formats, widest first. The zero Format is invalid.
const (
	D8 Format = iota + 1
	D4
	D3
	D2
)

const (
	// PanelRows is the number of weight rows that lie interleaved in one panel.
	PanelRows = 16
	// GroupLen is the number of consecutive weights of a row (along K) that share a scale.
	GroupLen = 32
	// LineBytes is the width of one line of a panel: what one AVX-512 load reads.
	LineBytes = 64
	// LevelZero is the level that stands for the weight 0: levels are 0..127 around it.
	LevelZero = 64
	// MaxLevel is the largest level. Seven bits keep u8 x s8 products exact in
	// every instruction that the kernels use (VPDPBUSD, VPMADDUBSW, SDOT, relaxed dot).
	MaxLevel = 127
	// TableBit marks, in a group's scale byte, that the group's levels are shifted by Levels.Shift.
	TableBit = 0x80
	// MaxScale is the largest group scale: seven bits beside TableBit.
	MaxScale = 0x7f
)

// Levels maps a code to a level: level = Code[c] for c < 1<<bits, plus Shift in
// groups whose scale byte has TableBit set. The weight is
//
//	(level - LevelZero) * groupScale * rowScale
//
// D8 has no table: its code is its level, and only Shift is read.
type Levels struct {
	Code  [16]uint8
	Shift int8
}

// Bits returns the width of one code.
func (f Format) Bits() int {
	switch f {
	case D8:
		return 8
	case D4:
		return 4
	case D3:
		return 3
	case D2:
		return 2
	}
	panic("kernels: invalid Format")
}

// String returns D8, D4, D3 or D2.
func (f Format) String() string {
	if f < D8 || f > D2 {
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
	return "D" + string(rune('0'+f.Bits()))
}

// Groups returns the number of scale groups in a row of k weights; the last is padded.
func Groups(k int) int { return (k + GroupLen - 1) / GroupLen }

// Panels returns the number of panels that n rows take; the last is padded.
func Panels(n int) int { return (n + PanelRows - 1) / PanelRows }

// GroupBytes returns the bytes of the codes of one group of one panel:
// PanelRows x GroupLen codes, always whole lines.
func (f Format) GroupBytes() int { return PanelRows * GroupLen * f.Bits() / 8 }

// A panel of 16 rows by k weights lies in one piece, every part a multiple of LineBytes:
//
//	row scales     16 x f32                                   (64 bytes)
//	group scales   Groups(k) x 16 x u8, padded to LineBytes   (byte g*16+r: row r)
//	codes          Groups(k) x GroupBytes
//
// The codes of a group are lines of 64 bytes; byte r*4+i of a line belongs to row r:
//
//	D8  8 lines; line j holds level k=4j+i
//	D4  4 lines; line j: low nibble k=8j+i, high nibble k=8j+4+i
//	D2  2 lines; line j: bits 2b..2b+1 hold k=16j+4b+i
//	D3  the 2 lines of D2 with the codes' low two bits, then one line whose bit b is the high bit of k=4b+i

// ScalesOffset is the offset of the group scales in a panel.
const ScalesOffset = PanelRows * 4

// CodesOffset returns the offset of the codes in a panel of k columns.
func CodesOffset(k int) int {
	return ScalesOffset + (Groups(k)*PanelRows+LineBytes-1)/LineBytes*LineBytes
}

// PanelBytes returns the bytes of one panel of k columns.
func (f Format) PanelBytes(k int) int { return CodesOffset(k) + Groups(k)*f.GroupBytes() }

// Bytes returns the bytes of an n x k matrix.
func (f Format) Bytes(n, k int) int { return Panels(n) * f.PanelBytes(k) }
