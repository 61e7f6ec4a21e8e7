//go:build accuracy

package accuracy

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// facts are what the models' makers measured: facts.json.
type facts struct {
	NatsPerToken float64   `json:"nats_per_token"`
	Perplexity   float64   `json:"perplexity"`
	BitsPerByte  float64   `json:"bits_per_byte"`
	Prompt       string    `json:"prompt"`
	PromptIDs    []int32   `json:"prompt_ids"`
	GreedyIDs    []int32   `json:"greedy_ids"`
	Logits       []float64 `json:"logits_after_prompt_first_8"`
	LogitsMax    float64   `json:"logits_after_prompt_max"`
}

// protocol is that of facts.json: the first 120 windows of 256 tokens.
var protocol = []string{"--ctx", "256", "--limit", "120"}

// languageModel opens a .dsk file for use through the Go API.
func languageModel(t *testing.T, file string, threads int) (*runtime.LM, *tokenizer.Tokenizer) {
	t.Helper()
	f, err := dskfile.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	lm, err := runtime.NewLM(m, runtime.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lm.Close)
	return lm, tok
}

func TestGutenberg(t *testing.T) {
	for _, name := range []string{"gutenberg-1M", "gutenberg-9M"} {
		source := shared(t, "models/"+name)
		var f facts
		readJSON(t, filepath.Join(source, "facts.json"), &f)
		file := converted(t, name, source)

		m := eval(t, file, shared(t, "data/gutenberg/valid.txt"), protocol...).Metrics
		near(t, name+" bits per byte", m["bits_per_byte"], f.BitsPerByte, f.BitsPerByte/1000)
		near(t, name+" perplexity", m["perplexity"], f.Perplexity, f.Perplexity/1000)

		lm, tok := languageModel(t, file, 2)
		if ids := tok.Encode(f.Prompt, true); !slices.Equal(ids, f.PromptIDs) {
			t.Errorf("%s: prompt ids %v, want %v", name, ids, f.PromptIDs)
		}
		logits, err := lm.Next(context.Background(), f.PromptIDs)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i, want := range f.Logits {
			worst = max(worst, math.Abs(float64(logits[i])-want))
		}
		worst = max(worst, math.Abs(float64(slices.Max(logits))-f.LogitsMax))
		atMost(t, name+" largest difference of logits after the prompt", worst, 1e-3)

		var run struct {
			Tokens []int32 `json:"tokens"`
		}
		dskJSON(t, &run, "run", file, f.Prompt, "--max-tokens", "48")
		t.Logf("%s greedy tokens equal: %v", name, slices.Equal(run.Tokens, f.GreedyIDs))
		if !slices.Equal(run.Tokens, f.GreedyIDs) {
			t.Errorf("%s: greedy tokens %v, want %v", name, run.Tokens, f.GreedyIDs)
		}
	}
}

// TestStories measures the stories of a file one by one, as eval takes text with <|endoftext|> between documents: each starts with the
// token that begins a sequence, as the model was trained (llama2.c), and all bytes of the file count.
func TestStories(t *testing.T) {
	file := converted(t, "stories260K", shared(t, "models/stories260K"))
	m := eval(t, file, shared(t, "data/tinystories/tinystories_sample_cs336.txt"), "--ctx", "512").Metrics
	near(t, "stories260K bits per byte", m["bits_per_byte"], 0.870, 0.002)
	t.Logf("greedy: %s", dsk(t, "run", file, "Once upon a time", "--max-tokens", "120"))
}

// quantized is the part of quantize's output that is compared.
type quantized struct {
	Bytes        int64   `json:"bytes"`
	BitsPerW     float64 `json:"bits_per_weight"`
	MeanKL       float64 `json:"mean_kl"`
	Top1         float64 `json:"top1_agreement"`
	Measurements int     `json:"measurements"`
	Evaluation   metrics `json:"evaluation"`
}

func (q quantized) log(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d bytes, %.3f bits per weight, mean KL %.5f, top-1 agreement %.4f, perplexity %.3f",
		what, q.Bytes, q.BitsPerW, q.MeanKL, q.Top1, q.Evaluation.Metrics["perplexity"])
}

func TestQuantizedLM(t *testing.T) {
	file := converted(t, "gutenberg-9M", shared(t, "models/gutenberg-9M"))
	measure := append([]string{"--eval", shared(t, "data/gutenberg/valid.txt")}, protocol...)
	byBits := map[string]quantized{}
	for _, bits := range []string{"8", "4", "3", "2"} {
		var q quantized
		dskJSON(t, &q, append([]string{"quantize", file, "-o", filepath.Join(workDir, "9M-"+bits+"bit.dsk"), "--weight-bits", bits}, measure...)...)
		q.log(t, "gutenberg-9M at uniform "+bits+" bit")
		byBits[bits] = q
	}
	atMost(t, "gutenberg-9M at 8 bit, mean KL", byBits["8"].MeanKL, 0.0003)
	atMost(t, "gutenberg-9M at 4 bit, bytes", float64(byBits["4"].Bytes), 5.2e6)
	atMost(t, "gutenberg-9M at 4 bit, mean KL", byBits["4"].MeanKL, 0.006)
}

// TestAdaptive holds the adaptive strategy against uniform 4 and 3 bit of the same size.
func TestAdaptive(t *testing.T) {
	file := converted(t, "gutenberg-1M", shared(t, "models/gutenberg-1M"))
	measure := append([]string{"--eval", shared(t, "data/gutenberg/valid.txt")}, protocol...)
	calib := shared(t, "data/gutenberg/train.txt.gz")
	for _, bits := range []string{"4", "3"} {
		var uniform, adaptive quantized
		dskJSON(t, &uniform, append([]string{"quantize", file, "-o", filepath.Join(workDir, "uniform.dsk"), "--force", "--weight-bits", bits}, measure...)...)
		uniform.log(t, "gutenberg-1M at uniform "+bits+" bit")
		target := []string{"quantize", file, "-o", filepath.Join(workDir, "adaptive.dsk"), "--force", "--target-size", itoa(uniform.Bytes), "--calib", calib}
		dskJSON(t, &adaptive, append(target, measure...)...)
		adaptive.log(t, "gutenberg-1M adaptive in the same bytes")
		atMost(t, "adaptive bytes", float64(adaptive.Bytes), float64(uniform.Bytes))
		atMost(t, "adaptive mean KL against uniform "+bits+" bit", adaptive.MeanKL, uniform.MeanKL)
	}
}
