package eval

import (
	"context"
	"slices"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The sizes of a probe. What Options.Observe sees is for statistics of activations and goes on longer than
// what variants are compared on, which only has to rank them.
const (
	probeTokens   = 1024    // scored, of the windows that variants run
	observeTokens = 1 << 15 // scored, of those that the reference runs if Options.Limit is 0
	probeSamples  = 64      // of other data, likewise
	// apart is every which image is compared if these are kept apart.
	apart = 4
)

// Probe holds a fixed set of inputs and a reference model's outputs for them, to compare
// many variants of the model with.
type Probe struct {
	o        Options
	windows  *lmWindows // for language models
	kept     []int      // the windows that variants run, spread over all
	samples  []sample   // for all others
	image    []int      // of the samples: the numbers of the images that they are views of, or their own
	compared []int      // of the samples, those that variants run
	logits   bool       // the outputs are logits
	ref      [][]float32
	words    []reference // of every scored position of the kept windows
	all      int         // inputs
	at       int         // the input that is run
}

// sample is one input of a graph.
type sample map[string]*tensor.Tensor

// NewProbe runs the reference model over the first o.Limit windows or samples of the data (0: a number that
// is enough to know the model's activations by). o.Observe sees that run.
func NewProbe(ctx context.Context, ref *model.Model, d *dataset.Data, o Options) (*Probe, error) {
	p := &Probe{o: o}
	var err error
	if ref.Meta.Task == model.TaskLM {
		p.logits = true
		if p.windows, err = newWindows(ctx, ref, d, o); err == nil {
			p.keep(o.Limit)
		}
	} else {
		p.logits = ref.Meta.Task == model.TaskClassify
		if o.Limit == 0 {
			o.Limit = probeSamples
		}
		if p.samples, err = graphSamples(ref, d, o.Limit); err == nil {
			for i := range p.samples {
				p.image = append(p.image, i)
			}
			all := len(p.samples)
			err = p.addViews(ref, d)
			p.o.Apart = o.Apart && all >= apart && len(p.samples) > all
			for i, image := range p.image {
				if p.o.Apart && image%apart == apart-1 || !p.o.Apart && i < all {
					p.compared = append(p.compared, i)
				}
			}
		}
	}
	if err != nil {
		return nil, err
	}
	all := len(p.samples)
	if p.windows != nil {
		all = len(p.windows.windows)
	}
	var chosen []int
	for i := range all {
		// Of windows seen before, only the outputs of those that variants run are needed.
		if i >= o.Observed && o.Observe != nil || p.windows == nil && slices.Contains(p.compared, i) || slices.Contains(p.kept, i) {
			chosen = append(chosen, i)
		}
	}
	if observe := o.Observe; observe != nil {
		o.Observe = func(n *model.Node, in []*tensor.Tensor) {
			if p.at >= o.Observed {
				observe(n, in)
			}
		}
	}
	p.all = all
	next := 0
	err = p.run(ctx, ref, o, chosen, func(i int, out []float32) {
		if p.windows == nil && slices.Contains(p.compared, i) {
			p.ref = append(p.ref, append([]float32(nil), out...))
		} else if p.windows != nil && next < len(p.kept) && p.kept[next] == i {
			next++
			vocab := ref.Meta.LM.VocabSize
			for at := 0; at+vocab <= len(out); at += vocab {
				p.words = append(p.words, newReference(out[at:at+vocab]))
			}
		}
	})
	p.o.Observe, p.o.Seen = nil, nil
	return p, err
}

// keep drops all but observeTokens if there is no limit, and chooses those that variants run. Both are spread evenly
// over the text, which is often several works one after the other.
func (p *Probe) keep(limit int) {
	w := p.windows
	if limit == 0 {
		tokens := 0
		for i := range w.windows {
			tokens += w.scored(i)
		}
		n := len(w.windows)
		if keep := (observeTokens*n + tokens - 1) / tokens; keep < n {
			for i := range keep {
				at := i * n / keep
				w.windows[i], w.bytes[i] = w.windows[at], w.bytes[at]
			}
			w.windows, w.bytes = w.windows[:keep], w.bytes[:keep]
		}
	}
	tokens := 0
	for i := range w.windows {
		tokens += w.scored(i)
	}
	every := max(1, tokens/probeTokens)
	for i := 0; i < len(w.windows); i += every {
		p.kept = append(p.kept, i)
	}
}

// Compare runs a variant of the reference over the probe's inputs.
func (p *Probe) Compare(ctx context.Context, m *model.Model) (Divergence, error) {
	cmp, err := p.compare(ctx, m)
	return cmp.divergence(p.logits), err
}

func (p *Probe) compare(ctx context.Context, m *model.Model) (*comparison, error) {
	cmp := &comparison{}
	o := p.o
	o.Progress = nil
	if p.windows != nil {
		vocab := m.Meta.LM.VocabSize
		words := p.words
		scratch := make([]float32, vocab)
		err := p.run(ctx, m, o, p.kept, func(_ int, out []float32) {
			for at := 0; at+vocab <= len(out); at += vocab {
				cmp.addReference(&words[0], out[at:at+vocab], scratch)
				words = words[1:]
			}
			cmp.endUnit()
		})
		return cmp, err
	}
	next := 0
	err := p.run(ctx, m, o, p.compared, func(_ int, out []float32) {
		if p.logits {
			cmp.addScores(p.ref[next], out)
		} else {
			cmp.addVector(p.ref[next], out)
		}
		next++
		cmp.endUnit()
	})
	return cmp, err
}

// run feeds the chosen inputs to m; fn gets the outputs, flattened, and must not keep them.
func (p *Probe) run(ctx context.Context, m *model.Model, o Options, chosen []int, fn func(i int, out []float32)) error {
	if p.windows != nil {
		lm, err := runtime.NewLM(m, runtime.Options{Threads: o.Threads, Context: p.windows.context(), Observe: o.Observe})
		if err != nil {
			return err
		}
		defer lm.Close()
		for done, i := range chosen {
			o.progress(done, len(chosen))
			p.at = i
			out, err := p.windows.logits(ctx, lm, i)
			if err != nil {
				return err
			}
			fn(i, out)
			if err := p.seen(o); err != nil {
				return err
			}
		}
		o.progress(len(chosen), len(chosen))
		return nil
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: o.Threads, Observe: o.Observe})
	if err != nil {
		return err
	}
	defer s.Close()
	for done, i := range chosen {
		o.progress(done, len(chosen))
		p.at = i
		out, err := s.Run(ctx, p.samples[i])
		if err != nil {
			return err
		}
		fn(i, flatten(out))
		if err := p.seen(o); err != nil {
			return err
		}
	}
	o.progress(len(chosen), len(chosen))
	return nil
}

// seen tells of the input that was just run.
func (p *Probe) seen(o Options) error {
	if o.Seen == nil || p.at < o.Observed {
		return nil
	}
	return o.Seen(p.at+1, p.all)
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
