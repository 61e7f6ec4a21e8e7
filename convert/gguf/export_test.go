package gguf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestEncode holds the encoders against the SHA-256 of what ggml's own quantizers make of the same weights.
func TestEncode(t *testing.T) {
	x, weights := uint32(1), make([]float32, 4096)
	for i := range weights {
		x = x*1664525 + 1013904223
		weights[i] = float32(float64(int(x>>8)-1<<23) / (1 << 23) * float64(1+i/32))
	}
	for name, want := range map[string]string{"Q8_0": "cb95f07b03984f22fcbe4a6666e072ec", "Q4_0": "a0a39ef4b6bd9a0915de9e3426bfa124"} {
		for _, as := range targets {
			if as.name != name {
				continue
			}
			data, err := as.encodeRow(nil, weights, "")
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(data)
			if got := hex.EncodeToString(sum[:16]); got != want {
				t.Errorf("%s: the encoded weights differ from ggml's (%s)", name, got)
			}
		}
	}
	if _, err := targetF16.encodeRow(nil, []float32{1e6}, "w"); !errors.As(err, new(*fault.Unsupported)) {
		t.Errorf("a value beyond float16 is written: %v", err)
	}
	if _, err := targetF16.encodeRow(nil, []float32{float32(math.NaN())}, "w"); err == nil {
		t.Error("NaN is written")
	}
}

