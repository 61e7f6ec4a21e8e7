package grammar_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/grammar"
	"github.com/dsk-toolkit/dsk/grammar/grammartest"
)

// BenchmarkMask measures masks of a vocabulary of 102,400 tokens: the first one of each state along an output, for which the tree of tokens
// is walked, and those of states that are known.
func BenchmarkMask(b *testing.B) {
	path := filepath.Join("..", "..", "shared", "models", "ggml-vocab", "ggml-vocab-deepseek-llm.gguf")
	data, err := os.ReadFile(path)
	if err != nil {
		b.Skip("../shared is not there")
	}
	f, err := gguf.Read(data)
	if err != nil {
		b.Fatal(err)
	}
	tok, err := f.Tokenizer()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, schema, text string }{
		{"person", grammartest.Schemas[0].Schema, `{"name": "Ada Lovelace", "age": 36, "alive": false}`},
		{"anything", "true", `{"name": ["Ada Lovelace", 36, {"alive": false, "works": "Notes on the engine, translated from the French"}]}`},
	} {
		g, err := grammar.FromSchema([]byte(c.schema))
		if err != nil {
			b.Fatal(err)
		}
		ids := tok.Encode(c.text, false)
		logits := make([]float32, tok.VocabSize())
		through := func(b *testing.B, m *grammar.Matcher) {
			m.Reset()
			for i, id := range ids {
				if err := m.Mask(logits, 1000-i); err != nil {
					b.Fatal(err)
				}
				if _, err := m.Accept(id); err != nil {
					b.Fatal(err)
				}
			}
		}
		v := grammar.NewVocabulary(tok.Bytes())
		b.Run(c.name+"/first", func(b *testing.B) {
			for b.Loop() {
				through(b, grammar.NewMatcher(g, v, nil))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/token")
		})
		b.Run(c.name+"/known", func(b *testing.B) {
			m := grammar.NewMatcher(g, v, nil)
			through(b, m)
			for b.Loop() {
				through(b, m)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(ids)), "µs/token")
		})
	}
}
