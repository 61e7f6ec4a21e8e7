package tokenizer

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// compiler reads a regular expression into a program. It knows what tokenizers use of Oniguruma's syntax; what it does
// not know it leaves to regexp2: loops of groups, lazy repetitions, references, names.
type compiler struct {
	program
	re      string
	i       int
	anyCase bool
	groups  int
	known   bool
}

const noLimit = int(^uint(0) >> 1)

const (
	maxPattern = 1 << 12 // bytes of a pattern
	maxGroups  = 16      // how deep groups may be nested
)

// term is a part of a sequence: a node whose next is not known yet, or alternatives of sequences.
type term struct {
	node
	either []sequence
}

type sequence []term

// compilePattern returns the program of a regular expression, or nil for one that it does not know.
func compilePattern(re string) *program {
	if len(re) > maxPattern || !utf8.ValidString(re) {
		return nil
	}
	c := &compiler{re: re, known: true}
	all := c.alternatives()
	if !c.known || c.i != len(re) {
		return nil
	}
	accept := c.add(node{kind: nodeAccept})
	c.link(c.either(all, accept))
	return &c.program
}

func (c *compiler) add(n node) int32 {
	c.nodes = append(c.nodes, n)
	return int32(len(c.nodes) - 1)
}

// either lays alternatives down, all with next behind them.
func (c *compiler) either(all []sequence, next int32) int32 {
	var starts []int32
	for _, seq := range all {
		starts = append(starts, c.lay(seq, next))
	}
	if len(starts) == 1 {
		return starts[0]
	}
	return c.add(node{kind: nodeAlternatives, either: starts})
}

// lay lays a sequence down, last part first, as each knows the one behind it.
func (c *compiler) lay(seq sequence, next int32) int32 {
	for k := len(seq) - 1; k >= 0; k-- {
		t := seq[k]
		switch t.kind {
		case nodeAlternatives:
			next = c.either(t.either, next)
			continue
		case nodeLook, nodeAtomic:
			t.sub = c.either(t.either, c.add(node{kind: nodeAccept}))
		}
		t.next = next
		next = c.add(t.node)
	}
	return next
}

// peek returns the next byte, 0 at the end.
func (c *compiler) peek() byte {
	if c.i < len(c.re) {
		return c.re[c.i]
	}
	return 0
}

// take skips a text that comes next.
func (c *compiler) take(text string) bool {
	if strings.HasPrefix(c.re[c.i:], text) {
		c.i += len(text)
		return true
	}
	return false
}

func (c *compiler) alternatives() []sequence {
	all := []sequence{c.sequence()}
	for c.known && c.take("|") {
		all = append(all, c.sequence())
	}
	return all
}

func (c *compiler) sequence() sequence {
	var seq sequence
	for c.known && c.i < len(c.re) && c.peek() != '|' && c.peek() != ')' {
		t := c.atom()
		if c.known {
			t = c.quantified(t)
		}
		// A look at one character before that character only makes the set smaller.
		if last := len(seq) - 1; last >= 0 && t.single() != nil {
			if set := seq[last].looksAt(); set != nil {
				both := *t.set
				both.within = append(slices.Clip(both.within), set)
				t.set, seq = both.done(), seq[:last]
			}
		}
		seq = append(seq, t)
	}
	return seq
}

// single returns the set of a term that takes one character.
func (t term) single() *charSet {
	if t.kind == nodeRepeat && t.least == 1 && t.most == 1 {
		return t.set
	}
	return nil
}

// looksAt returns the set that the next character must be in for a term that only looks at it, or nil.
func (t term) looksAt() *charSet {
	if t.kind != nodeLook || len(t.either) != 1 || len(t.either[0]) != 1 {
		return nil
	}
	set := t.either[0][0].single()
	if set == nil || !t.not {
		return set
	}
	if len(set.within) > 0 {
		return nil
	}
	other := &charSet{parts: set.parts, negate: !set.negate}
	return other.done()
}

// oneOf is a term for one character of a set.
func oneOf(set *charSet) term {
	return term{node: node{kind: nodeRepeat, set: set.done(), least: 1, most: 1}}
}

func (c *compiler) atom() term {
	switch b := c.peek(); b {
	case '(':
		return c.group()
	case '[':
		return oneOf(c.class())
	case '\\':
		set := new(charSet)
		c.escape(set)
		return oneOf(set)
	case '^':
		c.i++
		return term{node: node{kind: nodeStart}}
	case '$':
		c.i++
		return term{node: node{kind: nodeEnd}}
	case '.':
		c.i++
		return oneOf(&charSet{parts: []setPart{{lo: '\n', hi: '\n'}}, negate: true})
	case '*', '+', '?', '{', '}':
		c.known = false
		return term{}
	}
	r, w := utf8.DecodeRuneInString(c.re[c.i:])
	c.i += w
	set := new(charSet)
	c.char(set, r)
	return oneOf(set)
}

// char puts a character into a set, without regard to case in all its cases.
func (c *compiler) char(set *charSet, r rune) {
	set.parts = append(set.parts, setPart{lo: r, hi: r})
	if !c.anyCase {
		return
	}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		set.parts = append(set.parts, setPart{lo: f, hi: f})
	}
}

