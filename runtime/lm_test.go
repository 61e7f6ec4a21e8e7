package runtime_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// gutenberg imports the small language model of testdata.
func gutenberg(t *testing.T) *model.Model {
	t.Helper()
	m, rep, err := safetensors.Import(context.Background(), "../testdata/models/gutenberg-1M", safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rep.Close() })
	return m
}

func newLM(t *testing.T, m *model.Model, threads int) *runtime.LM {
	t.Helper()
	lm, err := runtime.NewLM(m, runtime.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lm.Close)
	return lm
}

// TestPrefillEqualsDecode: tokens taken in at once, one by one, or after a rewind give the same logits.
func TestPrefillEqualsDecode(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	tokens := []int32{81, 2487, 913, 392, 536, 3911, 339, 804, 282}
	whole := newLM(t, m, 2)
	all, err := whole.All(ctx, tokens)
	if err != nil {
		t.Fatal(err)
	}
	single := newLM(t, m, 1)
	for round := range 2 {
		single.Rewind(0)
		for i, id := range tokens {
			got, err := single.Next(ctx, []int32{id})
			if err != nil {
				t.Fatal(err)
			}
			for j, v := range got {
				want := all[i*whole.VocabSize()+j]
				if math.Abs(float64(v-want)) > 1e-4 {
					t.Fatalf("round %d, position %d, logit %d: %g one by one, %g at once", round, i, j, v, want)
				}
			}
		}
	}
	if single.Past() != len(tokens) {
		t.Errorf("%d tokens taken in, want %d", single.Past(), len(tokens))
	}
}

// TestDecodeDoesNotAllocate: the steady state of generation.
func TestDecodeDoesNotAllocate(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	for _, threads := range []int{1, 2} {
		lm := newLM(t, m, threads)
		sampler := &runtime.Sampler{Temperature: 0.8, TopK: 40, Seed: 1}
		one := []int32{81}
		step := func() {
			logits, err := lm.Next(ctx, one)
			if err != nil {
				t.Fatal(err)
			}
			one[0] = sampler.Next(logits)
		}
		step()
		if n := testing.AllocsPerRun(50, step); n != 0 {
			t.Errorf("%d threads: %g allocations a token", threads, n)
		}
	}
}

// TestLMBounds: what does not fit is an error.
func TestLMBounds(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	lm := newLM(t, m, 1)
	if _, err := lm.Next(ctx, nil); err == nil {
		t.Error("no token: no error")
	}
	if _, err := lm.Next(ctx, []int32{int32(lm.VocabSize())}); err == nil {
		t.Error("a token outside the vocabulary: no error")
	}
	if _, err := lm.All(ctx, make([]int32, lm.Context()+1)); err == nil {
		t.Error("more tokens than the context holds: no error")
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := lm.Next(canceled, []int32{1}); err == nil {
		t.Error("a canceled context: no error")
	}
}

// TestGenerate: greedy text is the model's, and a stop text is cut off with what follows.
func TestGenerate(t *testing.T) {
	m := gutenberg(t)
	ctx := context.Background()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	generate := func(stop ...string) (string, *runtime.Generation) {
		lm := newLM(t, m, 1)
		var text strings.Builder
		g, err := lm.Generate(ctx, tok, tok.Encode("Produced by Richard Tonsing and the Online Dist", false),
			runtime.GenerateOptions{MaxTokens: 16, Sampler: &runtime.Sampler{}, Stop: stop},
			func(s string) error { text.WriteString(s); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return text.String(), g
	}
	text, g := generate()
	if g.Reason != "length" || len(g.Tokens) != 16 || tok.Decode(g.Tokens, true) != text {
		t.Fatalf("%q, %+v", text, g)
	}
	cut := text[len(text)/2 : len(text)/2+4]
	short, g := generate(cut)
	if want := text[:strings.Index(text, cut)]; short != want || g.Reason != "stop" {
		t.Errorf("with stop %q: %q (%s), want %q", cut, short, g.Reason, want)
	}
}
