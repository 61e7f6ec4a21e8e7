package runtime

import (
	"regexp/syntax"
	"unicode/utf8"
)

// fullMatcher tells whether whole strings are of a pattern, in RE2's syntax. It follows all ways through the pattern's program at once
// (Thompson, "Regular Expression Search Algorithm", 1968), so its time is the string's length times the program's. Package regexp,
// which also finds where matches lie, would make the runner larger.
type fullMatcher struct {
	prog      *syntax.Prog
	now, next threads
}

// threads is a set of places in a program: of the places in list, those p with list[index[p]] == p.
type threads struct {
	list  []uint32
	index []uint32
}

func newFullMatcher(pattern string) (*fullMatcher, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	n := len(prog.Inst)
	set := func() threads { return threads{make([]uint32, 0, n), make([]uint32, n)} }
	return &fullMatcher{prog, set(), set()}, nil
}

// match reports whether all of s is of the pattern.
func (m *fullMatcher) match(s string) bool {
	before := rune(-1)
	m.now.list = m.now.list[:0]
	m.now.add(uint32(m.prog.Start))
	for at := 0; ; {
		after, size := rune(-1), 0
		if at < len(s) {
			after, size = utf8.DecodeRuneInString(s[at:])
		}
		m.through(syntax.EmptyOpContext(before, after))
		if after < 0 {
			break
		}
		m.next.list = m.next.list[:0]
		for _, pc := range m.now.list {
			if i := &m.prog.Inst[pc]; isRune(i.Op) && i.MatchRune(after) {
				m.next.add(i.Out)
			}
		}
		m.now, m.next = m.next, m.now
		before, at = after, at+size
	}
	for _, pc := range m.now.list {
		if m.prog.Inst[pc].Op == syntax.InstMatch {
			return true
		}
	}
	return false
}

func isRune(op syntax.InstOp) bool {
	return op == syntax.InstRune || op == syntax.InstRune1 || op == syntax.InstRuneAny || op == syntax.InstRuneAnyNotNL
}

// add adds a place to the set.
func (t *threads) add(pc uint32) {
	if k := t.index[pc]; int(k) < len(t.list) && t.list[k] == pc {
		return
	}
	t.index[pc] = uint32(len(t.list))
	t.list = append(t.list, pc)
}

// through adds the places that are reached without a character, where context holds. The list grows while it is read.
func (m *fullMatcher) through(context syntax.EmptyOp) {
	t := &m.now
	for k := 0; k < len(t.list); k++ {
		switch i := &m.prog.Inst[t.list[k]]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			t.add(i.Out)
			t.add(i.Arg)
		case syntax.InstCapture, syntax.InstNop:
			t.add(i.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(i.Arg)&^context == 0 {
				t.add(i.Out)
			}
		}
	}
}
