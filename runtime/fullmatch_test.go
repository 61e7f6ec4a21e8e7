package runtime

import (
	"regexp"
	"testing"
)

// TestFullMatcher holds the matcher to package regexp.
func TestFullMatcher(t *testing.T) {
	patterns := []string{"", "a", "a*", "(a|ab)(c|bcd)(d*)", `\d+\.\d{2,4}`, `(?i)straße`, `[^\W_]+`, `\w+@\w+\.com`, "a.c", "(?s)a.c", `\bfoo\b.*`, `(^a$|b)`, `\Aa+\z`,
		`(?m)^a$\n^b$`, `a{2,3}?b??`, "(((a)*)*)*b", `\pL+`, "[α-ω]+", "x|", `(a|b)*abb`, `.*\B-\B.*`, "(a?){12}a{12}"}
	strs := []string{"", "a", "aa", "aaa", "abcd", "ac", "abc", "a\nc", "12.34", "1.2345", "12.", "STRASSE", "STRAßE", "hello", "he_lo", "x@y.com", "foo bar", "foobar", "a\nb",
		"aab", "aaab", "b", "αβγ", "abb", "babb", "aabbab", "--", "a - b", "\xff", "é", "aaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}
	for _, p := range patterns {
		m, err := newFullMatcher(p)
		if err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(`\A(?:` + p + `)\z`)
		for _, s := range strs {
			if got, want := m.match(s), re.MatchString(s); got != want {
				t.Errorf("%q on %q: %v", p, s, got)
			}
		}
	}
	for _, p := range []string{"(", "a{2000}", `\1`, "(?=a)"} {
		if _, err := newFullMatcher(p); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}