// imported reads a checkpoint in the Hugging Face layout.
func imported(t testing.TB, dir string) *model.Model {
	t.Helper()
	m, r, err := safetensors.Import(context.Background(), dir, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

// trip writes a model and reads it back.
func trip(t testing.TB, m *model.Model, weights string) (*model.Model, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := Save(context.Background(), path, m, ExportOptions{Weights: weights}); err != nil {
		t.Fatal(err)
	}
	back, r, err := Import(context.Background(), path, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return back, path
}

// floats are the elements of a constant as F32, in rows.
func floats(t testing.TB, x *tensor.Tensor) []float32 {
	t.Helper()
	l, err := x.Loaded()
	if err != nil {
		t.Fatal(err)
	}
	n, k := matrixOf(x.Shape)
	m := *l
	m.Shape = []int{n, k}
	out := make([]float32, n*k)
	for r := range n {
		readRow(out[r*k:(r+1)*k], &m, r)
	}
	return out
}

// logits runs a model on a few tokens.
func logits(t testing.TB, m *model.Model) []float32 {
	t.Helper()
	lm, err := runtime.NewLM(m, runtime.Options{Threads: 1, Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	defer lm.Close()
	out, err := lm.All(context.Background(), []int32{3, 1, 4, 1, 5, 9, 2, 6})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out)
}

func gutenberg(t testing.TB) *model.Model {
	return imported(t, filepath.Join("..", "..", "testdata", "models", "gutenberg-1M"))
}

// TestRoundTrip demands the same logits of what was written and read back: of F32 files in any case, of F16 files if the weights
// were F16 before. Quantized weights are what the blocks in the file stand for.
func TestRoundTrip(t *testing.T) {
	m := gutenberg(t)
	exact, _ := trip(t, m, "f32")
	if !slices.Equal(logits(t, m), logits(t, exact)) {
		t.Error("F32: the logits differ")
	}
	if string(exact.Assets[model.AssetTokenGolden]) != string(m.Assets[model.AssetTokenGolden]) {
		t.Error("the tokenizer differs")
	}
	if exact.Meta.Architecture != m.Meta.Architecture || exact.Meta.Parameters != m.Meta.Parameters || exact.Meta.Name != m.Meta.Name ||
		!slices.Equal(exact.Meta.LM.EOS, m.Meta.LM.EOS) || exact.Meta.LM.ContextLength != m.Meta.LM.ContextLength || exact.Meta.Source.Format != "gguf" {
		t.Errorf("metadata %+v, want those of %+v", exact.Meta, m.Meta)
	}
	half, first := trip(t, m, "")
	again, second := trip(t, half, "f16")
	if !slices.Equal(logits(t, half), logits(t, again)) {
		t.Error("F16 of F16: the logits differ")
	}
	if !slices.Equal(read(t, first), read(t, second)) {
		t.Error("F16 of F16: the files differ")
	}
	for _, c := range []struct {
		weights string
		steps   float64 // the largest error over the largest weight of a block
	}{{"Q8_0", 0.51 / 127}, {"q4_0", 1.01 / 8}} {
		coarse, _ := trip(t, m, c.weights)
		for name, w := range m.Graph.Init {
			if w.DType == tensor.I64 || len(w.Shape) < 2 || strings.HasPrefix(name, "rope") {
				continue
			}
			a, b := floats(t, w), floats(t, coarse.Graph.Init[name])
			for at := 0; at < len(a); at += 32 {
				largest, worst := 0.0, 0.0
				for i := at; i < at+32; i++ {
					largest = max(largest, math.Abs(float64(a[i])))
					worst = max(worst, math.Abs(float64(a[i]-b[i])))
				}
				if worst > largest*(c.steps+0.001) {
					t.Fatalf("%s: %s, weights %d on: an error of %g for weights up to %g", c.weights, name, at, worst, largest)
				}
			}
		}
	}
}

// TestArchitectures writes models of many architectures, whose GGUF files llama.cpp continues with the tokens that transformers
// does, and demands the same weights back.
func TestArchitectures(t *testing.T) {
	for _, name := range []string{"bloom", "cohere", "ernie4_5", "falcon-mqa", "gemma", "glm4", "gpt2", "gpt_bigcode", "gpt_neox",
		"gpt_neox-sequential", "granite", "llama", "llama-bias", "llama-rope-linear", "llama-rope-llama3", "mixtral", "nemotron", "olmo", "olmo2",
		"phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "stablelm", "starcoder2"} {
		t.Run(name, func(t *testing.T) {
			m := imported(t, shared(t, "models/arch-golden/"+name))
			back, _ := trip(t, m, "f32")
			a, b := logits(t, m), logits(t, back)
			for i := range a {
				// Not the same: the factors of llama3's frequencies are F32 in the file.
				if d := math.Abs(float64(a[i] - b[i])); d > 1e-4 || d != 0 && name != "llama-rope-llama3" {
					t.Fatalf("logit %d is %g, read back %g", i, a[i], b[i])
				}
			}
		})
	}
}

// TestSaveRefuses has models that llama.cpp's description of them does not cover: no file is left.
func TestSaveRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.gguf")
	refused := func(m *model.Model, weights string, want error, why string) {
		t.Helper()
		err := Save(context.Background(), path, m, ExportOptions{Weights: weights})
		ok := errors.As(err, new(*fault.Unsupported))
		if _, usage := want.(*fault.Usage); usage {
			ok = errors.As(err, new(*fault.Usage))
		}
		if !ok || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %T with %q", err, want, why)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
	}
	m := gutenberg(t)
	refused(m, "q5_k", &fault.Usage{}, "f32, f16, q8_0, q4_0")
	other := m.Clone()
	other.Meta.Architecture = "mamba"
	refused(other, "", &fault.Unsupported{}, "mamba")
	other = m.Clone()
	other.Meta.Task = model.TaskClassify
	refused(other, "", &fault.Usage{}, "language models")
	other = m.Clone()
	for _, n := range other.Graph.Nodes {
		if n.Op == "Attention" {
			n.Attrs["scale"] = model.FloatAttr(0.3)
			break
		}
	}
	refused(other, "", &fault.Unsupported{}, "(Attention)")
	other = m.Clone()
	other.Assets[model.AssetTokenizer] = []byte(`{"model":{"type":"Unigram","vocab":[["a",0]]}}`)
	refused(other, "", &fault.Unsupported{}, "Unigram")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(context.Background(), path, m, ExportOptions{}); !errors.As(err, new(*fault.Usage)) {
		t.Errorf("an existing file is replaced: %v", err)
	}
}
