package distill_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	pictures "github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
)

// shared returns a path of the shared data; the test is skipped where there is none.
func shared(t *testing.T, path ...string) string {
	t.Helper()
	p := filepath.Join(append([]string{"..", "..", "shared"}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no ../shared: %v", err)
	}
	return p
}

// TestMNISTMiniature is scripts/train-mnist.sh in small: a teacher learns labels, a student learns from what was recorded of it.
func TestMNISTMiniature(t *testing.T) {
	path := shared(t, "data", "mnist")
	train := opened(t, path, dataset.Options{Split: "train", Limit: 1600})
	test := opened(t, path, dataset.Options{Split: "test", Limit: 400})
	teacher, r := trained(t, students(t, "conv 8,16 x2", train), distill.Options{Data: train, Eval: test, Epochs: 3, Batch: 16, Smoothing: 0.05, Optimizer: "adamw", Rate: 0.01, Evals: 1})
	if r.Metrics["top1"] < 0.8 {
		t.Errorf("the teacher's top1 is %g", r.Metrics["top1"])
	}
	folder := filepath.Join(t.TempDir(), "labels")
	if _, err := distill.RecordLabels(context.Background(), teacher, train, folder, distill.Options{Temperature: 1, Augment: distill.Augment{Shift: 1}, Views: 2}); err != nil {
		t.Fatal(err)
	}
	l, err := distill.OpenLabels(folder)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Pattern()
	if err != nil {
		t.Fatal(err)
	}
	_, r = trained(t, func(seed uint64) (*model.Model, error) { return p.Student("conv 8,16", seed) }, distill.Options{Data: train, Eval: test, Labels: l,
		Alpha: 0.9, Temperature: 4, Epochs: 2, Batch: 16, Optimizer: "adamw", Rate: 0.01, Control: true, Seeds: 2, Evals: 1})
	if c := r.Comparison; c.Distilled < 0.3 || c.Difference < -0.15 {
		t.Errorf("the student's top1 is %g, the control's %g", c.Distilled, c.Control)
	}
}

// TestCIFARMiniature is scripts/train-cifar.sh in small: resnet56 teaches without labels, and its own classes come to be the
// student's.
func TestCIFARMiniature(t *testing.T) {
	path := shared(t, "models", "cifar10-resnet", "resnet56.onnx")
	prep, err := pictures.ParsePreprocessFlag("mean=123.675,116.28,103.53,std=58.395,57.12,57.375")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(prep)
	if err != nil {
		t.Fatal(err)
	}
	teacher, source, err := convert.Open(context.Background(), path, convert.Options{Eval: runtime.Eval, Supports: runtime.Supports, Preprocess: raw})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	d := opened(t, shared(t, "data", "cifar10"), dataset.Options{Split: "train", Limit: 96})
	p, err := distill.PatternOfModel(teacher)
	if err != nil {
		t.Fatal(err)
	}
	m, r := trained(t, func(seed uint64) (*model.Model, error) { return p.Student("conv 8,16,32", seed) }, distill.Options{Data: d, Teacher: teacher,
		Alpha: 1, Temperature: 4, Epochs: 10, Batch: 16, Augment: distill.Augment{Flip: true}, Views: 1})
	if first, last := r.Curve[0].Loss, r.Runs[0].Loss; last > 0.9*first {
		t.Errorf("the loss went from %g to %g", first, last)
	}
	agreement, err := eval.Run(context.Background(), m, d, teacher, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := agreement.Metrics["top1_agreement"]; got < 0.3 {
		t.Errorf("the student agrees with its teacher on %g of what it has seen", got)
	}
}

// TestTextMiniature is scripts/train-text.sh in small: a language model teaches a smaller one.
func TestTextMiniature(t *testing.T) {
	teacher := decoder(t)
	d := opened(t, filepath.Join("..", "testdata", "text", "calib.txt"), dataset.Options{})
	measured := opened(t, filepath.Join("..", "testdata", "text", "text.txt"), dataset.Options{})
	p, err := distill.PatternOfModel(teacher)
	if err != nil {
		t.Fatal(err)
	}
	_, r := trained(t, func(seed uint64) (*model.Model, error) { return p.Student("llama hidden=64 layers=1 inner=96", seed) }, distill.Options{Data: d, Eval: measured,
		EvalOptions: eval.Options{Context: 64}, Teacher: teacher, Alpha: 0.7, Temperature: 1, Context: 64, Batch: 4, Epochs: 2, Control: true, Evals: 1})
	if r.Metrics["perplexity"] > 3500 || r.Control["perplexity"] > 3500 {
		t.Errorf("perplexity %g, control %g: hardly better than chance among 4096 tokens", r.Metrics["perplexity"], r.Control["perplexity"])
	}
}
