package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Casts from and to the types of at most 8 bits: by a table of the 256 codes, and by rounding a float32.

// readSmall reads codes as the floats that they stand for.
func readSmall(dt tensor.DType) wideReader {
	var table [256]uint64
	for i, f := range tensor.DecodeSmall(dt) {
		table[i] = math.Float64bits(float64(f))
	}
	return func(v []uint64, src *tensor.Tensor, at int) {
		for i, u := range src.Data[at:][:len(v)] {
			v[i] = table[u]
		}
	}
}

// writeSmall writes floats as codes.
func writeSmall(code func(float32) uint8) wideWriter {
	return func(dst *tensor.Tensor, at int, v []uint64) {
		for i, x := range v {
			dst.Data[at+i] = code(toOdd(math.Float64frombits(x)))
		}
	}
}

func (b *Bind) smallInt(dt tensor.DType) bool {
	return dt == tensor.I4 || dt == tensor.U4 || dt == tensor.I2 || dt == tensor.U2
}

// smallCode returns how a number becomes an element of a small type, as the node's attributes saturate and
// round_mode say.
func (b *Bind) smallCode(to tensor.DType) func(float32) uint8 {
	saturate := b.Node.Int("saturate", 1) != 0
	switch {
	case b.smallInt(to):
		return func(x float32) uint8 { return tensor.WrapSmall(to, uint8(castNumber[int32](float64(x)))) }
	case to == tensor.F8E8M0:
		return tensor.EncodePower(b.Node.Str("round_mode", tensor.RoundUp), saturate)
	}
	return tensor.EncodeSmall(to, saturate)
}
