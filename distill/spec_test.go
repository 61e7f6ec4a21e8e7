package distill_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestSpecRefuses(t *testing.T) {
	for _, spec := range []string{"", "mlp 3", "conv", "conv 0", "conv 8,x", "conv 8 y2", "conv 8 x0", "conv 1,1,1,1,1", "conv 9999999999",
		"llama", "llama hidden=64", "llama hidden=64 layers=x", "llama hidden=63 layers=1 heads=1", "llama hidden=64 layers=1 heads=3",
		"llama hidden=64 layers=1 heads=4 kv=3", "dense", "dense 0", "dense 8 x2", "dense 8 pool=0", "dense 8 pool=99", "llama layers=2", "llama hidden=64 layers=9999", "llama width=3", "conv 8 x1025"} {
		var usage *fault.Usage
		target := picture
		target.Vocab, target.Context = 50, 32
		if _, err := distill.FromSpec(spec, target); !errors.As(err, &usage) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

// TestSpecTooLarge: a student that no memory holds is refused, and not begun.
func TestSpecTooLarge(t *testing.T) {
	target := picture
	target.Vocab, target.Context = 50, 32
	for _, spec := range []string{"conv 1000000,1000000", "conv 1000000 x1024", "dense 1048576,1048576", "llama hidden=1048576 layers=1024",
		"llama hidden=1048576 layers=1 heads=1 inner=1 ctx=1048576"} {
		var resource *fault.Resource
		if _, err := distill.FromSpec(spec, target); !errors.As(err, &resource) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

// TestSpecKind: a description of the other kind says so.
func TestSpecKind(t *testing.T) {
	for spec, target := range map[string]distill.Target{"conv 8": {Vocab: 50, Context: 32}, "dense 8": {Vocab: 50, Context: 32}, "llama hidden=32 layers=1": picture} {
		var usage *fault.Usage
		if _, err := distill.FromSpec(spec, target); !errors.As(err, &usage) || !strings.Contains(err.Error(), "try ") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestSpecSizes(t *testing.T) {
	m, err := distill.FromSpec("conv 8,16 x2", picture)
	if err != nil {
		t.Fatal(err)
	}
	want := 9*(1*8+8*8+8*16+16*16) + 2*(8+8+16+16) + 16*2 + 2
	if m.Meta.Parameters != int64(want) {
		t.Errorf("%d parameters, want %d", m.Meta.Parameters, want)
	}
	if m, err = distill.FromSpec("dense 12,6 pool=2", picture); err != nil {
		t.Fatal(err)
	}
	want = picture.Channels*(picture.Height/2)*(picture.Width/2)*12 + 12*6 + 2*(12+6) + 6*2 + 2
	if m.Meta.Parameters != int64(want) {
		t.Errorf("%d parameters, want %d", m.Meta.Parameters, want)
	}
	if m, err = distill.FromSpec("llama hidden=64 layers=2 kv=1", distill.Target{Vocab: 50, Context: 16}); err != nil {
		t.Fatal(err)
	}
	want = 50*64 + 2*(2*64*64+2*64*32+3*64*192+2*64) + 64
	if m.Meta.Parameters != int64(want) {
		t.Errorf("%d parameters, want %d", m.Meta.Parameters, want)
	}
}

// TestDecoder trains a small decoder: its training form computes what the runtime computes with caches, its derivatives are
// those of the whole graph, and it learns a sequence by heart.
func TestDecoder(t *testing.T) {
	const rows, seq, vocab = 2, 12, 40
	m, err := distill.FromSpec("llama hidden=32 layers=2 heads=4 kv=2 inner=48", distill.Target{Vocab: vocab, Context: 16, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	shapes, fixed, err := grad.Sequence(m.Graph, rows, seq)
	if err != nil {
		t.Fatal(err)
	}
	tape, err := grad.New(m.Graph, grad.Options{Shapes: shapes, Fixed: fixed, Eval: runtime.Eval})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(tape.Params()); got != 1+2*9+1 {
		t.Errorf("%d parameters", got)
	}
	ids := tensor.New(tensor.I64, rows, seq)
	labels := make([]int32, rows*seq)
	for i := range ids.I64() {
		ids.I64()[i] = int64(i * 7 % vocab)
		labels[i] = int32((i + 1) * 7 % vocab)
	}
	in := map[string]*tensor.Tensor{"input_ids": ids}
	tr := &distill.Trainer{Tape: tape, Loss: distill.NewLoss(rows*seq, vocab, nil), Output: "logits", Clip: 1,
		Optimizer: distill.NewAdamW(tape.Params(), 0.99, 0), Schedule: distill.Schedule{Peak: 0.01, Floor: 0.001, Warmup: 5, Total: 60}}
	for range 10 {
		if _, err := tr.Step(in, labels, nil); err != nil {
			t.Fatal(err)
		}
	}
	checkLogits(t, tape, tape.Trained(m), ids, in)
	checkSlopes(t, tape, tr.Loss, in, labels)
	var last distill.StepReport
	for tr.Steps() < 60 {
		if last, err = tr.Step(in, labels, nil); err != nil {
			t.Fatal(err)
		}
	}
	if last.Loss > 0.3 {
		t.Errorf("the loss is %g after 60 steps", last.Loss)
	}
	if n := testing.AllocsPerRun(3, func() { tr.Step(in, labels, nil) }); n > 0 {
		t.Errorf("%v allocations in a step", n)
	}
}

// checkLogits compares the tape's logits with the runtime's.
func checkLogits(t *testing.T, tape *grad.Tape, m *model.Model, ids *tensor.Tensor, in map[string]*tensor.Tensor) {
	t.Helper()
	if err := tape.Forward(in); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Rewrite(m.Graph, model.RewriteOptions{Eval: runtime.Eval}); err != nil {
		t.Fatal(err)
	}
	rows, seq := ids.Shape[0], ids.Shape[1]
	s, err := runtime.NewSession(m, runtime.Options{Threads: 1, Sequences: rows})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	index := tensor.New(tensor.I64, seq)
	for i := range index.I64() {
		index.I64()[i] = int64(i)
	}
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"input_ids": ids, "past_len": tensor.New(tensor.I64, rows), "logits_index": index})
	if err != nil {
		t.Fatal(err)
	}
	got := tape.Output("logits").F32()
	for i, v := range out[0].F32() {
		if math.Abs(float64(got[i]-v)) > 1e-4*(1+math.Abs(float64(v))) {
			t.Fatalf("logit %d is %g, the runtime's %g", i, got[i], v)
		}
	}
}

// checkSlopes compares derivatives of the loss by some elements of each parameter with differences.
func checkSlopes(t *testing.T, tape *grad.Tape, l *distill.Loss, in map[string]*tensor.Tensor, labels []int32) {
	t.Helper()
	loss := func() float64 {
		if err := tape.Forward(in); err != nil {
			t.Fatal(err)
		}
		v, err := l.Gradient(tape.OutputGrad("logits"), tape.Output("logits").F32(), labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	loss()
	tape.ZeroGrads()
	tape.Backward()
	for _, p := range tape.Params() {
		for i := 3; i < len(p.Value); i += len(p.Value)/3 + 1 {
			at := p.Value[i]
			slope := func(h float32) float64 {
				p.Value[i] = at + h
				up := loss()
				p.Value[i] = at - h
				down := loss()
				p.Value[i] = at
				return (up - down) / (2 * float64(h))
			}
			want := (4*slope(1e-2) - slope(2e-2)) / 3
			if got := float64(p.Grad[i]); math.Abs(got-want) > 5e-4+0.01*math.Abs(want) {
				t.Errorf("%s: derivative %d is %g, differences say %g", p.Name, i, got, want)
			}
		}
	}
}

// TestDense trains a student of products alone and computes with its file.
func TestDense(t *testing.T) {
	d := barsFolder(t, 64, 1, true)
	_, r := trained(t, students(t, "dense 8,6 pool=2", d), distill.Options{Data: d, Eval: d, Epochs: 30, Batch: 16, Optimizer: "adamw", Rate: 0.02, Evals: 1})
	if r.Metrics["top1"] < 0.8 {
		t.Errorf("top1 is %g", r.Metrics["top1"])
	}
}
