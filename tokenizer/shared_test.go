package tokenizer

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared returns the path of a file beside the project, or skips the test.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "shared", filepath.FromSlash(name))
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

func parseFile(t testing.TB, path string) *Tokenizer {
	t.Helper()
	tok, err := Parse(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestGutenbergFacts(t *testing.T) {
	for _, name := range []string{"gutenberg-1M", "gutenberg-9M"} {
		dir := shared(t, "models/"+name)
		tok := parseFile(t, filepath.Join(dir, "tokenizer.json"))
		var facts struct {
			Prompt     string  `json:"prompt"`
			PromptIDs  []int32 `json:"prompt_ids"`
			GreedyIDs  []int32 `json:"greedy_ids"`
			GreedyText string  `json:"greedy_text"`
		}
		if err := json.Unmarshal(read(t, filepath.Join(dir, "facts.json")), &facts); err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(facts.Prompt, true); !slices.Equal(got, facts.PromptIDs) {
			t.Errorf("%s: prompt ids %v, want %v", name, got, facts.PromptIDs)
		}
		if got := tok.Decode(facts.GreedyIDs, true); got != facts.GreedyText {
			t.Errorf("%s: greedy text %q, want %q", name, got, facts.GreedyText)
		}
		text := string(read(t, shared(t, "data/gutenberg/valid.txt")))[:200_000]
		text = strings.ToValidUTF8(text, "")
		ids := tok.Encode(text, false)
		if got := tok.Decode(ids, false); got != text {
			t.Errorf("%s: text does not survive a round trip", name)
		}
	}
}

// TestStories holds the tokenizer.json against the vocabulary that it was derived from, with
// the encoder of llama2.c written down naively: join the neighbours with the best score.
func TestStories(t *testing.T) {
	dir := shared(t, "models/stories260K")
	tok := parseFile(t, filepath.Join(dir, "tokenizer.json"))
	data := read(t, filepath.Join(dir, "tok512.bin"))[4:]
	scores := map[string]float32{}
	ids := map[string]int32{}
	for id := int32(0); len(data) > 0; id++ {
		score := math.Float32frombits(binary.LittleEndian.Uint32(data))
		n := int(binary.LittleEndian.Uint32(data[4:]))
		scores[string(data[8:8+n])] = score
		if _, ok := ids[string(data[8:8+n])]; !ok {
			ids[string(data[8:8+n])] = id
		}
		data = data[8+n:]
	}
	encode := func(text string) []int32 {
		out := []int32{1}
		if text == "" {
			return out
		}
		var parts []string
		for _, r := range " " + text {
			parts = append(parts, string(r))
		}
		for {
			best, at := float32(math.Inf(-1)), -1
			for i := 0; i+1 < len(parts); i++ {
				if s, ok := scores[parts[i]+parts[i+1]]; ok && s > best {
					best, at = s, i
				}
			}
			if at < 0 {
				break
			}
			parts = slices.Replace(parts, at, at+2, parts[at]+parts[at+1])
		}
		for _, p := range parts {
			if id, ok := ids[p]; ok {
				out = append(out, id)
				continue
			}
			for _, b := range []byte(p) {
				out = append(out, int32(b)+3)
			}
		}
		return out
	}
	texts := append([]string{"Once upon a time, there was a little girl named Lily."}, goldenTexts...)
	for _, text := range texts {
		if strings.Contains(text, "<s>") {
			continue // llama2.c does not look for special tokens
		}
		if got, want := tok.Encode(text, true), encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: ids %v, want %v", text, got, want)
		}
		if got := tok.Decode(tok.Encode(text, true), true); got != text {
			t.Errorf("%q: round trip gives %q", text, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"gutenberg-9M", "model2vec-fixtures/float32"} {
		b.Run(name, func(b *testing.B) {
			data := read(b, shared(b, "models/"+name+"/tokenizer.json"))
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
