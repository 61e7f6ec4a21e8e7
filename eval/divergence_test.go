package eval

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.9g, want %.9g", what, got, want)
	}
}

func TestKLDivergence(t *testing.T) {
	// p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2 ln 2 + 0 - 1/4 ln 2 = ln(2)/4.
	p := []float32{float32(math.Log(2)), 0, 0}
	q := []float32{0, 0, float32(math.Log(2))}
	near(t, "KL", klDivergence(p, q), math.Ln2/4, 1e-7)
	near(t, "KL of equals", klDivergence(p, p), 0, 1e-12)
	// Logits are free up to a constant.
	shifted := []float32{q[0] + 100, q[1] + 100, q[2] + 100}
	near(t, "KL of shifted logits", klDivergence(p, shifted), math.Ln2/4, 1e-5)
	// Large logits do not overflow.
	near(t, "KL of certainties", klDivergence([]float32{500, -500}, []float32{500, -500}), 0, 1e-12)
}

func TestComparison(t *testing.T) {
	var c comparison
	if d := c.divergence(true); !math.IsNaN(d.MeanKL) || d.Positions != 0 {
		t.Errorf("nothing compared: %+v", d)
	}
	c.addLogits([]float32{2, 0}, []float32{2, 0})
	c.addLogits([]float32{3, 4}, []float32{4, 3})
	d := c.divergence(true)
	// The second: KL of (s, 1-s) from (1-s, s), s = 1/(1+e), is (1-2s) * 1 = tanh(1/2); |out-ref|^2 / |ref|^2 = 2/25.
	near(t, "mean KL", d.MeanKL, math.Tanh(0.5)/2, 1e-7)
	near(t, "relative error", d.RelError, 0.04, 1e-12)
	near(t, "agreement", d.Top1Agreement, 0.5, 0)
	near(t, "loss", d.Loss(), d.MeanKL, 0)

	var v comparison
	v.addVector([]float32{0, 0}, []float32{0, 1})
	v.addVector([]float32{0, 0}, []float32{0, 0})
	w := v.divergence(false)
	near(t, "error against zeros", w.RelError, 0.5, 0)
	near(t, "loss without KL", w.Loss(), 0.5, 0)
	if !math.IsNaN(w.MeanKL) {
		t.Errorf("vectors have a KL of %g", w.MeanKL)
	}
}

// TestScores takes probabilities as they are, and logits through softmax.
func TestScores(t *testing.T) {
	var a, b comparison
	a.addScores([]float32{0.5, 0.25, 0.25}, []float32{0.25, 0.25, 0.5})
	b.addScores([]float32{float32(math.Log(2)), 0, 0}, []float32{0, 0, float32(math.Log(2))})
	near(t, "KL of probabilities", a.divergence(true).MeanKL, math.Ln2/4, 1e-7)
	near(t, "KL of logits", b.divergence(true).MeanKL, math.Ln2/4, 1e-7)
	var zero comparison
	zero.addScores([]float32{1, 0}, []float32{1, 0})
	near(t, "KL with zeros", zero.divergence(true).MeanKL, 0, 1e-12)
}

func TestTopScore(t *testing.T) {
	var s topScore
	scores := []float32{0.1, 0.5, 0.5, 0.2, 0.3, 0.4}
	for _, label := range []int{1, 2, 0, 3, -1} {
		s.add(scores, label)
	}
	// The best is 1; 2 ties with it and comes after; 0 is the sixth; 3 the fifth; -1 has no label.
	if s.top1 != 1 || s.top5 != 3 || s.n != 5 {
		t.Errorf("top-1 %d, top-5 %d of %d; want 1, 3 of 5", s.top1, s.top5, s.n)
	}
}

func TestArgmax(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		x    []float32
		want int
	}{{[]float32{1}, 0}, {[]float32{1, 3, 3}, 1}, {[]float32{-2, -1}, 1}, {[]float32{1, nan, 2}, 2}} {
		if got := argmax(c.x); got != c.want {
			t.Errorf("argmax(%v) is %d, want %d", c.x, got, c.want)
		}
	}
}
