package grammar

import (
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Grammar {
	t.Helper()
	g, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// byteVocabulary has a token for every byte, and some longer ones.
func byteVocabulary(more ...string) *Vocabulary {
	texts := []string{""} // 0 ends the text
	for b := range 256 {
		texts = append(texts, string([]byte{byte(b)}))
	}
	return NewVocabulary(append(texts, more...))
}

func TestMatches(t *testing.T) {
	for _, c := range []struct{ grammar, yes, no string }{
		{`root ::= "a"`, "a", "|b|aa"},
		{`root ::= "a" | "bc"`, "a|bc", "|b|abc"},
		{"root ::= a\n  | b # one or the other\na ::= \"x\"+\nb ::= (\n \"y\"\n \"z\" )?", "x|xxx|yz|", "y|xyz"},
		{`root ::= [a-c]{2,3} [^\n"]`, "abc|abcd|ccé|ab日", "ab|abcde|ab\""},
		{`root ::= "a"{3}`, "aaa", "aa|aaaa"},
		{`root ::= "a"{2,} "b"{0,2}`, "aa|aaaab|aabb", "a|aabbb"},
		{`root ::= ("a"*)* "b"`, "b|aaab", "a"},
		{`root ::= x "c"` + "\n" + `x ::= "a" x "b" | ""`, "c|abc|aabbc", "aabc|ac"},
		{`root ::= "\x41\u00e9\U0001F600\\\""`, "Aé😀\\\"", "A"},
		{`root ::= [\]\-a^] .`, "]x|-日|a😀|^\n", "bx"},
		{`root ::= [α-ωЀ-ӿ𝐀-𝟿]+`, "αβγ|Жж|𝐀𝟿", "a|αa|ϊ"},
	} {
		m := NewMatcher(mustParse(t, c.grammar), byteVocabulary(), nil)
		for s := range strings.SplitSeq(c.yes, "|") {
			if !m.Matches(s) {
				t.Errorf("%s does not match %q", c.grammar, s)
			}
		}
		for s := range strings.SplitSeq(c.no, "|") {
			if m.Matches(s) {
				t.Errorf("%s matches %q", c.grammar, s)
			}
		}
	}
}
