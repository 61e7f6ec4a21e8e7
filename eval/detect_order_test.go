package eval

import (
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

// TestMeanAPIsTheSameEveryTime: the sum over classes must not depend on the order of a map.
func TestMeanAPIsTheSameEveryTime(t *testing.T) {
	var found [][]detect.Box
	var truth [][]dataset.Box
	for i := range 200 {
		class := i % 37
		truth = append(truth, []dataset.Box{{Class: class, X2: 10, Y2: 10}, {Class: class, X1: 50, X2: 60, Y2: float32(5 + i%7)}})
		found = append(found, []detect.Box{{Class: class, Score: float32(i%11) / 11, X2: 10, Y2: float32(4 + i%9)}, {Class: class, Score: 0.3, X1: 50, X2: 60, Y2: 9}})
	}
	first := newPrecision(found, truth).mean(nil)
	for range 50 {
		if got := newPrecision(found, truth).mean(nil); got != first {
			t.Fatalf("%v, then %v", first, got)
		}
	}
}
