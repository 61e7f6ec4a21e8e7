package main

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

// tensor converts numbers to an input's element type.
func (a *array) tensor(dt tensor.DType) (*tensor.Tensor, error) {
	n, err := tensor.NumElements(a.Shape)
	if err != nil {
		return nil, err
	}
	if n != len(a.Data) {
		return nil, fmt.Errorf("shape %v has %d elements, data has %d", a.Shape, n, len(a.Data))
	}
	t := tensor.New(dt, a.Shape...)
	switch dt {
	case tensor.F32:
		convert[float32](t, a.Data)
	case tensor.F64:
		convert[float64](t, a.Data)
	case tensor.I64:
		convert[int64](t, a.Data)
	case tensor.I32:
		convert[int32](t, a.Data)
	case tensor.I8:
		convert[int8](t, a.Data)
	case tensor.U8:
		convert[uint8](t, a.Data)
	case tensor.BOOL:
		for i, x := range a.Data {
			if x != 0 {
				t.Data[i] = 1
			}
		}
	default:
		return nil, fmt.Errorf("element type %v cannot be given as JSON", dt)
	}
	return t, nil
}

type number interface {
	float32 | float64 | int64 | int32 | int8 | uint8
}

func convert[T number](t *tensor.Tensor, data []float64) {
	v := tensor.View[T](t)
	for i, x := range data {
		v[i] = T(x)
	}
}

// newArray converts an output to numbers. JSON has no infinities and no NaN: they are an error.
func newArray(t *tensor.Tensor) (*array, error) {
	a := &array{DType: t.DType.String(), Shape: append([]int{}, t.Shape...), Data: make([]float64, t.Len())}
	switch t.DType {
	case tensor.F32:
		numbers(a.Data, tensor.View[float32](t))
	case tensor.F64:
		numbers(a.Data, tensor.View[float64](t))
	case tensor.I64:
		numbers(a.Data, tensor.View[int64](t))
	case tensor.I32:
		numbers(a.Data, tensor.View[int32](t))
	case tensor.I8:
		numbers(a.Data, tensor.View[int8](t))
	case tensor.U8, tensor.BOOL:
		numbers(a.Data, t.Data)
	default:
		return nil, fmt.Errorf("element type %v cannot be given as JSON", t.DType)
	}
	for i, x := range a.Data {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("value %d is %v, which JSON does not have", i, x)
		}
	}
	return a, nil
}

func numbers[T number](dst []float64, src []T) {
	for i, x := range src {
		dst[i] = float64(x)
	}
}
