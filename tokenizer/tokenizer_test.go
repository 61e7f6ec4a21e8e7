package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// byteLevelJSON is a byte-level BPE with all bytes and a few merges.
func byteLevelJSON(pre string) []byte {
	vocab := map[string]int{"<|end|>": 0}
	for _, r := range byteRune {
		vocab[string(r)] = len(vocab)
	}
	merges := []string{"h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "r l", "rl d", "Ġwo rld"}
	for _, m := range merges {
		vocab[strings.ReplaceAll(m, " ", "")] = len(vocab)
	}
	v, _ := json.Marshal(vocab)
	ms, _ := json.Marshal(merges)
	return fmt.Appendf(nil, `{"version":"1.0","added_tokens":[{"id":0,"content":"<|end|>","special":true},
		{"id":900,"content":" <pad> ","lstrip":true,"rstrip":true},{"id":901,"content":"cat","single_word":true}],
		"normalizer":null,"pre_tokenizer":%s,"post_processor":{"type":"ByteLevel"},"decoder":{"type":"ByteLevel"},
		"model":{"type":"BPE","vocab":%s,"merges":%s}}`, pre, v, ms)
}

const plainPre = `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`

func mustParse(t testing.TB, data []byte) *Tokenizer {
	t.Helper()
	tok, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func spell(tok *Tokenizer, ids []int32) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, tok.Token(id))
	}
	return out
}

