package tokenizer

import "sync"

// match is the place of a match in a text, in bytes.
type match struct{ lo, hi int }

// finder finds the matches of a pattern from left to right, without empty ones.
type finder struct {
	next func(s string, from int) match // the next one at or behind from; match{} if there is none
	all  func(s string) []match         // or all at once, where a search cannot begin in the midst of a text
	set  *charSet                       // what the pattern is if it is one character of a set, nil if it is more
}

// matches goes through the matches in a text.
type matches struct {
	*finder
	text string
	at   int // in text, or in list
	list []match
}

func (f *finder) in(text string) matches {
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

// patternGPT2 is what a byte-level pre-tokenizer splits with.
const patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

var programGPT2 = sync.OnceValue(func() *program { return compilePattern(patternGPT2) })

// finder finds what a program matches. After one that takes too long the rest of the text counts as unmatched, and Tokenizer.Err reports it.
func (p *parser) finder(prog *program) finder {
	return finder{next: func(s string, from int) match {
		m, ok := prog.find(s, from)
		if !ok {
			p.timedOut.Store(true)
		}
		return m
	}, set: prog.single()}
}
