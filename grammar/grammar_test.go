package grammar

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/grammar/grammartest"
	"github.com/dsk-toolkit/dsk/internal/fault"
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

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, grammar, want string }{
		{"empty", "", `no rule "root"`},
		{"no root", `a ::= "x"`, `no rule "root"`},
		{"undefined", `root ::= a b a`, `not defined: "a", "b"`},
		{"twice", "root ::= \"x\"\nroot ::= \"y\"", "line 2 column 1"},
		{"no sign", `root = "x"`, "::= should follow"},
		{"open text", `root ::= "x`, "not closed"},
		{"open class", `root ::= [a-`, "not closed"},
		{"open group", `root ::= ("a"`, "group is not closed"},
		{"upside down", `root ::= [z-a]`, "upside down"},
		{"bad escape", `root ::= "\q"`, "an escape is"},
		{"bad count", `root ::= "a"{x}`, "a repetition is"},
		{"bad bounds", `root ::= "a"{3,2}`, "below the lower"},
		{"empty class", `root ::= []`, "matches nothing"},
		{"rest of a line", `root ::= "a" ) "b"`, "has no meaning"},
		{"token by name", `root ::= <|im_end|>`, "not supported"},
		{"no end", `root ::= "a" root`, "needs a way to end"},
		{"deep", "root ::= " + strings.Repeat("(", 1000) + `"a"` + strings.Repeat(")", 1000), "deep"},
		{"many marks", `root ::= "a"` + strings.Repeat("*", 1000), "repetitions"},
		{"not text", "root ::= \"\xff\"", "UTF-8"},
	} {
		_, err := Parse(c.grammar)
		var f *fault.Format
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, g := range []string{`root ::= root "a" | "b"`, "root ::= a \"x\"\na ::= \"\"? root | \"y\"", `root ::= (root)? "a"`} {
		_, err := Parse(g)
		var u *fault.Unsupported
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "left recursion") {
			t.Errorf("%s: %v", g, err)
		}
	}
	for _, g := range []string{`root ::= "a"{2000000}`, `root ::= ` + strings.Repeat(`"ab"{1000} `, 2000)} {
		_, err := Parse(g)
		var r *fault.Resource
		if err != nil && !errors.As(err, &r) {
			t.Errorf("%.50s: %v", g, err)
		}
	}
}

// TestMask: of tokens that hold several bytes, and parts of characters, those may come that can still match.
func TestMask(t *testing.T) {
	v := NewVocabulary([]string{"", "a", "b", "ab", "abc", "c", "\xc3", "\xa9", "\xa8", "é", "éa"})
	m := NewMatcher(mustParse(t, `root ::= "a" ("b" "c"?)? "é"+`), v, []int32{0, 11})
	for _, step := range []struct {
		take int32 // the token before
		left int
		want string // ids that may come
	}{
		{-1, 9, "1 3 4"}, {3, 9, "5 6 9"}, {6, 9, "7"}, {7, 9, "0 6 9 11"}, {9, 1, "0 9 11"}, {9, 2, "0 6 9 11"},
	} {
		if step.take >= 0 {
			if done, err := m.Accept(step.take); done || err != nil {
				t.Fatalf("token %d: %v, %v", step.take, done, err)
			}
		}
		logits := make([]float32, 13)
		if err := m.Mask(logits, step.left); err != nil {
			t.Fatal(err)
		}
		var got []string
		for id, x := range logits {
			if x == 0 {
				got = append(got, strconv.Itoa(id))
			}
		}
		if s := strings.Join(got, " "); s != step.want {
			t.Errorf("after token %d with %d left: %s, want %s", step.take, step.left, s, step.want)
		}
	}
	if _, err := m.Accept(2); err == nil {
		t.Error("a token that does not fit: no error")
	}
	m = NewMatcher(mustParse(t, `root ::= "ac" | "x"`), v, nil)
	if done, err := m.Accept(1); done || err != nil {
		t.Fatal(done, err)
	}
	if done, err := m.Accept(5); !done || err != nil {
		t.Errorf("the end: %v, %v", done, err)
	}
	var gate *fault.Gate
	if err := NewMatcher(mustParse(t, `root ::= "x"`), v, nil).Mask(make([]float32, 11), 5); !errors.As(err, &gate) {
		t.Errorf("what the vocabulary cannot spell: %v", err)
	}
}

// TestManyStates: a long output through a grammar with many states stays right when the states are forgotten.
func TestManyStates(t *testing.T) {
	m := NewMatcher(mustParse(t, `root ::= "(" root ")" | [a-z]{0,70000} "."`), byteVocabulary(), nil)
	accept := func(c byte, n int) {
		for range n {
			if _, err := m.Accept(int32(c) + 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	accept('(', 10)
	accept('a', maxStates+5000)
	if n := len(m.states); n > maxStates {
		t.Errorf("%d states are kept", n)
	}
	accept('.', 1)
	accept(')', 10)
	if !m.Complete() {
		t.Error("the output is not complete")
	}
}

func TestAmbiguity(t *testing.T) {
	m := NewMatcher(mustParse(t, `root ::= a{0,100}`+"\n"+`a ::= b? b? b?`+"\n"+`b ::= "x" | "x"? "x"`), byteVocabulary(), nil)
	var err error
	for range 100 {
		if _, err = m.Accept('x' + 1); err != nil {
			break
		}
	}
	var u *fault.Unsupported
	if err != nil && !errors.As(err, &u) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`root ::= "a" | [b-d]+ x` + "\n" + `x ::= ("e" "f"){2,3} . [^"\n]?`, `root ::= "\x41\u00e9" # c`} {
		f.Add(s)
	}
	v := byteVocabulary("ab", "é")
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := Parse(s); err == nil {
			_ = NewMatcher(g, v, nil).Mask(make([]float32, v.size), 20)
		}
	})
}

func FuzzSchema(f *testing.F) {
	for _, s := range grammartest.Schemas {
		f.Add(s.Schema)
	}
	v := byteVocabulary("ab", `{"`)
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := FromSchema([]byte(s)); err == nil {
			_ = NewMatcher(g, v, nil).Mask(make([]float32, v.size), 20)
		}
	})
}
