package detect

import (
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// ssd has an output of boxes [1, Rows, 4] and one of scores [1, Rows, 1+Classes], of which class 0 is the background and is left out: class
// 1 becomes 0. Boxes are the corners as parts of the input's sides or, with Pixels, in pixels. With Raw they are offsets from anchors (Liu et
// al., "SSD: Single Shot MultiBox Detector", 2016): with the anchor's centre (ax, ay) and size (aw, ah)
//
//	centre = (ax + 0.1 dx aw, ay + 0.1 dy ah),  size = (aw exp(0.2 log w), ah exp(0.2 log h))
//
// Anchors lie in the middle of the cells of the levels, a cell's one after the other, row by row. The cells of a level share the image evenly, where
// its side is no multiple of the stride too.
var ssd = kind{name: "ssd", check: checkSSD, guess: guessSSD, decode: decodeSSD}

// ultraFace is ssd with one class, and the anchors of Ultra-Light-Fast-Generic-Face-Detector-1MB.
var ultraFace = kind{name: "ultraface", check: checkSSD, guess: guessUltraFace, decode: decodeSSD}

// The scales of raw offsets and sizes.
const (
	centreVariance = 0.1
	sizeVariance   = 0.2
)

var ultraFaceLevels = []Level{square(8, 10, 16, 24), square(16, 32, 48), square(32, 64, 96), square(64, 128, 192, 256)}

// square is a level of square anchors.
func square(stride int, sides ...float32) Level {
	l := Level{Stride: stride}
	for _, s := range sides {
		l.Anchors = append(l.Anchors, [2]float32{s, s})
	}
	return l
}

// anchors counts the anchors of all levels.
func (h *Head) anchors() int {
	n := 0
	for _, l := range h.Levels {
		n += h.cells(l.Stride) * len(l.Anchors)
	}
	return n
}

func checkSSD(h *Head) error {
	if h.Raw && h.anchors() != h.Rows {
		return fault.Formatf("detector head", "%d boxes, but the levels have %d anchors", h.Rows, h.anchors())
	}
	return checkRows(h)
}

// guessSSD takes decoded boxes for such; a graph that does not decode needs the description of its anchors.
func guessSSD(h *Head, outputs [][]int) bool {
	if len(outputs) != 2 {
		return false
	}
	for i := range outputs {
		rows, four, ok := matrix(outputs[i])
		same, classes, ok2 := matrix(outputs[1-i])
		if ok && ok2 && rows == same && rows > 1 && four == 4 && classes >= 2 && classes != 4 {
			h.Output, h.Scores, h.Rows, h.Classes = i, 1-i, rows, classes-1
			return true
		}
	}
	return false
}

func guessUltraFace(h *Head, outputs [][]int) bool {
	h.Levels = ultraFaceLevels
	// The project's own thresholds: of a face's many boxes one is left.
	h.ScoreMin, h.IoUMax = 0.5, 0.3
	return guessSSD(h, outputs) && h.Classes == 1 && h.Rows == h.anchors()
}

func decodeSSD(h *Head, out []*tensor.Tensor) ([]Box, error) {
	at, err := h.output(out, h.Output, h.Rows*4)
	if err != nil {
		return nil, err
	}
	scores, err := h.output(out, h.Scores, h.Rows*(1+h.Classes))
	if err != nil {
		return nil, err
	}
	place := func(r int) Box {
		b := at[r*4:][:4]
		sx, sy := float32(h.Width), float32(h.Height)
		if h.Pixels {
			sx, sy = 1, 1
		}
		return Box{X1: b[0] * sx, Y1: b[1] * sy, X2: b[2] * sx, Y2: b[3] * sy}
	}
	if h.Raw {
		anchors := h.anchorBoxes()
		place = func(r int) Box {
			b, a := at[r*4:][:4], anchors[r]
			return centred(0, 0, a[0]+centreVariance*b[0]*a[2], a[1]+centreVariance*b[1]*a[3], a[2]*exp(sizeVariance*b[2]), a[3]*exp(sizeVariance*b[3]))
		}
	}
	var boxes []Box
	for r := range h.Rows {
		for class, score := range scores[r*(1+h.Classes)+1:][:h.Classes] {
			if score > h.ScoreMin {
				b := place(r)
				b.Class, b.Score = class, score
				boxes = append(boxes, b)
			}
		}
	}
	return boxes, nil
}

// anchorBoxes lists centre and size of every anchor in pixels. No side is longer than the image's.
func (h *Head) anchorBoxes() [][4]float32 {
	list := make([][4]float32, 0, h.Rows)
	for _, l := range h.Levels {
		cols, rows := ceilDiv(h.Width, l.Stride), ceilDiv(h.Height, l.Stride)
		for cell := range cols * rows {
			x, y := (float32(cell%cols)+0.5)/float32(cols)*float32(h.Width), (float32(cell/cols)+0.5)/float32(rows)*float32(h.Height)
			for _, a := range l.Anchors {
				list = append(list, [4]float32{x, y, min(a[0], float32(h.Width)), min(a[1], float32(h.Height))})
			}
		}
	}
	return list
}
