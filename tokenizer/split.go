package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// match is the place of a match in a text, in bytes.
type match struct{ lo, hi int }

// finder finds the matches of a pattern from left to right, without empty ones.
type finder struct {
	next func(s string, from int) match // the next one at or behind from; match{} if there is none
	all  func(s string) []match         // or all at once, where a search cannot begin in the midst of a text
}

// matches goes through the matches in a text.
type matches struct {
	finder
	text string
	at   int // in text, or in list
	list []match
}

func (f finder) in(text string) matches {
	m := matches{finder: f, text: text}
	if f.all != nil {
		m.list = f.all(text)
	}
	return m
}

func (m *matches) next() (match, bool) {
	if m.all != nil {
		if m.at == len(m.list) {
			return match{}, false
		}
		m.at++
		return m.list[m.at-1], true
	}
	found := m.finder.next(m.text, m.at)
	m.at = found.hi
	return found, found.hi > 0
}

// The patterns that have a splitter of their own; it gives what the regular expression
// would, about a hundred times faster.
const (
	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// llama 3; cl100k is written with possessive quantifiers and means the same but for `\s*[\r\n]`.
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var knownPatterns = map[string]finder{
	patternGPT2:   {next: nextGPT2},
	patternLlama3: {next: func(s string, from int) match { return nextCl100k(s, from, 3) }},
	patternQwen2:  {next: func(s string, from int) match { return nextCl100k(s, from, 1) }},
}

// class sorts characters as the patterns do.
type class uint8

const (
	classOther class = iota
	classLetter
	classNumber
	classSpace
	classEnd // behind the text
)

var asciiClass = func() (t [128]class) {
	for i := range t {
		t[i] = unicodeClass(rune(i))
	}
	return t
}()

func unicodeClass(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return classLetter
	case unicode.IsNumber(r):
		return classNumber
	case unicode.IsSpace(r):
		return classSpace
	}
	return classOther
}

// classAt returns the class and the width of the character at i.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return classEnd, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	return unicodeClass(r), w
}

// runEnd returns where the run of class c that starts at i ends, after at most most characters.
func runEnd(s string, i int, c class, most int) int {
	for ; most > 0 && i < len(s) && s[i] < utf8.RuneSelf; most-- {
		if asciiClass[s[i]] != c {
			return i
		}
		i++
	}
	for ; most > 0; most-- {
		next, w := classAt(s, i)
		if next != c {
			break
		}
		i += w
	}
	return i
}

const noLimit = int(^uint(0) >> 1)

// contraction returns the length of an English contraction ('s 't 're 've 'm 'll 'd) at the
// start of s, or 0. Without case, the long s (U+017F) counts as an s.
func contraction(s string, anyCase bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	at := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		c := s[i]
		if anyCase && c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	a, b := at(1), at(2)
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l':
		return 3
	case anyCase && len(s) >= 3 && s[1:3] == "ſ":
		return 3
	}
	return 0
}

// spaceEnd is `\s+(?!\S)|\s+`: a run of white space gives its last character to what follows.
func spaceEnd(s string, i int) int {
	end := runEnd(s, i, classSpace, noLimit)
	if end == len(s) {
		return end
	}
	if _, w := utf8.DecodeLastRuneInString(s[i:end]); end-w > i {
		return end - w
	}
	return end
}

func nextGPT2(s string, i int) match {
	if i == len(s) {
		return match{}
	}
	if n := contraction(s[i:], false); n > 0 {
		return match{i, i + n}
	}
	start := i
	if s[i] == ' ' {
		start++
	}
	switch c, _ := classAt(s, start); c {
	case classSpace, classEnd:
		return match{i, spaceEnd(s, i)}
	default:
		return match{i, runEnd(s, start, c, noLimit)}
	}
}

// nextCl100k splits as llama 3 and qwen 2 do; numbers have at most digits digits.
func nextCl100k(s string, i, digits int) match {
	if i == len(s) {
		return match{}
	}
	return match{i, cl100kEnd(s, i, digits)}
}

func cl100kEnd(s string, i, digits int) int {
	if n := contraction(s[i:], true); n > 0 {
		return i + n
	}
	c, w := classAt(s, i)
	next, _ := classAt(s, i+w)
	newline := s[i] == '\n' || s[i] == '\r'
	switch {
	case c == classLetter:
		return runEnd(s, i, classLetter, noLimit)
	case next == classLetter && c != classNumber && !newline:
		return runEnd(s, i+w, classLetter, noLimit)
	case c == classNumber:
		return runEnd(s, i, classNumber, digits)
	case c == classOther, s[i] == ' ' && next == classOther:
		end := i
		if c == classSpace {
			end++
		}
		end = runEnd(s, end, classOther, noLimit)
		for end < len(s) && (s[end] == '\n' || s[end] == '\r') {
			end++
		}
		return end
	}
	end := runEnd(s, i, classSpace, noLimit)
	for k := end; k > i; k-- {
		if s[k-1] == '\n' || s[k-1] == '\r' {
			return k
		}
	}
	return spaceEnd(s, i)
}
