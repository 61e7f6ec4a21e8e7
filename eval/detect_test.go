package eval

import (
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

func box(class int, score, x, y, w, h float32) detect.Box {
	return detect.Box{Class: class, Score: score, X1: x, Y1: y, X2: x + w, Y2: y + h}
}

func object(class int, x, y, w, h float32) dataset.Box {
	return dataset.Box{Class: class, X1: x, Y1: y, X2: x + w, Y2: y + h}
}

// TestMeanAP holds the mean average precision against figures that follow from its definition by hand.
func TestMeanAP(t *testing.T) {
	one := [][]dataset.Box{{object(0, 0, 0, 10, 10)}}
	two := [][]dataset.Box{{object(0, 0, 0, 10, 10), object(0, 50, 50, 10, 10)}}
	for _, c := range []struct {
		name  string
		found [][]detect.Box
		truth [][]dataset.Box
		want  float64
	}{
		{"nothing to find", [][]detect.Box{{box(0, 1, 0, 0, 1, 1)}}, [][]dataset.Box{nil}, 0},
		{"nothing found", [][]detect.Box{nil}, one, 0},
		{"exact", [][]detect.Box{{box(0, .9, 0, 0, 10, 10)}}, one, 1},
		{"overlap of exactly a half", [][]detect.Box{{box(0, .9, 0, 0, 10, 5)}}, one, 1},
		{"overlap below a half", [][]detect.Box{{box(0, .9, 0, 0, 10, 4.9)}}, one, 0},
		{"wrong class", [][]detect.Box{{box(1, .9, 0, 0, 10, 10)}}, one, 0},
		// Recall 1 is reached at the second box: precision 1/2 at all levels.
		{"a better wrong box first", [][]detect.Box{{box(0, .9, 30, 30, 10, 10), box(0, .8, 0, 0, 10, 10)}}, one, 0.5},
		// The second box for one object is wrong, but comes after recall 1.
		{"found twice", [][]detect.Box{{box(0, .9, 0, 0, 10, 10), box(0, .8, 1, 0, 10, 10)}}, one, 1},
		// Recall 0.5: levels 0, 0.01, .., 0.50 have precision 1, which are 51 of 101.
		{"one of two", [][]detect.Box{{box(0, .9, 0, 0, 10, 10)}}, two, 51. / 101},
		// Right, wrong, right: 51 levels at precision 1, 50 at 2/3.
		{"right, wrong, right", [][]detect.Box{{box(0, .9, 0, 0, 10, 10), box(0, .8, 80, 0, 5, 5), box(0, .7, 50, 50, 10, 10)}}, two, (51 + 50*2./3) / 101},
		// Classes count alike, however many objects they have.
		{"mean over classes", [][]detect.Box{{box(0, .9, 0, 0, 10, 10)}}, [][]dataset.Box{{object(0, 0, 0, 10, 10), object(7, 0, 0, 10, 10)}}, 0.5},
		// Scores rank across images.
		{"two images", [][]detect.Box{{box(0, .2, 0, 0, 10, 10)}, {box(0, .9, 30, 30, 5, 5)}}, [][]dataset.Box{one[0], nil}, 0.5},
	} {
		if got := newPrecision(c.found, c.truth).mean(nil); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %.6f, want %.6f", c.name, got, c.want)
		}
	}
}