func TestByteLevel(t *testing.T) {
	tok := mustParse(t, byteLevelJSON(plainPre))
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{}},
		{"hello world", []string{"hello", "Ġworld"}},
		{"hello<|end|>hello", []string{"hello", "<|end|>", "hello"}},
		{"h   <pad>  \no", []string{"h", " <pad> ", "o"}},
		{"a cat", []string{"a", "Ġ", "cat"}},
		{"acat cats", []string{"a", "c", "a", "t", "Ġ", "c", "a", "t", "s"}},
		{"é", []string{"Ã", "©"}},
	} {
		if got := spell(tok, tok.Encode(c.text, true)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	if got := spell(tok, tok.EncodePlain("hello<|end|>")); len(got) != 8 || got[1] != "<" {
		t.Errorf("plain text: %q", got)
	}
	if id, ok := tok.TokenID("<|end|>"); !ok || !tok.IsSpecial(id) || tok.IsSpecial(901) || tok.VocabSize() != 902 {
		t.Errorf("special tokens or vocabulary size %d are wrong", tok.VocabSize())
	}
	if got := tok.Decode([]int32{-1, 1 << 30, 500}, false); got != "" {
		t.Errorf("unknown ids decode to %q", got)
	}
}

// component parses a one-token tokenizer around one part.
func component(t *testing.T, key, part string) *Tokenizer {
	t.Helper()
	return mustParse(t, fmt.Appendf(nil, `{"model":{"type":"WordLevel","vocab":{"x":0},"unk_token":"x"},%q:%s}`, key, part))
}

func TestNormalizers(t *testing.T) {
	for _, c := range []struct{ part, in, want string }{
		{`{"type":"NFC"}`, "e\u0301", "\u00e9"},
		{`{"type":"NFD"}`, "\u00e9", "e\u0301"},
		{`{"type":"NFKC"}`, "ﬁ½", "fi1⁄2"},
		{`{"type":"NFKD"}`, "ﬁ\u00e9", "fie\u0301"},
		{`{"type":"Lowercase"}`, "ABC İ Σ", "abc i\u0307 σ"},
		{`{"type":"Strip","strip_left":true,"strip_right":true}`, " \u3000a b\n", "a b"},
		{`{"type":"Strip","strip_left":false,"strip_right":true}`, " a ", " a"},
		{`{"type":"StripAccents"}`, "e\u0301a\u0903", "ea"},
		{`{"type":"Prepend","prepend":"▁"}`, "a", "▁a"},
		{`{"type":"Prepend","prepend":"▁"}`, "", ""},
		{`{"type":"Replace","pattern":{"String":" "},"content":"▁"}`, " a  b", "▁a▁▁b"},
		{`{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"}`, "é  b c   ", "é_b c_"},
		{`{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Prepend","prepend":">"}]}`, "A", ">a"},
		{`{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}`, "Né\u0000\t狗x", "ne  狗 x"},
		{`{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":false,"strip_accents":false,"lowercase":true}`, "É", "é"},
	} {
		if got := component(t, "normalizer", c.part).normalize(c.in); got != c.want {
			t.Errorf("%s of %q: %q, want %q", c.part, c.in, got, c.want)
		}
	}
}

func TestPreTokenizers(t *testing.T) {
	for _, c := range []struct {
		part, in string
		want     []string
	}{
		{`{"type":"Whitespace"}`, "Hey man!? é_1 ", []string{"Hey", "man", "!?", "é_1"}},
		{`{"type":"WhitespaceSplit"}`, " a,b\u00a0c\n", []string{"a,b", "c"}},
		{`{"type":"BertPreTokenizer"}`, "Hey, it's\t$5", []string{"Hey", ",", "it", "'", "s", "$", "5"}},
		{`{"type":"Digits","individual_digits":true}`, "ab123c", []string{"ab", "1", "2", "3", "c"}},
		{`{"type":"Digits","individual_digits":false}`, "ab123c", []string{"ab", "123", "c"}},
		{`{"type":"Punctuation"}`, "a.b!!", []string{"a", ".", "b", "!", "!"}},
		{`{"type":"Punctuation","behavior":"Contiguous"}`, "a.b!!", []string{"a", ".", "b", "!!"}},
		{`{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated"}`, "the-final--count", []string{"the", "-", "final", "-", "-", "count"}},
		{`{"type":"Split","pattern":{"String":"-"},"behavior":"Removed"}`, "the-final--count", []string{"the", "final", "count"}},
		{`{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious"}`, "the-final--count", []string{"the-", "final-", "-", "count"}},
		{`{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext"}`, "the-final--count", []string{"the", "-final", "-", "-count"}},
		{`{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous"}`, "the-final--count", []string{"the", "-", "final", "--", "count"}},
		{`{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Removed","invert":true}`, "a b", []string{"a", "b"}},
		{`{"type":"Split","pattern":{"Regex":"a++b?+|é"},"behavior":"Isolated"}`, "aabéaa", []string{"aab", "é", "aa"}},
		{`{"type":"CharDelimiterSplit","delimiter":"|"}`, "a|b||", []string{"a", "b"}},
		{`{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}`, "Hey  friend", []string{"▁Hey", "▁", "▁friend"}},
		{`{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}`, "Hey friend", []string{"Hey▁friend"}},
		{`{"type":"Metaspace","replacement":"▁","add_prefix_space":false}`, "Hey friend", []string{"Hey", "▁friend"}},
		{`{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}`, "a b", []string{"ĠaĠb"}},
		{`{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":true}]}`, "a1 b", []string{"a", "1", "b"}},
	} {
		got := []string{}
		component(t, "pre_tokenizer", c.part).through(func(p piece) { got = append(got, p.text) }, nil)(piece{c.in, true})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s of %q: %q, want %q", c.part, c.in, got, c.want)
		}
	}
}

func TestPostProcessors(t *testing.T) {
	vocab := `"model":{"type":"WordLevel","vocab":{"a":0,"[C]":1,"[S]":2}}`
	for _, part := range []string{
		`{"type":"BertProcessing","cls":["[C]",1],"sep":["[S]",2]}`,
		`{"type":"RobertaProcessing","cls":["[C]",1],"sep":["[S]",2],"trim_offsets":true,"add_prefix_space":true}`,
		`{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[C]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[S]","type_id":0}}],
			"special_tokens":{"[C]":{"id":"[C]","ids":[1]},"[S]":{"id":"[S]","ids":[2]}}}`,
		`{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"BertProcessing","cls":["[C]",1],"sep":["[S]",2]}]}`,
	} {
		tok := mustParse(t, []byte(`{"post_processor":`+part+`,`+vocab+`}`))
		if got := tok.Encode("a", true); !slices.Equal(got, []int32{1, 0, 2}) {
			t.Errorf("%s: %v", part, got)
		}
		if got := tok.Encode("a", false); !slices.Equal(got, []int32{0}) {
			t.Errorf("%s without special tokens: %v", part, got)
		}
	}
}

