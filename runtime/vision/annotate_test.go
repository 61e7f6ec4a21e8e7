package vision

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/runtime/detect"
)

func gray(w, h int) *picture.RGB {
	img := &picture.RGB{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for i := range img.Pix {
		img.Pix[i] = 100
	}
	return img
}

func name(int) string { return "cat" }

func TestDrawBoxes(t *testing.T) {
	back := color.NRGBA{100, 100, 100, 255}
	for _, size := range []int{100, 2000} {
		w := 1 + max(1, size/scaleSide)
		lo, hi := size/2, size*9/10
		src := gray(size, size)
		img := DrawBoxes(src, []detect.Box{{Class: 3, Score: 0.5, X1: float32(lo), Y1: float32(lo), X2: float32(hi), Y2: float32(hi)}}, name)
		want := classColor(3)
		for _, p := range []image.Point{{lo, lo}, {hi - 1, lo}, {lo, hi - 1}, {hi - 1, hi - 1}, {lo + w - 1, hi - w}, {lo, size * 7 / 10}} {
			if got := img.At(p.X, p.Y); got != want {
				t.Errorf("%d: the frame at %v is %v, want %v", size, p, got, want)
			}
		}
		for _, p := range []image.Point{{lo - 1, hi - 1}, {hi, hi}, {lo + w, lo + w}, {hi - w - 1, hi - w - 1}, {0, 0}} {
			if got := img.At(p.X, p.Y); got != back {
				t.Errorf("%d: %v is %v, want the image", size, p, got)
			}
		}
		ink := 0
		for y := lo - 20; y < lo; y++ {
			for x := lo; x < hi; x++ {
				if img.At(x, y) == (color.NRGBA{A: 255}) || img.At(x, y) == (color.NRGBA{255, 255, 255, 255}) {
					ink++
				}
			}
		}
		if ink < 40 {
			t.Errorf("%d: the label above the box has %d pixels of ink", size, ink)
		}
		if src.Pix[3*(lo*size+lo)] != 100 {
			t.Error("the source is drawn upon")
		}
	}
}

// TestDrawOutside draws what no detector should return.
func TestDrawOutside(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, b := range []detect.Box{
		{X1: -50, Y1: -50, X2: 500, Y2: 500}, {X1: 90, Y1: 90, X2: 10, Y2: 10}, {X1: 5, Y1: 5, X2: 5, Y2: 5},
		{X1: nan, Y1: 3, X2: inf, Y2: -inf}, {Class: -7, X1: 30, X2: 40, Y2: 20, Y1: 18}, {Class: 1 << 40, X1: 99, Y1: 99, X2: 100, Y2: 100},
	} {
		DrawBoxes(gray(100, 60), []detect.Box{b}, name)
	}
	DrawBoxes(gray(1, 1), []detect.Box{{X2: 1, Y2: 1}}, name)
}

func TestDrawClasses(t *testing.T) {
	img := DrawClasses(gray(200, 60), []Class{{Class: 1, Label: "cat", Probability: 0.9}, {Class: 2, Label: "dog", Probability: 0.1}})
	if got := img.At(0, 0); got != classColor(1) {
		t.Errorf("the first label lies on %v", got)
	}
	if got := img.At(0, 20); got != classColor(2) {
		t.Errorf("the second label lies on %v", got)
	}
	if got := img.At(199, 59); got != (color.NRGBA{100, 100, 100, 255}) {
		t.Errorf("the far corner is %v", got)
	}
}
