package grammar

import (
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// expr is a part of a rule, of which builder makes symbols.
type expr interface{}

type (
	// literal matches its bytes.
	literal string
	// class matches one character of ranges: pairs of first and last.
	class []rune
	// sequence matches one part after the other.
	sequence []expr
	// anyOf matches one of its parts.
	anyOf []expr
	// repeat matches a part least times up to most; most < 0 has no bound.
	repeat struct {
		of          expr
		least, most int
	}
	// ref matches a rule.
	ref string
)

// builder writes a Grammar.
type builder struct {
	g       Grammar
	byName  map[string]symbol
	sets    map[bytes]symbol
	classes map[string]symbol
	depth   int
	err     error
}

func newBuilder() *builder {
	return &builder{byName: map[string]symbol{}, sets: map[bytes]symbol{}, classes: map[string]symbol{}}
}

// rule returns the rule of a name, which is defined by then or will be.
func (b *builder) rule(name string) symbol {
	r, ok := b.byName[name]
	if !ok {
		r = b.anonymous(name)
		b.byName[name] = r
	}
	return r
}

func (b *builder) anonymous(name string) symbol {
	b.g.names = append(b.g.names, name)
	b.g.rules = append(b.g.rules, nil)
	return symbol(len(b.g.rules) - 1)
}

func (b *builder) defined(name string) bool { return len(b.g.rules[b.rule(name)]) > 0 }

func (b *builder) define(name string, e expr) { b.fill(b.rule(name), e) }

// fill gives a rule its alternatives.
func (b *builder) fill(r symbol, e expr) {
	alternatives, ok := e.(anyOf)
	if !ok {
		alternatives = anyOf{e}
	}
	for _, e := range alternatives {
		b.alternative(r, b.flatten(nil, e))
	}
}

func (b *builder) alternative(r symbol, list []symbol) {
	if len(b.g.symbols)+len(list) > maxSymbols {
		b.err = &fault.Resource{What: "the grammar is too large: its repetitions come to more than a million symbols; lower their counts"}
		return
	}
	b.g.rules[r] = append(b.g.rules[r], int32(len(b.g.symbols)))
	b.g.symbols = append(append(b.g.symbols, list...), endOfSequence)
}

// flatten appends the symbols that an expression stands for.
func (b *builder) flatten(list []symbol, e expr) []symbol {
	if b.depth++; b.depth > maxDepth {
		b.err = invalid("nested more than %d deep", maxDepth)
	}
	defer func() { b.depth-- }()
	if b.err != nil {
		return list
	}
	switch e := e.(type) {
	case literal:
		for i := range len(e) {
			var s bytes
			s.add(e[i])
			list = append(list, b.set(s))
		}
	case class:
		list = append(list, b.class(e))
	case sequence:
		for _, part := range e {
			list = b.flatten(list, part)
		}
	case anyOf:
		r := b.anonymous("")
		b.fill(r, e)
		list = append(list, r)
	case ref:
		list = append(list, b.rule(string(e)))
	case repeat:
		list = b.repeat(list, e)
	}
	return list
}

func (b *builder) set(s bytes) symbol {
	at, ok := b.sets[s]
	if !ok {
		b.g.sets = append(b.g.sets, s)
		at = -symbol(len(b.g.sets))
		b.sets[s] = at
	}
	return at
}

// one is an expression as a single symbol.
func (b *builder) one(e expr) symbol {
	list := b.flatten(nil, e)
	if len(list) == 1 {
		return list[0]
	}
	r := b.anonymous("")
	b.alternative(r, list)
	return r
}

// repeat writes the parts that must come, then those that may: x{2,4} is x x (x (x)?)?.
func (b *builder) repeat(list []symbol, e repeat) []symbol {
	if max(e.least, e.most) > maxSymbols {
		b.err = &fault.Resource{What: "the grammar is too large: a repetition counts more than a million; lower it"}
		return list
	}
	x := b.one(e.of)
	for range e.least {
		list = append(list, x)
	}
	switch {
	case e.most < 0:
		r := b.anonymous("")
		b.alternative(r, []symbol{x, r})
		b.alternative(r, nil)
		list = append(list, r)
	case e.most > e.least:
		inner := b.anonymous("")
		b.alternative(inner, []symbol{x})
		b.alternative(inner, nil)
		for range e.most - e.least - 1 {
			r := b.anonymous("")
			b.alternative(r, []symbol{x, inner})
			b.alternative(r, nil)
			inner = r
		}
		list = append(list, inner)
	}
	return list
}

// class matches a character's UTF-8 bytes: a rule with one alternative for each form of sequences of bytes.
func (b *builder) class(ranges class) symbol {
	if r, ok := b.classes[string(ranges)]; ok {
		return r
	}
	var single bytes
	var more [][][2]byte
	for i := 0; i+1 < len(ranges); i += 2 {
		lo, hi := max(0, ranges[i]), min(utf8.MaxRune, ranges[i+1])
		for v := lo; v <= min(hi, 0x7f); v++ {
			single.add(byte(v))
		}
		for _, part := range [][2]rune{{0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, utf8.MaxRune}} {
			if l, h := max(lo, part[0]), min(hi, part[1]); l <= h {
				more = byteRanges(more, l, h)
			}
		}
	}
	if len(more) == 0 {
		r := b.set(single)
		b.classes[string(ranges)] = r
		return r
	}
	r := b.anonymous("")
	b.classes[string(ranges)] = r
	if single != (bytes{}) {
		b.alternative(r, []symbol{b.set(single)})
	}
	for _, form := range more {
		var list []symbol
		for _, bounds := range form {
			var s bytes
			for v := int(bounds[0]); v <= int(bounds[1]); v++ {
				s.add(byte(v))
			}
			list = append(list, b.set(s))
		}
		b.alternative(r, list)
	}
	return r
}

// byteRanges cuts characters lo..hi, whose UTF-8 has one length, into sequences of ranges of bytes (the method of Ken
// Thompson's grep: split where a lower byte does not run over all its values).
func byteRanges(list [][][2]byte, lo, hi rune) [][][2]byte {
	n := utf8.RuneLen(lo)
	for i := 1; i < n; i++ {
		mask := rune(1)<<(6*i) - 1
		if lo&^mask == hi&^mask {
			break
		}
		if lo&mask != 0 {
			list = byteRanges(list, lo, lo|mask)
			return byteRanges(list, (lo|mask)+1, hi)
		}
		if hi&mask != mask {
			list = byteRanges(list, lo, hi&^mask-1)
			return byteRanges(list, hi&^mask, hi)
		}
	}
	first, last := utf8.AppendRune(nil, lo), utf8.AppendRune(nil, hi)
	form := make([][2]byte, n)
	for i := range form {
		form[i] = [2]byte{first[i], last[i]}
	}
	return append(list, form)
}

// complement is every character outside the ranges.
func complement(ranges class) class {
	var out class
	next := rune(0)
	for next <= utf8.MaxRune {
		// The end of the ranges that hold next, or the first that begins behind it.
		covered, begin := false, rune(utf8.MaxRune+1)
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= next && next <= ranges[i+1] {
				next, covered = ranges[i+1]+1, true
				break
			}
			if ranges[i] > next && ranges[i] <= ranges[i+1] {
				begin = min(begin, ranges[i])
			}
		}
		if covered {
			continue
		}
		out = append(out, next, begin-1)
		next = begin
	}
	return out
}