func TestDecoders(t *testing.T) {
	for _, c := range []struct {
		part   string
		tokens []string
		want   string
	}{
		{`null`, []string{"a", "b"}, "a b"},
		{`{"type":"ByteLevel"}`, []string{"Ġhé", "Ã", "©", "Ã"}, " h\ufffdé\ufffd"},
		{`{"type":"ByteLevel"}`, []string{"ð", "Ł", "a", "<|x y|>"}, "\ufffda<|x y|>"},
		{`{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}`,
			[]string{"▁", "▁a", "<0xE2>", "<0x82>", "<0xAC>", "<0xE2>", "b", "<0x0A>"}, " a€\ufffdb\n"},
		{`{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"_","start":2,"stop":2}]}`, []string{"_", "_", "_a", "é_", "b_", "_", "_"}, "_aé_b_"},
		{`{"type":"Strip","content":"_","start":1,"stop":1}`, []string{"__a", "_b_"}, "_ab"},
		{`{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}`, []string{"▁Hey", "▁you", "▁"}, "Hey you "},
		{`{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}`, []string{"▁Hey"}, " Hey"},
		{`{"type":"WordPiece","prefix":"##","cleanup":true}`, []string{"it", "'", "s", "fin", "##e", "."}, "it ' s fine."},
		{`{"type":"BPEDecoder","suffix":"</w>"}`, []string{"he", "y</w>", "you</w>"}, "hey you"},
	} {
		vocab := map[string]int{}
		var ids []int32
		for _, token := range c.tokens {
			if _, ok := vocab[token]; !ok {
				vocab[token] = len(vocab)
			}
			ids = append(ids, int32(vocab[token]))
		}
		v, _ := json.Marshal(vocab)
		tok := mustParse(t, fmt.Appendf(nil, `{"model":{"type":"WordLevel","vocab":%s},"decoder":%s}`, v, c.part))
		if got := tok.Decode(ids, false); got != c.want {
			t.Errorf("%s: %q, want %q", c.part, got, c.want)
		}
		stream := tok.NewStream()
		for range 2 {
			got := ""
			for _, id := range ids {
				got += stream.Next(id)
			}
			if got += stream.Flush(); got != c.want {
				t.Errorf("%s streamed: %q, want %q", c.part, got, c.want)
			}
		}
	}
}

// all lists the matches in a text.
func all(f finder, s string) []match {
	var out []match
	matches := f.in(s)
	for m, ok := matches.next(); ok; m, ok = matches.next() {
		out = append(out, m)
	}
	return out
}

// TestMergeOrder compares the queue with the definition: join the leftmost pair of lowest rank.
func TestMergeOrder(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	vocab := map[string]int32{}
	var tokens []string
	add := func(s string) {
		if _, ok := vocab[s]; !ok {
			vocab[s] = int32(len(tokens))
			tokens = append(tokens, s)
		}
	}
	for _, s := range []string{"a", "b", "c"} {
		add(s)
	}
	merges := newMergeTable(0)
	for rank := int32(0); rank < 40; rank++ {
		a, b := rng.Intn(len(tokens)), rng.Intn(len(tokens))
		if len(tokens[a])+len(tokens[b]) > 6 {
			continue
		}
		add(tokens[a] + tokens[b])
		merges.set(int32(a), int32(b), merge{rank, vocab[tokens[a]+tokens[b]]})
	}
	m := newBPE(&bpe{vocab: vocab, tokens: tokens, merges: merges, unk: -1}, false).coder()
	for range 2000 {
		word := make([]byte, rng.Intn(60))
		var want []int32
		for i := range word {
			word[i] = "abc"[rng.Intn(3)]
			want = append(want, vocab[string(word[i])])
		}
		for {
			best, at := merge{rank: 1 << 30}, -1
			for i := 0; i+1 < len(want); i++ {
				if mg := merges.get(want[i], want[i+1]); mg.rank < best.rank {
					best, at = mg, i
				}
			}
			if at < 0 {
				break
			}
			want = slices.Replace(want, at, at+2, best.id)
		}
		if got := m.encode(nil, string(word)); !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", word, got, want)
		}
	}
}

