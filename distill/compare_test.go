package distill

import "testing"

// TestEqualDifferences: seeds that all give the same difference, but for its last bits, prove nothing.
func TestEqualDifferences(t *testing.T) {
	for _, pair := range [][2][]float64{{{0.9, 0.9}, {0.8, 0.8}}, {{0.96, 0.95, 0.97}, {0.76, 0.75, 0.77}}, {{1, 1}, {1, 1}}} {
		if c := compare("top1", pair[0], pair[1]); c.P != 1 {
			t.Errorf("%v: p is %g", pair, c.P)
		}
	}
}
