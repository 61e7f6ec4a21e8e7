package gguf

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// vocabularyFile makes a file with a small vocabulary; change replaces metadata, nil takes it away.
func vocabularyFile(model string, change map[string]any) []byte {
	meta := map[string]any{"model": model, "token_type": []int32{2, 3, 3, 1, 1, 1, 1, 4}, "unknown_token_id": uint32(0)}
	switch model {
	case "gpt2":
		meta["pre"], meta["merges"] = "gpt-2", []string{"a b", "a b", "Ġ ab"}
		meta["tokens"] = []string{"<unk>", "<s>", "</s>", "a", "b", "ab", "Ġ", "ü"}
		meta["bos_token_id"], meta["add_bos_token"], meta["eos_token_id"] = uint32(1), true, uint32(2)
		meta["tokens"] = append(meta["tokens"].([]string), "Ġab")
		meta["token_type"] = append(meta["token_type"].([]int32), 1)
	case "llama":
		meta["tokens"] = []string{"<unk>", "<s>", "</s>", "a", "b", "ab", "▁", "<u>"}
		meta["scores"] = []float32{0, 0, 0, -1, -2, -3, -4, 0}
	case "bert":
		meta["tokens"] = []string{"[UNK]", "[CLS]", "[SEP]", "▁a", "b", "▁ab", "▁!", "[unused]"}
		meta["cls_token_id"], meta["seperator_token_id"] = uint32(1), uint32(2)
	}
	for k, v := range change {
		meta[k] = v
	}
	b := newBuilder(0, 0)
	n := uint64(0)
	for k, v := range meta {
		key := "tokenizer.ggml." + k
		switch v := v.(type) {
		case nil:
			continue
		case string:
			b.put(key, uint32(typeString), v)
		case bool:
			b.put(key, uint32(typeBool), v)
		case uint32:
			b.put(key, uint32(typeU32), v)
		case []int32:
			b.put(key, uint32(typeArray), uint32(typeI32), uint64(len(v)), v)
		case []float32:
			b.put(key, uint32(typeArray), uint32(typeF32), uint64(len(v)), v)
		case []string:
			b.put(key, uint32(typeArray), uint32(typeString), uint64(len(v)))
			for _, s := range v {
				b.put(s)
			}
		}
		n++
	}
	out := b.Bytes()
	out[16] = byte(n)
	return out
}

var nan = float32(math.NaN())

func TestTokenizer(t *testing.T) {
	for _, c := range []struct {
		model, text string
		change      map[string]any
		want, plain []int32
		back        string
	}{
		{model: "gpt2", text: "ab abü</s>", want: []int32{1, 5, 8, 7, 2}, plain: []int32{5, 8, 7}, back: "ab abü"},
		{model: "gpt2", text: "ab", change: map[string]any{"add_bos_token": nil}, want: []int32{5}, plain: []int32{5}, back: "ab"},
		{model: "gpt2", text: "ab", change: map[string]any{"add_eos_token": true, "token_type": nil}, want: []int32{1, 5, 2}, plain: []int32{5}, back: "ab"},
		{model: "llama", text: "ab <u>a", want: []int32{1, 6, 5, 6, 7, 6, 3}, plain: []int32{6, 5, 6, 7, 6, 3}, back: "ab <u> a"},
		{model: "llama", text: "ab", change: map[string]any{"add_space_prefix": false, "add_bos_token": false, "add_eos_token": true}, want: []int32{5, 2}, plain: []int32{5}, back: "ab"},
		{model: "bert", text: "ÀB a!", want: []int32{1, 5, 3, 6, 2}, plain: []int32{5, 3, 6}, back: "ab a !"},
		{model: "bert", text: "ab B", change: map[string]any{"normalizer.lowercase": false}, want: []int32{1, 5, 0, 2}, plain: []int32{5, 0}, back: "ab"},
	} {
		f, err := Read(vocabularyFile(c.model, c.change))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := f.Tokenizer()
		if err != nil {
			t.Errorf("%s %v: %v", c.model, c.change, err)
			continue
		}
		if got := tok.Encode(c.text, true); !slices.Equal(got, c.want) {
			t.Errorf("%s %v: ids %v, want %v", c.model, c.change, got, c.want)
		}
		if got := tok.EncodePlain(strings.TrimSuffix(c.text, "</s>")); !slices.Equal(got, c.plain) {
			t.Errorf("%s %v: plain ids %v, want %v", c.model, c.change, got, c.plain)
		}
		if got := tok.Decode(c.plain, true); got != c.back {
			t.Errorf("%s %v: text %q, want %q", c.model, c.change, got, c.back)
		}
	}
}

