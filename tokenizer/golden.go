package tokenizer

import (
	"encoding/json"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// goldenTexts are what a tokenizer is held against when a file is opened: languages, code, odd white
// space, numbers, emoji and combining characters.
var goldenTexts = []string{
	"",
	"Hello, world!",
	" leading blank and two  inside",
	"trailing blanks   ",
	"\tTabs\tand\n\nnew lines\r\n  indented\n",
	"It's they've I'll we'd YOU'RE can't",
	"In 1859 there were 12345678 of 3.14159 and 1,000,000.",
	"func main() {\n\tfmt.Println(\"hi\", x[0] != y->z) // 100%\n}",
	"{\"key\": [1, 2.5e-3, null], \"k2\": \"v\\n\"}",
	"Ünïcödé naïve façade Straße ŒUVRE İstanbul",
	"Быстрая коричневая лиса, ёлка.",
	"敏捷的棕色狐狸跳过了懒狗。日本語のテキスト、カタカナ。",
	"안녕하세요 세계",
	"مرحبا بالعالم שלום עולם",
	"नमस्ते दुनिया ภาษาไทย",
	"🙂👩‍👩‍👧‍👦🇪🇺 ✌🏽 zero\u200bwidth",
	"e\u0301 \u00e9 \u1e69 s\u0323\u0307 ﬁ ½ ² Ⅷ",
	"\u00a0no-break\u2003em\u3000wide\u2028line",
	"<s> </s> <unk> <|endoftext|> [CLS] ▁ Ġ <0x0A>",
	"AAAAAAAAAAAAAAAAAAAAAAAA====----....~~~~!!!!????",
	"https://example.org/a_b-c?d=%20&e=f#g user@mail.test",
}

type goldenFile struct {
	Version int          `json:"version"`
	Cases   []goldenCase `json:"cases"`
}

type goldenCase struct {
	Text string  `json:"text"`
	IDs  []int32 `json:"ids"`
}

// Golden returns a record of how t encodes a fixed set of texts, without special
// tokens, for CheckGolden.
func Golden(t *Tokenizer) []byte {
	g := goldenFile{Version: 1}
	for _, text := range goldenTexts {
		g.Cases = append(g.Cases, goldenCase{text, t.Encode(text, false)})
	}
	data, err := json.Marshal(g)
	if err != nil {
		panic("tokenizer: " + err.Error()) // strings and numbers always encode
	}
	return data
}

// CheckGolden encodes the texts of a record again and returns an error if any id
// differs: the program that made the file understood its tokenizer in another way.
func CheckGolden(t *Tokenizer, record []byte) error {
	const where = "tokenizer.golden.json"
	var g goldenFile
	if err := json.Unmarshal(record, &g); err != nil {
		return fault.Formatf(where, "%v", err)
	}
	if g.Version != 1 || len(g.Cases) == 0 {
		return fault.Formatf(where, "version %d with %d cases is not a record of version 1", g.Version, len(g.Cases))
	}
	for _, c := range g.Cases {
		if got := t.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
			e := fault.Formatf(where, "%q gives the ids %v, but gave %v when the model was converted", c.Text, got, c.IDs)
			e.Next = "convert the model again with this version of dsk"
			return e
		}
	}
	return t.Err()
}
