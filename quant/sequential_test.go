package quant

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
)

// sequenceOptions calibrate on the shorter of the repository's texts.
func sequenceOptions(t *testing.T, threads int) Options {
	return Options{Strategy: Uniform, Bits: 2, Calib: data(t, "text/calib.txt"), Threads: threads, EvalOptions: eval.Options{Context: 128}}
}

// TestStages: products of one value make one stage, in the order of the graph, and a tied table none; what a product is added to
// is found on either side.
func TestStages(t *testing.T) {
	m := gatedModel()
	q := &quantizer{m: m}
	q.findCandidates()
	for _, c := range q.candidates {
		c.feedback = &kernels.Feedback{}
	}
	stages := q.stages()
	if len(stages) != 2 {
		t.Fatalf("%d stages, want 2", len(stages))
	}
	first, second := stages[0], stages[1]
	if len(first.products) != 2 || first.products[0].name != "gate" || first.products[1].name != "up" || first.reader != "a" ||
		first.products[1].sum != "" || len(second.products) != 1 || second.products[0].sum != "y" || second.products[0].operand != 0 {
		t.Errorf("stages %+v, %+v", first, second)
	}
	if got := len(affordable(stages, 0)); got != 1 {
		t.Errorf("%d stages of unknown size at a time, want 1", got)
	}
	if got := len(affordable(stages, 10)); got != 2 {
		t.Errorf("%d small stages at a time, want 2", got)
	}
	if got := len(affordable(stages, referenceLimit)); got != 1 {
		t.Errorf("%d large stages at a time, want 1", got)
	}
}

// TestSequential demands less loss on text that nothing was made from, and the same bytes for any number of threads.
func TestSequential(t *testing.T) {
	ctx := context.Background()
	m := open(t, "models/gutenberg-1M", convert.Options{})
	var first []byte
	for _, threads := range []int{1, 2} {
		o := sequenceOptions(t, threads)
		o.Eval = data(t, "text/text.txt")
		out, r, err := Apply(ctx, m, o)
		if err != nil {
			t.Fatal(err)
		}
		b := written(t, out)
		if first != nil {
			if !bytes.Equal(first, b) {
				t.Error("files made with 1 and 2 threads differ")
			}
			continue
		}
		first = b
		q := &quantizer{o: o, m: m}
		q.findCandidates()
		for _, step := range []func(context.Context) error{q.calibrate, q.chooseWidths} {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		plain, err := eval.Run(ctx, q.encode(), o.Eval, m, o.EvalOptions)
		if err != nil {
			t.Fatal(err)
		}
		kl := plain.Metrics["mean_kl"]
		t.Logf("mean KL %.4g, not in sequence %.4g", *r.MeanKL, kl)
		if *r.MeanKL > 0.95*kl {
			t.Errorf("mean KL %.4g, not in sequence %.4g", *r.MeanKL, kl)
		}
		inSequence := 0
		for _, tensor := range r.Tensors {
			if strings.Contains(tensor.Why, "quantized inputs") {
				inSequence++
			}
		}
		if inSequence == 0 {
			t.Error("the report names no tensor quantized in sequence")
		}
	}
}

// TestSequenceWithoutMoments: weights whose inputs' moments found no room are quantized in sequence all the same, stage by stage, with error
// feedback alone where there is too little text for more; and nothing of the moments is kept.
func TestSequenceWithoutMoments(t *testing.T) {
	ctx := context.Background()
	m := open(t, "models/gutenberg-1M", convert.Options{})
	for name, limit := range map[string]int{"much text": 0, "little text": 2} {
		o := sequenceOptions(t, 2)
		o.EvalOptions.Limit = limit
		q := &quantizer{o: o, m: m}
		if err := q.prepare(); err != nil {
			t.Fatal(err)
		}
		if err := q.calibrate(ctx); err != nil {
			t.Fatal(err)
		}
		for _, c := range q.candidates {
			c.feedback, c.crowded = nil, true
		}
		if err := q.chooseWidths(ctx); err != nil {
			t.Fatal(err)
		}
		before, err := q.divergence(ctx, q.encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := q.sequential(ctx); err != nil {
			t.Fatal(err)
		}
		after, err := q.divergence(ctx, q.encode())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: loss %.4g, by importance alone %.4g", name, after, before)
		made := 0
		for _, c := range q.candidates {
			if strings.HasPrefix(c.basis, "error feedback") && c.feedback == nil {
				made++
			}
		}
		if after > 0.9*before || made < len(q.candidates)-1 {
			t.Errorf("%s: loss %.4g, by importance alone %.4g; %d of %d weights made anew", name, after, before, made, len(q.candidates))
		}
	}
	q := &quantizer{o: Options{NoFeedback: true}, m: m}
	q.findCandidates()
	for _, c := range q.candidates {
		c.crowded = true
	}
	if got := q.stages(); len(got) > 0 {
		t.Errorf("%d stages without error feedback", len(got))
	}
}
