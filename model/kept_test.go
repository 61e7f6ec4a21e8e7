package model

import (
	"errors"
	"reflect"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// TestKept follows values through two prunings, and reads what it writes.
func TestKept(t *testing.T) {
	first := Kept{"a": {Of: "a", Channels: []int{0, 2, 4, 6}}, "b": {Of: "c"}, "d": {Of: "d", Channels: []int{1}}}
	second := Kept{"a": {Of: "a", Channels: []int{1, 3}}, "b": {Of: "b", Channels: []int{5}}, "e": {Of: "d"}, "f": {Of: "g"}}
	want := Kept{"a": {Of: "a", Channels: []int{2, 6}}, "b": {Of: "c", Channels: []int{5}}, "d": {Of: "d", Channels: []int{1}},
		"e": {Of: "d", Channels: []int{1}}, "f": {Of: "g"}}
	got := second.After(first)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	m := &Model{}
	if k, err := KeptOf(m); err != nil || len(k) != 0 {
		t.Errorf("of a whole model %v, %v", k, err)
	}
	if err := got.Store(m); err != nil {
		t.Fatal(err)
	}
	if read, err := KeptOf(m); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("read %v, %v", read, err)
	}
	for _, broken := range []string{"[]", `{"a":{"of":""}}`, `{"a":{"of":"a","channels":[-1]}}`, "{"} {
		m.Assets[AssetKept] = []byte(broken)
		var format *fault.Format
		if k, err := KeptOf(m); !errors.As(err, &format) {
			t.Errorf("%s: %v, %v", broken, k, err)
		}
	}
}
