package detect

import (
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// yoloV5 has one output [1, Rows, 5+Classes] as YOLOv5, v6 (Meituan) and v7 export it, decoded by the graph: centre, width and height in pixels, the
// probability of an object, and each class's given an object. A box's score is the product of the two; each class above ScoreMin
// counts as a box.
var yoloV5 = kind{name: "yolov5", check: checkRows, guess: guessYOLOv5, decode: decodeObjects}

func checkRows(h *Head) error {
	if h.Rows < 1 || h.Rows > 1<<24/(h.Classes+5) {
		return fault.Formatf("detector head", "%d boxes of %d classes are out of range", h.Rows, h.Classes)
	}
	return nil
}

// guessYOLOv5 wants three anchors for each cell of a pyramid, as which YOLOX has one.
func guessYOLOv5(h *Head, outputs [][]int) bool {
	return h.guessObjects(outputs, func(rows int) bool {
		return slices.ContainsFunc(pyramids, func(strides []int) bool { return rows == 3*h.cells(strides...) })
	})
}

// guessObjects finds the output of rows of box, object and classes.
func (h *Head) guessObjects(outputs [][]int, fits func(rows int) bool) bool {
	for i, s := range outputs {
		rows, cols, ok := matrix(s)
		if ok && cols > 5 && fits(rows) {
			h.Output, h.Rows, h.Classes = i, rows, cols-5
			return true
		}
	}
	return false
}

func decodeObjects(h *Head, out []*tensor.Tensor) ([]Box, error) {
	v, err := h.output(out, h.Output, h.Rows*(5+h.Classes))
	if err != nil {
		return nil, err
	}
	var boxes []Box
	for r := range h.Rows {
		row := v[r*(5+h.Classes):][:5+h.Classes]
		if !(row[4] > h.ScoreMin) {
			continue
		}
		for class, p := range row[5:] {
			if score := row[4] * p; score > h.ScoreMin {
				boxes = append(boxes, centred(class, score, row[0], row[1], row[2], row[3]))
			}
		}
	}
	return boxes, nil
}
