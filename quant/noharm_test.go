package quant

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/eval"
)

// digitsQuantizer is a calibrated quantizer of the digits network with measured options.
func digitsQuantizer(t *testing.T) *quantizer {
	t.Helper()
	ctx := context.Background()
	prep, err := json.Marshal(picture.Preprocess{Gray: true, Mean: []float64{33.3285}, Std: []float64{78.5655}})
	if err != nil {
		t.Fatal(err)
	}
	m, r, err := convert.Open(ctx, "../testdata/models/digits-cnn/digits-cnn.onnx", convert.Options{Preprocess: prep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	d, err := dataset.Open("../testdata/models/digits-cnn/images", dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := &quantizer{m: m, o: Options{Strategy: Adaptive, Calib: d, Threads: 2, EvalOptions: eval.Options{Limit: 40}}}
	q.findCandidates()
	for _, step := range []func(context.Context) error{q.calibrate, q.measureOptions} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestCalibrationReachesConvolutions(t *testing.T) {
	for _, c := range digitsQuantizer(t).candidates {
		if c.feedback == nil || c.basis != "error feedback" {
			t.Errorf("%s goes by %q", c.name, c.basis)
		}
	}
}

// TestDoNoHarm makes a bad choice, coarse steps for all, where steps of half that size fit too.
func TestDoNoHarm(t *testing.T) {
	ctx := context.Background()
	q := digitsQuantizer(t)
	q.o.TargetBytes = anySize
	for _, step := range []func(context.Context) error{q.measureOptions, q.measureSensitivity} {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	fine := len(q.widths()) - 4
	for _, c := range q.candidates {
		c.choice = c.options[fine]
	}
	var err error
	if q.o.TargetBytes, err = q.size(); err != nil {
		t.Fatal(err)
	}
	plain, err := q.divergence(ctx, q.encode())
	if err != nil {
		t.Fatal(err)
	}
	worst := q.candidates[0]
	for _, c := range q.candidates {
		if c.choice = c.options[fine+3]; c.sens*c.choice.err > worst.sens*worst.choice.err {
			worst = c
		}
	}
	mixed, err := q.divergence(ctx, q.encode())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.doNoHarm(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := q.divergence(ctx, q.encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loss mixed %.4g, uniform %.4g, chosen %.4g", mixed, plain, got)
	if mixed <= plain {
		t.Fatal("the bad choice is not bad")
	}
	size, err := q.size()
	if err != nil {
		t.Fatal(err)
	}
	if got > plain || size > q.o.TargetBytes || worst.choice.bits < evenBits+3 || !strings.Contains(worst.why, "at least "+widthName(evenBits+3)) {
		t.Errorf("chose a loss of %v in %d bytes, %d bit, %q", got, size, worst.choice.bits, worst.why)
	}
}

func TestWideWeightsAreReported(t *testing.T) {
	q := digitsQuantizer(t)
	// A weight that is read by another operator too is no candidate.
	name := q.candidates[1].name
	q.candidates = append(q.candidates[:1:1], q.candidates[2:]...)
	found := false
	for _, r := range q.wide() {
		if r.Name == name {
			found = r.Bits == 32 && strings.HasPrefix(r.Why, "stays: ")
		}
		for _, c := range q.candidates {
			if c.name == r.Name {
				t.Errorf("%s is a candidate and listed as wide", r.Name)
			}
		}
	}
	if !found {
		t.Errorf("%s is not listed", name)
	}
}
