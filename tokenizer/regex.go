package tokenizer

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// matchTimeout bounds one match of a pattern from a file, which may be built to
// take for ever. Sound patterns take microseconds.
const matchTimeout = 2 * time.Second

// patternSpec is a pattern as tokenizer.json writes it: {"String": ..} or {"Regex": ..}.
type patternSpec struct {
	String *string
	Regex  *string
}

// UnmarshalJSON also takes a bare string, which older files have.
func (s *patternSpec) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &s.String)
	}
	type plain patternSpec
	return json.Unmarshal(data, (*plain)(s))
}

// pattern returns the finder of a pattern, an empty one if it is not supported.
func (p *parser) pattern(spec patternSpec, where string) (finder, error) {
	switch {
	case spec.String != nil && *spec.String != "":
		return findString(*spec.String), nil
	case spec.Regex == nil:
		return finder{}, fault.Formatf("tokenizer "+where, "a pattern needs String or Regex")
	}
	if prog := compilePattern(*spec.Regex); prog != nil {
		return p.finder(prog), nil
	}
	re, err := regexp2.Compile(atomicQuantifiers(*spec.Regex), regexp2.None)
	if err != nil {
		p.unsupported(where, "pattern "+*spec.Regex)
		return finder{}, nil
	}
	re.MatchTimeout = matchTimeout
	return finder{all: func(s string) []match { return p.findRegexp(re, s) }}, nil
}

func findString(sub string) finder {
	return finder{next: func(s string, from int) match {
		k := strings.Index(s[from:], sub)
		if k < 0 || sub == "" {
			return match{}
		}
		return match{from + k, from + k + len(sub)}
	}}
}

// findRegexp turns the matches' places from characters into bytes. After a
// timeout the rest of the text counts as unmatched, and Tokenizer.Err reports it.
func (p *parser) findRegexp(re *regexp2.Regexp, s string) []match {
	runes := make([]rune, 0, len(s))
	for _, r := range s {
		runes = append(runes, r)
	}
	var out []match
	char, at := 0, 0
	advance := func(to int) int {
		for ; char < to; char++ {
			_, w := utf8.DecodeRuneInString(s[at:])
			at += w
		}
		return at
	}
	m, err := re.FindRunesMatch(runes)
	for err == nil && m != nil {
		if m.Length > 0 {
			lo := advance(m.Index)
			out = append(out, match{lo, advance(m.Index + m.Length)})
		}
		m, err = re.FindNextMatch(m)
	}
	if err != nil {
		p.timedOut.Store(true)
	}
	return out
}

// atomicQuantifiers rewrites the possessive quantifiers of Oniguruma, X?+ X*+ X++, into
// atomic groups, (?>X?), which regexp2 knows; they mean the same.
func atomicQuantifiers(re string) string {
	var out []byte
	var opened []int // where groups start in out
	atom := -1       // where the last atom starts in out
	for i := 0; i < len(re); {
		start := len(out)
		switch c := re[i]; c {
		case '\\':
			n := escapeLen(re[i:])
			out = append(out, re[i:i+n]...)
			i += n
			atom = start
		case '[':
			n := classLen(re[i:])
			out = append(out, re[i:i+n]...)
			i += n
			atom = start
		case '(':
			opened = append(opened, start)
			out = append(out, c)
			i++
			atom = -1
			if i < len(re) && re[i] == '?' { // of (?: (?= and so on, no quantifier
				out = append(out, '?')
				i++
			}
		case ')':
			out = append(out, c)
			i++
			if n := len(opened); n > 0 {
				atom = opened[n-1]
				opened = opened[:n-1]
			}
		case '?', '*', '+':
			out = append(out, c)
			i++
			if atom >= 0 && i < len(re) && re[i] == '+' {
				i++
				group := "(?>" + string(out[atom:]) + ")"
				out = append(out[:atom], group...)
			} else if i < len(re) && re[i] == '?' {
				out = append(out, '?')
				i++
			}
		case '{':
			n := strings.IndexByte(re[i:], '}') + 1
			if n == 0 {
				n = 1
			}
			out = append(out, re[i:i+n]...)
			i += n
		case '|', '^':
			out = append(out, c)
			i++
			atom = -1
		default:
			_, w := utf8.DecodeRuneInString(re[i:])
			out = append(out, re[i:i+w]...)
			i += w
			atom = start
		}
	}
	return string(out)
}

// escapeLen returns the length of the escape at the start of re: \s, \p{L}, \x{20}.
func escapeLen(re string) int {
	if len(re) > 2 && re[2] == '{' {
		if n := strings.IndexByte(re, '}'); n > 0 {
			return n + 1
		}
	}
	if len(re) < 2 {
		return len(re)
	}
	_, w := utf8.DecodeRuneInString(re[1:])
	return 1 + w
}

// classLen returns the length of the bracketed class at the start of re.
func classLen(re string) int {
	depth := 0
	for i := 0; i < len(re); i++ {
		switch re[i] {
		case '\\':
			i++
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(re)
}
