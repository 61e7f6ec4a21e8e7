package eval

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// vision feeds images to a model, and to a reference beside it.
type vision struct {
	input    model.Value
	prep     *dataset.Preprocess
	w, h     int // of the input; 0 = any
	session  *runtime.Session
	ref      *runtime.Session
	refInput string
}

func newVision(m, ref *model.Model, o Options) (*vision, error) {
	v := &vision{}
	var err error
	if v.input, v.prep, v.w, v.h, err = ImageInput(m); err != nil {
		return nil, err
	}
	if v.session, err = runtime.NewSession(m, runtime.Options{Threads: o.Threads, Observe: o.Observe}); err != nil {
		return nil, err
	}
	if ref == nil {
		return v, nil
	}
	in, _, _, _, err := ImageInput(ref)
	if err != nil {
		return nil, err
	}
	v.refInput = in.Name
	v.ref, err = runtime.NewSession(ref, runtime.Options{Threads: o.Threads})
	return v, err
}

func (v *vision) close() {
	v.session.Close()
	if v.ref != nil {
		v.ref.Close()
	}
}

// run returns the model's outputs for an image, the reference's (nil without one), and where the image
// lies in the input. They are valid until the next run.
func (v *vision) run(ctx context.Context, img *dataset.RGB) (out, ref []*tensor.Tensor, placed dataset.Placed, err error) {
	in, placed, err := v.prep.Tensor(img, v.w, v.h)
	if err != nil {
		return nil, nil, placed, err
	}
	if out, err = v.session.Run(ctx, sample{v.input.Name: in}); err != nil {
		return nil, nil, placed, err
	}
	if v.ref != nil {
		ref, err = v.ref.Run(ctx, sample{v.refInput: in})
	}
	return out, ref, placed, err
}

// ImageInput finds a model's one image input, its pre-processing and its size (0 = any).
func ImageInput(m *model.Model) (in model.Value, p *dataset.Preprocess, w, h int, err error) {
	p = &dataset.Preprocess{}
	if b := m.Assets[model.AssetPreprocess]; b != nil {
		if p, err = dataset.ParsePreprocess(b); err != nil {
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

func limited(n, limit int) int {
	if limit > 0 {
		return min(n, limit)
	}
	return n
}

// runClassify measures top-1 and top-5 against the labels.
func runClassify(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	if !d.Labelled() && ref == nil {
		return nil, &fault.Usage{What: d.Name() + " has no labels, and without --reference there is nothing to compare with"}
	}
	v, err := newVision(m, ref, o)
	if err != nil {
		return nil, err
	}
	defer v.close()
	n := limited(d.Len(), o.Limit)
	var top, refTop topScore
	var cmp comparison
	for i := range n {
		o.progress(i, n)
		img, label, err := d.Image(i)
		if err != nil {
			return nil, err
		}
		out, want, _, err := v.run(ctx, img)
		if err != nil {
			return nil, err
		}
		scores := flatten(out[:1])
		if label >= len(scores) {
			return nil, &fault.Usage{What: fmt.Sprintf("label %d of image %d: the model has only %d classes", label, i, len(scores))}
		}
		top.add(scores, label)
		if want != nil {
			refScores := flatten(want[:1])
			if len(refScores) != len(scores) {
				return nil, &fault.Usage{What: "the reference has another number of classes"}
			}
			refTop.add(refScores, label)
			cmp.addLogits(refScores, scores)
		}
	}
	o.progress(n, n)
	r := top.report(d, d.Labelled())
	if ref != nil {
		addDivergence(r, cmp.divergence(true))
		r.Reference = refTop.report(d, d.Labelled())
	}
	return r, nil
}

// topScore counts how often the label is the best class, or among the best five.
type topScore struct{ top1, top5, n int }

func (s *topScore) add(scores []float32, label int) {
	s.n++
	if label < 0 {
		return
	}
	better := 0
	for i, v := range scores {
		if v > scores[label] || v == scores[label] && i < label {
			better++
		}
	}
	if better == 0 {
		s.top1++
	}
	if better < 5 {
		s.top5++
	}
}

func (s *topScore) report(d *dataset.Data, labelled bool) *Report {
	r := &Report{Task: model.TaskClassify, Data: d.Name(), Samples: s.n, Metrics: map[string]float64{}}
	if labelled && s.n > 0 {
		r.Metrics["top1"] = float64(s.top1) / float64(s.n)
		r.Metrics["top5"] = float64(s.top5) / float64(s.n)
	}
	return r
}

// graphSamples makes the inputs of a graph from arrays or images.
func graphSamples(m *model.Model, d *dataset.Data, limit int) ([]sample, error) {
	n := limited(d.Len(), limit)
	var out []sample
	switch d.Kind() {
	case dataset.Arrays:
		for i := range n {
			s := sample{}
			for name, t := range d.Array(i) {
				if name == "" && len(m.Graph.Inputs) == 1 {
					name = m.Graph.Inputs[0].Name
				}
				s[name] = t
			}
			out = append(out, s)
		}
		return out, nil
	case dataset.Images, dataset.Detection:
		in, prep, w, h, err := ImageInput(m)
		if err != nil {
			return nil, err
		}
		for i := range n {
			img, _, err := d.Image(i)
			if err != nil {
				return nil, err
			}
			t, _, err := prep.Tensor(img, w, h)
			if err != nil {
				return nil, err
			}
			out = append(out, sample{in.Name: t})
		}
		return out, nil
	}
	return nil, &fault.Usage{What: fmt.Sprintf("%s holds %v, which this model does not take", d.Name(), d.Kind())}
}

// runGraph compares any model's outputs with a reference's.
func runGraph(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	if ref == nil {
		return nil, &fault.Usage{What: "dsk does not know what this model's outputs mean: give --reference to compare with, or --task"}
	}
	if o.Limit == 0 {
		o.Limit = d.Len()
	}
	probe, err := NewProbe(ctx, ref, d, o)
	if err != nil {
		return nil, err
	}
	div, err := probe.Compare(ctx, m)
	if err != nil {
		return nil, err
	}
	r := &Report{Data: d.Name(), Samples: div.Positions, Metrics: map[string]float64{}}
	addDivergence(r, div)
	return r, nil
}
