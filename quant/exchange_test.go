package quant

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestExchangeFindsBestOfTwo: of two candidates, exchanges find the best choice from any that fits, hulls or not.
func TestExchangeFindsBestOfTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := make([]*candidate, 2)
		var bytes int64
		for i := range cs {
			errs := rapid.SliceOfN(rapid.Float64Range(0, 10), 4, 4).Draw(t, "errors")
			cs[i] = &candidate{sens: rapid.Float64Range(0.1, 10).Draw(t, "sensitivity"), options: plain(int64(rapid.IntRange(1, 50).Draw(t, "size"))*80, errs...)}
			cs[i].choice = cs[i].options[rapid.IntRange(0, 3).Draw(t, "start")]
			bytes += cs[i].choice.bytes
		}
		spare := int64(rapid.IntRange(0, 4000).Draw(t, "spare"))
		exchange(cs, spare)
		if used(cs) > bytes+spare {
			t.Fatalf("%d bytes used of %d", used(cs), bytes+spare)
		}
		best := math.Inf(1)
		for _, a := range cs[0].options {
			for _, b := range cs[1].options {
				if a.bytes+b.bytes <= bytes+spare {
					best = min(best, cs[0].sens*a.err+cs[1].sens*b.err)
				}
			}
		}
		if got := loss(cs); got > best+1e-9 {
			t.Fatalf("loss %g, best %g", got, best)
		}
	})
}
