package runtime_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// tinyBERT imports the encoder of testdata with other files beside its weights: JSON by name.
func tinyBERT(t *testing.T, files map[string]any) *model.Model {
	t.Helper()
	const source = "../testdata/models/bert-tiny"
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	for name, v := range files {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, rep, err := safetensors.Import(context.Background(), dir, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rep.Close() })
	return m
}

// poolNaive makes a text's vector of the vectors of its n tokens, as the kinds of pooling are defined.
func poolNaive(how string, hidden []float32, width, n int) []float64 {
	out := make([]float64, width)
	for d := range out {
		at := func(i int) float64 { return float64(hidden[i*width+d]) }
		sum, weighted, total, most := 0.0, 0.0, 0.0, math.Inf(-1)
		for i := range n {
			sum += at(i)
			weighted += float64(i+1) * at(i)
			total += float64(i + 1)
			most = max(most, at(i))
		}
		out[d] = map[string]float64{"cls": at(0), "lasttoken": at(n - 1), "max": most, "mean": sum / float64(n),
			"mean_sqrt_len": sum / math.Sqrt(float64(n)), "weightedmean": weighted / total}[how]
	}
	return out
}

// TestPooling holds the kinds of pooling, over a batch with padding, against their definitions.
func TestPooling(t *testing.T) {
	modules := []map[string]any{{"path": "", "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}}
	ids, mask := []int64{2, 4, 5, 7, 3, 2, 9, 3, 0, 0}, []int64{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}
	lengths := []int{5, 3}
	for _, kinds := range []string{"cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken", "cls+mean"} {
		pooling := map[string]any{"pooling_mode_mean_tokens": false}
		for _, kind := range strings.Split(kinds, "+") {
			key := map[string]string{"cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}[kind]
			if key == "" {
				key = "pooling_mode_" + kind + "_tokens"
			}
			pooling[key] = true
		}
		m := tinyBERT(t, map[string]any{"modules.json": modules, "1_Pooling/config.json": pooling})
		if m.Meta.Task != model.TaskEmbed || m.Meta.Text == nil || m.Meta.Text.Pooling != kinds || m.Meta.Text.Normalized {
			t.Errorf("%s: task %s, text %+v", kinds, m.Meta.Task, m.Meta.Text)
		}
		s, err := runtime.NewSession(m, runtime.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"input_ids": tensor.FromSlice(ids, 2, 5),
			"attention_mask": tensor.FromSlice(mask, 2, 5), "token_type_ids": tensor.New(tensor.I64, 2, 5)})
		if err != nil {
			t.Fatal(err)
		}
		hidden, got := out[0], out[1]
		width := hidden.Shape[2]
		for row, n := range lengths {
			var want []float64
			for _, kind := range strings.Split(kinds, "+") {
				want = append(want, poolNaive(kind, hidden.F32()[row*5*width:], width, n)...)
			}
			for i, w := range want {
				if v := got.F32()[row*len(want)+i]; math.Abs(float64(v)-w) > 1e-5 {
					t.Fatalf("%s: value %d of text %d is %g, want %g", kinds, i, row, v, w)
				}
			}
		}
	}
}

// TestTextEncoder: what a text becomes does not depend on the texts beside it nor on threads, and broken uses are errors.
func TestTextEncoder(t *testing.T) {
	m := tinyBERT(t, nil)
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	texts := []string{"a red bicycle", "the house is blue", "", "a blue house", "running dogs running dogs running", "a red bicycle"}
	together, err := runtime.NewTextEncoder(m, tok, runtime.OutputEmbedding, runtime.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer together.Close()
	all, err := together.Encode(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := runtime.NewTextEncoder(m, tok, runtime.OutputEmbedding, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	for i, text := range texts {
		one, err := alone.Encode(ctx, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range one[0].Values {
			if all[i].Values[j] != v {
				t.Fatalf("%q: value %d is %g alone, %g among others", text, j, v, all[i].Values[j])
			}
		}
		if cut := i == 4; all[i].Cut != cut || cut && all[i].Tokens != 8 {
			t.Errorf("%q: %d tokens, cut %v", text, all[i].Tokens, all[i].Cut)
		}
	}
	if none, err := alone.Encode(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("no texts: %v, %v", none, err)
	}
	if _, err := runtime.NewTextEncoder(m, tok, "logits", runtime.Options{}); err == nil {
		t.Error("an output that is not there is no error")
	}
	if _, err := runtime.NewTextEncoder(m, tok, "last_hidden_state", runtime.Options{}); err == nil {
		t.Error("an output of a row a token is no error")
	}
	if _, err := runtime.NewTextEncoder(gutenberg(t), tok, "logits", runtime.Options{}); err == nil {
		t.Error("a language model is no error")
	}
}

// TestVectorsOfLanguageModel: the last token's vector times the head, as a Dense module, is the language model's logits.
func TestVectorsOfLanguageModel(t *testing.T) {
	const source, head = "../testdata/models/gutenberg-1M", "model.embed_tokens.weight" // the head is tied
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(source, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := safetensors.ReadHeader(file)
	if err != nil {
		t.Fatal(err)
	}
	e := entries[slices.IndexFunc(entries, func(e safetensors.Entry) bool { return e.Name == head })]
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	header := fmt.Appendf(nil, `{"linear.weight":{"dtype":"BF16","shape":[%d,%d],"data_offsets":[0,%d]}}`, e.Shape[0], e.Shape[1], e.Bytes)
	write("2_Dense/model.safetensors", slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, file[e.Offset:e.Offset+e.Bytes]))
	write("2_Dense/config.json", fmt.Appendf(nil, `{"in_features":%d,"out_features":%d,"bias":false,"activation_function":"torch.nn.modules.linear.Identity"}`, e.Shape[1], e.Shape[0]))
	write("1_Pooling/config.json", []byte(`{"pooling_mode":"lasttoken"}`))
	write("modules.json", []byte(`[{"path":"","type":"Transformer"},{"path":"1_Pooling","type":"Pooling"},{"path":"2_Dense","type":"Dense"}]`))
	m, rep, err := safetensors.Import(context.Background(), dir, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Close()
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	enc, err := runtime.NewTextEncoder(m, tok, runtime.OutputEmbedding, runtime.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	const text = "Produced by Richard Tonsing and the Online Dist"
	got, err := enc.Encode(context.Background(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	want, err := newLM(t, gutenberg(t), 2).Next(context.Background(), tok.Encode(text, true))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if v := got[0].Values[i]; math.Abs(float64(v-w)) > 1e-4 {
			t.Fatalf("logit %d is %g, want %g", i, v, w)
		}
	}
}

// TestEncodePairs holds pairs against the graph's result for their tokens and kinds, in one batch with others of other lengths.
func TestEncodePairs(t *testing.T) {
	m := tinyBERT(t, nil)
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	e, err := runtime.NewTextEncoder(m, tok, runtime.OutputEmbedding, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := runtime.NewSession(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pairs := [][2]string{{"a red bicycle", "the house"}, {"the", "house is blue a red"}, {"a", strings.Repeat("red ", 40)}, {"the house", "a red bicycle"}}
	got, err := e.EncodePairs(context.Background(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pairs {
		first, second := tok.Encode(p[0], true), tok.Encode(p[1], true)[1:]
		over := len(first) + len(second) - m.Meta.Text.MaxTokens
		if over > 0 { // of the longer text, before its end
			second = append(second[:len(second)-1-over], second[len(second)-1])
		}
		ids, kinds := tensor.New(tensor.I64, 1, len(first)+len(second)), tensor.New(tensor.I64, 1, len(first)+len(second))
		mask := tensor.New(tensor.I64, 1, len(first)+len(second))
		for j, id := range slices.Concat(first, second) {
			ids.I64()[j], mask.I64()[j] = int64(id), 1
			if j >= len(first) {
				kinds.I64()[j] = 1
			}
		}
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"input_ids": ids, "attention_mask": mask, "token_type_ids": kinds})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(m.Graph.Outputs, func(v model.Value) bool { return v.Name == runtime.OutputEmbedding })
		for j, v := range out[at].F32() {
			if math.Abs(float64(v-got[i].Values[j])) > 1e-6 {
				t.Fatalf("pair %d: value %d is %v, want %v", i, j, got[i].Values[j], v)
			}
		}
		if got[i].Tokens != ids.Len() || got[i].Cut != (over > 0) {
			t.Errorf("pair %d: %d tokens, cut %v", i, got[i].Tokens, got[i].Cut)
		}
	}
}
