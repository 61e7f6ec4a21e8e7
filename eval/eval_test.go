package eval

import (
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
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

const testdata = "../testdata/"

func open(t *testing.T, path string, o convert.Options) *model.Model {
	t.Helper()
	m, r, err := convert.Open(context.Background(), filepath.Join(testdata, path), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

func digits(t *testing.T) *model.Model {
	t.Helper()
	prep, err := json.Marshal(picture.Preprocess{Gray: true, Mean: []float64{33.3285}, Std: []float64{78.5655}})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, "models/digits-cnn/digits-cnn.onnx", convert.Options{Preprocess: prep})
}

func data(t *testing.T, path string) *dataset.Data {
	t.Helper()
	d, err := dataset.Open(filepath.Join(testdata, path), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestClassify(t *testing.T) {
	m, images := digits(t), data(t, "models/digits-cnn/images")
	calls := 0
	r, err := Run(context.Background(), m, images, m, Options{Progress: func(done, total int64) {
		calls++
		if done > total || total != 60 {
			t.Errorf("progress %d of %d", done, total)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Task != model.TaskClassify || r.Samples != 60 || calls != 61 {
		t.Errorf("task %s, %d samples, %d calls of progress", r.Task, r.Samples, calls)
	}
	for name, want := range map[string]float64{"top1": 1, "top5": 1, "mean_kl": 0, "top1_agreement": 1, "relative_error": 0} {
		near(t, name, r.Metrics[name], want, 0)
	}
	near(t, "top-1 of the reference", r.Reference.Metrics["top1"], 1, 0)
	if r, err := Run(context.Background(), m, images, nil, Options{Limit: 7}); err != nil || r.Samples != 7 {
		t.Errorf("limit 7: %+v, %v", r, err)
	}
}

// TestWindows checks the protocol of facts.json on the first windows of a text against a loop over single tokens.
func TestWindows(t *testing.T) {
	m, text := open(t, "models/gutenberg-1M", convert.Options{}), data(t, "text/text.txt")
	all, err := Run(context.Background(), m, text, nil, Options{Context: 64, Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	if all.Windows != 4 || all.Samples != 4*63 {
		t.Errorf("%d windows, %d predicted tokens; want 4, 252", all.Windows, all.Samples)
	}
	near(t, "perplexity", all.Metrics["perplexity"], math.Exp(all.Metrics["nats_per_token"]), 1e-9)
	late, err := Run(context.Background(), m, text, nil, Options{Context: 64, Limit: 4, ScoreFrom: 32})
	if err != nil {
		t.Fatal(err)
	}
	if late.Samples != 4*32 {
		t.Errorf("%d tokens predicted from position 32 on, want 128", late.Samples)
	}
	near(t, "nats per token", all.Metrics["nats_per_token"], crossEntropy(t, m, text, 64, 4, 1), 1e-5)
	near(t, "nats per token from position 32 on", late.Metrics["nats_per_token"], crossEntropy(t, m, text, 64, 4, 32), 1e-5)
	one, err := Run(context.Background(), m, text, nil, Options{Context: 64, Limit: 4, Threads: 1})
	if err != nil || one.Metrics["nats_per_token"] != all.Metrics["nats_per_token"] {
		t.Errorf("one thread: %v, %v; want %v", one.Metrics, err, all.Metrics)
	}
}

// crossEntropy feeds the first windows of a text token by token and returns the mean of -ln p over the scored positions.
func crossEntropy(t *testing.T, m *model.Model, d *dataset.Data, size, windows, from int) float64 {
	t.Helper()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	body, err := d.Text(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode(body, false)
	lm, err := runtime.NewLM(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer lm.Close()
	var nats float64
	for w := range windows {
		lm.Rewind(0)
		window := ids[w*size : (w+1)*size]
		for i, id := range window[:size-1] {
			logits, err := lm.Next(context.Background(), []int32{id})
			if err != nil {
				t.Fatal(err)
			}
			if i+1 < from {
				continue
			}
			var sum float64
			for _, v := range logits {
				sum += math.Exp(float64(v))
			}
			nats += math.Log(sum) - float64(logits[window[i+1]])
		}
	}
	return nats / float64(windows*(size-from))
}

// TestBitsPerByte counts the bytes of the predicted tokens, for a text of characters of several bytes too.
func TestBitsPerByte(t *testing.T) {
	m := open(t, "models/gutenberg-1M", convert.Options{})
	file := filepath.Join(t.TempDir(), "text.txt")
	const body = "Où est ma chatte? — “Là-bas,” dit-elle, très contente."
	if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(file, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), m, d, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The first token, "O", is not predicted: all other bytes are.
	bits := r.Metrics["nats_per_token"] * float64(r.Samples) / math.Ln2
	near(t, "bits per byte", r.Metrics["bits_per_byte"], bits/float64(len(body)-1), 1e-9)
}

func TestProbe(t *testing.T) {
	m, text := open(t, "models/gutenberg-1M", convert.Options{}), data(t, "text/text.txt")
	p, err := NewProbe(context.Background(), m, text, Options{Context: 32, Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Compare(context.Background(), m)
	if err != nil || d.MeanKL != 0 || d.Top1Agreement != 1 || d.Positions != 2*31 {
		t.Errorf("a model against itself: %+v, %v", d, err)
	}
}

func TestRefused(t *testing.T) {
	cnn, lm := digits(t), open(t, "models/gutenberg-1M", convert.Options{})
	images, text := data(t, "models/digits-cnn/images"), data(t, "text/text.txt")
	for _, c := range []struct {
		name string
		m    *model.Model
		d    *dataset.Data
		ref  *model.Model
		o    Options
		part string
	}{
		{"text for a classifier", cnn, text, nil, Options{}, "holds text"},
		{"images for a language model", lm, images, nil, Options{}, "holds images"},
		{"unknown task", cnn, images, nil, Options{Task: "guess"}, `unknown task "guess"`},
		{"another kind of reference", lm, text, cnn, Options{Context: 32, Limit: 1}, "same vocabulary"},
		{"a window that predicts nothing", lm, text, nil, Options{Context: 8, ScoreFrom: 8}, "predicts nothing"},
	} {
		_, err := Run(context.Background(), c.m, c.d, c.ref, c.o)
		var u *fault.Usage
		if !errors.As(err, &u) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want a usage error with %q", c.name, err, c.part)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, lm, text, nil, Options{Context: 32}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
