package quant

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// A filter that is rounded keeps its sum to within the rounding of its smallest weight, and each weight to within what a larger one loses.
func TestDiffused(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const k, bits = 9, 4
	x := make([]float32, 40*k)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp(2*r.NormFloat64()))
	}
	out := diffused(x, k, bits)
	for lo := 0; lo < len(x); lo += k {
		var sum, plain float64
		least, most := math.Inf(1), 0.0
		for _, v := range x[lo : lo+k] {
			least, most = min(least, math.Abs(float64(v))), max(most, math.Abs(float64(v)))
		}
		for i, v := range x[lo : lo+k] {
			sum += float64(v) - float64(out[lo+i])
			plain += float64(v) - float64(shortened(v, bits))
			if d := math.Abs(float64(v - out[lo+i])); d > most/8 {
				t.Errorf("weight %d: %g became %g", lo+i, v, out[lo+i])
			}
			if out[lo+i] != shortened(out[lo+i], bits) {
				t.Errorf("weight %d: %g has more than %d bits", lo+i, out[lo+i], bits)
			}
		}
		if math.Abs(sum) > most/16 || math.Abs(sum) > math.Abs(plain)+least {
			t.Errorf("filter %d: the sum moved by %g, by %g without diffusion", lo/k, sum, plain)
		}
	}
}

// Filters keep more bits where there is room for them.
func TestFiltersKeepWhatPays(t *testing.T) {
	ctx := context.Background()
	q := digitsQuantizer(t)
	q.o.TargetBytes = 60_000
	for _, step := range []func(context.Context) error{q.measureOptions, q.measureSensitivity, q.chooseMantissa} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if q.filterBits <= filterMantissas[0] {
		t.Errorf("%d bits with room to spare", q.filterBits)
	}
	q.o.TargetBytes = 100 // nothing fits: the fewest bits, and the budget's own error
	if err := q.chooseMantissa(ctx); err != nil || q.filterBits != filterMantissas[0] {
		t.Errorf("%d bits where nothing fits (%v)", q.filterBits, err)
	}
}
