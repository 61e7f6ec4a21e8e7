package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

// TestIntervalCoverage draws data whose mean is known and counts how often the interval holds it: of clustered, skewed values, as
// divergences of tokens in windows are. Intervals over single values would hold it about half as often.
func TestIntervalCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const trials = 120
	for _, units := range []int{8, 40} {
		held := 0
		for range trials {
			sums, counts := make([]float64, units), make([]float64, units)
			for i := range units {
				level := math.Exp(0.5*rng.NormFloat64()) / math.Exp(0.125) // mean 1, shared by the window
				counts[i] = float64(64 + rng.IntN(64))
				for range int(counts[i]) {
					sums[i] += level * rng.ExpFloat64()
				}
			}
			in := bootstrap(units, func(times []int) []float64 { return []float64{quotient(sums, counts, nil)(times)} })[0]
			if in.Low <= 1 && 1 <= in.High {
				held++
			}
		}
		if part := float64(held) / trials; part < 0.86 || part == 1 {
			t.Errorf("%d units: %.2f of the intervals hold the mean, want about 0.95", units, part)
		}
	}
}

// TestIntervalNormal compares with the interval of the normal distribution where that is right.
func TestIntervalNormal(t *testing.T) {
	const n = 400
	sums, ones := make([]float64, n), make([]float64, n)
	rng := rand.New(rand.NewPCG(5, 6))
	var mean, square float64
	for i := range sums {
		sums[i], ones[i] = 10+rng.NormFloat64(), 1
		mean += sums[i] / n
	}
	for _, v := range sums {
		square += (v - mean) * (v - mean) / (n - 1)
	}
	in := bootstrap(n, func(times []int) []float64 {
		return []float64{quotient(sums, ones, nil)(times), quotient(sums, ones, math.Exp)(times)}
	})
	half := 1.96 * math.Sqrt(square/n)
	if math.Abs(in[0].Low-(mean-half)) > 0.15*half || math.Abs(in[0].High-(mean+half)) > 0.15*half || in[0].Units != n {
		t.Errorf("%+v, want %v +- %v", *in[0], mean, half)
	}
	if math.Abs(math.Log(in[1].Low)-in[0].Low) > 0.01 { // quantiles go through monotone functions
		t.Errorf("%+v of the exponential, %+v of the mean", *in[1], *in[0])
	}
	if bootstrap(minUnits-1, func([]int) []float64 { return nil }) != nil {
		t.Error("an interval for too few units")
	}
}

// TestChangeIsPaired: units that differ much, and a model that adds the same to each.
func TestChangeIsPaired(t *testing.T) {
	const n = 30
	ref, got, ones := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range ref {
		ref[i], ones[i] = float64(i), 1
		got[i] = ref[i] + 0.25
	}
	var r Report
	r.addIntervals(n, []figure{{name: "x", of: quotient(got, ones, nil), ref: quotient(ref, ones, nil)}, {name: "y", of: quotient(ref, ones, nil)}})
	c := r.Changes["x"]
	if math.Abs(c.Value-0.25) > 1e-12 || c.Interval.High-c.Interval.Low > 1e-9 || r.Intervals["x"].High-r.Intervals["x"].Low < 1 || r.Intervals["y"] == nil || len(r.Changes) != 1 {
		t.Errorf("%+v %+v %+v", c, c.Interval, r.Intervals["x"])
	}
}

// TestAllRight: from 60 images without an error follows an error rate below 1 - .025^(1/60).
func TestAllRight(t *testing.T) {
	ones := make([]float64, 60)
	for i := range ones {
		ones[i] = 1
	}
	right := quotient(ones, ones, nil)
	var r Report
	r.addIntervals(60, []figure{{name: "top1", of: right, ref: right, part: true}})
	if in, c := r.Intervals["top1"], r.Changes["top1"].Interval; math.Abs(in.Low-0.9404) > 1e-4 || in.High != 1 || math.Abs(c.High-0.0596) > 1e-4 || c.Low != -c.High {
		t.Errorf("%+v %+v", in, c)
	}
}

func TestStudentQuantile(t *testing.T) {
	for degrees, want := range map[float64]float64{4: 2.776445, 9: 2.262157, 29: 2.045230, 99: 1.984217} {
		if got := student95(degrees); math.Abs(got/want-1) > 0.003 {
			t.Errorf("%g degrees: %g, want %g", degrees, got, want)
		}
	}
}

// TestMcNemar holds p-values against sums of binomial coefficients.
func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		lost, gained int
		want         float64
	}{{0, 0, 1}, {1, 0, 1}, {5, 0, 2. / 32}, {0, 6, 2. / 64}, {8, 2, 2 * (1 + 10 + 45) / 1024.}, {3, 3, 1}} {
		if got := mcnemar(c.lost, c.gained); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d against %d: %g, want %g", c.lost, c.gained, got, c.want)
		}
	}
	var c Change
	c.count([]float64{1, 0, 0, 1}, []float64{1, 1, 1, 0})
	if c.Lost != 2 || c.Gained != 1 || *c.P != 1 {
		t.Errorf("%+v", c)
	}
}

// TestPrecisionOfDraws: an image drawn twice counts as two images.
func TestPrecisionOfDraws(t *testing.T) {
	found := [][]detect.Box{{box(0, .9, 0, 0, 10, 10)}, {box(0, .8, 30, 30, 5, 5)}}
	truth := [][]dataset.Box{{object(0, 0, 0, 10, 10)}, {object(0, 0, 0, 10, 10)}}
	p := newPrecision(found, truth)
	twice := newPrecision([][]detect.Box{found[0], found[0], found[1]}, [][]dataset.Box{truth[0], truth[0], truth[1]})
	if got, want := p.mean([]int{2, 1}), twice.mean(nil); math.Abs(got-want) > 1e-12 {
		t.Errorf("%g, want %g", got, want)
	}
	if got := p.mean([]int{0, 2}); got != 0 {
		t.Errorf("only the image where nothing is found: %g", got)
	}
	if got := p.mean([]int{1, 0}); got != 1 {
		t.Errorf("only the image where all is found: %g", got)
	}
}