func TestUnigram(t *testing.T) {
	tok := mustParse(t, []byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1],["b",-1.5],["ab",-2.2],["abc",-9],["c",-3],["é",-4]]}}`))
	for text, want := range map[string][]int32{"ab": {3}, "abc": {3, 5}, "aéc": {1, 6, 5}, "axyb": {1, 0, 2}, "zz": {0}, "": nil} {
		if got := tok.Encode(text, false); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestWordPiece(t *testing.T) {
	tok := mustParse(t, []byte(`{"model":{"type":"WordPiece","unk_token":"[U]","continuing_subword_prefix":"##","max_input_chars_per_word":8,
		"vocab":{"[U]":0,"un":1,"##aff":2,"##able":3,"##a":4}},"pre_tokenizer":{"type":"WhitespaceSplit"}}`))
	if got := tok.Encode("unaffable un unx unaaaaaaaa", false); !slices.Equal(got, []int32{0, 1, 0, 0}) {
		t.Errorf("%v", got)
	}
	if got := tok.Encode("unaff unable unaa", false); !slices.Equal(got, []int32{1, 2, 1, 3, 1, 4, 4}) {
		t.Errorf("%v", got)
	}
}

func TestPairMergesAndFallback(t *testing.T) {
	vocab := map[string]int{"<unk>": 0, "a": 1, " ": 2, "a ": 3}
	for i := range 256 {
		vocab[fmt.Sprintf("<0x%02X>", i)] = len(vocab)
	}
	v, _ := json.Marshal(vocab)
	tok := mustParse(t, fmt.Appendf(nil, `{"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":%s,"merges":[["a"," "]]}}`, v))
	if got := tok.Encode("a é", false); !slices.Equal(got, []int32{3, 4 + 0xC3, 4 + 0xA9}) {
		t.Errorf("%v", got)
	}
}

func TestBroken(t *testing.T) {
	good := string(byteLevelJSON(plainPre))
	for name, data := range map[string]string{
		"empty":             "",
		"not json":          "hello",
		"not utf-8":         "{\"model\":\"\xff\"}",
		"array":             "[]",
		"no model":          "{}",
		"model null":        `{"model":null}`,
		"no vocab":          `{"model":{"type":"BPE","merges":[]}}`,
		"no merges":         `{"model":{"type":"BPE","vocab":{"a":0}}}`,
		"id string":         `{"model":{"type":"BPE","vocab":{"a":"0"},"merges":[]}}`,
		"id negative":       `{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}`,
		"id huge":           `{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}`,
		"id twice":          `{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}`,
		"merge unknown":     `{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`,
		"merge of three":    `{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","a","a"]]}}`,
		"merge of one":      `{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}`,
		"unk_id":            `{"model":{"type":"Unigram","unk_id":5,"vocab":[["a",0]]}}`,
		"score":             `{"model":{"type":"Unigram","vocab":[["a",x]]}}`,
		"template token":    `{"model":{"type":"WordLevel","vocab":{"a":0}},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"b"}}],"special_tokens":{}}}`,
		"template id":       `{"model":{"type":"WordLevel","vocab":{"a":0}},"post_processor":{"type":"BertProcessing","cls":["a",0],"sep":["b",7]}}`,
		"processor no pair": `{"model":{"type":"WordLevel","vocab":{"a":0}},"post_processor":{"type":"BertProcessing"}}`,
		"pattern missing":   `{"model":{"type":"WordLevel","vocab":{"a":0}},"pre_tokenizer":{"type":"Split","behavior":"Isolated"}}`,
		"charsmap":          `{"model":{"type":"WordLevel","vocab":{"a":0}},"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAECAwQF"}}`,
		"added id":          `{"model":{"type":"WordLevel","vocab":{"a":0}},"added_tokens":[{"id":-4,"content":"x"}]}`,
		"nested":            `{"model":{"type":"WordLevel","vocab":{"a":0}},"normalizer":` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 500) + `null` + strings.Repeat(`]}`, 500) + `}`,
		"trailing":          good + "x",
		"half":              good[:len(good)/2],
	} {
		_, err := Parse([]byte(data))
		var f *fault.Format
		if !errors.As(err, &f) {
			t.Errorf("%s: error %v is no *fault.Format", name, err)
		}
	}
	for i := range good {
		if tok, err := Parse([]byte(good[:i])); err == nil {
			t.Fatalf("the first %d bytes parse as %v", i, tok)
		}
	}
}

