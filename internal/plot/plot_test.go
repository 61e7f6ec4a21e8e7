package plot

import (
	"math"
	"strings"
	"testing"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		a    Axis
		want string
	}{
		{Axis{Lo: 0, Hi: 10}, "0 2 4 6 8 10 "},
		{Axis{Lo: 1.23, Hi: 1.27}, "1.23 1.24 1.25 1.26 1.27 "},
		{Axis{Lo: 0.9, Hi: 120, Log: true}, "1 2 5 10 20 50 100 "},
		{Axis{Lo: 1e-6, Hi: 2, Log: true}, "1e-6 1e-5 0.0001 0.001 0.01 0.1 1 "},
	} {
		got := ""
		for _, v := range c.a.ticks() {
			got += short(v) + " "
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.a, got, c.want)
		}
	}
}

// TestPlot: what is drawn lies in the frame, texts are escaped, and values that are none are left out of the axis.
func TestPlot(t *testing.T) {
	y := []float64{3, math.NaN(), math.Inf(1), 7}
	p := New("a<b", Axis{Hi: 10}, Over(y, false), "steps", "loss, nats", true)
	if left, right, low, high := p.X(0), p.X(10), p.Y(3), p.Y(7); left != Left || right != Right || low > Bottom || low < high || high < Top {
		t.Errorf("%g..%g across, %g..%g down", left, right, low, high)
	}
	p.Line("curve", []float64{0, 10}, []float64{3, 7}, "x & y")
	p.Mark("dot", 10, 7, 2, "")
	s := string(p.HTML())
	for _, want := range []string{"a&lt;b", "x &amp; y", "steps", "loss, nats", "<circle", "</svg>"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in %s", want, s)
		}
	}
	if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
		t.Error("numbers that are none")
	}
	for _, values := range [][]float64{nil, {5}, {math.NaN()}, {0, 0}} {
		for _, log := range []bool{false, true} {
			if a := Over(values, log); !(a.Lo < a.Hi) || len(a.ticks()) == 0 || len(a.ticks()) > 20 {
				t.Errorf("%v, log %v: %+v with %v", values, log, a, a.ticks())
			}
		}
	}
}
