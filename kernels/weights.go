package kernels

// Kind is the element format of a weight matrix in panels of 16 rows.
type Kind uint8

// The kinds. The float kinds hold element (row, col) at number (row/16*K + col)*16 + row%16.
const (
	KindF32 Kind = iota
	KindF16
	KindBF16
	KindD8
	KindD4
	KindD3
	KindD2
)

// Format returns the block format of a quantized kind, or 0 for floats.
func (k Kind) Format() Format {
	if k < KindD8 {
		return 0
	}
	return D8 + Format(k-KindD8)
}

// Weights is an N x K matrix in panels: row n holds the K weights of output n.
type Weights struct {
	Kind   Kind
	N, K   int
	Data   []byte // starts on a 64-byte line
	Levels *Levels
}
