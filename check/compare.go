package check

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// tolerance is numpy's allclose rule: |got - want| <= abs + rel |want|; infinities and NaNs match only themselves.
type tolerance struct{ rel, abs float64 }

// compare returns the largest difference, or an error if type, shape or a value does not match.
func (tol tolerance) compare(got, want *tensor.Tensor) (float64, error) {
	if got.DType != want.DType {
		return 0, fmt.Errorf("element type %v, want %v", got.DType, want.DType)
	}
	if !tensor.SameShape(got.Shape, want.Shape) {
		return 0, fmt.Errorf("shape %v, want %v", got.Shape, want.Shape)
	}
	if want.DType.Holds() {
		return tol.compareItems(got.Items, want.Items)
	}
	if want.DType == tensor.STRING {
		return 0, compareStrings(got.Strings(), want.Strings())
	}
	g, w := values(got), values(want)
	worst := 0.0
	bad, first := 0, -1
	for i, v := range w {
		x := g[i]
		if x == v || math.IsNaN(x) && math.IsNaN(v) {
			continue
		}
		d := math.Abs(x - v)
		if d > worst || math.IsNaN(d) {
			worst = d
		}
		if !(d <= tol.abs+tol.rel*math.Abs(v)) || math.IsInf(d, 0) {
			bad++
			if first < 0 {
				first = i
			}
		}
	}
	if bad > 0 {
		return worst, fmt.Errorf("%d of %d values differ by up to %.3g; the first is [%d] = %g, want %g", bad, len(w), worst, first, g[first], w[first])
	}
	return worst, nil
}

// compareItems compares what two sequences or optional values hold.
func (tol tolerance) compareItems(got, want []*tensor.Tensor) (float64, error) {
	if len(got) != len(want) {
		return 0, fmt.Errorf("it holds %d values, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range want {
		d, err := tol.compare(got[i], want[i])
		if err != nil {
			return d, fmt.Errorf("item %d: %w", i, err)
		}
		worst = max(worst, d)
	}
	return worst, nil
}

func compareStrings(got, want []string) error {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("element %d is %q, want %q", i, got[i], want[i])
		}
	}
	return nil
}

// values returns the elements as float64; 64-bit integers beyond 2^53 lose their low bits.
func values(t *tensor.Tensor) []float64 {
	switch t.DType {
	case tensor.F32:
		return widen(tensor.View[float32](t))
	case tensor.F64:
		return widen(tensor.View[float64](t))
	case tensor.I8:
		return widen(tensor.View[int8](t))
	case tensor.U8, tensor.BOOL:
		return widen(tensor.View[uint8](t))
	case tensor.I16:
		return widen(tensor.View[int16](t))
	case tensor.U16:
		return widen(tensor.View[uint16](t))
	case tensor.I32:
		return widen(tensor.View[int32](t))
	case tensor.U32:
		return widen(tensor.View[uint32](t))
	case tensor.I64:
		return widen(tensor.View[int64](t))
	case tensor.U64:
		return widen(tensor.View[uint64](t))
	}
	if t.DType.IsSmall() {
		out := make([]float64, len(t.Data))
		table := tensor.DecodeSmall(t.DType)
		for i, code := range t.Data {
			out[i] = float64(table[code])
		}
		return out
	}
	half := tensor.View[uint16](t)
	out := make([]float64, len(half))
	for i, h := range half {
		if t.DType == tensor.F16 {
			out[i] = float64(kernels.F16ToF32(h))
		} else {
			out[i] = float64(kernels.BF16ToF32(h))
		}
	}
	return out
}

func widen[T float32 | float64 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](v []T) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
