package runtime

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestStopFilter(t *testing.T) {
	for _, c := range []struct {
		name    string
		stops   []string
		chunks  []string
		want    string
		stopped bool
	}{
		{"no stops", nil, []string{"a", "b"}, "ab", false},
		{"in one piece", []string{"END"}, []string{"one END two"}, "one ", true},
		{"over pieces", []string{"END"}, []string{"one E", "N", "D two"}, "one ", true},
		{"a beginning that goes on otherwise", []string{"END"}, []string{"one E", "NTER"}, "one ENTER", false},
		{"a beginning at the end", []string{"END"}, []string{"one EN"}, "one EN", false},
		{"repeated beginnings", []string{"aab"}, []string{"aa", "aa", "b"}, "aa", true},
		{"several stops", []string{"\n\n", "User:"}, []string{"hello\n", "Use", "r: x"}, "hello\n", true},
		{"the first of two in a piece", []string{"b", "a"}, []string{"xxaxb"}, "xx", true},
		{"an empty stop means nothing", []string{""}, []string{"abc"}, "abc", false},
		{"bytes of one character", []string{"é"}, []string{"caf", "é", "s"}, "caf", true},
	} {
		var out strings.Builder
		f := stopFilter{stops: c.stops, emit: func(s string) error { out.WriteString(s); return nil }}
		stopped := false
		for _, chunk := range c.chunks {
			var err error
			if stopped, err = f.write(chunk); err != nil {
				t.Fatal(err)
			}
			if stopped {
				break
			}
		}
		if !stopped {
			if err := f.flush(); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != c.want || stopped != c.stopped {
			t.Errorf("%s: %q stopped %v, want %q %v", c.name, out.String(), stopped, c.want, c.stopped)
		}
	}
}

// TestStopFilterPieces says that how a text is cut into pieces changes nothing: what comes out is what stands
// before the first place where a stop begins.
func TestStopFilterPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab]{0,30}`).Draw(t, "text")
		stop := rapid.StringMatching(`[ab]{1,4}`).Draw(t, "stop")
		want, _, _ := strings.Cut(text, stop)
		var out strings.Builder
		f := stopFilter{stops: []string{stop}, emit: func(s string) error { out.WriteString(s); return nil }}
		stopped := false
		for rest := text; rest != "" && !stopped; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			stopped, _ = f.write(rest[:n])
			rest = rest[n:]
		}
		if !stopped {
			f.flush()
		}
		if out.String() != want || stopped != strings.Contains(text, stop) {
			t.Fatalf("%q up to %q gave %q", text, stop, out.String())
		}
	})
}

func TestStopFilterError(t *testing.T) {
	full := errors.New("disk full")
	f := stopFilter{emit: func(string) error { return full }}
	if _, err := f.write("x"); !errors.Is(err, full) {
		t.Errorf("the error of emit is lost: %v", err)
	}
}
