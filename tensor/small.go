package tensor

import (
	"math"
	"sort"
)

// smallFormat describes a float of at most 8 bits: a sign, exponent and mantissa. The exponent's bias is
// bias, exponent 0 is subnormal, and the codes after finite (counted without the sign) are no finite numbers.
type smallFormat struct {
	exponent, mantissa, bias int
	finite                   int  // the largest finite code
	nan                      byte // the code of NaN; 0 if there is none
	inf                      byte // the code of infinity; 0 if there is none
	unsignedZero             bool // the negative zero's code is NaN (the FNUZ types)
}

// The formats of IEEE-like 8-bit floats (Micikevicius et al., "FP8 Formats for Deep Learning", 2022; the FNUZ types: Noune
// et al., "8-bit Numerical Formats for Deep Neural Networks", 2022) and the 4-bit one of the OCP microscaling formats, 2023.
var smallFormats = map[DType]smallFormat{
	F4E2M1:     {exponent: 2, mantissa: 1, bias: 1, finite: 0x7},
	F8E4M3FN:   {exponent: 4, mantissa: 3, bias: 7, finite: 0x7e, nan: 0x7f},
	F8E4M3FNUZ: {exponent: 4, mantissa: 3, bias: 8, finite: 0x7f, nan: 0x80, unsignedZero: true},
	F8E5M2:     {exponent: 5, mantissa: 2, bias: 15, finite: 0x7b, nan: 0x7f, inf: 0x7c},
	F8E5M2FNUZ: {exponent: 5, mantissa: 2, bias: 16, finite: 0x7f, nan: 0x80, unsignedZero: true},
}

// Bits returns the width of an element of a small type in files: 2, 4 or 8; for other types 8 Size.
func (d DType) Bits() int {
	switch d {
	case I2, U2:
		return 2
	case I4, U4, F4E2M1:
		return 4
	}
	return 8 * d.Size()
}

// value is the number of a code without its sign; codes beyond finite go on as if they were numbers.
func (f smallFormat) value(code int) float64 {
	e, m := code>>f.mantissa, code&(1<<f.mantissa-1)
	if e == 0 {
		return math.Ldexp(float64(m), 1-f.bias-f.mantissa)
	}
	return math.Ldexp(float64(m+1<<f.mantissa), e-f.bias-f.mantissa)
}

// DecodeSmall returns the numbers of all 256 bytes of a small type.
func DecodeSmall(d DType) (table [256]float32) {
	f, isFloat := smallFormats[d]
	for i := range table {
		v := 0.0
		switch {
		case d == F8E8M0: // a power of two, 0xff is NaN
			if v = math.Ldexp(1, i-127); i == 255 {
				v = math.NaN()
			}
		case !isFloat:
			v = float64(WrapSmall(d, byte(i)))
			if d == I4 || d == I2 {
				v = float64(int8(WrapSmall(d, byte(i))))
			}
		default:
			sign := 1 << (f.exponent + f.mantissa)
			code := i & (sign - 1)
			switch {
			case f.inf != 0 && code == int(f.inf):
				v = math.Inf(1)
			case code > f.finite, f.unsignedZero && i == sign:
				v = math.NaN()
			default:
				v = f.value(code)
			}
			if i&sign != 0 {
				v = -v
			}
		}
		table[i] = float32(v)
	}
	return table
}

// WrapSmall keeps the low bits of b as an element of an integer type of 2 or 4 bits.
func WrapSmall(d DType, b byte) byte {
	switch d {
	case I4:
		return byte(int8(b<<4) >> 4)
	case I2:
		return byte(int8(b<<6) >> 6)
	case U4:
		return b & 15
	case U2:
		return b & 3
	}
	return b
}

// RangeSmall returns the least and greatest finite number of a small type, but for F8E8M0.
func RangeSmall(d DType) (low, high float64) {
	switch d {
	case I4:
		return -8, 7
	case I2:
		return -2, 1
	case U4:
		return 0, 15
	case U2:
		return 0, 3
	}
	f := smallFormats[d]
	high = f.value(f.finite)
	return -high, high
}

// EncodeSmall returns the function that rounds numbers to a small float type, half to even. With saturate, what is too large
// becomes the largest number; without, infinity or NaN, whichever the type has.
func EncodeSmall(d DType, saturate bool) func(float32) byte {
	f := smallFormats[d]
	// One step more than is finite says where rounding leaves the range.
	values := make([]float64, f.finite+2)
	for i := range values {
		values[i] = f.value(i)
	}
	sign := byte(1) << (f.exponent + f.mantissa)
	return func(x float32) byte {
		s := byte(0)
		if math.Signbit(float64(x)) {
			s = sign
		}
		a := math.Abs(float64(x))
		if math.IsNaN(a) {
			switch {
			case f.unsignedZero:
				return f.nan
			case f.nan == 0:
				return sign // a type without NaN
			}
			return s | f.nan
		}
		code := sort.SearchFloat64s(values, a)
		if code > 0 && code < len(values) {
			below, above := a-values[code-1], values[code]-a
			if below < above || below == above && code&1 == 1 {
				code--
			}
		}
		if code > f.finite {
			switch {
			case saturate || f.nan == 0:
				code = f.finite
			case f.unsignedZero:
				return f.nan
			case f.inf != 0:
				return s | f.inf
			default:
				return s | f.nan
			}
		}
		if code == 0 && f.unsignedZero {
			return 0
		}
		return s | byte(code)
	}
}

// The ways of EncodePower to round.
const (
	RoundUp      = "up"
	RoundDown    = "down"
	RoundNearest = "nearest"
)

// EncodePower returns the function that gives the F8E8M0 code of |x|, a power of two: up, down or nearest
// (half to even). With saturate, what is too large becomes the largest power, else NaN.
func EncodePower(round string, saturate bool) func(float32) byte {
	return func(x float32) byte {
		bits := math.Float32bits(x)
		code, fraction := bits>>23&0xff, bits&(1<<23-1)
		if code == 0xff {
			return 0xff
		}
		up := false
		switch round {
		case RoundUp:
			up = fraction != 0
		case RoundNearest:
			up = fraction > 1<<22 || fraction == 1<<22 && code > 0
		}
		if up && !(saturate && code == 0xfe) {
			code++
		}
		return byte(code)
	}
}

// UnpackSmall writes the elements of a small type, packed from the low bits of each byte up as ONNX files have
// them, a byte each.
func UnpackSmall(d DType, dst, packed []byte) {
	bits := d.Bits()
	per := 8 / bits
	for i := range dst {
		dst[i] = WrapSmall(d, packed[i/per]>>(i%per*bits)&byte(1<<bits-1))
	}
}

// PackedBytes returns how many bytes n packed elements of a type take.
func PackedBytes(d DType, n int) int { return (n*d.Bits() + 7) / 8 }
