package detect

import (
	"math"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// gfl has for each level one output of class probabilities (.., cells, classes) and one of
// distances to the four sides, each a distribution over bins (.., cells, 4*bins); Generalized
// Focal Loss (Li et al., 2020), as NanoDet has it.
var gfl = kind{name: "gfl", check: checkGFL, guess: guessGFL, decode: decodeGFL}

func checkGFL(h *Head) error {
	if h.Bins < 2 || h.Bins > maxSize || len(h.Levels) == 0 {
		return fault.Formatf("detector head", "%d bins or %d levels is out of range", h.Bins, len(h.Levels))
	}
	return nil
}

// guessGFL wants pairs of outputs with as many cells as a stride gives, one of classes, one of 4*bins.
func guessGFL(h *Head, outputs [][]int) bool {
	byCells := map[int][]int{}
	for i, s := range outputs {
		cells, _, ok := matrix(s)
		if !ok {
			return false
		}
		byCells[cells] = append(byCells[cells], i)
	}
	for cells, pair := range byCells {
		stride := int(math.Round(math.Sqrt(float64(h.Width*h.Height) / float64(cells))))
		if len(pair) != 2 || stride < 2 || h.cells(stride) != cells {
			return false
		}
		_, classes, _ := matrix(outputs[pair[0]])
		_, sides, _ := matrix(outputs[pair[1]])
		if sides%4 != 0 || sides < 8 || classes == sides || h.Classes != 0 && (h.Classes != classes || h.Bins != sides/4) {
			return false
		}
		h.Classes, h.Bins = classes, sides/4
		h.Levels = append(h.Levels, Level{Stride: stride, Scores: pair[0], Distances: pair[1]})
	}
	sort.Slice(h.Levels, func(i, j int) bool { return h.Levels[i].Stride < h.Levels[j].Stride })
	return len(h.Levels) >= 2
}

func decodeGFL(h *Head, out []*tensor.Tensor) ([]Box, error) {
	var boxes []Box
	for _, l := range h.Levels {
		cols, rows := ceilDiv(h.Width, l.Stride), ceilDiv(h.Height, l.Stride)
		scores, err := h.output(out, l.Scores, cols*rows*h.Classes)
		if err != nil {
			return nil, err
		}
		dist, err := h.output(out, l.Distances, cols*rows*4*h.Bins)
		if err != nil {
			return nil, err
		}
		for cell := range cols * rows {
			var sides [4]float32
			decoded := false
			for class, score := range scores[cell*h.Classes : (cell+1)*h.Classes] {
				if !(score > h.ScoreMin) {
					continue
				}
				if !decoded {
					decoded = true
					for s := range sides {
						sides[s] = expectation(dist[(cell*4+s)*h.Bins:][:h.Bins]) * float32(l.Stride)
					}
				}
				cx := (float32(cell%cols) + 0.5) * float32(l.Stride)
				cy := (float32(cell/cols) + 0.5) * float32(l.Stride)
				boxes = append(boxes, Box{Class: class, Score: score, X1: cx - sides[0], Y1: cy - sides[1], X2: cx + sides[2], Y2: cy + sides[3]})
			}
		}
	}
	return boxes, nil
}

// expectation returns sum_i i softmax(x)_i.
func expectation(x []float32) float32 {
	m := x[0]
	for _, v := range x {
		m = max(m, v)
	}
	var sum, mean float64
	for i, v := range x {
		e := math.Exp(float64(v - m))
		sum += e
		mean += float64(i) * e
	}
	return float32(mean / sum)
}