func TestUnsupported(t *testing.T) {
	_, err := Parse([]byte(`{"model":{"type":"Magic","vocab":{}},"pre_tokenizer":{"type":"UnicodeScripts"},"decoder":{"type":"CTC"},"normalizer":{"type":"Nmt"}}`))
	var u *fault.Unsupported
	if !errors.As(err, &u) || len(u.Items) != 4 {
		t.Fatalf("error %v", err)
	}
}

func TestTimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the timeout")
	}
	tok := mustParse(t, byteLevelJSON(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(x+x+)+y"},"behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`))
	text := strings.Repeat("x", 60)
	if got := tok.Decode(tok.Encode(text, false), false); got != text {
		t.Errorf("text is lost: %q", got)
	}
	if tok.Err() == nil {
		t.Error("the timeout is not reported")
	}
}

func TestGolden(t *testing.T) {
	tok := mustParse(t, byteLevelJSON(plainPre))
	record := Golden(tok)
	if err := CheckGolden(tok, record); err != nil {
		t.Fatal(err)
	}
	other := mustParse(t, byteLevelJSON(`{"type":"ByteLevel","add_prefix_space":true}`))
	for name, err := range map[string]error{
		"other tokenizer": CheckGolden(other, record),
		"broken record":   CheckGolden(tok, record[:10]),
		"empty record":    CheckGolden(tok, []byte(`{"version":1}`)),
	} {
		var f *fault.Format
		if !errors.As(err, &f) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	tok := mustParse(t, byteLevelJSON(plainPre))
	want := Golden(tok)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20 {
				if err := CheckGolden(tok, want); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
}

// FuzzEncode: a byte-level tokenizer loses nothing, whatever the text, and streams whole characters.
func FuzzEncode(f *testing.F) {
	for _, s := range goldenTexts {
		f.Add(s)
	}
	f.Add("a\xff\xc3(\xe2\x82")
	toks := []*Tokenizer{mustParse(f, byteLevelJSON(plainPre))}
	for _, pattern := range []string{patternLlama3, patternQwen2, `\p{N}{1,3}|\s+$|[^\r\n]?+\p{L}++`} {
		p, _ := json.Marshal(pattern)
		toks = append(toks, mustParse(f, byteLevelJSON(`{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":`+string(p)+
			`},"behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`)))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "<pad>") {
			return // this token swallows blanks
		}
		for _, tok := range toks {
			ids := tok.Encode(s, false)
			text := tok.Decode(ids, false)
			if utf8.ValidString(s) && text != s || !utf8.ValidString(text) {
				t.Fatalf("%q comes back as %q", s, text)
			}
			stream, got := tok.NewStream(), ""
			for _, id := range ids {
				part := stream.Next(id)
				if !utf8.ValidString(part) {
					t.Fatalf("part %q is no text", part)
				}
				got += part
			}
			if got += stream.Flush(); got != tok.Decode(ids, true) {
				t.Fatalf("stream gives %q", got)
			}
		}
	})
}

// FuzzParse: no input makes Parse or what it returns panic.
func FuzzParse(f *testing.F) {
	f.Add(byteLevelJSON(plainPre))
	f.Add([]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1]]},"decoder":{"type":"Metaspace"}}`))
	f.Add([]byte(`{"model":{"vocab":{"a":0},"max_input_chars_per_word":5},"normalizer":{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAABhAA=="}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			_ = err.Error()
			return
		}
		for _, s := range goldenTexts[:6] {
			tok.Decode(tok.Encode(s, true), true)
		}
	})
}
