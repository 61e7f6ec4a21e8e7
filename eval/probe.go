package eval

import (
	"context"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The sizes of a probe when Options.Limit is 0: enough that ranking tensors by sensitivity is stable.
const (
	probeWindows = 8
	probeSamples = 64
)

// Probe holds a fixed set of inputs and a reference model's outputs for them, to compare
// many variants of the model with.
type Probe struct {
	o       Options
	windows *lmWindows // for language models
	samples []sample   // for all others
	logits  bool       // the outputs are logits
	ref     [][]float32
}

// sample is one input of a graph.
type sample map[string]*tensor.Tensor

// NewProbe runs the reference model over the first o.Limit windows or samples of the data.
// o.Observe sees that run.
func NewProbe(ctx context.Context, ref *model.Model, d *dataset.Data, o Options) (*Probe, error) {
	p := &Probe{o: o}
	var err error
	if ref.Meta.Task == model.TaskLM {
		p.logits = true
		if o.Limit == 0 {
			o.Limit = probeWindows
		}
		p.windows, err = newWindows(ctx, ref, d, o)
	} else {
		p.logits = ref.Meta.Task == model.TaskClassify
		if o.Limit == 0 {
			o.Limit = probeSamples
		}
		p.samples, err = graphSamples(ref, d, o.Limit)
	}
	if err != nil {
		return nil, err
	}
	err = p.run(ctx, ref, o, func(_ int, out []float32) {
		p.ref = append(p.ref, append([]float32(nil), out...))
	})
	p.o.Observe = nil
	return p, err
}

// Compare runs a variant of the reference over the probe's inputs.
func (p *Probe) Compare(ctx context.Context, m *model.Model) (Divergence, error) {
	var cmp comparison
	width := 0
	if p.windows != nil {
		width = m.Meta.LM.VocabSize
	}
	o := p.o
	o.Progress = nil
	err := p.run(ctx, m, o, func(i int, out []float32) {
		want := p.ref[i]
		step := width
		if step == 0 {
			step = len(want)
		}
		for at := 0; at+step <= len(want); at += step {
			if p.logits {
				cmp.addScores(want[at:at+step], out[at:at+step])
			} else {
				cmp.addVector(want[at:at+step], out[at:at+step])
			}
		}
	})
	return cmp.divergence(p.logits), err
}

// run feeds every input to m; fn gets the outputs, flattened, and must not keep them.
func (p *Probe) run(ctx context.Context, m *model.Model, o Options, fn func(i int, out []float32)) error {
	if p.windows != nil {
		lm, err := runtime.NewLM(m, runtime.Options{Threads: o.Threads, Context: p.windows.context(), Observe: o.Observe})
		if err != nil {
			return err
		}
		defer lm.Close()
		for i := range p.windows.windows {
			o.progress(i, len(p.windows.windows))
			out, err := p.windows.logits(ctx, lm, i)
			if err != nil {
				return err
			}
			fn(i, out)
		}
		o.progress(len(p.windows.windows), len(p.windows.windows))
		return nil
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: o.Threads, Observe: o.Observe})
	if err != nil {
		return err
	}
	defer s.Close()
	for i, in := range p.samples {
		o.progress(i, len(p.samples))
		out, err := s.Run(ctx, in)
		if err != nil {
			return err
		}
		fn(i, flatten(out))
	}
	o.progress(len(p.samples), len(p.samples))
	return nil
}

// flatten joins the float outputs of a graph.
func flatten(out []*tensor.Tensor) []float32 {
	if len(out) == 1 && out[0].DType == tensor.F32 {
		return out[0].F32()
	}
	var all []float32
	for _, t := range out {
		if t.DType == tensor.F32 {
			all = append(all, t.F32()...)
		}
	}
	return all
}
