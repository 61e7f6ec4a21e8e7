// Package detect turns the raw outputs of a detector's heads into boxes: decoding, then
// non-maximum suppression. A model carries its head's description as the asset "detector.json".
package detect

import (
	"encoding/json"
	"math"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Box is a found object: corners in pixels of the model's input.
type Box struct {
	Class int     `json:"class"`
	Label string  `json:"label,omitempty"`
	Score float32 `json:"score"`
	X1    float32 `json:"x1"`
	Y1    float32 `json:"y1"`
	X2    float32 `json:"x2"`
	Y2    float32 `json:"y2"`
}

// Head describes how a detector's outputs are read.
type Head struct {
	// Kind is "gfl": for each stride one output of class probabilities (.., cells, classes) and one of
	// distances to the four sides, each a distribution over bins (.., cells, 4*bins); Generalized
	// Focal Loss (Li et al., 2020), as NanoDet has it.
	Kind    string  `json:"kind"`
	Width   int     `json:"width"` // of the model's input
	Height  int     `json:"height"`
	Classes int     `json:"classes"`
	Bins    int     `json:"bins"`
	Levels  []Level `json:"levels"`
	// Boxes with a score above ScoreMin are kept, of boxes of a class that overlap by more than IoUMax
	// only the best, and at most MaxBoxes in all.
	ScoreMin float32 `json:"score_min"`
	IoUMax   float32 `json:"iou_max"`
	MaxBoxes int     `json:"max_boxes"`
}

// Level is one stride of the feature pyramid and the indices of its outputs in the graph.
type Level struct {
	Stride    int `json:"stride"`
	Scores    int `json:"scores"`
	Distances int `json:"distances"`
}

// The thresholds that a head starts with: those of the COCO evaluation of the NanoDet project.
const (
	defaultScoreMin = 0.02
	defaultIoUMax   = 0.6
	defaultMaxBoxes = 100
)

// The bounds of a head's numbers. Suppression takes time for each pair of boxes.
const (
	maxSize   = 1 << 16
	maxLevels = 32
	maxBoxes  = 1000
)

// ParseHead reads the asset.
func ParseHead(b []byte) (*Head, error) {
	var h Head
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fault.Formatf("detector head", "%v", err)
	}
	if h.Kind != "gfl" {
		return nil, &fault.Unsupported{Kind: "detector head", Items: []fault.Item{{What: h.Kind, Hint: "known: gfl"}}}
	}
	for _, n := range []int{h.Width, h.Height, h.Classes, h.Bins, len(h.Levels), h.MaxBoxes} {
		if n < 1 || n > maxSize {
			return nil, fault.Formatf("detector head", "sizes are missing or out of range (1 to %d)", maxSize)
		}
	}
	if len(h.Levels) > maxLevels {
		return nil, fault.Formatf("detector head", "%d levels; at most %d are read", len(h.Levels), maxLevels)
	}
	if h.Bins < 2 || h.MaxBoxes > maxBoxes || !(h.IoUMax >= 0) {
		return nil, fault.Formatf("detector head", "%d bins, %d boxes or an overlap of %g is out of range", h.Bins, h.MaxBoxes, h.IoUMax)
	}
	for _, l := range h.Levels {
		if l.Stride < 1 || l.Scores < 0 || l.Distances < 0 {
			return nil, fault.Formatf("detector head", "level %+v is out of range", l)
		}
	}
	return &h, nil
}

// Guess recognizes a head by the shapes of a graph's outputs for an input of width x height: pairs of outputs
// with as many cells as a stride gives, one of classes, one of 4*bins. nil if they are no such pairs.
func Guess(outputs [][]int, width, height int) *Head {
	h := &Head{Kind: "gfl", Width: width, Height: height, ScoreMin: defaultScoreMin, IoUMax: defaultIoUMax, MaxBoxes: defaultMaxBoxes}
	byCells := map[int][]int{}
	for i, s := range outputs {
		cells, _, ok := matrix(s)
		if !ok {
			return nil
		}
		byCells[cells] = append(byCells[cells], i)
	}
	for cells, pair := range byCells {
		stride := int(math.Round(math.Sqrt(float64(width*height) / float64(cells))))
		if len(pair) != 2 || stride < 2 || ceilDiv(width, stride)*ceilDiv(height, stride) != cells {
			return nil
		}
		_, classes, _ := matrix(outputs[pair[0]])
		_, sides, _ := matrix(outputs[pair[1]])
		if sides%4 != 0 || sides < 8 || classes == sides || h.Classes != 0 && (h.Classes != classes || h.Bins != sides/4) {
			return nil
		}
		h.Classes, h.Bins = classes, sides/4
		h.Levels = append(h.Levels, Level{Stride: stride, Scores: pair[0], Distances: pair[1]})
	}
	if len(h.Levels) < 2 {
		return nil
	}
	sort.Slice(h.Levels, func(i, j int) bool { return h.Levels[i].Stride < h.Levels[j].Stride })
	return h
}

// matrix reads a shape as (cells, columns), with a leading batch of 1 or without.
func matrix(s []int) (rows, cols int, ok bool) {
	if len(s) == 3 && s[0] == 1 {
		s = s[1:]
	}
	if len(s) != 2 || s[0] < 1 || s[1] < 1 {
		return 0, 0, false
	}
	return s[0], s[1], true
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// Decode returns the boxes that the outputs of one image hold, best first.
func (h *Head) Decode(out []*tensor.Tensor) ([]Box, error) {
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
	return Suppress(boxes, h.IoUMax, h.MaxBoxes), nil
}

func (h *Head) output(out []*tensor.Tensor, i, want int) ([]float32, error) {
	if i >= len(out) || out[i].DType != tensor.F32 || out[i].Len() != want {
		return nil, fault.Formatf("detector head", "output %d does not hold %d values", i, want)
	}
	return out[i].F32(), nil
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

// Suppress sorts boxes by falling score and drops those that overlap a better one of their class by
// more than iou (intersection over union); it returns at most limit.
func Suppress(boxes []Box, iou float32, limit int) []Box {
	sort.SliceStable(boxes, func(i, j int) bool { return boxes[i].Score > boxes[j].Score })
	var kept []Box
	for _, b := range boxes {
		if len(kept) == limit {
			break
		}
		free := true
		for _, k := range kept {
			if k.Class == b.Class && IoU(k, b) > iou {
				free = false
				break
			}
		}
		if free {
			kept = append(kept, b)
		}
	}
	return kept
}

// IoU returns the area of two boxes' intersection over that of their union.
func IoU(a, b Box) float32 {
	w := min(a.X2, b.X2) - max(a.X1, b.X1)
	h := min(a.Y2, b.Y2) - max(a.Y1, b.Y1)
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	return inter / ((a.X2-a.X1)*(a.Y2-a.Y1) + (b.X2-b.X1)*(b.Y2-b.Y1) - inter)
}
