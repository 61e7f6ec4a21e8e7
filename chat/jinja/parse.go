package jinja

import (
	"slices"
	"strconv"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

const (
	// maxSource caps a template's size; the longest in use have about 30 kB.
	maxSource = 1 << 20
	// maxDepth caps how deep tags and expressions may be nested, and how deep macros may call.
	maxDepth = 100
)

// parser builds the tree of a template. It stops at the first thing that is no Jinja, and collects what is Jinja but
// not supported.
type parser struct {
	src   string
	toks  []lexeme
	pos   int
	depth int
	loops int
	gaps  []fault.Item
}

// syntax is what the parser panics with; Parse turns it into an error.
type syntax struct{ err error }

func (p *parser) fail(format string, args ...any) {
	panic(syntax{broken(p.src, p.peek().pos, format, args...)})
}

func (p *parser) gap(what string, pos int) {
	p.gaps = append(p.gaps, fault.Item{Where: at(p.src, pos), What: what})
}

func (p *parser) peek() lexeme { return p.toks[p.pos] }

func (p *parser) next() lexeme {
	t := p.toks[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) is(kind tokenKind, value string) bool {
	t := p.peek()
	return t.kind == kind && t.value == value
}

// symbol takes a symbol if it comes next.
func (p *parser) symbol(s string) bool {
	if p.is(tokSymbol, s) {
		p.pos++
		return true
	}
	return false
}

// word takes a name if it comes next.
func (p *parser) word(s string) bool {
	if p.is(tokName, s) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.symbol(s) {
		p.fail("%q is missing", s)
	}
}

func (p *parser) name() string {
	t := p.next()
	if t.kind != tokName {
		p.pos--
		p.fail("a name is missing")
	}
	return t.value
}

func (p *parser) end() {
	if p.peek().kind != tokEnd {
		p.fail("the tag should end here")
	}
	p.pos++
}

func (p *parser) nest() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

// body takes statements up to a tag that begins with one of the words, whose name is taken too.
func (p *parser) body(until ...string) (list []statement, ended string) {
	defer p.nest()()
	for {
		t := p.next()
		switch t.kind {
		case tokText:
			list = append(list, text(t.value))
		case tokOpen:
			list = append(list, &output{p.expression(true), t.pos})
			if p.peek().kind != tokClose {
				p.fail("the tag should end here")
			}
			p.pos++
		case tokBegin:
			if w := p.peek(); w.kind == tokName && slices.Contains(until, w.value) {
				p.pos++
				return list, w.value
			}
			if s := p.statement(); s != nil {
				list = append(list, s)
			}
		case tokEOF:
			if len(until) > 0 {
				p.fail("%s is missing", until[len(until)-1])
			}
			return list, ""
		}
	}
}

// block takes statements up to the end tag, and the tag.
func (p *parser) block(end string) []statement {
	p.end()
	list, _ := p.body(end)
	p.end()
	return list
}

func (p *parser) statement() statement {
	pos := p.peek().pos
	switch word := p.name(); word {
	case "if":
		return p.ifTag()
	case "for":
		return p.forTag(pos)
	case "set":
		return p.setTag(pos)
	case "macro":
		return p.macroTag()
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside a loop", word)
		}
		p.end()
		return &jump{word == "break"}
	case "generation":
		return &group{p.block("endgeneration")}
	case "filter":
		f := &capture{pos: pos, filters: p.filters(p.filter(&constant{nil}, pos))}
		f.body = p.block("endfilter")
		return f
	case "do":
		e := p.expression(true)
		p.end()
		return &evaluate{e}
	case "include", "import", "from", "extends", "block", "call", "autoescape", "with", "trans":
		p.gap("{% "+word+" %}", pos)
		for p.peek().kind != tokEnd && p.peek().kind != tokEOF {
			p.pos++
		}
		p.end()
		if slices.Contains([]string{"block", "call", "autoescape", "with", "trans"}, word) {
			p.body("end" + word)
			for p.peek().kind == tokName {
				p.pos++
			}
			p.end()
		}
		return nil
	default:
		p.pos--
		p.fail("unknown tag %q", word)
		return nil
	}
}

func (p *parser) ifTag() statement {
	s := &branch{cond: p.expression(true)}
	p.end()
	var word string
	s.then, word = p.body("elif", "else", "endif")
	switch word {
	case "elif":
		defer p.nest()()
		s.otherwise = []statement{p.ifTag()}
		return s
	case "else":
		p.end()
		s.otherwise, _ = p.body("endif")
	}
	p.end()
	return s
}

func (p *parser) forTag(pos int) statement {
	s := &loop{pos: pos, target: p.targets()}
	if !p.word("in") {
		p.fail("\"in\" is missing")
	}
	s.over = p.expression(false)
	if p.word("if") {
		s.filter = p.expression(true)
	}
	if p.word("recursive") {
		p.gap("{% for ... recursive %}", pos)
	}
	p.end()
	p.loops++
	var word string
	s.body, word = p.body("else", "endfor")
	p.loops--
	if word == "else" {
		p.end()
		s.otherwise, _ = p.body("endfor")
	}
	p.end()
	return s
}

// targets takes one name or several with commas.
func (p *parser) targets() []string {
	bracket := p.symbol("(")
	names := []string{p.name()}
	for p.symbol(",") {
		if p.peek().kind != tokName {
			break
		}
		names = append(names, p.name())
	}
	if bracket {
		p.want(")")
	}
	return names
}

func (p *parser) setTag(pos int) statement {
	if p.peek().kind == tokName && p.toks[p.pos+1].kind == tokSymbol && p.toks[p.pos+1].value == "." {
		s := &assign{pos: pos, names: []string{p.name()}}
		p.want(".")
		s.attribute = p.name()
		p.want("=")
		s.value = p.expressions()
		p.end()
		return s
	}
	names := p.targets()
	if p.symbol("=") {
		s := &assign{pos: pos, names: names, value: p.expressions()}
		p.end()
		return s
	}
	if len(names) > 1 {
		p.fail("\"=\" is missing")
	}
	s := &capture{pos: pos, name: names[0], filters: p.filters(&constant{nil})}
	s.body = p.block("endset")
	return s
}

// expressions takes an expression, or several with commas, which make a tuple.
func (p *parser) expressions() expression {
	first := p.expression(true)
	if !p.is(tokSymbol, ",") {
		return first
	}
	items := []expression{first}
	for p.symbol(",") {
		if p.peek().kind == tokEnd {
			break
		}
		items = append(items, p.expression(true))
	}
	return &list{items: items, tuple: true}
}

func (p *parser) macroTag() statement {
	m := &macro{name: p.name()}
	p.want("(")
	for !p.symbol(")") {
		m.params = append(m.params, p.name())
		var fallback expression
		if p.symbol("=") {
			fallback = p.expression(true)
		}
		m.defaults = append(m.defaults, fallback)
		if !p.is(tokSymbol, ")") {
			p.want(",")
		}
	}
	loops := p.loops
	p.loops = 0
	m.body = p.block("endmacro")
	p.loops = loops
	return m
}

func number(s string) any {
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0.0
	}
	return v
}
