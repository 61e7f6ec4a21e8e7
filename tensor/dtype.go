package tensor

import (
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/kernels"
)

// DType is the type of a tensor's elements: a plain number, or a quantized
// block format (D8, D4, D3, D2) whose bytes only make sense in the Panel16 layout.
type DType uint8

// The element types. Their numbers are internal: files name types by String.
const (
	Invalid DType = iota
	F32
	F16
	BF16
	F64
	I8
	U8
	I16
	U16
	I32
	U32
	I64
	U64
	BOOL
	D8
	D4
	D3
	D2
	// The element types of ONNX below 8 bits, and its 8-bit floats. In memory each element has a byte:
	// integers two's complement, floats their code in the low bits (see small.go).
	I4
	U4
	I2
	U2
	F4E2M1
	F8E4M3FN
	F8E4M3FNUZ
	F8E5M2
	F8E5M2FNUZ
	F8E8M0
	// STRING elements are the numbers of interned strings (see strings.go), 8 bytes each.
	STRING
)

// Flags of an element type that say that a value holds others, in Tensor.Items: any number of tensors of the
// type that remains, or one or none. Such a value has the shape of a scalar.
const (
	sequenceFlag DType = 0x40
	optionalFlag DType = 0x80
	holdsFlags         = sequenceFlag | optionalFlag
)

// SequenceOf returns the type of sequences of tensors of d.
func SequenceOf(d DType) DType { return d | sequenceFlag }

// OptionalOf returns the type of optional values of d, which may be a sequence.
func OptionalOf(d DType) DType { return d | optionalFlag }

// Holds reports whether values of d hold others: sequences and optionals.
func (d DType) Holds() bool { return d&holdsFlags != 0 }

// IsOptional reports whether d is the type of an optional value.
func (d DType) IsOptional() bool { return d&optionalFlag != 0 }

// IsSequence reports whether d is the type of sequences.
func (d DType) IsSequence() bool { return d&holdsFlags == sequenceFlag }

// Item returns the type of what a value of d holds.
func (d DType) Item() DType {
	if d.IsOptional() {
		return d &^ optionalFlag
	}
	return d &^ sequenceFlag
}

var dtypeNames = [...]string{
	"INVALID", "F32", "F16", "BF16", "F64", "I8", "U8", "I16", "U16",
	"I32", "U32", "I64", "U64", "BOOL", "D8", "D4", "D3", "D2",
	"I4", "U4", "I2", "U2", "F4E2M1", "F8E4M3FN", "F8E4M3FNUZ", "F8E5M2", "F8E5M2FNUZ", "F8E8M0",
	"STRING",
}

var dtypeSizes = [...]int{0, 4, 2, 2, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8}

// String returns the type's name as it stands in files and on the command line.
func (d DType) String() string {
	switch {
	case d.IsOptional():
		return "OPTIONAL(" + d.Item().String() + ")"
	case d.IsSequence():
		return "SEQUENCE(" + d.Item().String() + ")"
	}
	if int(d) < len(dtypeNames) {
		return dtypeNames[d]
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// ParseDType is the inverse of String.
func ParseDType(s string) (DType, error) {
	full := s
	var holds DType
	if t, ok := strings.CutPrefix(s, "OPTIONAL("); ok && strings.HasSuffix(t, ")") {
		s, holds = strings.TrimSuffix(t, ")"), optionalFlag
	}
	if t, ok := strings.CutPrefix(s, "SEQUENCE("); ok && strings.HasSuffix(t, ")") {
		s, holds = strings.TrimSuffix(t, ")"), holds|sequenceFlag
	}
	for i, n := range dtypeNames {
		if i > 0 && n == s {
			return DType(i) | holds, nil
		}
	}
	return Invalid, fmt.Errorf("unknown element type %q", full)
}

// Size returns the bytes of one element, or 0 for a quantized format and for what holds other values.
func (d DType) Size() int {
	if d.Holds() {
		return 0
	}
	return dtypeSizes[d]
}

// IsQuantized reports whether d is a block format.
func (d DType) IsQuantized() bool { return d >= D8 && d <= D2 }

// IsFloat reports whether d is F32, F16, BF16 or F64.
func (d DType) IsFloat() bool { return d >= F32 && d <= F64 }

// IsSmall reports whether d is a type of at most 8 bits that only Cast and quantization compute with.
func (d DType) IsSmall() bool { return d >= I4 && d <= F8E8M0 }

// IsInteger reports whether d is a signed or unsigned integer type of at least 8 bits.
func (d DType) IsInteger() bool { return d >= I8 && d <= U64 }

// Format returns the kernels' name of a quantized type, or 0.
func (d DType) Format() kernels.Format {
	if !d.IsQuantized() {
		return 0
	}
	return kernels.D8 + kernels.Format(d-D8)
}

// QuantizedDType returns the element type of a block format.
func QuantizedDType(f kernels.Format) DType { return D8 + DType(f-kernels.D8) }

// Layout says how a tensor's elements lie in its bytes.
type Layout uint8

// The layouts.
const (
	// RowMajor is the order of ONNX and NumPy: the last axis is contiguous.
	RowMajor Layout = iota
	// Panel16 is the order that the matrix kernels read. The tensor is seen as a
	// matrix of n = Shape[0] rows and k = the product of the other axes; 16 rows lie
	// interleaved in a panel. For F32, F16 and BF16 element (row, col) is number
	// (row/16*k + col)*16 + row%16; for quantized types see kernels.Format.
	Panel16
)

// String returns "row" or "panel16".
func (l Layout) String() string {
	if l == Panel16 {
		return "panel16"
	}
	return "row"
}

// ParseLayout is the inverse of String.
func ParseLayout(s string) (Layout, error) {
	switch s {
	case "row":
		return RowMajor, nil
	case "panel16":
		return Panel16, nil
	}
	return 0, fmt.Errorf("unknown layout %q", s)
}
