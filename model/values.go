package model

import (
	"fmt"
	"math"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/tensor"
)

// elemCodes are ONNX's numbers of element types (TensorProto.DataType), as the attributes
// "to", "dtype" and "output_dtype" hold them.
var elemCodes = map[int64]tensor.DType{
	1: tensor.F32, 2: tensor.U8, 3: tensor.I8, 4: tensor.U16, 5: tensor.I16, 6: tensor.I32, 7: tensor.I64,
	9: tensor.BOOL, 10: tensor.F16, 11: tensor.F64, 12: tensor.U32, 13: tensor.U64, 16: tensor.BF16,
	8: tensor.STRING, 17: tensor.F8E4M3FN, 18: tensor.F8E4M3FNUZ, 19: tensor.F8E5M2, 20: tensor.F8E5M2FNUZ,
	21: tensor.U4, 22: tensor.I4, 23: tensor.F4E2M1, 24: tensor.F8E8M0, 25: tensor.U2, 26: tensor.I2,
}

// ElemType returns the element type with an ONNX number (TensorProto.DataType), which is
// what the attributes of Cast, EyeLike, QuantizeLinear and others hold.
func ElemType(code int64) (tensor.DType, error) {
	if dt, ok := elemCodes[code]; ok {
		return dt, nil
	}
	return tensor.Invalid, fmt.Errorf("element type %d of ONNX is not supported", code)
}

// ElemCode is the inverse of ElemType, 0 for a type that ONNX lacks.
func ElemCode(dt tensor.DType) int64 {
	for code, t := range elemCodes {
		if t == dt {
			return code
		}
	}
	return 0
}

// ConstantValue returns the tensor that a Constant node makes.
func ConstantValue(n *Node) (*tensor.Tensor, error) {
	switch {
	case n.Has("value"):
		if t := n.Attrs["value"].Tensor; t != nil {
			return t, nil
		}
	case n.Has("value_string"):
		return tensor.FromStrings([]string{n.Str("value_string", "")}), nil
	case n.Has("value_strings"):
		v := n.Attrs["value_strings"].Strs
		return tensor.FromStrings(v, len(v)), nil
	case n.Has("value_int"):
		return tensor.FromSlice([]int64{n.Int("value_int", 0)}), nil
	case n.Has("value_float"):
		return tensor.FromSlice([]float32{n.Float("value_float", 0)}), nil
	case n.Has("value_ints"):
		v := n.Ints("value_ints")
		return tensor.FromSlice(append([]int64{}, v...), len(v)), nil
	case n.Has("value_floats"):
		v := n.Floats("value_floats")
		return tensor.FromSlice(append([]float32{}, v...), len(v)), nil
	}
	return nil, fmt.Errorf("node %v: no value that is supported", n)
}

// intsOf returns the elements as integers; false if one is no whole number.
func intsOf(t *tensor.Tensor) ([]int64, bool) {
	if t.DType == tensor.I64 {
		return t.I64(), true
	}
	if t.DType == tensor.BOOL || t.DType.IsInteger() {
		return convertInts(t), true
	}
	f, ok := floatsOf(t)
	if !ok {
		return nil, false
	}
	out := make([]int64, len(f))
	for i, x := range f {
		if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
			return nil, false
		}
		out[i] = int64(x)
	}
	return out, true
}

func convertInts(t *tensor.Tensor) []int64 {
	switch t.DType {
	case tensor.I8:
		return toInts(tensor.View[int8](t))
	case tensor.U8, tensor.BOOL:
		return toInts(tensor.View[uint8](t))
	case tensor.I16:
		return toInts(tensor.View[int16](t))
	case tensor.U16:
		return toInts(tensor.View[uint16](t))
	case tensor.I32:
		return toInts(tensor.View[int32](t))
	case tensor.U32:
		return toInts(tensor.View[uint32](t))
	case tensor.U64:
		return toInts(tensor.View[uint64](t))
	}
	return t.I64()
}

func toInts[T int8 | uint8 | int16 | uint16 | int32 | uint32 | uint64](v []T) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// floatsOf returns the elements of a float tensor as float64; false for other types.
func floatsOf(t *tensor.Tensor) ([]float64, bool) {
	if t.IsDeferred() && t.Load() != nil || t.Layout != tensor.RowMajor {
		return nil, false
	}
	switch t.DType {
	case tensor.F32:
		v := t.F32()
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(x)
		}
		return out, true
	case tensor.F64:
		return append([]float64{}, tensor.View[float64](t)...), true
	case tensor.F16:
		v := tensor.View[uint16](t)
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(float16.Frombits(x).Float32())
		}
		return out, true
	case tensor.BF16:
		v := tensor.View[uint16](t)
		out := make([]float64, len(v))
		for i, x := range v {
			out[i] = float64(math.Float32frombits(uint32(x) << 16))
		}
		return out, true
	}
	return nil, false
}