func TestTokenizerRefuses(t *testing.T) {
	runs := make([]string, 1000)
	for i := range runs {
		runs[i] = strings.Repeat("a", i+1)
	}
	for _, c := range []struct {
		model  string
		change map[string]any
		want   error
		why    string
	}{
		{"t5", nil, &fault.Unsupported{}, "tokenizer.ggml.model t5"},
		{"gpt2", map[string]any{"pre": "kimi-k2"}, &fault.Unsupported{}, "tokenizer.ggml.pre kimi-k2"},
		{"gpt2", map[string]any{"model": nil}, &fault.Usage{}, "no vocabulary"},
		{"gpt2", map[string]any{"model": uint32(3)}, &fault.Format{}, "type is uint32"},
		{"gpt2", map[string]any{"tokens": nil}, &fault.Format{}, "0 tokens"},
		{"gpt2", map[string]any{"tokens": []string{"a", "a"}}, &fault.Format{}, "are both"},
		{"gpt2", map[string]any{"tokens": []string{"\xff"}}, &fault.Format{}, "not UTF-8"},
		{"gpt2", map[string]any{"tokens": []string{strings.Repeat("x", 5000)}}, &fault.Format{}, "longer than"},
		{"gpt2", map[string]any{"merges": []string{"ab"}}, &fault.Format{}, "not two tokens"},
		{"gpt2", map[string]any{"merges": []string{"a x"}}, &fault.Format{}, "not in the vocab"},
		{"gpt2", map[string]any{"bos_token_id": uint32(99)}, &fault.Format{}, "no id of 9 tokens"},
		{"gpt2", map[string]any{"bos_token_id": nil}, &fault.Format{}, "its default 11"},
		{"gpt2", map[string]any{"token_type": []int32{1}}, &fault.Format{}, "1 kinds"},
		{"llama", map[string]any{"scores": nil}, &fault.Format{}, "0 scores"},
		{"llama", map[string]any{"tokens": runs, "scores": make([]float32, 1000), "token_type": nil}, &fault.Format{}, "too many ways"},
		{"llama", map[string]any{"scores": slices.Repeat([]float32{nan}, 8)}, &fault.Format{}, "not a number"},
		{"bert", map[string]any{"tokens": []string{"[UNK]", "[CLS]", "[SEP]", "▁##a", "a", "u", "v", "w"}}, &fault.Format{}, "are both"},
	} {
		f, err := Read(vocabularyFile(c.model, c.change))
		if err == nil {
			_, err = f.Tokenizer()
		}
		ok := false
		switch c.want.(type) {
		case *fault.Unsupported:
			ok = errors.As(err, new(*fault.Unsupported))
		case *fault.Usage:
			ok = errors.As(err, new(*fault.Usage))
		case *fault.Format:
			ok = errors.As(err, new(*fault.Format))
		}
		if !ok || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s %v: %v, want %T with %q", c.model, c.change, err, c.want, c.why)
		}
	}
}

// TestPreTokenizers compiles every pattern.
func TestPreTokenizers(t *testing.T) {
	for name, pre := range preTokenizers {
		f, err := Read(vocabularyFile("gpt2", map[string]any{"pre": name}))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := f.Tokenizer()
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got := tok.Encode("ab ab", false); !slices.Equal(got, []int32{5, 8}) || len(pre.patterns) == 0 {
			t.Errorf("%q: ids %v", name, got)
		}
	}
}
