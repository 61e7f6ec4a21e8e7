package detect

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/google/go-cmp/cmp"
)

func TestIoU(t *testing.T) {
	a := Box{X1: 0, Y1: 0, X2: 10, Y2: 10}
	for _, c := range []struct {
		b    Box
		want float32
	}{
		{a, 1},
		{Box{X1: 5, Y1: 0, X2: 15, Y2: 10}, 50. / 150},
		{Box{X1: 2, Y1: 2, X2: 4, Y2: 4}, 0.04},
		{Box{X1: 10, Y1: 0, X2: 20, Y2: 10}, 0},
		{Box{X1: 30, Y1: 30, X2: 40, Y2: 40}, 0},
	} {
		if got := IoU(a, c.b); got != c.want || IoU(c.b, a) != got {
			t.Errorf("IoU with %v is %g, want %g", c.b, got, c.want)
		}
	}
}

func TestSuppress(t *testing.T) {
	boxes := []Box{
		{Class: 0, Score: .5, X2: 10, Y2: 10},
		{Class: 0, Score: .9, X1: 1, X2: 11, Y2: 10}, // covers the first by 9/11
		{Class: 1, Score: .4, X2: 10, Y2: 10},        // another class
		{Class: 0, Score: .3, X1: 50, X2: 60, Y2: 10},
	}
	scores := func(b []Box) (s []float32) {
		for _, x := range b {
			s = append(s, x.Score)
		}
		return s
	}
	if got := scores(Suppress(slices.Clone(boxes), 0.6, 100)); !slices.Equal(got, []float32{.9, .4, .3}) {
		t.Errorf("kept %v", got)
	}
	if got := scores(Suppress(slices.Clone(boxes), 0.9, 100)); !slices.Equal(got, []float32{.9, .5, .4, .3}) {
		t.Errorf("kept %v with a higher threshold", got)
	}
	if got := scores(Suppress(slices.Clone(boxes), 0.6, 2)); !slices.Equal(got, []float32{.9, .4}) {
		t.Errorf("kept %v with a limit of 2", got)
	}
}

func TestGuess(t *testing.T) {
	// The outputs of NanoDet for 416 x 416: strides 8, 16, 32; 80 classes, 8 bins.
	out := [][]int{{1, 2704, 80}, {1, 676, 80}, {1, 169, 80}, {1, 2704, 32}, {1, 676, 32}, {1, 169, 32}}
	want := &Head{Kind: "gfl", Width: 416, Height: 416, Classes: 80, Bins: 8, ScoreMin: defaultScoreMin, IoUMax: defaultIoUMax,
		MaxBoxes: defaultMaxBoxes, Levels: []Level{{Stride: 8, Scores: 0, Distances: 3}, {Stride: 16, Scores: 1, Distances: 4}, {Stride: 32, Scores: 2, Distances: 5}}}
	if diff := cmp.Diff(want, Guess(out, 416, 416)); diff != "" {
		t.Error(diff)
	}
	for name, shapes := range map[string][][]int{
		"a classifier":       {{1, 1000}},
		"one level":          {{1, 169, 80}, {1, 169, 32}},
		"cells of no stride": {{1, 100, 80}, {1, 100, 32}, {1, 25, 80}, {1, 25, 32}},
		"images":             {{1, 3, 8, 8}, {1, 3, 8, 8}},
		"classes differ":     {{1, 2704, 80}, {1, 2704, 32}, {1, 676, 81}, {1, 676, 32}},
		"three of a size":    {{1, 169, 80}, {1, 169, 32}, {1, 169, 4}, {1, 676, 80}, {1, 676, 32}},
	} {
		if h := Guess(shapes, 416, 416); h != nil {
			t.Errorf("%s: taken for %+v", name, h)
		}
	}
}

// TestDecode reads one box from a head of one cell a level by hand.
func TestDecode(t *testing.T) {
	h, err := ParseHead([]byte(`{"kind":"gfl","width":16,"height":16,"classes":2,"bins":3,"levels":[{"stride":8,"scores":0,"distances":1}],
		"score_min":0.1,"iou_max":0.5,"max_boxes":10}`))
	if err != nil {
		t.Fatal(err)
	}
	scores := make([]float32, 4*2)
	scores[3*2+1] = 0.7 // cell 3 is the lower right of 2 x 2: its centre is (12, 12)
	dist := make([]float32, 4*4*3)
	// Left: certainly bin 1, 8 pixels. Top: halves of bins 0 and 2, also 8. Right: bin 0. Bottom: all alike, 8.
	ln := func(p float64) float32 { return float32(math.Log(p)) }
	copy(dist[3*12:], []float32{-100, 0, -100, ln(.5), -100, ln(.5), 0, -100, -100, 5, 5, 5})
	boxes, err := h.Decode([]*tensor.Tensor{tensor.FromSlice(scores, 1, 4, 2), tensor.FromSlice(dist, 1, 4, 12)})
	if err != nil {
		t.Fatal(err)
	}
	if len(boxes) != 1 {
		t.Fatalf("%d boxes, want 1", len(boxes))
	}
	b := boxes[0]
	near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4 }
	if b.Class != 1 || b.Score != 0.7 || !near(b.X1, 4) || !near(b.Y1, 4) || !near(b.X2, 12) || !near(b.Y2, 20) {
		t.Errorf("box %+v, want class 1 at 4,4 12,20", b)
	}
	if _, err := h.Decode([]*tensor.Tensor{tensor.FromSlice(scores, 1, 4, 2)}); err == nil {
		t.Error("a missing output was accepted")
	}
	if _, err := h.Decode([]*tensor.Tensor{tensor.FromSlice(scores, 1, 4, 2), tensor.FromSlice(dist[:12], 1, 1, 12)}); err == nil {
		t.Error("an output of the wrong size was accepted")
	}
}

func TestParseHeadRefuses(t *testing.T) {
	var u *fault.Unsupported
	if _, err := ParseHead([]byte(`{"kind":"retina"}`)); !errors.As(err, &u) {
		t.Errorf("an unknown head: %v", err)
	}
	for _, bad := range []string{``, `{"kind":"gfl"}`, `{"kind":"gfl","width":1,"height":1,"classes":1,"bins":8,"levels":[{"stride":0}]}`,
		`{"kind":"gfl","width":1,"height":1,"classes":1,"bins":8,"levels":[{"stride":8,"scores":-1}]}`} {
		var f *fault.Format
		if _, err := ParseHead([]byte(bad)); !errors.As(err, &f) {
			t.Errorf("%s: %v, want a format error", bad, err)
		}
	}
}
