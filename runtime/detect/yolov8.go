package detect

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// yoloV8 has one output [1, 4+Classes, Rows] as YOLOv8, v9 and v11 export it, decoded by the graph: a column for each cell with centre, width and
// height in pixels, then the classes' probabilities. There is no score of an object.
var yoloV8 = kind{name: "yolov8", check: checkRows, guess: guessYOLOv8, decode: decodeYOLOv8}

func guessYOLOv8(h *Head, outputs [][]int) bool {
	for i, s := range outputs {
		cols, rows, ok := matrix(s)
		if ok && cols > 4 && slices.ContainsFunc(pyramids, func(strides []int) bool { return rows == h.cells(strides...) }) {
			h.Output, h.Rows, h.Classes = i, rows, cols-4
			return true
		}
	}
	return false
}

func decodeYOLOv8(h *Head, out []*tensor.Tensor) ([]Box, error) {
	v, err := h.output(out, h.Output, h.Rows*(4+h.Classes))
	if err != nil {
		return nil, err
	}
	n := h.Rows
	var boxes []Box
	for class := range h.Classes {
		for r, score := range v[(4+class)*n:][:n] {
			if score > h.ScoreMin {
				boxes = append(boxes, centred(class, score, v[r], v[n+r], v[2*n+r], v[3*n+r]))
			}
		}
	}
	return boxes, nil
}
