package eval

import (
	"math"
	"math/rand"
	"slices"
	"testing"
)

// TestAddReference holds the fast comparison to the one in float64, for differences from tiny to large.
func TestAddReference(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	const n = 1000
	scratch := make([]float32, n)
	for _, size := range []float64{0, 1e-3, 0.03, 0.3, 3} {
		var slow, fast comparison
		for range 20 {
			ref, got := make([]float32, n), make([]float32, n)
			for i := range ref {
				ref[i] = float32(4*r.NormFloat64() - 7)
				got[i] = ref[i] + float32(size*(r.NormFloat64()+1))
			}
			slow.addLogits(ref, got)
			p := newReference(ref)
			fast.addReference(&p, got, scratch)
		}
		a, b := slow.divergence(true), fast.divergence(true)
		t.Logf("size %v: KL %.6g, fast %.6g", size, a.MeanKL, b.MeanKL)
		if math.Abs(a.MeanKL-b.MeanKL) > 3e-7+1e-4*a.MeanKL || math.Abs(a.RelError-b.RelError) > 1e-5*a.RelError ||
			a.Top1Agreement != b.Top1Agreement || a.Positions != b.Positions {
			t.Errorf("size %v: %+v, fast %+v", size, a, b)
		}
	}
}

func TestProbeKeeps(t *testing.T) {
	window := make([]int32, 101)
	for _, c := range []struct{ windows, limit, left, kept int }{
		{500, 0, 328, 11}, // observeTokens of 50,000; every 32nd
		{500, 30, 500, 11},
		{3, 0, 3, 3},
	} {
		p := &Probe{windows: &lmWindows{scoreFrom: 1}}
		for range c.windows {
			p.windows.windows = append(p.windows.windows, window)
			p.windows.bytes = append(p.windows.bytes, 1)
		}
		p.keep(c.limit)
		if len(p.windows.windows) != c.left || len(p.kept) != c.kept {
			t.Errorf("%+v: %d windows left, %d kept", c, len(p.windows.windows), len(p.kept))
		}
	}
}

// TestProbeSpreads: what is kept comes from the whole text, and Watch runs other windows than Compare.
func TestProbeSpreads(t *testing.T) {
	p := &Probe{windows: &lmWindows{scoreFrom: 1}}
	for i := range 2000 {
		p.windows.windows = append(p.windows.windows, append(make([]int32, 100), int32(i)))
		p.windows.bytes = append(p.windows.bytes, i)
	}
	p.keep(0)
	number := func(i int) int { return int(p.windows.windows[i][100]) }
	last := len(p.windows.windows) - 1
	if number(0) != 0 || number(last) < 1990 || p.windows.bytes[last] != number(last) {
		t.Errorf("windows %d to %d of 2000", number(0), number(last))
	}
	watched := p.watched()
	for at, i := range watched {
		if at > 0 && i <= watched[at-1] || slices.Contains(p.kept, i) {
			t.Fatalf("window %d is watched: %v, compared %v", i, watched, p.kept)
		}
	}
	if n := len(watched); n < 250 || number(watched[n-1]) < 1980 {
		t.Errorf("%d windows watched, up to %d", n, number(watched[n-1]))
	}
}
