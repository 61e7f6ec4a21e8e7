package detect

import "github.com/dsk-toolkit/dsk/tensor"

// endToEnd has one output [1, Rows, 6] of boxes that the graph itself has chosen, as YOLOv10 and exports with suppression have it: x1, y1, x2, y2 in
// pixels, score, number of the class. Unused rows score 0. Suppression is run none the less and finds little to do.
var endToEnd = kind{name: "end2end", check: checkRows, guess: guessEndToEnd, decode: decodeEndToEnd}

// endRows is the most rows that are taken for chosen boxes.
const endRows = 1000

func guessEndToEnd(h *Head, outputs [][]int) bool {
	if len(outputs) != 1 || len(outputs[0]) != 3 {
		return false
	}
	rows, cols, ok := matrix(outputs[0])
	// The number of classes is not to be seen; it only bounds the numbers.
	h.Rows, h.Classes = rows, 1000
	return ok && cols == 6 && rows >= 10 && rows <= endRows
}

func decodeEndToEnd(h *Head, out []*tensor.Tensor) ([]Box, error) {
	v, err := h.output(out, h.Output, h.Rows*6)
	if err != nil {
		return nil, err
	}
	var boxes []Box
	for r := range h.Rows {
		b := v[r*6:][:6]
		if class := b[5]; b[4] > h.ScoreMin && class >= 0 && class < float32(h.Classes) {
			boxes = append(boxes, Box{Class: int(class), Score: b[4], X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]})
		}
	}
	return boxes, nil
}
