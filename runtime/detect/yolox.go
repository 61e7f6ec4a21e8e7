package detect

import (
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// yoloX has one output [1, Rows, 5+Classes], a row for each cell of the levels, finest level first, row by row: dx, dy, log w, log h, the
// probability of an object, and the classes'. With the cell's column c and row r
//
//	centre = (c + dx, r + dy) * stride,  size = (exp(log w), exp(log h)) * stride
//
// (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"). An export that decodes in the graph is a yolov5 head.
var yoloX = kind{name: "yolox", check: checkYOLOX, guess: guessYOLOX, decode: decodeYOLOX}

func (h *Head) strides() []int {
	var strides []int
	for _, l := range h.Levels {
		strides = append(strides, l.Stride)
	}
	return strides
}

func checkYOLOX(h *Head) error {
	if n := h.cells(h.strides()...); n != h.Rows {
		return fault.Formatf("detector head", "%d boxes, but the levels have %d cells", h.Rows, n)
	}
	return checkRows(h)
}

func guessYOLOX(h *Head, outputs [][]int) bool {
	if !h.guessObjects(outputs, func(rows int) bool {
		return slices.ContainsFunc(pyramids, func(strides []int) bool { return rows == h.cells(strides...) })
	}) {
		return false
	}
	for _, strides := range pyramids {
		if h.cells(strides...) != h.Rows {
			continue
		}
		for _, s := range strides {
			h.Levels = append(h.Levels, Level{Stride: s})
		}
		return true
	}
	return false
}

func decodeYOLOX(h *Head, out []*tensor.Tensor) ([]Box, error) {
	v, err := h.output(out, h.Output, h.Rows*(5+h.Classes))
	if err != nil {
		return nil, err
	}
	var boxes []Box
	first := 0
	for _, l := range h.Levels {
		cols, rows, stride := ceilDiv(h.Width, l.Stride), ceilDiv(h.Height, l.Stride), float32(l.Stride)
		for cell := range cols * rows {
			row := v[(first+cell)*(5+h.Classes):][:5+h.Classes]
			if !(row[4] > h.ScoreMin) {
				continue
			}
			for class, p := range row[5:] {
				if score := row[4] * p; score > h.ScoreMin {
					boxes = append(boxes, centred(class, score, (float32(cell%cols)+row[0])*stride, (float32(cell/cols)+row[1])*stride,
						exp(row[2])*stride, exp(row[3])*stride))
				}
			}
		}
		first += cols * rows
	}
	return boxes, nil
}
