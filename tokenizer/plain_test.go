package tokenizer

import (
	"encoding/json"
	"math"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// plain encodes as the definitions say: each step over the whole text, each piece by itself, nothing cut, nothing remembered.
type plain struct {
	*Tokenizer
	steps []normalStep
	model func(word string) []int32
}

func newPlain(t *testing.T, data []byte) plain {
	t.Helper()
	p := plain{Tokenizer: mustParse(t, data)}
	var file struct{ Normalizer json.RawMessage }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.steps, err = new(parser).normalizer(file.Normalizer); err != nil {
		t.Fatal(err)
	}
	switch m := p.Tokenizer.model.(type) {
	case *bpe:
		p.model = func(word string) []int32 { return plainBPE(m, word) }
	case *unigram:
		pieces := m.pieces()
		p.model = func(text string) []int32 { return plainUnigram(m, pieces, text) }
	case *wordPiece:
		p.model = func(word string) []int32 { return plainWordPiece(m, word) }
	}
	return p
}

// encode returns the ids of a text without added tokens.
func (p plain) encode(text string) []int32 {
	for _, s := range p.steps {
		text = s.apply(text)
	}
	if text == "" {
		return []int32{}
	}
	ids := []int32{}
	p.through(func(q piece) { ids = append(ids, p.model(q.text)...) }, nil)(piece{text, true})
	return ids
}

// plainBPE joins the leftmost pair of lowest rank until there is none.
func plainBPE(m *bpe, word string) []int32 {
	spelt := word
	if m.spells {
		spelt = string(spellBytes(nil, word))
	}
	if id, ok := m.vocab[spelt]; ok && m.ignoreMerges {
		return []int32{id}
	}
	var ids []int32
	unknown := false
	for len(spelt) > 0 {
		_, w := utf8.DecodeRuneInString(spelt)
		char := spelt[:w]
		spelt = spelt[w:]
		if id, ok := m.vocab[char]; ok {
			ids, unknown = append(ids, id), false
		} else if ids, ok = appendBytes(ids, m.fallback, char); ok {
			unknown = false
		} else if m.unk >= 0 && !(unknown && m.fuseUnk) {
			ids, unknown = append(ids, m.unk), true
		}
	}
	for {
		best, at := noMerge, -1
		for i := 0; i+1 < len(ids); i++ {
			if mg := m.merges.get(ids[i], ids[i+1]); mg.rank < best.rank {
				best, at = mg, i
			}
		}
		if at < 0 {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, best.id)
	}
}

// appendBytes appends the tokens of all bytes of text, if all are there.
func appendBytes(ids []int32, bytes *[256]int32, text string) ([]int32, bool) {
	if bytes == nil {
		return ids, false
	}
	n := len(ids)
	for i := range len(text) {
		if bytes[text[i]] < 0 {
			return ids[:n], false
		}
		ids = append(ids, bytes[text[i]])
	}
	return ids, true
}

// plainUnigram looks over the whole text at once.
func plainUnigram(m *unigram, pieces map[string]int32, text string) []int32 {
	type way struct {
		score float64
		from  int
		id    int32
	}
	const longest = 64
	best := make([]way, len(text)+1)
	for i := range best {
		best[i].score = math.Inf(-1)
	}
	best[0].score = 0
	for i := 0; i < len(text); {
		_, w := utf8.DecodeRuneInString(text[i:])
		single := false
		for end := i + 1; end <= min(len(text), i+longest); end++ {
			id, ok := pieces[text[i:end]]
			if !ok {
				continue
			}
			single = single || end == i+w
			if s := best[i].score + m.scores[id]; s > best[end].score {
				best[end] = way{s, i, id}
			}
		}
		if s := best[i].score + (m.worst - unknownPenalty); !single && s > best[i+w].score {
			best[i+w] = way{s, i, m.unk}
		}
		i += w
	}
	var ids []int32
	unknown := false // the piece behind is unknown
	for to := len(text); to > 0; to = best[to].from {
		if id := best[to].id; id != m.unk || !unknown {
			ids = append(ids, id)
		}
		unknown = best[to].id == m.unk
	}
	slices.Reverse(ids)
	return ids
}

// pieces lists the tokens of a unigram's trie.
func (m *unigram) pieces() map[string]int32 {
	out := map[string]int32{}
	var walk func(n int32, text string)
	walk = func(n int32, text string) {
		node := m.trie.nodes[n]
		if node.id >= 0 {
			out[text] = node.id
		}
		for k := range node.count {
			walk(node.first+k, text+string([]byte{m.trie.nodes[node.first+k].char}))
		}
	}
	walk(0, "")
	return out
}

func plainWordPiece(m *wordPiece, word string) []int32 {
	var ids []int32
	if utf8.RuneCountInString(word) > m.maxChars {
		return []int32{m.unk}
	}
	for start := 0; start < len(word); {
		end, id := len(word), int32(-1)
		for ; end > start && id < 0; end-- {
			piece := word[start:end]
			if start > 0 {
				piece = m.prefix + piece
			}
			if v, ok := m.vocab[piece]; ok && utf8.ValidString(piece) {
				id = v
				start = end
				break
			}
		}
		if id < 0 {
			return []int32{m.unk}
		}
		ids = append(ids, id)
	}
	return ids
}

// spmJSON is a BPE as SentencePiece has it: no pre-tokenizer, runs of blanks as tokens, bytes for what is no token or an
// unknown token for them all.
func spmJSON(fallback bool) []byte {
	vocab := map[string]int{"<unk>": 0}
	add := func(s string) {
		if _, ok := vocab[s]; !ok {
			vocab[s] = len(vocab)
		}
	}
	if fallback {
		for b := range 256 {
			add("<0x" + strings.ToUpper(string("0123456789abcdef"[b>>4])+string("0123456789abcdef"[b&15])) + ">")
		}
	}
	for _, r := range "▁abcdehlnorstuwéу" {
		add(string(r))
	}
	merges := []string{}
	for _, m := range []string{"▁ ▁", "▁▁ ▁▁", "h e", "▁ the", "t he", "▁t he", "▁ t", "l l", "e l", "he llo", "l o", "ll o", "▁ a", "n d", "a n", "▁a nd", "é s"} {
		left, right, _ := strings.Cut(m, " ")
		add(left)
		add(right)
		add(left + right)
		merges = append(merges, m)
	}
	data, err := json.Marshal(map[string]any{
		"normalizer": json.RawMessage(`{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`),
		"model":      map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": fallback, "unk_token": "<unk>", "fuse_unk": true},
	})
	if err != nil {
		panic(err)
	}
	return data
}

// tiedUnigramJSON is a Unigram in which many ways are equally good, so that rounding decides.
const tiedUnigramJSON = `{"normalizer":{"type":"Sequence","normalizers":[{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true},
	{"type":"Replace","pattern":{"String":"~"},"content":"\u0301x"},{"type":"NFD"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "}]},
	"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":false},
	"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["▁",-2.1],["a",-1.1],["b",-1.3],["ab",-2.4],["ba",-2.4],["aa",-2.2],["aab",-3.5],["▁a",-3.2],
	["l",-1.7],["ll",-3.4],["lll",-5.1],["e",-2.7],["▁t",-3],["he",-3.3],["h",-0.6],["t",-0.9],["o",-0.3],["lo",-2.0]]}}`

func TestPlain(t *testing.T) {
	tokenizers := map[string][]byte{
		"bytes": byteLevelJSON(plainPre), "bytes, one piece": byteLevelJSON(`{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}`),
		"steps": byteLevelJSON(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s?\\p{L}+"},"behavior":"Isolated"},{"type":"Split","pattern":{"Regex":"\\s+"},"behavior":"MergedWithNext"},
			{"type":"Metaspace","replacement":"h","prepend_scheme":"first"},{"type":"Split","pattern":{"String":"h"},"behavior":"Removed"},{"type":"ByteLevel","add_prefix_space":false}]}`),
		"sentencepiece": spmJSON(true), "sentencepiece, unknown": spmJSON(false), "unigram": []byte(tiedUnigramJSON),
		"wordpiece": []byte(`{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
			"model":{"type":"WordPiece","unk_token":"?","vocab":{"?":0,"the":1,"he":2,"##l":3,"##lo":4,"a":5,"##nd":6,"an":7,"é":8,",":9,"狗":10,"t":11,"##h":12}}}`),
	}
	texts := slices.Clone(goldenTexts)
	if data, err := os.ReadFile("../../shared/data/wikitext2/valid.txt"); err == nil {
		text := strings.ToValidUTF8(string(data), "?")
		for i := 0; i < 40; i++ {
			texts = append(texts, strings.ToValidUTF8(text[i*20000:i*20000+700], ""))
		}
		for _, name := range []string{"gutenberg-9M", "stories260K", "model2vec-fixtures/float32", "model2vec-fixtures/vocab-quantized"} {
			tokenizers[name] = read(t, "../../shared/models/"+name+"/tokenizer.json")
		}
	}
	rng := rand.New(rand.NewSource(5))
	bits := append(strings.Split("the hello and  aab ab abab aaaaaa hhh , ~ \u0301 \u0323 é ß 狗 ▁ 12 \x00 \xff \xe2\x96 \xf1 ſ", " "), " ", "  ", "    ", "\n", "\t")
	for range 400 {
		var b strings.Builder
		for range rng.Intn(40) {
			b.WriteString(bits[rng.Intn(len(bits))])
		}
		texts = append(texts, b.String())
	}
	for name, data := range tokenizers {
		t.Run(name, func(t *testing.T) {
			p := newPlain(t, data)
			for _, text := range texts {
				if strings.ContainsAny(text, "<[") || strings.Contains(text, "cat") {
					continue // may hold added tokens
				}
				want := p.encode(text)
				for range 2 { // with words that are new and with words that are known
					if got := p.Encode(text, false); !slices.Equal(got, want) {
						t.Fatalf("%q:\n got %v\nwant %v", text, got, want)
					}
				}
			}
		})
	}
}

// TestChain holds steps of a normalizer that are taken at once against one after the other, where marks, characters that vanish and
// broken UTF-8 meet.
func TestChain(t *testing.T) {
	rng := rand.New(rand.NewSource(7))
	bits := []string{"a", "B", "~", " ", "\x00", "\u0301", "\u0323", "é", "狗", "\u0345", "İ", "\xf1", "\xc8", "\x96", "ǅ", "ﬁ", "가"}
	for _, raw := range []string{
		`[{"type":"Replace","pattern":{"String":"~"},"content":"\u0323"},{"type":"NFD"},{"type":"Lowercase"}]`,
		`[{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":false,"lowercase":true},{"type":"NFD"}]`,
		`[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Replace","pattern":{"Regex":"[\\u1160-\\u11FF]"},"content":""},{"type":"BertNormalizer","clean_text":true,"lowercase":true}]`,
		`[{"type":"NFC"},{"type":"Replace","pattern":{"String":"B"},"content":"a~"},{"type":"Replace","pattern":{"String":"a"},"content":""},{"type":"NFD"}]`,
	} {
		steps, err := new(parser).normalizer([]byte(`{"type":"Sequence","normalizers":` + raw + `}`))
		if err != nil {
			t.Fatal(err)
		}
		atOnce := chain(steps)
		for range 20_000 {
			text := ""
			for range rng.Intn(9) {
				text += bits[rng.Intn(len(bits))]
			}
			want := text
			for _, s := range steps {
				want = s.apply(want)
			}
			if got := atOnce(text); got != want {
				t.Fatalf("%s of %q: %q, want %q", raw, text, got, want)
			}
		}
	}
}

// TestWordCache: whatever was put is found as it was, or not at all, through growth, eviction and clearing.
func TestWordCache(t *testing.T) {
	var c wordCache
	rng := rand.New(rand.NewSource(6))
	ids := func(word string, level int) []int32 {
		out := make([]int32, 1+int(word[0])%3*len(word)%5)
		for i := range out {
			out[i] = int32(word[i%len(word)])<<i + int32(level)
		}
		return out
	}
	found := 0
	for range 1_500_000 {
		word := make([]byte, 1+rng.Intn(20)*rng.Intn(4))
		word = word[:min(len(word), cachedBytes)]
		for i := range word {
			word[i] = "abcd"[rng.Intn(4)]
		}
		level := rng.Intn(2) * 255
		k := c.key(string(word), level)
		got, ok := c.get(nil, &k)
		if want := ids(string(word), level); !ok {
			c.put(&k, want)
		} else if found++; !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", word, got, want)
		}
	}
	if found < 300_000 || len(c.slots) > mostSlots+probes || len(c.ids) > mostKept+100 || len(c.text) > mostKept+100 {
		t.Errorf("%d found; %d slots, %d ids, %d bytes", found, len(c.slots), len(c.ids), len(c.text))
	}
}