func (c *compiler) group() term {
	if c.groups++; c.groups > maxGroups {
		c.known = false
		return term{}
	}
	defer func(anyCase bool) { c.anyCase, c.groups = anyCase, c.groups-1 }(c.anyCase)
	t := term{node: node{kind: nodeAlternatives}}
	c.i++
	switch {
	case c.take("?:"):
	case c.take("?i:"):
		c.anyCase = true
	case c.take("?="):
		t.kind = nodeLook
	case c.take("?!"):
		t.kind, t.not = nodeLook, true
	case c.take("?>"):
		t.kind = nodeAtomic
	case c.peek() == '?':
		c.known = false
		return t
	}
	t.either = c.alternatives()
	if !c.take(")") {
		c.known = false
	}
	if t.kind == nodeAlternatives && len(t.either) == 1 && len(t.either[0]) == 1 {
		return t.either[0][0]
	}
	return t
}

// quantified reads the quantifier of a term, if there is one.
func (c *compiler) quantified(t term) term {
	least, most := 1, 1
	braces := false
	switch c.peek() {
	case '?':
		least = 0
	case '*':
		least, most = 0, noLimit
	case '+':
		most = noLimit
	case '{':
		braces = true
		if least, most = c.braces(); !c.known {
			return t
		}
	default:
		return t
	}
	c.i++
	possessive := false
	switch c.peek() {
	case '+':
		c.i++
		possessive = true
		c.known = c.known && !braces
	case '?', '*', '{':
		c.known = false
	}
	switch {
	case t.single() != nil:
		t.least, t.most, t.possessive = least, most, possessive
	case least == 0 && most == 1 && t.kind != nodeLook:
		t = term{node: node{kind: nodeAlternatives}, either: []sequence{{t}, nil}}
		if possessive {
			t.kind = nodeAtomic
		}
	default:
		c.known = false
	}
	return t
}

// braces reads {n}, {n,} or {n,m} up to the last brace.
func (c *compiler) braces() (least, most int) {
	end := strings.IndexByte(c.re[c.i:], '}')
	if end < 0 {
		c.known = false
		return 0, 0
	}
	lo, hi, isRange := strings.Cut(c.re[c.i+1:c.i+end], ",")
	least, err := strconv.Atoi(lo)
	most = least
	if err == nil && isRange {
		if most = noLimit; hi != "" {
			most, err = strconv.Atoi(hi)
		}
	}
	c.i += end
	c.known = err == nil && least >= 0 && least <= most && most > 0
	return least, most
}

// class reads a bracketed class.
func (c *compiler) class() *charSet {
	set := new(charSet)
	c.i++
	set.negate = c.take("^")
	for first := true; c.known; first = false {
		switch b := c.peek(); {
		case b == ']' && !first:
			c.i++
			return set
		case b == 0, b == ']', b == '[', b == '&' && strings.HasPrefix(c.re[c.i:], "&&"):
			c.known = false
			return set
		}
		lo, ok := c.classChar(set)
		if !ok {
			if c.peek() == '-' && !strings.HasPrefix(c.re[c.i:], "-]") {
				c.known = false // [\s-x]
			}
			continue
		}
		hi := lo
		if rest := c.re[c.i:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			c.i++
			if c.peek() == '[' {
				c.known = false
				return set
			}
			if hi, ok = c.classChar(set); !ok || hi < lo {
				c.known = false
			}
		}
		switch {
		case !c.anyCase:
			set.parts = append(set.parts, setPart{lo: lo, hi: hi})
		case hi-lo < utf8.RuneSelf:
			for r := lo; r <= hi; r++ {
				c.char(set, r)
			}
		default:
			c.known = false
		}
	}
	return set
}

// classChar reads a character of a class; what stands for several goes into the set, and ok is false.
func (c *compiler) classChar(set *charSet) (r rune, ok bool) {
	if c.peek() != '\\' {
		r, w := utf8.DecodeRuneInString(c.re[c.i:])
		c.i += w
		return r, true
	}
	n := len(set.parts)
	anyCase := c.anyCase
	c.anyCase = false
	c.escape(set)
	c.anyCase = anyCase
	if len(set.parts) == n+1 && set.parts[n].table == nil {
		r = set.parts[n].lo
		set.parts = set.parts[:n]
		return r, true
	}
	return 0, false
}

var escapes = map[byte]rune{'n': '\n', 'r': '\r', 't': '\t', 'f': '\f', 'v': '\v'}

// escape reads an escape into a set.
func (c *compiler) escape(set *charSet) {
	c.i++
	b := c.peek()
	if b == 0 {
		c.known = false
		return
	}
	c.i++
	switch {
	case b == 's' || b == 'S':
		set.parts = append(set.parts, setPart{table: unicode.White_Space, negate: b == 'S'})
	case b == 'd' || b == 'D':
		set.parts = append(set.parts, setPart{table: unicode.Nd, negate: b == 'D'})
	case b == 'p' || b == 'P':
		end := strings.IndexByte(c.re[c.i:], '}')
		if c.peek() != '{' || end < 0 {
			c.known = false
			return
		}
		name := c.re[c.i+1 : c.i+end]
		c.i += end + 1
		table := unicode.Categories[name]
		if table == nil {
			table = unicode.Scripts[name]
		}
		c.known = c.known && table != nil
		set.parts = append(set.parts, setPart{table: table, negate: b == 'P'})
	case b == 'u' || b == 'x':
		digits := 4
		if b == 'x' {
			digits = 2
		}
		if c.i+digits > len(c.re) {
			c.known = false
			return
		}
		v, err := strconv.ParseUint(c.re[c.i:c.i+digits], 16, 32)
		c.i += digits
		c.known = c.known && err == nil
		c.char(set, rune(v))
	case escapes[b] != 0:
		c.char(set, escapes[b])
	case b > ' ' && b < utf8.RuneSelf && !isWord(rune(b)):
		c.char(set, rune(b))
	default:
		c.known = false
	}
}
