package runtime

import (
	"math"
	"testing"
)

// TestTwister compares with numpy.random.RandomState(0).
func TestTwister(t *testing.T) {
	var g twister
	g.seed(0)
	for i, want := range []float64{0.5488135039273248, 0.7151893663724195, 0.6027633760716439} {
		if got := g.uniform(); got != want {
			t.Errorf("number %d is %v, want %v", i, got, want)
		}
	}
	g.seed(0)
	for i, want := range []float64{1.764052345967664, 0.4001572083672233} {
		if got := g.normal(); math.Abs(got-want) > 1e-15 {
			t.Errorf("normal number %d is %v, want %v", i, got, want)
		}
	}
}
