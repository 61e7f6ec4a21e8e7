package eval

import (
	"context"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// lmWindows is text cut into windows of tokens that lie side by side; each is predicted from its own start.
type lmWindows struct {
	windows   [][]int32
	scoreFrom int // positions scoreFrom..len-1 of each window are predicted
	// bytes[i] is the number of UTF-8 bytes of the scored tokens of window i.
	bytes []int
}

// newWindows tokenizes the data whole, without special tokens, and cuts it. A last window that is
// not full is left out unless it is the only one.
func newWindows(ctx context.Context, m *model.Model, d *dataset.Data, o Options) (*lmWindows, error) {
	if m.Assets[model.AssetTokenizer] == nil {
		return nil, &fault.Usage{What: "the model has no tokenizer, so text cannot be measured on it"}
	}
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		return nil, err
	}
	text, err := d.Text(ctx)
	if err != nil {
		return nil, err
	}
	ids := tok.Encode(text, false)
	size := o.Context
	if size == 0 {
		size = min(m.Meta.LM.ContextLength, DefaultContext)
	}
	w := &lmWindows{scoreFrom: max(o.ScoreFrom, 1)}
	switch {
	case size < 2 || w.scoreFrom >= size:
		return nil, &fault.Usage{What: fmt.Sprintf("a window of %d tokens with scoring from position %d predicts nothing", size, w.scoreFrom)}
	case len(ids) <= w.scoreFrom:
		return nil, &fault.Usage{What: fmt.Sprintf("%s has only %d tokens; at least %d are needed", d.Name(), len(ids), w.scoreFrom+1)}
	}
	for at := 0; at < len(ids); at += size {
		end := min(at+size, len(ids))
		if end-at < size && len(w.windows) > 0 || o.Limit > 0 && len(w.windows) == o.Limit {
			break
		}
		window := ids[at:end]
		w.windows = append(w.windows, window)
		w.bytes = append(w.bytes, len(tok.Decode(window, false))-len(tok.Decode(window[:w.scoreFrom], false)))
	}
	return w, nil
}

func (w *lmWindows) context() int { return len(w.windows[0]) }

// scored is the number of predicted positions of a window.
func (w *lmWindows) scored(i int) int { return len(w.windows[i]) - w.scoreFrom }

// logits runs one window and returns the logits that predict its scored positions:
// [scored][vocab].
func (w *lmWindows) logits(ctx context.Context, lm *runtime.LM, i int) ([]float32, error) {
	lm.Rewind(0)
	all, err := lm.All(ctx, w.windows[i][:len(w.windows[i])-1])
	if err != nil {
		return nil, err
	}
	return all[(w.scoreFrom-1)*lm.VocabSize():], nil
}

// lmScore accumulates the cross-entropy of windows.
type lmScore struct {
	nats   float64
	tokens int
	bytes  int
	right  int
}

func (s *lmScore) add(w *lmWindows, i int, logits []float32, vocab int) {
	for j, id := range w.windows[i][w.scoreFrom:] {
		row := logits[j*vocab : (j+1)*vocab]
		s.nats += logSumExp(row) - float64(row[id])
		if argmax(row) == int(id) {
			s.right++
		}
	}
	s.tokens += w.scored(i)
	s.bytes += w.bytes[i]
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
	ro := runtime.Options{Threads: o.Threads, Context: w.context(), Observe: o.Observe}
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
	}
	o.progress(len(w.windows), len(w.windows))
	r := score.report(d, len(w.windows))
	if other != nil {
		addDivergence(r, cmp.divergence(true))
		r.Reference = refScore.report(d, len(w.windows))
	}
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
