// Package detect turns the raw outputs of a detector's heads into boxes: decoding, then
// non-maximum suppression. A model carries its head's description as the asset "detector.json".
package detect

import (
	"encoding/json"
	"math"
	"strings"

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

// Head describes how a detector's outputs are read. Each kind has a file, which says what it needs of the fields.
type Head struct {
	Kind    string  `json:"kind"`
	Width   int     `json:"width"` // of the model's input
	Height  int     `json:"height"`
	Classes int     `json:"classes"` // without a class that stands for the background
	Bins    int     `json:"bins,omitempty"`
	Levels  []Level `json:"levels,omitempty"`
	// Rows is how many boxes an output holds, Output which one that is, of kinds with a single output of that kind.
	Rows   int `json:"rows,omitempty"`
	Output int `json:"output,omitempty"`
	// Scores is the output with the classes' scores, of kinds that have one for all levels.
	Scores int `json:"scores,omitempty"`
	// Raw says that boxes are offsets from the levels' anchors; Pixels that they are in pixels rather than parts of the input's sides.
	Raw    bool `json:"raw,omitempty"`
	Pixels bool `json:"pixels,omitempty"`
	// Boxes with a score above ScoreMin are kept, of boxes of a class that overlap by more than IoUMax
	// only the best, and at most MaxBoxes in all.
	ScoreMin float32 `json:"score_min"`
	IoUMax   float32 `json:"iou_max"`
	MaxBoxes int     `json:"max_boxes"`
}

// Level is one stride of the feature pyramid: the indices of its outputs in the graph, or its anchors.
type Level struct {
	Stride    int `json:"stride"`
	Scores    int `json:"scores,omitempty"`
	Distances int `json:"distances,omitempty"`
	// Anchors are widths and heights in pixels of the boxes that a cell predicts.
	Anchors [][2]float32 `json:"anchors,omitempty"`
}

// kind is a way to read outputs.
type kind struct {
	name string
	// check looks at what ParseHead has not.
	check func(h *Head) error
	// guess recognizes outputs by their shapes and sets what else there is to set; false if they are others.
	guess func(h *Head, outputs [][]int) bool
	// decode returns all boxes above ScoreMin.
	decode func(h *Head, out []*tensor.Tensor) ([]Box, error)
}

// kinds are asked in this order by Guess.
var kinds = []kind{gfl, ultraFace, ssd, yoloV5, yoloX, yoloV8, endToEnd}

// Kinds returns the names of the kinds of heads.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func (h *Head) kind() *kind {
	for i := range kinds {
		if kinds[i].name == h.Kind {
			return &kinds[i]
		}
	}
	return nil
}

// The thresholds that a head starts with: those of the COCO evaluation of the NanoDet project.
const (
	defaultScoreMin = 0.02
	defaultIoUMax   = 0.6
	defaultMaxBoxes = 100
)

// The bounds of a head's numbers. Suppression takes time for each pair of boxes.
const (
	maxSize    = 1 << 16
	maxLevels  = 32
	maxAnchors = 64
	maxBoxes   = 1000
)

// ParseHead reads the asset.
func ParseHead(b []byte) (*Head, error) {
	var h Head
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fault.Formatf("detector head", "%v", err)
	}
	k := h.kind()
	if k == nil {
		return nil, &fault.Unsupported{Kind: "detector head", Items: []fault.Item{{What: h.Kind, Hint: "known: " + strings.Join(Kinds(), ", ")}}}
	}
	for _, n := range []int{h.Width, h.Height, h.Classes, h.MaxBoxes} {
		if n < 1 || n > maxSize {
			return nil, fault.Formatf("detector head", "sizes are missing or out of range (1 to %d)", maxSize)
		}
	}
	if len(h.Levels) > maxLevels {
		return nil, fault.Formatf("detector head", "%d levels; at most %d are read", len(h.Levels), maxLevels)
	}
	if h.MaxBoxes > maxBoxes || !(h.IoUMax >= 0) || h.Output < 0 || h.Scores < 0 || h.Rows < 0 {
		return nil, fault.Formatf("detector head", "%d boxes, an overlap of %g or an output's number is out of range", h.MaxBoxes, h.IoUMax)
	}
	for _, l := range h.Levels {
		if l.Stride < 1 || l.Scores < 0 || l.Distances < 0 || len(l.Anchors) > maxAnchors {
			return nil, fault.Formatf("detector head", "level %+v is out of range", l)
		}
	}
	if err := k.check(&h); err != nil {
		return nil, err
	}
	return &h, nil
}

// Guess recognizes a head by the shapes of a graph's outputs for an input of width x height; nil if it is none that is known.
func Guess(outputs [][]int, width, height int) *Head { return GuessKind("", outputs, width, height) }

// GuessKind is Guess for a kind that is known, "" for any.
func GuessKind(name string, outputs [][]int, width, height int) *Head {
	for _, k := range kinds {
		h := &Head{Kind: k.name, Width: width, Height: height, ScoreMin: defaultScoreMin, IoUMax: defaultIoUMax, MaxBoxes: defaultMaxBoxes}
		if (name == "" || name == k.name) && k.guess(h, outputs) {
			return h
		}
	}
	return nil
}

// Decode returns the boxes that the outputs of one image hold, best first.
func (h *Head) Decode(out []*tensor.Tensor) ([]Box, error) {
	boxes, err := h.kind().decode(h, out)
	if err != nil {
		return nil, err
	}
	return Suppress(boxes, h.IoUMax, h.MaxBoxes), nil
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

// cells is how many cells the levels of the strides have together.
func (h *Head) cells(strides ...int) int {
	n := 0
	for _, s := range strides {
		n += ceilDiv(h.Width, s) * ceilDiv(h.Height, s)
	}
	return n
}

// pyramids are the strides that the YOLO family uses.
var pyramids = [][]int{{8, 16, 32}, {8, 16, 32, 64}}

func (h *Head) output(out []*tensor.Tensor, i, want int) ([]float32, error) {
	if i >= len(out) || out[i].DType != tensor.F32 || out[i].Len() != want {
		return nil, fault.Formatf("detector head", "output %d does not hold %d values", i, want)
	}
	return out[i].F32(), nil
}

// centred makes a box of its centre and size.
func centred(class int, score, x, y, w, h float32) Box {
	return Box{Class: class, Score: score, X1: x - w/2, Y1: y - h/2, X2: x + w/2, Y2: y + h/2}
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
