package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenModel converts a reference model with a tokenizer whose words are "w0", "w1", ... for the ids, and returns the file and what
// golden.json says of the model.
func goldenModel(t *testing.T, name string, vocab int) (path string, golden map[string]json.RawMessage) {
	t.Helper()
	source := filepath.Join("..", "..", "..", "shared", "models", "arch-golden", name)
	data, err := os.ReadFile(filepath.Join(source, "golden.json"))
	if err != nil {
		t.Skip("../shared/models/arch-golden is not there")
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	words := map[string]int{}
	for i := range vocab {
		words[fmt.Sprintf("w%d", i)] = i
	}
	tok, err := json.Marshal(map[string]any{"version": "1.0", "added_tokens": []any{}, "pre_tokenizer": map[string]any{"type": "WhitespaceSplit"},
		"model":   map[string]any{"type": "WordPiece", "unk_token": "w0", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": words},
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": false}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), tok, 0o644); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name+".dsk")
	if code, _, errs := runDsk("convert", dir, "-o", path); code != 0 {
		t.Fatalf("convert: exit code %d, %s", code, errs)
	}
	return path, golden
}

// asWords is the text of token ids.
func asWords(ids []int) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = fmt.Sprintf("w%d", id)
	}
	return strings.Join(words, " ")
}

func decodeAs[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// TestRunSeq2Seq: a text in, the reference's greedy text out.
func TestRunSeq2Seq(t *testing.T) {
	for name, end := range map[string]int{"t5": 1, "bart": 2} {
		path, golden := goldenModel(t, name, 150)
		source := asWords(decodeAs[[][]int](t, golden["input_ids"])[0])
		want := decodeAs[[][]int](t, golden["greedy_next_ids"])[0]
		if i := slices.Index(want, end); i >= 0 {
			want = want[:i]
		}
		code, out, errs := runDsk("run", path, source, "-n", "8", "--json")
		if code != 0 {
			t.Fatalf("%s: exit code %d, %s", name, code, errs)
		}
		got := decodeAs[struct {
			Text         string
			Tokens       []int
			SourceTokens int `json:"source_tokens"`
		}](t, []byte(out))
		if !slices.Equal(got.Tokens, want) || got.Text != asWords(want) || got.SourceTokens != len(strings.Fields(source)) {
			t.Errorf("%s: %+v, want the tokens %v", name, got, want)
		}
		if code, out, _ := runDsk("run", path, source, "-n", "8", "--kv", "f16"); code != 0 || out != asWords(want)+"\n" {
			t.Errorf("%s: exit code %d, %q, want %q", name, code, out, asWords(want))
		}
		if code, _, errs := runDsk("run", path, strings.Repeat("w3 ", 600)); code != exitUsage || !strings.Contains(errs, "does not fit") {
			t.Errorf("%s: a long text: exit code %d, %s", name, code, errs)
		}
		if code, _, errs := runDsk("run", path, ""); code != exitUsage || !strings.Contains(errs, "no text") {
			t.Errorf("%s: no text: exit code %d, %s", name, code, errs)
		}
	}
}

// TestRunTextClasses: texts in, the reference's scores as probabilities out.
func TestRunTextClasses(t *testing.T) {
	path, golden := goldenModel(t, "xlm-roberta-cls", 160)
	text := asWords(decodeAs[[][]int](t, golden["input_ids"])[0])
	logits := decodeAs[struct{ Values []float64 }](t, golden["logits_or_last_hidden"]).Values
	want := 1 / (1 + math.Exp(logits[0]-logits[1])) // of class 1, which is the likelier
	code, out, errs := runDsk("run", path, text, text, "--json")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	got := decodeAs[struct {
		Texts []struct {
			Text    string
			Classes []struct {
				Class       int
				Label       string
				Probability float64
			}
		}
	}](t, []byte(out))
	if len(got.Texts) != 2 {
		t.Fatalf("%d texts", len(got.Texts))
	}
	for _, r := range got.Texts {
		c := r.Classes
		if r.Text != text || len(c) != 2 || c[0].Class != 1 || c[0].Label != "LABEL_1" || math.Abs(c[0].Probability-want) > 1e-4 {
			t.Errorf("%+v, want class 1 with %g", r, want)
		}
	}
	if code, out, _ := runDsk("run", path, text, "--top", "1"); code != 0 || out != fmt.Sprintf("%s\n  %5.1f %%  LABEL_1\n", text, 100*want) {
		t.Errorf("exit code %d, %q", code, out)
	}
}
