package eval

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/dsk-toolkit/dsk/tensor"
)

// pair is an image model with a reference beside it.
type pair struct{ m, ref *vision.Model }

func newPair(m, ref *model.Model, o Options) (*pair, error) {
	p := &pair{}
	var err error
	if p.m, err = vision.New(m, runtime.Options{Threads: o.Threads, Observe: o.Observe}); err != nil {
		return nil, err
	}
	if ref != nil {
		if p.ref, err = vision.New(ref, runtime.Options{Threads: o.Threads}); err != nil {
			p.m.Close()
			return nil, err
		}
	}
	return p, nil
}

func (p *pair) close() {
	p.m.Close()
	if p.ref != nil {
		p.ref.Close()
	}
}

// run returns the model's outputs for an image, the reference's (nil without one), and where the image
// lies in the input. They are valid until the next run.
func (p *pair) run(ctx context.Context, img *picture.RGB) (out, ref []*tensor.Tensor, placed picture.Placed, err error) {
	if out, placed, err = p.m.Run(ctx, img); err != nil || p.ref == nil {
		return out, nil, placed, err
	}
	ref, _, err = p.ref.Run(ctx, img)
	return out, ref, placed, err
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
	v, err := newPair(m, ref, o)
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
			cmp.addScores(refScores, scores)
			cmp.endUnit()
		}
	}
	o.progress(n, n)
	r := top.report(d, d.Labelled())
	var figures []figure
	if d.Labelled() {
		figures = top.figures(nil)
		if ref != nil {
			figures = top.figures(&refTop)
		}
	}
	if ref != nil {
		addDivergence(r, cmp.divergence(true))
		figures = append(figures, cmp.figures(true)...)
		r.Reference = refTop.report(d, d.Labelled())
	}
	r.addIntervals(n, figures)
	if ref != nil && d.Labelled() {
		r.Changes["top1"].count(top.right1, refTop.right1)
		r.Changes["top5"].count(top.right5, refTop.right5)
	}
	return r, nil
}

// count fills in McNemar's test, from 1 or 0 for each image.
func (c *Change) count(got, ref []float64) {
	for i, v := range got {
		switch {
		case v < ref[i]:
			c.Lost++
		case v > ref[i]:
			c.Gained++
		}
	}
	p := mcnemar(c.Lost, c.Gained)
	c.P = &p
}

// topScore counts how often the label is the best class, or among the best five.
type topScore struct {
	top1, top5, n          int
	right1, right5, images []float64 // by image: 1 or 0; 1
}

// figures are the metrics of report, beside the reference's if it is not nil.
func (s *topScore) figures(ref *topScore) []figure {
	out := []figure{{name: "top1", of: quotient(s.right1, s.images, nil), part: true}, {name: "top5", of: quotient(s.right5, s.images, nil), part: true}}
	if ref != nil {
		out[0].ref, out[1].ref = quotient(ref.right1, ref.images, nil), quotient(ref.right5, ref.images, nil)
	}
	return out
}

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
	hit1, hit5 := 0., 0.
	if better == 0 {
		s.top1++
		hit1 = 1
	}
	if better < 5 {
		s.top5++
		hit5 = 1
	}
	s.right1, s.right5, s.images = append(s.right1, hit1), append(s.right5, hit5), append(s.images, 1)
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
		in, prep, w, h, err := vision.Input(m)
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
	cmp, err := probe.compare(ctx, m)
	if err != nil {
		return nil, err
	}
	r := &Report{Data: d.Name(), Samples: cmp.n, Metrics: map[string]float64{}}
	addDivergence(r, cmp.divergence(probe.logits))
	r.addIntervals(cmp.units, cmp.figures(probe.logits))
	return r, nil
}
