package tokenizer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// sharedFile reads a file beside the project, or skips.
func sharedFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", filepath.FromSlash(name)))
	if err != nil {
		t.Skipf("../shared/%s is not here", name)
	}
	return data
}

// kind is a tokenizer that people use: a real vocabulary, and how it splits text.
type kind struct {
	name string
	file string    // of models: a GGUF vocabulary or a tokenizer.json
	swap [2]string // replaced in the tokenizer.json
}

const (
	quotedGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`
	quotedLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
	quotedQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
)

var kinds = []kind{
	{"gpt2", "ggml-vocab/ggml-vocab-gpt-2.gguf", [2]string{}},
	{"llama3", "ggml-vocab/ggml-vocab-gpt-2.gguf", [2]string{quotedGPT2, quotedLlama3}},
	{"qwen2", "ggml-vocab/ggml-vocab-gpt-2.gguf", [2]string{quotedGPT2, quotedQwen2}},
	{"deepseek", "ggml-vocab/ggml-vocab-deepseek-llm.gguf", [2]string{}},
	{"default", "ggml-vocab/ggml-vocab-gpt-neox.gguf", [2]string{}},
	{"spm", "ggml-vocab/ggml-vocab-llama-spm.gguf", [2]string{}},
	{"wordpiece", "model2vec-fixtures/float32/tokenizer.json", [2]string{}},
	{"wordpiece-gguf", "ggml-vocab/ggml-vocab-bert-bge.gguf", [2]string{}},
	{"unigram", "model2vec-fixtures/vocab-quantized/tokenizer.json", [2]string{}},
}

// json returns the tokenizer.json of a kind.
func (k kind) json(t testing.TB) []byte {
	t.Helper()
	data := sharedFile(t, "models/"+k.file)
	if strings.HasSuffix(k.file, ".gguf") {
		f, err := gguf.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		if data, err = f.TokenizerJSON(); err != nil {
			t.Fatal(err)
		}
	}
	if k.swap[0] != "" {
		text := strings.Replace(string(data), k.swap[0], k.swap[1], 1)
		if text == string(data) {
			t.Fatalf("%s: the pattern is not there", k.name)
		}
		data = []byte(text)
	}
	return data
}

func parse(t testing.TB, data []byte) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// BenchmarkEncode encodes English texts: once with a tokenizer that was just parsed, again and again with one that has seen the text.
func BenchmarkEncode(b *testing.B) {
	for _, k := range kinds {
		for _, file := range []string{"gutenberg/valid.txt", "wikitext2/valid.txt", "tinystories/tinystories-train-sample.txt"} {
			data := k.json(b)
			text := string(sharedFile(b, "data/"+file))
			name := k.name + "/" + strings.Split(file, "/")[0]
			b.Run(name+"/cold", func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for range b.N {
					b.StopTimer()
					tok := parse(b, data)
					b.StartTimer()
					tok.Encode(text, false)
				}
			})
			b.Run(name+"/warm", func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				tok := parse(b, data)
				tok.Encode(text, false)
				for b.Loop() {
					tok.Encode(text, false)
				}
			})
		}
	}
}
