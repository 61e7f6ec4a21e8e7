package bench

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

func open(t *testing.T, path string) *model.Model {
	t.Helper()
	m, r, err := convert.Open(context.Background(), "../testdata/models/"+path, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		samples                   []float64
		mean, stddev, median, low float64
	}{
		{[]float64{3}, 3, 0, 3, 3},
		{[]float64{4, 2}, 3, 1, 3, 2},
		{[]float64{1, 9, 2}, 4, 3.559026084010437, 2, 1},
	} {
		r := Result{SamplesMS: c.samples}
		r.summarize()
		near := func(a, b float64) bool { return a-b < 1e-12 && b-a < 1e-12 }
		if !near(r.MS, c.mean) || !near(r.Stddev, c.stddev) || r.MedianMS != c.median || r.MinMS != c.low {
			t.Errorf("%v: mean %g, deviation %g, median %g, least %g", c.samples, r.MS, r.Stddev, r.MedianMS, r.MinMS)
		}
	}
}

func TestLanguageModel(t *testing.T) {
	r, err := Run(context.Background(), open(t, "gutenberg-1M"), Options{Prompt: 8, Generate: 4, Threads: []int{1, 2}, Repeats: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, res := range r.Results {
		got = append(got, res.Test)
		if len(res.SamplesMS) != 2 || !(res.MS > 0) || !(res.TokensPerSecond > 0) || res.PerSecond != 0 {
			t.Errorf("%+v", res)
		}
		// The rate is tokens over the mean time.
		n := map[string]float64{"pp8": 8, "tg4": 4}[res.Test]
		if d := res.TokensPerSecond*res.MS/1e3 - n; d > 1e-6 || d < -1e-6 {
			t.Errorf("%s: %g tokens/s of %g ms", res.Test, res.TokensPerSecond, res.MS)
		}
	}
	if strings.Join(got, " ") != "pp8 tg4 pp8 tg4" || r.Results[0].Threads != 1 || r.Results[2].Threads != 2 {
		t.Errorf("tests %v", got)
	}
	only, err := Run(context.Background(), open(t, "gutenberg-1M"), Options{Generate: 2, Threads: []int{1}, Repeats: 1})
	if err != nil || len(only.Results) != 1 || only.Results[0].Test != "tg2" {
		t.Errorf("generation alone: %+v, %v", only, err)
	}
}

func TestGraph(t *testing.T) {
	r, err := Run(context.Background(), open(t, "digits-cnn/digits-cnn.onnx"), Options{Threads: []int{1}, Repeats: 3})
	if err != nil {
		t.Fatal(err)
	}
	res := r.Results[0]
	if len(r.Results) != 1 || res.Test != "latency" || len(res.SamplesMS) != 3 || res.TokensPerSecond != 0 {
		t.Errorf("%+v", r.Results)
	}
	if d := res.PerSecond*res.MS/1e3 - 1; d > 1e-9 || d < -1e-9 {
		t.Errorf("%g runs/s of %g ms", res.PerSecond, res.MS)
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"runs_per_second"`) || strings.Contains(string(b), "tokens_per_second") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestBenchstat(t *testing.T) {
	r := &Report{Results: []Result{
		{Test: "pp8", Threads: 2, TokensPerSecond: 4000, MS: 2, SamplesMS: []float64{1, 3}},
		{Test: "latency", Threads: 1, PerSecond: 1000, MS: 1, SamplesMS: []float64{1}},
	}}
	var b strings.Builder
	if err := r.WriteBenchstat(&b); err != nil {
		t.Fatal(err)
	}
	const want = "Benchmarkpp8/threads=2 1 1000000 ns/op 8000.00 tokens/s\n" +
		"Benchmarkpp8/threads=2 1 3000000 ns/op 2666.67 tokens/s\n" +
		"Benchmarklatency/threads=1 1 1000000 ns/op\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestRefused(t *testing.T) {
	m := open(t, "digits-cnn/digits-cnn.onnx")
	for _, o := range []Options{{Threads: []int{1}}, {Threads: []int{0}, Repeats: 1}} {
		var u *fault.Usage
		if _, err := Run(context.Background(), m, o); !errors.As(err, &u) {
			t.Errorf("%+v: %v, want a usage error", o, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, m, Options{Threads: []int{1}, Repeats: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
