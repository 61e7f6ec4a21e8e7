package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// charSet is a set of characters. What lies in ASCII is looked up, the rest goes through the parts.
type charSet struct {
	parts  []setPart
	negate bool
	within []*charSet // it holds only what these hold, too
	ascii  [256]bool  // by byte; false for those that are part of a character
}

// setPart is a range of characters or a table of Unicode's.
type setPart struct {
	lo, hi rune
	table  *unicode.RangeTable
	negate bool // of the table
}

// done fills what is looked up, when all parts are there.
func (c *charSet) done() *charSet {
	for r := range utf8.RuneSelf {
		c.ascii[r] = c.holds(rune(r))
	}
	return c
}

// has reports whether the set has a character.
func (c *charSet) has(r rune) bool {
	if uint32(r) < utf8.RuneSelf {
		return c.ascii[r]
	}
	return c.holds(r)
}

func (c *charSet) holds(r rune) bool {
	in := false
	for _, p := range c.parts {
		if p.table != nil && unicode.Is(p.table, r) != p.negate || p.table == nil && r >= p.lo && r <= p.hi {
			in = true
			break
		}
	}
	if in == c.negate {
		return false
	}
	for _, other := range c.within {
		if !other.has(r) {
			return false
		}
	}
	return true
}

// width returns how many bytes the character at i has if it is in the set, else 0.
func (c *charSet) width(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	if b := s[i]; b < utf8.RuneSelf {
		if c.ascii[b] {
			return 1
		}
		return 0
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	if c.holds(r) {
		return w
	}
	return 0
}
