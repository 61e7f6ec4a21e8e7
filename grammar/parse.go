package grammar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// maxSource caps the size of a grammar's or schema's text.
const maxSource = 1 << 22

// Parse reads a grammar in the notation of llama.cpp (GBNF), a Backus-Naur form with the repetitions of regular expressions:
//
//	root  ::= item ("," item)*   # the whole output
//	item  ::= [a-z]{1,8} | "\"" [^"\n]* "\"" | .
//
// Text stands in quotes with the escapes \n \r \t \\ \" \xHH \uHHHH \UHHHHHHHH, a class of characters in brackets; "." is any
// character, "(...)" a group; * + ? {n} {n,} {n,m} repeat what stands before them. A rule ends with its line, unless the
// line ends within a group or the next one begins with "|". The error is a *fault.Format with line and column.
func Parse(text string) (*Grammar, error) {
	if len(text) > maxSource || !utf8.ValidString(text) {
		return nil, invalid("it must be UTF-8 of less than %d bytes", maxSource)
	}
	p := &parser{text: strings.ReplaceAll(text, "\r\n", "\n"), b: newBuilder()}
	for p.blank(true); p.err == nil && p.pos < len(p.text); p.blank(true) {
		p.definition()
	}
	if p.err == nil {
		p.err = p.b.err
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.b.finish("root")
}

// finish checks that every rule is defined and makes the grammar whose output is the rule root.
func (b *builder) finish(root string) (*Grammar, error) {
	if b.err != nil {
		return nil, b.err
	}
	if r, ok := b.byName[root]; !ok || len(b.g.rules[r]) == 0 {
		return nil, invalid("there is no rule %q, which is the whole output", root)
	}
	var missing []string
	for name, r := range b.byName {
		if len(b.g.rules[r]) == 0 {
			missing = append(missing, strconv.Quote(name))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, invalid("rules are used but not defined: %s", strings.Join(missing, ", "))
	}
	b.g.root = int32(b.byName[root])
	return b.g.finish()
}

type parser struct {
	text  string
	pos   int
	depth int
	b     *builder
	err   error
}

func (p *parser) fail(format string, args ...any) {
	if p.err != nil {
		return
	}
	before := p.text[:min(p.pos, len(p.text))]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	e := fault.Formatf(fmt.Sprintf("line %d column %d", line, column), format, args...)
	e.Next = "see dsk run --help for the notation"
	p.err = e
}

func (p *parser) peek() byte {
	if p.err != nil || p.pos >= len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) take(s string) bool {
	if p.err == nil && strings.HasPrefix(p.text[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// blank skips white space and comments, and line breaks if they do not end the rule.
func (p *parser) blank(lines bool) {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == ' ' || c == '\t' || c == '\r' || lines && c == '\n':
			p.pos++
		case c == '#':
			for p.pos < len(p.text) && p.text[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func (p *parser) name() string {
	start := p.pos
	for isNameByte(p.peek()) {
		p.pos++
	}
	if p.pos == start {
		p.fail("the name of a rule should stand here")
	}
	return p.text[start:p.pos]
}

func (p *parser) definition() {
	start := p.pos
	name := p.name()
	p.blank(false)
	if p.err == nil && p.b.defined(name) {
		p.pos = start
		p.fail("the rule %q is defined twice", name)
	}
	if !p.take("::=") {
		p.fail("::= should follow the name %q", name)
		return
	}
	p.blank(true)
	e := p.alternatives(false)
	if c := p.peek(); c != 0 && c != '\n' {
		p.fail("%q has no meaning here", c)
	}
	if p.err == nil {
		p.b.define(name, e)
	}
}

// alternatives takes what stands between "|"; in a group line breaks mean nothing.
func (p *parser) alternatives(group bool) expr {
	if p.depth++; p.depth > maxDepth {
		p.fail("groups are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	list := anyOf{p.sequence(group)}
	for p.err == nil {
		at := p.pos
		p.blank(true)
		if !p.take("|") {
			if !group {
				p.pos = at
			}
			break
		}
		p.blank(true)
		list = append(list, p.sequence(group))
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func (p *parser) sequence(group bool) expr {
	var list sequence
	for p.err == nil {
		var e expr
		switch c := p.peek(); {
		case c == '"':
			e = p.quoted()
		case c == '[':
			e = p.class()
		case c == '.':
			p.pos++
			e = class{0, utf8.MaxRune}
		case c == '(':
			p.pos++
			p.blank(true)
			e = p.alternatives(true)
			if !p.take(")") {
				p.fail("a group is not closed")
			}
		case isNameByte(c):
			e = ref(p.name())
		case c == '<':
			p.fail("tokens by name (<...>) are not supported; write their text in quotes")
		default:
			return list
		}
		list = append(list, p.repeated(e))
		p.blank(group)
	}
	return list
}

func (p *parser) repeated(e expr) expr {
	for links := 0; ; links++ {
		if links > maxDepth {
			p.fail("too many repetitions of one part")
			return e
		}
		least, most := 0, -1
		switch {
		case p.take("*"):
		case p.take("+"):
			least = 1
		case p.take("?"):
			most = 1
		case p.take("{"):
			least = p.number()
			most = least
			if p.take(",") {
				if most = -1; p.peek() != '}' {
					most = p.number()
				}
			}
			if !p.take("}") {
				p.fail("a repetition is {n}, {n,} or {n,m}")
			}
			if most >= 0 && most < least {
				p.fail("a repetition's upper bound lies below the lower")
			}
		default:
			return e
		}
		e = repeat{e, least, most}
	}
}

func (p *parser) number() int {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	n, err := strconv.Atoi(p.text[start:p.pos])
	if err != nil {
		p.fail("a repetition is {n}, {n,} or {n,m}")
	}
	return n
}

func (p *parser) quoted() expr {
	p.pos++
	var s strings.Builder
	for p.err == nil {
		switch c := p.peek(); c {
		case 0, '\n':
			p.fail("a text is not closed")
		case '"':
			p.pos++
			return literal(s.String())
		default:
			s.WriteRune(p.character())
		}
	}
	return nil
}

func (p *parser) class() expr {
	p.pos++
	not := p.take("^")
	var c class
	for p.err == nil && !p.take("]") {
		if c := p.peek(); c == 0 || c == '\n' {
			p.fail("a class of characters is not closed")
		}
		lo := p.character()
		hi := lo
		if p.peek() == '-' && !strings.HasPrefix(p.text[p.pos:], "-]") {
			p.pos++
			if hi = p.character(); hi < lo {
				p.fail("the range %q-%q is upside down", lo, hi)
			}
		}
		c = append(c, lo, hi)
	}
	if not {
		c = complement(c)
	}
	if len(c) == 0 {
		p.fail("a class without characters matches nothing")
	}
	return c
}

// character takes one character or escape.
func (p *parser) character() rune {
	if p.peek() != '\\' {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		p.pos += n
		return r
	}
	p.pos++
	c := p.peek()
	p.pos++
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '\\', '"', '[', ']', '-', '^':
		return rune(c)
	case 'x', 'u', 'U':
		n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		if p.pos+n <= len(p.text) {
			if v, err := strconv.ParseUint(p.text[p.pos:p.pos+n], 16, 32); err == nil && v <= utf8.MaxRune && utf8.ValidRune(rune(v)) {
				p.pos += n
				return rune(v)
			}
		}
	}
	p.pos--
	p.fail("an escape is \\n, \\r, \\t, \\\\, \\\", \\[, \\], \\xHH, \\uHHHH or \\UHHHHHHHH")
	return 0
}
