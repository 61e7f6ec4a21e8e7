package eval

import (
	"context"
	"math"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
)

// lmScore accumulates the cross-entropy of windows.
type lmScore struct {
	nats   float64
	tokens int
	bytes  int
	right  int
	// By window.
	unitNats, unitTokens, unitBytes, unitRight []float64
}

func (s *lmScore) add(w *lmWindows, i int, logits []float32, vocab int) {
	nats, right := s.nats, s.right
	for j, id := range w.windows[i][w.scoreFrom:] {
		row := logits[j*vocab : (j+1)*vocab]
		s.nats += logSumExp(row) - float64(row[id])
		if argmax(row) == int(id) {
			s.right++
		}
	}
	s.tokens += w.scored(i)
	s.bytes += w.bytes[i]
	s.unitNats, s.unitRight = append(s.unitNats, s.nats-nats), append(s.unitRight, float64(s.right-right))
	s.unitTokens, s.unitBytes = append(s.unitTokens, float64(w.scored(i))), append(s.unitBytes, float64(w.bytes[i]))
}

// figures are the metrics of report, beside the reference's if it is not nil.
func (s *lmScore) figures(ref *lmScore) []figure {
	of := func(s *lmScore) []func([]int) float64 {
		return []func([]int) float64{
			quotient(s.unitNats, s.unitTokens, nil), quotient(s.unitNats, s.unitTokens, math.Exp),
			quotient(s.unitNats, s.unitBytes, func(v float64) float64 { return v / math.Ln2 }), quotient(s.unitRight, s.unitTokens, nil),
		}
	}
	var out []figure
	own := of(s)
	for i, name := range []string{"nats_per_token", "perplexity", "bits_per_byte", "top1"} {
		out = append(out, figure{name: name, of: own[i]})
		if ref != nil {
			out[i].ref = of(ref)[i]
		}
	}
	return out
}

func (s *lmScore) report(d *dataset.Data, windows int) *Report {
	n := float64(s.tokens)
	return &Report{
		Task: model.TaskLM, Data: d.Name(), Samples: s.tokens, Windows: windows,
		Metrics: map[string]float64{
			"nats_per_token": s.nats / n,
			"perplexity":     math.Exp(s.nats / n),
			"bits_per_byte":  s.nats / math.Ln2 / float64(max(s.bytes, 1)),
			"top1":           float64(s.right) / n,
		},
	}
}

func runLM(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	w, err := newWindows(ctx, m, d, o)
	if err != nil {
		return nil, err
	}
	ro := runtime.Options{Threads: o.Threads, Context: w.context(), Cache: o.Cache, Observe: o.Observe}
	lm, err := runtime.NewLM(m, ro)
	if err != nil {
		return nil, err
	}
	defer lm.Close()
	var other *runtime.LM
	if ref != nil {
		if err := sameVocabulary(m, ref); err != nil {
			return nil, err
		}
		if other, err = runtime.NewLM(ref, runtime.Options{Threads: o.Threads, Context: w.context()}); err != nil {
			return nil, err
		}
		defer other.Close()
	}
	var score, refScore lmScore
	var cmp comparison
	vocab := lm.VocabSize()
	for i := range w.windows {
		o.progress(i, len(w.windows))
		got, err := w.logits(ctx, lm, i)
		if err != nil {
			return nil, err
		}
		score.add(w, i, got, vocab)
		if other == nil {
			continue
		}
		want, err := w.logits(ctx, other, i)
		if err != nil {
			return nil, err
		}
		refScore.add(w, i, want, vocab)
		for j := range w.scored(i) {
			cmp.addLogits(want[j*vocab:(j+1)*vocab], got[j*vocab:(j+1)*vocab])
		}
		cmp.endUnit()
	}
	o.progress(len(w.windows), len(w.windows))
	r := score.report(d, len(w.windows))
	if other == nil {
		r.addIntervals(len(w.windows), score.figures(nil))
		return r, nil
	}
	addDivergence(r, cmp.divergence(true))
	r.Reference = refScore.report(d, len(w.windows))
	r.addIntervals(len(w.windows), append(score.figures(&refScore), cmp.figures(true)...))
	return r, nil
}

func sameVocabulary(m, ref *model.Model) error {
	if ref.Meta.LM == nil || m.Meta.LM.VocabSize != ref.Meta.LM.VocabSize {
		return &fault.Usage{What: "the reference is no language model with the same vocabulary"}
	}
	return nil
}

func addDivergence(r *Report, d Divergence) {
	if !math.IsNaN(d.MeanKL) {
		r.Metrics["mean_kl"] = d.MeanKL
	}
	r.Metrics["top1_agreement"] = d.Top1Agreement
	r.Metrics["relative_error"] = d.RelError
}
