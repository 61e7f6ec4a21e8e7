package detect

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

func f32(shape []int, v ...float32) *tensor.Tensor { return tensor.FromSlice(v, shape...) }

// near reports whether two boxes are the same up to rounding.
func near(a, b Box) bool {
	d := func(x, y float32) bool {
		return math.Abs(float64(x-y)) <= 1e-4*max(1, math.Abs(float64(y)))
	}
	return a.Class == b.Class && d(a.Score, b.Score) && d(a.X1, b.X1) && d(a.Y1, b.Y1) && d(a.X2, b.X2) && d(a.Y2, b.Y2)
}

func checkBoxes(t *testing.T, what string, got, want []Box) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d boxes, want %d: %v", what, len(got), len(want), got)
	}
	for i := range got {
		if !near(got[i], want[i]) {
			t.Errorf("%s: box %d is %+v, want %+v", what, i, got[i], want[i])
		}
	}
}

// TestHeadsByHand decodes outputs that were made by hand, one object each and one that is too weak.
func TestHeadsByHand(t *testing.T) {
	base := Head{Width: 64, Height: 32, Classes: 2, ScoreMin: 0.1, IoUMax: 0.5, MaxBoxes: 10}
	head := func(set func(h *Head)) *Head {
		h := base
		set(&h)
		return &h
	}
	e := float32(math.E)
	for _, c := range []struct {
		name string
		head *Head
		out  []*tensor.Tensor
		want []Box
	}{
		// 0.5 * 0.8 of class 1 at the centre (20, 10), 8 wide and 4 high.
		{"yolov5", head(func(h *Head) { h.Kind, h.Rows = "yolov5", 2 }), []*tensor.Tensor{f32([]int{1, 2, 7},
			20, 10, 8, 4, 0.5, 0.1, 0.8,
			40, 20, 8, 8, 0.05, 1, 1)}, []Box{{Class: 1, Score: 0.4, X1: 16, Y1: 8, X2: 24, Y2: 12}}},
		// Stride 32 has two cells, the second at column 1: (1 + 0.25) * 32 = 40, 0.5 * 32 = 16, a size of 32 and 32 e.
		{"yolox", head(func(h *Head) { h.Kind, h.Rows, h.Levels = "yolox", 2, []Level{{Stride: 32}} }), []*tensor.Tensor{f32([]int{1, 2, 7},
			0, 0, 0, 0, 0, 1, 1,
			0.25, 0.5, 0, 1, 0.9, 0.5, 0)}, []Box{{Class: 0, Score: 0.45, X1: 24, Y1: 16 - 16*e, X2: 56, Y2: 16 + 16*e}}},
		// Rows are x, y, w, h and two classes; columns are boxes.
		{"yolov8", head(func(h *Head) { h.Kind, h.Rows = "yolov8", 3 }), []*tensor.Tensor{f32([]int{1, 6, 3},
			20, 30, 40,
			10, 11, 12,
			8, 2, 4,
			4, 2, 6,
			0.05, 0.3, 0,
			0.7, 0, 0.1)}, []Box{{Class: 1, Score: 0.7, X1: 16, Y1: 8, X2: 24, Y2: 12}, {Class: 0, Score: 0.3, X1: 29, Y1: 10, X2: 31, Y2: 12}}},
		{"end2end", head(func(h *Head) { h.Kind, h.Rows = "end2end", 2 }), []*tensor.Tensor{f32([]int{1, 2, 6},
			1, 2, 11, 12, 0.8, 1,
			0, 0, 0, 0, 0, 0)}, []Box{{Class: 1, Score: 0.8, X1: 1, Y1: 2, X2: 11, Y2: 12}}},
		// Parts of 64 x 32; class 0 is the background.
		{"ssd", head(func(h *Head) { h.Kind, h.Rows, h.Scores = "ssd", 2, 1 }), []*tensor.Tensor{f32([]int{1, 2, 4},
			0.25, 0.5, 0.5, 1,
			0, 0, 1, 1), f32([]int{1, 2, 3}, 0.2, 0.1, 0.7, 1, 0, 0)}, []Box{{Class: 1, Score: 0.7, X1: 16, Y1: 16, X2: 32, Y2: 32}}},
		{"ssd in pixels", head(func(h *Head) { h.Kind, h.Rows, h.Output, h.Pixels = "ssd", 1, 1, true }), []*tensor.Tensor{
			f32([]int{1, 1, 3}, 0, 0.6, 0), f32([]int{1, 1, 4}, 3, 4, 5, 6)}, []Box{{Class: 0, Score: 0.6, X1: 3, Y1: 4, X2: 5, Y2: 6}}},
		// The second anchor of the only cell of stride 64, as high as the image: centre (32, 16), 16 x 16. dx = 2 moves it by 0.1 * 2 * 16 = 3.2, log w = 5 makes it e times as wide.
		{"ultraface", head(func(h *Head) {
			h.Kind, h.Rows, h.Scores, h.Classes, h.Raw, h.Levels = "ultraface", 2, 1, 1, true, []Level{square(64, 8, 16)}
		}), []*tensor.Tensor{f32([]int{1, 2, 4}, 0, 0, 0, 0, 2, 0, 5, 0), f32([]int{1, 2, 2}, 1, 0, 0.1, 0.9)},
			[]Box{{Class: 0, Score: 0.9, X1: 35.2 - 8*e, Y1: 16 - 8, X2: 35.2 + 8*e, Y2: 16 + 8}}},
	} {
		b, err := json.Marshal(c.head)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHead(b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, err := h.Decode(c.out)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		checkBoxes(t, c.name, got, c.want)
		var format *fault.Format
		if _, err := h.Decode(c.out[:len(c.out)-1]); !errors.As(err, &format) {
			t.Errorf("%s: %v for a missing output", c.name, err)
		}
	}
}

// TestHeadsNaive decodes noise of real shapes with decoders that follow the papers' formulas literally, in float64, and
// suppress with a matrix of overlaps.
func TestHeadsNaive(t *testing.T) {
	const w, h, classes = 96, 64, 3
	rnd := uint32(5)
	next := func() float64 {
		rnd = rnd*1664525 + 1013904223
		return float64(rnd>>8) / (1 << 24)
	}
	cells := 12*8 + 6*4 + 3*2
	type cell struct{ x, y, stride float64 }
	var grid []cell
	for _, s := range []int{8, 16, 32} {
		for y := 0; y*s < h; y++ {
			for x := 0; x*s < w; x++ {
				grid = append(grid, cell{float64(x), float64(y), float64(s)})
			}
		}
	}
	centre := func(class int, score, x, y, bw, bh float64) Box {
		return Box{class, "", float32(score), float32(x - bw/2), float32(y - bh/2), float32(x + bw/2), float32(y + bh/2)}
	}
	objects := func(rows int, log bool) []float32 {
		v := make([]float32, 0, rows*(5+classes))
		for range rows {
			if log {
				v = append(v, float32(next()), float32(next()), float32(next()), float32(next()))
			} else {
				v = append(v, float32(next()*w), float32(next()*h), float32(next()*30), float32(next()*30))
			}
			for range 1 + classes {
				v = append(v, float32(next()))
			}
		}
		return v
	}
	var five, x []Box
	v5, vx := objects(3*cells, false), objects(cells, true)
	at := func(v []float32, r, i int) float64 { return float64(v[r*(5+classes)+i]) }
	for r := range 3 * cells {
		for c := range classes {
			five = append(five, centre(c, at(v5, r, 4)*at(v5, r, 5+c), at(v5, r, 0), at(v5, r, 1), at(v5, r, 2), at(v5, r, 3)))
		}
	}
	for r, g := range grid {
		for c := range classes {
			x = append(x, centre(c, at(vx, r, 4)*at(vx, r, 5+c), (at(vx, r, 0)+g.x)*g.stride, (at(vx, r, 1)+g.y)*g.stride,
				math.Exp(at(vx, r, 2))*g.stride, math.Exp(at(vx, r, 3))*g.stride))
		}
	}
	v8 := make([]float32, (4+classes)*cells)
	for i := range v8 {
		v8[i] = float32(next())
		if i < 2*cells {
			v8[i] *= h
		} else if i < 4*cells {
			v8[i] *= 30
		}
	}
	var eight []Box
	for r := range cells {
		for c := range classes {
			p := func(i int) float64 { return float64(v8[i*cells+r]) }
			eight = append(eight, centre(c, p(4+c), p(0), p(1), p(2), p(3)))
		}
	}
	for _, c := range []struct {
		kind  string
		out   *tensor.Tensor
		boxes []Box
	}{
		{"yolov5", f32([]int{1, 3 * cells, 5 + classes}, v5...), five},
		{"yolox", f32([]int{1, cells, 5 + classes}, vx...), x},
		{"yolov8", f32([]int{1, 4 + classes, cells}, v8...), eight},
	} {
		head := Guess([][]int{c.out.Shape}, w, h)
		if head == nil || head.Kind != c.kind || head.Classes != classes {
			t.Fatalf("%v is guessed to be %+v, want %s", c.out.Shape, head, c.kind)
		}
		head.ScoreMin, head.IoUMax, head.MaxBoxes = 0.3, 0.4, 40
		got, err := head.Decode([]*tensor.Tensor{c.out})
		if err != nil {
			t.Fatal(err)
		}
		checkBoxes(t, c.kind, got, naiveSuppress(c.boxes, head))
	}
}

// naiveSuppress takes the best box that is left, again and again.
func naiveSuppress(boxes []Box, h *Head) []Box {
	var out []Box
	gone := make([]bool, len(boxes))
	for len(out) < h.MaxBoxes {
		best := -1
		for i, b := range boxes {
			if !gone[i] && b.Score > h.ScoreMin && (best < 0 || b.Score > boxes[best].Score) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		k := boxes[best]
		out = append(out, k)
		for i, b := range boxes {
			side := func(a1, a2, b1, b2 float32) float64 { return math.Max(0, float64(min(a2, b2)-max(a1, b1))) }
			inter := side(k.X1, k.X2, b.X1, b.X2) * side(k.Y1, k.Y2, b.Y1, b.Y2)
			area := func(b Box) float64 { return float64(b.X2-b.X1) * float64(b.Y2-b.Y1) }
			if b.Class == k.Class && inter/(area(k)+area(b)-inter) > float64(h.IoUMax) {
				gone[i] = true
			}
		}
		gone[best] = true
	}
	return out
}

func TestGuessKinds(t *testing.T) {
	for _, c := range []struct {
		outputs       [][]int
		width, height int
		want          string
	}{
		{[][]int{{1, 25200, 85}}, 640, 640, "yolov5"},
		{[][]int{{1, 25200, 85}, {1, 3, 80, 80, 85}, {1, 3, 40, 40, 85}, {1, 3, 20, 20, 85}}, 640, 640, "yolov5"},
		{[][]int{{1, 8400, 85}}, 640, 640, "yolox"},
		{[][]int{{1, 3549, 85}}, 416, 416, "yolox"},
		{[][]int{{1, 84, 8400}}, 640, 640, "yolov8"},
		{[][]int{{1, 5, 2100}}, 320, 320, "yolov8"},
		{[][]int{{1, 300, 6}}, 640, 640, "end2end"},
		{[][]int{{1, 4420, 2}, {1, 4420, 4}}, 320, 240, "ultraface"},
		{[][]int{{1, 17640, 2}, {1, 17640, 4}}, 640, 480, "ultraface"},
		{[][]int{{1, 3000, 21}, {1, 3000, 4}}, 300, 300, "ssd"},
		{[][]int{{1, 1000}}, 224, 224, ""},
		{[][]int{{1, 12, 85}}, 640, 640, ""},
		{[][]int{{1, 9, 768}, {1, 768}}, 640, 640, ""},
	} {
		got := ""
		if h := Guess(c.outputs, c.width, c.height); h != nil {
			got = h.Kind
		}
		if got != c.want {
			t.Errorf("%v for %d x %d is %q, want %q", c.outputs, c.width, c.height, got, c.want)
		}
	}
}
