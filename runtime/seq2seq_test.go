package runtime_test

import (
	"context"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestSeq2SeqIsOneGraph: an encoder-decoder that decodes token by token with its caches, one source after another, gives what
// its whole graph gives in one pass; with every kind of cache it comes near.
func TestSeq2SeqIsOneGraph(t *testing.T) {
	const dir = "../../shared/models/arch-golden/t5"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("../shared/models/arch-golden is not there")
	}
	ctx := context.Background()
	m, rep, err := safetensors.Import(ctx, dir, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Close()
	sources := [][]int32{{65, 42, 38, 72, 146, 68, 23}, {137, 135}, {9}}
	tokens := []int32{0, 27, 20, 125, 56, 30}
	for _, cache := range []runtime.CacheType{runtime.CacheF32, runtime.CacheF16, runtime.CacheI8} {
		s, err := runtime.NewSeq2Seq(m, runtime.Options{Threads: 2, Context: 16, Cache: cache})
		if err != nil {
			t.Fatalf("%s: %v", cache, err)
		}
		defer s.Close()
		for _, source := range sources {
			want := wholePass(t, m, source, tokens)
			if _, err := s.EncodeTokens(ctx, source); err != nil {
				t.Fatalf("%s: %v", cache, err)
			}
			tol := map[runtime.CacheType]float64{runtime.CacheF32: 1e-4, runtime.CacheF16: 0.02, runtime.CacheI8: 0.3}[cache]
			for i, id := range tokens {
				got, err := s.Next(ctx, []int32{id})
				if err != nil {
					t.Fatalf("%s: %v", cache, err)
				}
				for j, v := range got {
					if w := want[i*s.VocabSize()+j]; math.Abs(float64(v-w)) > tol {
						t.Fatalf("%s, source of %d: logit %d of token %d is %g, want %g", cache, len(source), j, i, v, w)
					}
				}
			}
		}
		if !slices.Equal(s.Start(), []int32{0}) {
			t.Errorf("start %v", s.Start())
		}
		for name, source := range map[string][]int32{"no tokens": nil, "too many": make([]int32, 17), "outside": {150}, "negative": {-1}} {
			if _, err := s.EncodeTokens(ctx, source); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := s.Encode(ctx, map[string]*tensor.Tensor{"input_ids": tensor.New(tensor.I64, 2, 3), "source_len": tensor.New(tensor.I64, 2)}); err == nil {
			t.Error("two sources are no error")
		}
		if _, err := s.Encode(ctx, map[string]*tensor.Tensor{"input_ids": tensor.New(tensor.I64, 1, 3), "source_len": tensor.FromSlice([]int64{99}, 1)}); err == nil {
			t.Error("a length beyond the source is no error")
		}
	}
	if _, err := runtime.NewSeq2Seq(gutenberg(t), runtime.Options{}); err == nil {
		t.Error("a language model is no error")
	}
	if _, err := runtime.NewLM(m, runtime.Options{}); err == nil {
		t.Error("an encoder-decoder as a language model is no error")
	}
}

// wholePass returns the logits [tokens][vocab] of the whole graph in one pass.
func wholePass(t *testing.T, m *model.Model, source, tokens []int32) []float32 {
	t.Helper()
	s, err := runtime.NewSession(m, runtime.Options{Threads: 1, Context: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	row := func(ids []int32) *tensor.Tensor {
		x := tensor.New(tensor.I64, 1, len(ids))
		for i, id := range ids {
			x.I64()[i] = int64(id)
		}
		return x
	}
	index := tensor.New(tensor.I64, len(tokens))
	for i := range tokens {
		index.I64()[i] = int64(i)
	}
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"input_ids": row(source), "source_len": tensor.FromSlice([]int64{int64(len(source))}, 1),
		"decoder_input_ids": row(tokens), "past_len": tensor.New(tensor.I64, 1), "logits_index": index})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out[1].F32())
}
