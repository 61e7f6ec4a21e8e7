package gguf

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/gguf.md anew")

// TestDocument holds docs/gguf.md against the code; with -update it writes the page.
func TestDocument(t *testing.T) {
	var read, known []string
	for _, n := range slices.Sorted(maps.Keys(elements)) {
		if e := elements[n]; e.decode != nil || e.plain != 0 {
			read = append(read, e.name)
		} else {
			known = append(known, e.name)
		}
	}
	var page strings.Builder
	fmt.Fprintf(&page, `# GGUF

`+"`dsk convert model.gguf -o model.dsk`"+` reads language models of llama.cpp, `+"`dsk convert model.dsk -o model.gguf`"+` writes them.
This page is made from the code: `+"`go test ./convert/gguf -run Document -update`"+`.

## Reading

Versions 2 and 3, little-endian, in one file or in parts (`+"`name-00001-of-00003.gguf`"+`): any part's name opens all, which lie in one folder. A file's metadata and tensor names are translated to those of the Hugging Face layout, and
the model is then what [architectures.md](architectures.md) says. A tensor that the architecture has no use for is an error (exit 4): it would
be a part of the model that dsk does not compute.

Weights of the types %s are read. Types of numbers stay as they are; blocks become F32, bit by bit as ggml's reference decodes them, a few rows at
a time when they are written. No block of dsk holds one of ggml's exactly: Q8_0 has codes of 8 bits and a float16 scale for 32 weights where D8 has 7 bits
and a scale of 7 bits within its row, and Q4_0's scales do not fit D4. So `+"`dsk quantize`"+` chooses anew, from the values. The types %s are known,
but hold no weights.

The tokenizer becomes a tokenizer.json with llama.cpp's ids; the chat template is taken along.

| general.architecture | config.json model_type | in dsk |
|---|---|---|
`, strings.Join(read, ", "), strings.Join(known, ", "))
	list := slices.Clone(architectures)
	slices.SortFunc(list, func(a, b architecture) int { return cmp.Compare(a.name, b.name) })
	for _, a := range list {
		fmt.Fprintf(&page, "| %s | %s | %s |\n", a.name, a.modelType, a.class)
	}
	page.WriteString(`
A file of the architecture llama with experts is read as mixtral, one of deepseek2 whose router scores with sigmoids (expert_gating_func 2) as
deepseek_v3. Of deepseek2, both forms are read: attn_kv_b, and attn_k_b with attn_v_b.

## Writing

` + "`--weights f32|f16|q8_0|q4_0`" + ` chooses the type of matrices; vectors, routers and learned positions are F32, and matrices whose rows are no whole blocks F16.
Quantized weights of a .dsk file are written as the values that they stand for. The metadata are derived from the graph, and what was written is
read back and compared with it before the file appears: a model that llama.cpp's form of its architecture does not cover (rotation by yarn, a window
in every layer of llama, patterns of windows of its own) is an error (exit 4), not a file that computes something else.

A .dsk file that is written with f32 and read back gives the same logits, bit for bit; so does f16 if the weights were F16.
`)
	path := filepath.Join("..", "..", "docs", "gguf.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != page.String() {
		t.Errorf("docs/gguf.md is not current: go test ./convert/gguf -run Document -update")
	}
}
