package gguf

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/dsk-toolkit/dsk/tokenizer"
)

// shared returns the path of a file beside the project, or skips the test.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("../shared/%s is not here", name)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vocabularies are those of llama.cpp's own tests.
var vocabularies = []string{"gpt-2", "gpt-neox", "mpt", "refact", "deepseek-llm", "llama-spm", "phi-3", "baichuan", "bert-bge"}

func openVocabulary(t testing.TB, name string) *tokenizer.Tokenizer {
	t.Helper()
	f, err := Read(read(t, shared(t, "models/ggml-vocab/ggml-vocab-"+name+".gguf")))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := f.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestVectors holds every vocabulary against the vectors that lie beside it.
func TestVectors(t *testing.T) {
	for _, name := range vocabularies {
		t.Run(name, func(t *testing.T) {
			base := shared(t, "models/ggml-vocab") + "/ggml-vocab-" + name + ".gguf"
			in, err := os.ReadFile(base + ".inp")
			if os.IsNotExist(err) {
				t.Skip("the vocabulary has no vectors")
			} else if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(string(in), "\n__ggml_vocab_test__\n")
			var want [][]int32
			lines := bufio.NewScanner(strings.NewReader(string(read(t, base+".out"))))
			for lines.Scan() {
				ids := []int32{}
				for _, s := range strings.Fields(lines.Text()) {
					id, err := strconv.Atoi(s)
					if err != nil {
						t.Fatal(err)
					}
					ids = append(ids, int32(id))
				}
				want = append(want, ids)
			}
			texts = texts[:len(texts)-1] // the last separator is followed by nothing
			if len(texts) != 46 || len(texts) != len(want) {
				t.Fatalf("%d texts and %d lists of ids", len(texts), len(want))
			}
			tok := openVocabulary(t, name)
			for i, text := range texts {
				for how, got := range map[string][]int32{"plain": tok.EncodePlain(text), "without special tokens": tok.Encode(text, false)} {
					if !slices.Equal(got, want[i]) {
						t.Errorf("%q, %s:\n got %v\nwant %v", text, how, got, want[i])
					}
				}
			}
		})
	}
}

// TestGolden holds them against 413 more strings.
func TestGolden(t *testing.T) {
	var lines []string
	if err := json.Unmarshal(read(t, shared(t, "models/ggml-vocab/golden/lines.json")), &lines); err != nil {
		t.Fatal(err)
	}
	for _, name := range vocabularies {
		t.Run(name, func(t *testing.T) {
			tok := openVocabulary(t, name)
			var want [][]int32
			if err := json.Unmarshal(read(t, shared(t, "models/ggml-vocab/golden/"+name+".ids.json")), &want); err != nil {
				t.Fatal(err)
			}
			bad := 0
			for i, line := range lines {
				if got := tok.EncodePlain(line); !slices.Equal(got, want[i]) {
					if bad++; bad <= 3 {
						t.Errorf("%q:\n got %v\nwant %v", line, got, want[i])
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d lines differ", bad, len(lines))
			}
			if name == "bert-bge" {
				return // forgets case and accents
			}
			for _, line := range lines {
				if strings.ContainsFunc(line, unicode.IsControl) {
					continue
				}
				if got := tok.Decode(tok.EncodePlain(line), true); got != line {
					t.Errorf("%q: round trip gives %q", line, got)
				}
			}
		})
	}
}

func BenchmarkTokenizer(b *testing.B) {
	for _, name := range []string{"gpt-2", "llama-spm"} {
		b.Run(name, func(b *testing.B) {
			data := read(b, shared(b, "models/ggml-vocab/ggml-vocab-"+name+".gguf"))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f, err := Read(data)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Tokenizer(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
