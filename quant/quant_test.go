package quant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
)

const testdata = "../testdata/"

func open(t *testing.T, path string, o convert.Options) *model.Model {
	t.Helper()
	m, r, err := convert.Open(context.Background(), testdata+path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

func digits(t *testing.T) *model.Model {
	prep, err := json.Marshal(picture.Preprocess{Gray: true, Mean: []float64{33.3285}, Std: []float64{78.5655}})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, "models/digits-cnn/digits-cnn.onnx", convert.Options{Preprocess: prep})
}

func data(t *testing.T, path string) *dataset.Data {
	t.Helper()
	d, err := dataset.Open(testdata+path, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// written returns the bytes of the file that a model makes.
func written(t *testing.T, m *model.Model) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.dsk")
	if err := dskfile.Save(context.Background(), file, m, dskfile.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUniform demands less error and more bytes for each wider width, sizes as reported, and an unchanged input.
func TestUniform(t *testing.T) {
	m, images := digits(t), data(t, "models/digits-cnn/images")
	before := written(t, m)
	last := &Report{}
	for _, bits := range []int{2, 3, 4, 8} {
		out, r, err := Apply(context.Background(), m, Options{Strategy: Uniform, Bits: bits, Eval: images, Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		b := written(t, out)
		if int64(len(b)) != r.Bytes || r.Parameters != m.Meta.Parameters {
			t.Errorf("%d bit: the report says %d bytes, the file has %d", bits, r.Bytes, len(b))
		}
		if want := 8 * float64(len(b)) / float64(r.Parameters); r.BitsPerW != want || r.Calibration != "none (data-free)" {
			t.Errorf("%d bit: %g bits per weight, calibration %q; want %g, none", bits, r.BitsPerW, r.Calibration, want)
		}
		for i, tr := range r.Tensors {
			if tr.Bits >= halfBits {
				if tr.RelError != 0 || !strings.HasPrefix(tr.Why, "stays") {
					t.Errorf("a wide tensor: %+v", tr)
				}
				continue
			}
			if tr.Bits != bits || !(tr.RelError > 0) {
				t.Errorf("%d bit: %+v", bits, tr)
			}
			if last.Tensors != nil && (tr.RelError >= last.Tensors[i].RelError || tr.Bytes <= last.Tensors[i].Bytes) {
				t.Errorf("%s: error %g, %d bytes at %d bit; %g, %d bytes at fewer", tr.Name, tr.RelError, tr.Bytes, bits, last.Tensors[i].RelError, last.Tensors[i].Bytes)
			}
		}
		if bits >= 4 && (*r.Agreement < 1 || r.Metrics.Metrics["top1"] < 1) {
			t.Errorf("%d bit: agreement %g, top-1 %g", bits, *r.Agreement, r.Metrics.Metrics["top1"])
		}
		step := out.Meta.Steps[len(out.Meta.Steps)-1]
		if step.Verb != "quantize" || step.Options["weight_bits"] == "" || step.Options["calibration"] != "none" {
			t.Errorf("%d bit: history %+v", bits, step)
		}
		last = r
	}
	if !bytes.Equal(before, written(t, m)) {
		t.Error("quantizing changed the input model")
	}
}

// TestBudgets meets each kind of budget, and comes near it.
func TestBudgets(t *testing.T) {
	m := digits(t)
	p := float64(m.Meta.Parameters)
	for name, c := range map[string]struct {
		o     Options
		bytes float64
	}{
		"bytes": {Options{TargetBytes: 36_000}, 36_000},
		"ratio": {Options{TargetRatio: 4}, 4 * p / 4},
		"bpw":   {Options{TargetBPW: 7}, 7 * p / 8},
	} {
		c.o.Strategy = Adaptive
		_, r, err := Apply(context.Background(), m, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := float64(r.Bytes); got > c.bytes || got < 0.75*c.bytes {
			t.Errorf("%s: %.0f bytes for a budget of %.0f", name, got, c.bytes)
		}
	}
	var gate *fault.Gate
	if _, _, err := Apply(context.Background(), m, Options{Strategy: Adaptive, TargetBytes: 5_000}); !errors.As(err, &gate) || !strings.Contains(err.Error(), "cannot be met") {
		t.Errorf("an impossible budget: %v", err)
	}
}

// TestCalibrated is deterministic in the number of threads.
func TestCalibrated(t *testing.T) {
	m := digits(t)
	var first []byte
	for _, threads := range []int{1, 2} {
		o := Options{Strategy: Adaptive, TargetBPW: 7, Calib: data(t, "models/digits-cnn/images"), Threads: threads, EvalOptions: eval.Options{Limit: 12}}
		out, r, err := Apply(context.Background(), m, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Measurements == 0 || r.Calibration != "images" {
			t.Errorf("%d measurements on %s", r.Measurements, r.Calibration)
		}
		b := written(t, out)
		if first == nil {
			first = b
		} else if !bytes.Equal(first, b) {
			t.Error("files made with 1 and 2 threads differ")
		}
	}
}

func TestGates(t *testing.T) {
	m, images := digits(t), data(t, "models/digits-cnn/images")
	for _, o := range []Options{{MaxKL: 1e-9}, {MinAgreement: 1.5}} {
		o.Strategy, o.Bits, o.Eval = Uniform, 2, images
		_, r, err := Apply(context.Background(), m, o)
		var gate *fault.Gate
		if !errors.As(err, &gate) || r == nil {
			t.Errorf("%+v: error %v, report %v", o, err, r)
		}
	}
	o := Options{Strategy: Uniform, Bits: 8, Eval: images, MaxKL: 0.5, MinAgreement: 0.5}
	if _, _, err := Apply(context.Background(), m, o); err != nil {
		t.Errorf("gates that hold: %v", err)
	}
}

func TestPlan(t *testing.T) {
	points, err := Plan(context.Background(), digits(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(points) < 5 {
		t.Fatalf("%d points", len(points))
	}
	for i, p := range points[1:] {
		if p.Bytes >= points[i].Bytes || p.PredictedLoss < points[i].PredictedLoss {
			t.Errorf("point %d: %d bytes, loss %g after %d bytes, loss %g", i+1, p.Bytes, p.PredictedLoss, points[i].Bytes, points[i].PredictedLoss)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	m := digits(t)
	for part, o := range map[string]Options{
		"one of --target-size":     {Strategy: Adaptive, TargetBytes: 1, TargetBPW: 1},
		"leave --weight-bits":      {Strategy: Adaptive, Bits: 4, TargetRatio: 5},
		"a target chooses":         {Strategy: Uniform, Bits: 4, TargetBPW: 4},
		"needs --weight-bits":      {Strategy: Uniform},
		"widths are 2, 3, 4 and 8": {Strategy: Uniform, Bits: 5},
		"unknown strategy":         {Strategy: "greedy", Bits: 4},
		"--act-bits 16":            {Strategy: Uniform, Bits: 4, ActBits: 16},
		"measured on --eval":       {Strategy: Uniform, Bits: 4, MaxKL: 1},
		"needs --calib":            {Strategy: Adaptive, MaxKL: 1, Eval: data(t, "models/digits-cnn/images")},
	} {
		_, _, err := Apply(context.Background(), m, o)
		var u *fault.Usage
		if !errors.As(err, &u) || !strings.Contains(err.Error(), part) {
			t.Errorf("%+v: %v, want a usage error with %q", o, err, part)
		}
	}
}

func TestImportance(t *testing.T) {
	if importance([]float64{0, 0}) != nil || importance([]float64{math.NaN()}) != nil {
		t.Error("columns that were never seen have an importance")
	}
	// The mean of 1 and 5 is 3; the floor is added to each.
	got := importance([]float64{1, 5})
	for i, want := range []float32{1. / 3, 5. / 3} {
		if d := got[i] - want - importanceFloor; d > 1e-6 || d < -1e-6 {
			t.Errorf("importance %v", got)
		}
	}
}

func TestHTML(t *testing.T) {
	m := digits(t)
	m.Meta.Name = "a <b> name"
	out, r, err := Apply(context.Background(), m, Options{Strategy: Uniform, Bits: 4, Eval: data(t, "models/digits-cnn/images")})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteHTML(&b, out); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, part := range []string{"a &lt;b&gt; name", "uniform", r.Tensors[0].Name, "top1_agreement", "</html>"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for _, part := range []string{"<script", "http://", "https://"} {
		if strings.Contains(page, part) {
			t.Errorf("the page holds %q", part)
		}
	}
}
