package onnx

import (
	"fmt"
	"math"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// narrow is a constant of 2 or 4 bits an element. The graph has no such types: it holds the
// same numbers as I8 or U8, which is right for the operators that turn them into floats.
type narrow struct {
	bits   int
	sign   bool
	shape  []int
	count  int
	packed *tensor.Tensor // the bytes of the file: elements from the low bits up
}

// readsNarrow are the operators that take narrow constants: what they make of them is the same
// whatever holds the numbers.
var readsNarrow = map[string]bool{"DequantizeLinear": true, "GatherBlockQuantized": true}

var narrowTypes = map[int]struct {
	bits int
	sign bool
}{21: {4, false}, 22: {4, true}, 25: {2, false}, 26: {2, true}}

func (n *narrow) name() string {
	if n.sign {
		return fmt.Sprintf("INT%d", n.bits)
	}
	return fmt.Sprintf("UINT%d", n.bits)
}

// narrow returns p as a narrow constant, nil if it is of another type.
func (s *sources) narrow(p *protoTensor) (*narrow, error) {
	kind, ok := narrowTypes[p.dtype]
	if !ok {
		return nil, nil
	}
	n := &narrow{bits: kind.bits, sign: kind.sign, shape: make([]int, len(p.dims))}
	for i, d := range p.dims {
		n.shape[i] = int(d)
	}
	count, err := tensor.NumElements(n.shape)
	if err != nil {
		return nil, &fault.Format{Offset: int64(p.offset), Where: "tensor " + p.name, Why: err.Error()}
	}
	n.count = count
	per := 8 / n.bits
	// The bytes are read as a vector of U8, by all the ways that a tensor can be stored in.
	bytes := *p
	bytes.dtype, bytes.dims = 2, []int64{int64(count/per + (count%per+per-1)/per)}
	n.packed, err = s.tensor(&bytes)
	return n, err
}

// wide returns the elements as I8 or U8, unpacked when they are read.
func (n *narrow) wide() *tensor.Tensor {
	dt := tensor.U8
	if n.sign {
		dt = tensor.I8
	}
	return tensor.Deferred(dt, n.shape, tensor.RowMajor, nil, func(dst []byte) error {
		per := 8 / n.bits
		for i := range n.count {
			v := n.packed.Data[i/per] >> (i % per * n.bits) & (1<<n.bits - 1)
			if n.sign && v >= 1<<(n.bits-1) {
				v -= 1 << n.bits
			}
			dst[i] = v
		}
		return nil
	})
}

// floatValues returns the elements of a float tensor.
func floatValues(t *tensor.Tensor) ([]float32, error) {
	t, err := t.Loaded()
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Len())
	switch t.DType {
	case tensor.F32:
		return t.F32(), nil
	case tensor.F64:
		for i, v := range tensor.View[float64](t) {
			out[i] = float32(v)
		}
	case tensor.F16:
		for i, v := range tensor.View[uint16](t) {
			out[i] = float16.Frombits(v).Float32()
		}
	default: // BF16
		for i, v := range tensor.View[uint16](t) {
			out[i] = math.Float32frombits(uint32(v) << 16)
		}
	}
	return out, nil
}
