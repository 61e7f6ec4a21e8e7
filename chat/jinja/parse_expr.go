package jinja

import "slices"

// expression takes an expression; with conditional it may end in "if c else e".
func (p *parser) expression(conditional bool) expression {
	defer p.nest()()
	e := p.or()
	for conditional && p.word("if") {
		c := &choice{then: e, cond: p.or()}
		if p.word("else") {
			c.otherwise = p.expression(true)
		}
		e = c
	}
	return e
}

func (p *parser) or() expression {
	e := p.and()
	for p.word("or") {
		e = &logic{left: e, right: p.and(), or: true}
	}
	return e
}

func (p *parser) and() expression {
	e := p.not()
	for p.word("and") {
		e = &logic{left: e, right: p.not()}
	}
	return e
}

func (p *parser) not() expression {
	if p.word("not") {
		defer p.nest()()
		return &negation{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expression {
	e := p.sum()
	var c *comparison
	for {
		pos := p.peek().pos
		op := ""
		t := p.peek()
		switch {
		case t.kind == tokSymbol && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, t.value):
			op = t.value
			p.pos++
		case p.word("in"):
			op = "in"
		case p.is(tokName, "not") && p.toks[p.pos+1].kind == tokName && p.toks[p.pos+1].value == "in":
			op = "not in"
			p.pos += 2
		}
		if op == "" {
			return e
		}
		if c == nil {
			c = &comparison{first: e, pos: pos}
			e = c
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

// binary takes a chain of operators of one rank.
func (p *parser) binary(operand func() expression, ops ...string) expression {
	e := operand()
	for {
		t := p.peek()
		if t.kind != tokSymbol || !slices.Contains(ops, t.value) {
			return e
		}
		p.pos++
		e = &arithmetic{op: t.value, left: e, right: operand(), pos: t.pos}
	}
}

func (p *parser) sum() expression    { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expression { return p.binary(p.product, "~") }
func (p *parser) product() expression {
	return p.binary(p.power, "*", "/", "//", "%")
}
func (p *parser) power() expression {
	return p.binary(func() expression { return p.unary(true) }, "**")
}

func (p *parser) unary(filtered bool) expression {
	var e expression
	pos := p.peek().pos
	switch {
	case p.symbol("-"):
		defer p.nest()()
		e = &arithmetic{op: "-", left: &constant{int64(0)}, right: p.unary(false), pos: pos}
	case p.symbol("+"):
		defer p.nest()()
		e = p.unary(false)
	default:
		e = p.postfix(p.primary())
	}
	if filtered {
		return p.filters(e)
	}
	return e
}

func (p *parser) primary() expression {
	t := p.next()
	switch t.kind {
	case tokName:
		switch t.value {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{nil}
		}
		return &variable{t.value}
	case tokString:
		s := t.value
		for p.peek().kind == tokString {
			s += p.next().value
		}
		return &constant{s}
	case tokNumber:
		return &constant{number(t.value)}
	case tokSymbol:
		switch t.value {
		case "(":
			return p.bracketed()
		case "[":
			return &list{items: p.items("]")}
		case "{":
			return p.dict()
		}
	}
	p.pos--
	p.fail("an expression is missing")
	return nil
}

// bracketed is an expression in brackets, or a tuple.
func (p *parser) bracketed() expression {
	if p.symbol(")") {
		return &list{tuple: true}
	}
	first := p.expression(true)
	if p.symbol(")") {
		return first
	}
	p.want(",")
	return &list{items: append([]expression{first}, p.items(")")...), tuple: true}
}

// items takes expressions with commas up to a bracket.
func (p *parser) items(end string) []expression {
	var items []expression
	for !p.symbol(end) {
		items = append(items, p.expression(true))
		if !p.is(tokSymbol, end) {
			p.want(",")
		}
	}
	return items
}

func (p *parser) dict() expression {
	d := &dictionary{}
	for !p.symbol("}") {
		d.keys = append(d.keys, p.expression(true))
		p.want(":")
		d.values = append(d.values, p.expression(true))
		if !p.is(tokSymbol, "}") {
			p.want(",")
		}
	}
	return d
}

// postfix takes attributes, subscripts and calls.
func (p *parser) postfix(e expression) expression {
	for links := 0; ; links++ {
		if links > maxDepth {
			p.fail("more than %d attributes and calls in a row", maxDepth)
		}
		pos := p.peek().pos
		switch {
		case p.symbol("."):
			if t := p.peek(); t.kind == tokNumber {
				p.pos++
				e = &subscript{of: e, index: &constant{number(t.value)}, pos: pos}
				continue
			}
			e = &attribute{of: e, name: p.name(), pos: pos}
		case p.symbol("["):
			e = p.subscript(e, pos)
		case p.symbol("("):
			e = &call{of: e, args: p.arguments(), pos: pos}
		default:
			return e
		}
	}
}

func (p *parser) subscript(e expression, pos int) expression {
	var parts [3]expression
	colons := 0
	for !p.symbol("]") {
		if p.symbol(":") {
			if colons++; colons > 2 {
				p.fail("a slice has at most three parts")
			}
			continue
		}
		if parts[colons] != nil {
			p.fail("\"]\" is missing")
		}
		parts[colons] = p.expressions()
	}
	if colons > 0 {
		return &slice{of: e, parts: parts, pos: pos}
	}
	if parts[0] == nil {
		p.fail("an index is missing")
	}
	return &subscript{of: e, index: parts[0], pos: pos}
}

// arguments takes a call's arguments behind its bracket.
func (p *parser) arguments() arguments {
	var a arguments
	for !p.symbol(")") {
		if p.peek().kind == tokSymbol && (p.peek().value == "*" || p.peek().value == "**") {
			p.gap("unpacked arguments (*)", p.peek().pos)
			p.pos++
		}
		if p.peek().kind == tokName && p.toks[p.pos+1].kind == tokSymbol && p.toks[p.pos+1].value == "=" {
			a.names = append(a.names, p.name())
			p.pos++
			a.named = append(a.named, p.expression(true))
		} else {
			a.list = append(a.list, p.expression(true))
		}
		if !p.is(tokSymbol, ")") {
			p.want(",")
		}
	}
	return a
}

// filters takes filters and tests behind an expression.
func (p *parser) filters(e expression) expression {
	for links := 0; ; links++ {
		if links > maxDepth {
			p.fail("more than %d filters in a row", maxDepth)
		}
		pos := p.peek().pos
		switch {
		case p.symbol("|"):
			e = p.filter(e, pos)
		case p.word("is"):
			e = p.test(e, pos)
		case p.is(tokSymbol, "("):
			p.pos++
			e = &call{of: e, args: p.arguments(), pos: pos}
		default:
			return e
		}
	}
}

// filter takes a filter's name and arguments.
func (p *parser) filter(e expression, pos int) expression {
	f := &filter{of: e, name: p.dotted(), pos: pos}
	if p.symbol("(") {
		f.args = p.arguments()
	}
	if filterTable[f.name] == nil {
		p.gap("filter "+f.name, pos)
	}
	return f
}

func (p *parser) dotted() string {
	name := p.name()
	for p.symbol(".") {
		name += "." + p.name()
	}
	return name
}

func (p *parser) test(e expression, pos int) expression {
	not := p.word("not")
	t := &test{of: e, name: p.dotted(), pos: pos}
	if testTable[t.name] == nil {
		p.gap("test "+t.name, pos)
	}
	switch next := p.peek(); {
	case p.symbol("("):
		t.args = p.arguments()
	case next.kind == tokString, next.kind == tokNumber, next.kind == tokSymbol && (next.value == "[" || next.value == "{"),
		next.kind == tokName && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not", "recursive"}, next.value):
		t.args.list = []expression{p.postfix(p.primary())}
	}
	if not {
		return &negation{t}
	}
	return t
}
