package bundle

import (
	"bytes"
	"testing"
)

func TestSplit(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	for _, marks := range [][]int64{nil, {10, 20, 30}, {100_000, 100_010, 900_000}, {1_600_000}, {5, 40_000, 80_000, 80_001, 1_599_999}} {
		at := int64(0)
		starts := map[int64]bool{}
		for _, c := range Split(data, marks) {
			if c.Bytes <= 0 || c.Bytes > maxChunk || Sum(data[at:at+c.Bytes]) != c.SHA256 {
				t.Fatalf("%v: chunk of %d bytes at %d", marks, c.Bytes, at)
			}
			starts[at] = true
			at += c.Bytes
		}
		if at != int64(len(data)) {
			t.Errorf("%v: %d of %d bytes", marks, at, len(data))
		}
		for i, m := range marks {
			if m+minChunk <= int64(len(data)) && (i+1 == len(marks) || marks[i+1]-m >= minChunk) && !starts[m] {
				t.Errorf("%v: no chunk begins at the large part at %d", marks, m)
			}
		}
	}
	if Split(nil, nil) != nil {
		t.Error("an empty file has chunks")
	}
}
