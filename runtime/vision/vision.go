// Package vision runs image models: an image in, class scores or boxes out, as the model's own
// pre-processing, detector head and output say.
package vision

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/detect"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Model is an image model with a session. Not safe for concurrent use.
type Model struct {
	input   string
	prep    *picture.Preprocess
	w, h    int // of the input; 0 = any
	head    *detect.Head
	session *runtime.Session
	in      map[string]*tensor.Tensor
}

// Class is a class with its probability.
type Class struct {
	Class       int     `json:"class"`
	Label       string  `json:"label,omitempty"`
	Probability float64 `json:"probability"`
}

// New prepares a model whose one input is an image.
func New(m *model.Model, o runtime.Options) (*Model, error) {
	in, prep, w, h, err := Input(m)
	if err != nil {
		return nil, err
	}
	v := &Model{input: in.Name, prep: prep, w: w, h: h, in: map[string]*tensor.Tensor{}}
	if b := m.Assets[model.AssetDetector]; b != nil {
		if v.head, err = detect.ParseHead(b); err != nil {
			return nil, err
		}
	}
	if v.session, err = runtime.NewSession(m, o); err != nil {
		return nil, err
	}
	return v, nil
}

// Close ends the session.
func (v *Model) Close() { v.session.Close() }

// Detects reports whether the model finds boxes.
func (v *Model) Detects() bool { return v.head != nil }

// Run returns the graph's outputs for an image, valid until the next run, and where the image lies
// in the model's input.
func (v *Model) Run(ctx context.Context, img *picture.RGB) ([]*tensor.Tensor, picture.Placed, error) {
	in, placed, err := v.prep.Tensor(img, v.w, v.h)
	if err != nil {
		return nil, placed, err
	}
	v.in[v.input] = in
	out, err := v.session.Run(ctx, v.in)
	return out, placed, err
}

// Boxes returns the objects in an image, in its pixels, best first.
func (v *Model) Boxes(ctx context.Context, img *picture.RGB) ([]detect.Box, error) {
	out, placed, err := v.Run(ctx, img)
	if err != nil {
		return nil, err
	}
	return v.Decode(out, placed, img)
}

// Decode reads boxes from the outputs of Run, cut to the image. Those of which nothing lies in it are left out.
func (v *Model) Decode(out []*tensor.Tensor, placed picture.Placed, img *picture.RGB) ([]detect.Box, error) {
	if v.head == nil {
		return nil, &fault.Usage{What: "the model's outputs are not those of a detector that dsk can read"}
	}
	boxes, err := v.head.Decode(out)
	for i := range boxes {
		b := &boxes[i]
		b.X1, b.X2 = unplace(b.X1, placed.OffsetX, placed.ScaleX, img.W), unplace(b.X2, placed.OffsetX, placed.ScaleX, img.W)
		b.Y1, b.Y2 = unplace(b.Y1, placed.OffsetY, placed.ScaleY, img.H), unplace(b.Y2, placed.OffsetY, placed.ScaleY, img.H)
	}
	return slices.DeleteFunc(boxes, func(b detect.Box) bool { return b.X1 == b.X2 || b.Y1 == b.Y2 }), err
}

// unplace maps a coordinate of the model's input to the image, which has the given size.
func unplace(v, offset, scale float32, size int) float32 {
	return min(max((v-offset)/scale, 0), float32(size))
}

// Classify returns the n most probable classes of an image.
func (v *Model) Classify(ctx context.Context, img *picture.RGB, n int) ([]Class, error) {
	out, _, err := v.Run(ctx, img)
	if err != nil {
		return nil, err
	}
	if len(out) == 0 || out[0].DType != tensor.F32 || out[0].Len() == 0 {
		return nil, &fault.Usage{What: "the model's first output is no list of scores"}
	}
	p := Probabilities(out[0].F32())
	list := make([]Class, len(p))
	for i, x := range p {
		list[i] = Class{Class: i, Probability: x}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Probability > list[j].Probability })
	return list[:min(n, len(list))], nil
}

// AreProbabilities reports whether scores are a distribution already: a graph may end in Softmax.
func AreProbabilities(scores []float32) bool {
	var sum float64
	for _, s := range scores {
		if s < 0 || s > 1 {
			return false
		}
		sum += float64(s)
	}
	return math.Abs(sum-1) < 1e-3
}

// Probabilities returns scores as a distribution: softmax of logits, or the scores themselves.
func Probabilities(scores []float32) []float64 {
	p := make([]float64, len(scores))
	if AreProbabilities(scores) {
		for i, s := range scores {
			p[i] = float64(s)
		}
		return p
	}
	m := float64(scores[0])
	for _, s := range scores {
		m = max(m, float64(s))
	}
	var sum float64
	for i, s := range scores {
		p[i] = math.Exp(float64(s) - m)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// Input finds a model's one image input, its pre-processing and its size (0 = any).
func Input(m *model.Model) (in model.Value, p *picture.Preprocess, w, h int, err error) {
	p = &picture.Preprocess{}
	if b := m.Assets[model.AssetPreprocess]; b != nil {
		if p, err = picture.ParsePreprocess(b); err != nil {
			return in, nil, 0, 0, err
		}
	}
	if len(m.Graph.Inputs) != 1 {
		return in, nil, 0, 0, &fault.Usage{What: fmt.Sprintf("the model has %d inputs; an image model has one", len(m.Graph.Inputs))}
	}
	in = m.Graph.Inputs[0]
	shape := in.Type.Shape
	if in.Type.DType != tensor.F32 || len(shape) != 4 {
		return in, nil, 0, 0, &fault.Usage{What: fmt.Sprintf("input %s is %v, which is no image (F32 of rank 4)", in.Name, in.Type)}
	}
	ch, hd, wd := shape[1], shape[2], shape[3]
	if p.Layout == "nhwc" {
		ch, hd, wd = shape[3], shape[1], shape[2]
	}
	if ch.IsKnown() && ch.N != p.Channels() {
		if ch.N != 1 || m.Assets[model.AssetPreprocess] != nil {
			return in, nil, 0, 0, &fault.Usage{What: fmt.Sprintf("input %s has %d channels, the pre-processing makes %d", in.Name, ch.N, p.Channels())}
		}
		p.Gray = true
	}
	return in, p, max(wd.N, 0), max(hd.N, 0), nil
}
