package tensor

import (
	"math"
	"slices"
	"testing"
)

// TestSmallRoundTrip: every code of a small float decodes to a number that encodes to it again.
func TestSmallRoundTrip(t *testing.T) {
	for dt, f := range smallFormats {
		table, code := DecodeSmall(dt), EncodeSmall(dt, true)
		for i := range 1 << (1 + f.exponent + f.mantissa) {
			if v := float64(table[i]); math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			if got := code(table[i]); got != byte(i) {
				t.Errorf("%v: code %#x is %v, which becomes %#x", dt, i, table[i], got)
			}
		}
	}
	if v := DecodeSmall(F8E4M3FN)[0x7e]; v != 448 {
		t.Errorf("the largest F8E4M3FN is %v", v)
	}
	if c := EncodeSmall(F8E5M2, false)(1e9); c != 0x7c {
		t.Errorf("F8E5M2 of 1e9 without saturation is %#x", c)
	}
}

func TestUnpackSmall(t *testing.T) {
	got := make([]byte, 3)
	UnpackSmall(I4, got, []byte{0x8f, 0x07})
	if want := []byte{0xff, 0xf8, 7}; !slices.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestHoldingTypes(t *testing.T) {
	for _, dt := range []DType{F32, I4, STRING, SequenceOf(F32), OptionalOf(STRING), OptionalOf(SequenceOf(I64))} {
		if got, err := ParseDType(dt.String()); err != nil || got != dt {
			t.Errorf("%v parses as %v, %v", dt, got, err)
		}
	}
	s := FromStrings([]string{"a", "", "a"}, 3)
	if v := View[uint64](s); v[0] != v[2] || v[1] != 0 || !slices.Equal(s.Strings(), []string{"a", "", "a"}) {
		t.Errorf("strings %v", s.Strings())
	}
}
