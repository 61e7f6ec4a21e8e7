package model

import (
	"math"
	"slices"
	"testing"
)

func TestGridOf(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	const s = float32(0.037)
	for _, c := range []struct {
		row    []float32
		levels []int8 // nil: on no grid
	}{
		{[]float32{3 * s, -127 * s, 0, 60 * s}, []int8{3, -127, 0, 60}},
		{[]float32{-128 * s, 5 * s, 127 * s}, []int8{-128, 5, 127}},
		{[]float32{0, 0}, []int8{0, 0}},
		{[]float32{1, 0.12345, 0.98765, 0.5432}, nil},
		{[]float32{1, nan}, nil},
		{[]float32{nan}, nil},
		{[]float32{inf, 0}, nil},
	} {
		got := make([]int8, len(c.row))
		scale, ok := gridOf(got, c.row)
		if ok != (c.levels != nil) {
			t.Errorf("%v: on a grid is %v", c.row, ok)
			continue
		}
		if !ok {
			continue
		}
		// A row may lie on a coarser grid than the one that made it, but its values stay.
		for i, v := range c.row {
			if d := math.Abs(float64(float32(got[i])*scale - v)); d > 1e-5*float64(s) {
				t.Errorf("%v: levels %v times %g", c.row, got, scale)
			}
		}
		if c.row[0] != 0 && !slices.Equal(got, c.levels) {
			t.Errorf("%v: levels %v, want %v", c.row, got, c.levels)
		}
	}
}
