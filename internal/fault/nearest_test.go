package fault

import "testing"

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"weight-bits", "weight-bits", 0}, {"weigth-bits", "weight-bits", 2}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := editDistance(c.a, c.b); got != c.want || editDistance(c.b, c.a) != got {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"convert", "quantize", "eval", "MaxPool"}
	for word, want := range map[string]string{"quantise": "quantize", "convrt": "convert", "maxpool": "MaxPool", "MaxLoop": "MaxPool", "serve": "", "x": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
