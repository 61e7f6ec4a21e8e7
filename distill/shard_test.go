package distill

import (
	"math"
	"testing"
)

// TestShardRow: labels lose little in a shard, where the tail is nearly nothing as where it is nearly all.
func TestShardRow(t *testing.T) {
	for _, c := range []struct {
		classes int
		p       []float32
	}{
		{100, []float32{0.9, 0.09, 0.0099}},
		{100, []float32{0.4, 0.2, 0.1}},
		{200_000, []float32{2e-5, 1.5e-5, 1e-5}},
		{200_000, []float32{1 - 1e-6, 5e-7, 1e-7}},
	} {
		n := LabelInfo{Classes: c.classes, K: len(c.p)}
		row := n.encodeRow(nil, []int32{7, 99, 0}, c.p)
		if len(row) != n.rowBytes() {
			t.Fatalf("a row has %d bytes, want %d", len(row), n.rowBytes())
		}
		r := reader{Labels: &Labels{Info: n}, ratio: 1}
		class, p := make([]int32, len(c.p)), make([]float32, len(c.p))
		r.row(class, p, row)
		var want, got float64
		for i, v := range c.p {
			want, got = want+float64(v), got+float64(p[i])
			if math.Abs(float64(p[i]/v)-1) > 0.01 {
				t.Errorf("%v: class %d has %g, want %g", c.p, i, p[i], v)
			}
		}
		if class[0] != 7 || class[1] != 99 || class[2] != 0 {
			t.Errorf("classes %v", class)
		}
		if math.Abs(got-want) > 0.005*min(want, 1-want)+1e-7 {
			t.Errorf("%v: %g in all, want %g", c.p, got, want)
		}
	}
}
