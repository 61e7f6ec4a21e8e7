package jinja

import (
	"math"
	"slices"
	"strings"
)

type expression interface {
	eval(r *run, s *scope) any
}

type constant struct{ v any }

func (c *constant) eval(*run, *scope) any { return c.v }

type variable struct{ name string }

func (v *variable) eval(_ *run, s *scope) any {
	if v, ok := s.lookup(v.name); ok {
		return v
	}
	return undefined{v.name}
}

type list struct {
	items []expression
	tuple bool
}

func (l *list) eval(r *run, s *scope) any {
	out := &List{Items: make([]any, len(l.items)), Tuple: l.tuple}
	for i, e := range l.items {
		out.Items[i] = e.eval(r, s)
	}
	return out
}

type dictionary struct{ keys, values []expression }

func (d *dictionary) eval(r *run, s *scope) any {
	out := NewDict()
	for i, k := range d.keys {
		out.set(r.key(0, k.eval(r, s)), d.values[i].eval(r, s))
	}
	return out
}

// key is v as the key of a dictionary.
func (r *run) key(pos int, v any) any {
	switch v.(type) {
	case nil, bool, int64, float64, string:
		return v
	}
	r.fail(pos, "%s cannot be the key of a dict", describe(v))
	return nil
}

type choice struct{ then, cond, otherwise expression }

func (c *choice) eval(r *run, s *scope) any {
	switch {
	case truth(c.cond.eval(r, s)):
		return c.then.eval(r, s)
	case c.otherwise != nil:
		return c.otherwise.eval(r, s)
	}
	return undefined{"the inline if without else"}
}

type logic struct {
	left, right expression
	or          bool
}

func (l *logic) eval(r *run, s *scope) any {
	if v := l.left.eval(r, s); truth(v) == l.or {
		return v
	}
	return l.right.eval(r, s)
}

type negation struct{ e expression }

func (n *negation) eval(r *run, s *scope) any { return !truth(n.e.eval(r, s)) }

// comparison is a chain: a < b <= c holds if every link does.
type comparison struct {
	first expression
	ops   []string
	rest  []expression
	pos   int
}

func (c *comparison) eval(r *run, s *scope) any {
	r.step(c.pos)
	left := c.first.eval(r, s)
	for i, op := range c.ops {
		right := c.rest[i].eval(r, s)
		if !r.compare(c.pos, op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (r *run) compare(pos int, op string, a, b any) bool {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(pos, b, a)
	case "not in":
		return !r.contains(pos, b, a)
	}
	n, ok := r.order(a, b)
	if !ok {
		r.fail(pos, "%s and %s have no order", describe(a), describe(b))
	}
	switch op {
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	}
	return n >= 0
}

func (r *run) contains(pos int, of, v any) bool {
	switch of := of.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			r.fail(pos, "a text cannot hold %s", describe(v))
		}
		r.size(pos, len(of))
		return strings.Contains(of, s)
	case *Dict:
		switch v.(type) {
		case nil, bool, int64, float64, string:
			_, ok := of.values[v]
			return ok
		}
		return false
	}
	items := r.iterate(pos, of)
	r.size(pos, len(items))
	return slices.ContainsFunc(items, func(item any) bool { return r.equal(item, v) })
}

type arithmetic struct {
	op          string
	left, right expression
	pos         int
}

func (a *arithmetic) eval(r *run, s *scope) any {
	r.step(a.pos)
	x, y := a.left.eval(r, s), a.right.eval(r, s)
	if a.op == "~" {
		s := textOf(x) + textOf(y)
		r.size(a.pos, len(s))
		return s
	}
	if v, ok := r.sequences(a.pos, a.op, x, y); ok {
		return v
	}
	i, isInt := asInt(x)
	j, alsoInt := asInt(y)
	if isInt && alsoInt {
		return r.integers(a.pos, a.op, i, j)
	}
	f, ok := asFloat(x)
	g, ok2 := asFloat(y)
	if !ok || !ok2 {
		r.fail(a.pos, "%s cannot be computed for %s and %s", a.op, describe(x), describe(y))
	}
	return r.floats(a.pos, a.op, f, g)
}

// textOf is what ~ makes of a value.
func textOf(v any) string {
	if _, ok := v.(undefined); ok {
		return ""
	}
	return display(v)
}

// sequences computes + and * of texts and lists.
func (r *run) sequences(pos int, op string, x, y any) (any, bool) {
	switch x := x.(type) {
	case string:
		switch y := y.(type) {
		case string:
			if op == "+" {
				r.size(pos, len(x)+len(y))
				return x + y, true
			}
		case int64:
			if op == "*" {
				r.size(pos, product(len(x), y))
				return strings.Repeat(x, int(max(y, 0))), true
			}
		}
		if op == "%" {
			return r.format(pos, x, y), true
		}
	case *List:
		switch y := y.(type) {
		case *List:
			if op == "+" && x.Tuple == y.Tuple {
				r.size(pos, len(x.Items)+len(y.Items))
				return &List{Items: slices.Concat(x.Items, y.Items), Tuple: x.Tuple}, true
			}
		case int64:
			if op == "*" {
				r.size(pos, product(len(x.Items), y))
				return &List{Items: slices.Repeat(x.Items, int(max(y, 0))), Tuple: x.Tuple}, true
			}
		}
	case int64:
		switch y.(type) {
		case string, *List:
			if op == "*" {
				return r.sequences(pos, op, y, x)
			}
		}
	}
	return nil, false
}

// product is n*times, or more than any bound if that is too much.
func product(n int, times int64) int {
	switch {
	case times <= 0 || n == 0:
		return 0
	case times > maxOutput:
		return maxOutput + 1
	}
	return n * int(times)
}

func (r *run) integers(pos int, op string, i, j int64) any {
	switch op {
	case "+":
		return i + j
	case "-":
		return i - j
	case "*":
		return i * j
	case "//", "%":
		if j == 0 {
			r.fail(pos, "division by zero")
		}
		q, m := i/j, i%j
		if m != 0 && (m < 0) != (j < 0) {
			q, m = q-1, m+j
		}
		if op == "%" {
			return m
		}
		return q
	case "**":
		if j >= 0 && j < 64 {
			v := int64(1)
			for range j {
				v *= i
			}
			return v
		}
	}
	return r.floats(pos, op, float64(i), float64(j))
}

func (r *run) floats(pos int, op string, f, g float64) any {
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "**":
		return math.Pow(f, g)
	}
	if g == 0 {
		r.fail(pos, "division by zero")
	}
	switch op {
	case "/":
		return f / g
	case "//":
		return math.Floor(f / g)
	}
	return f - g*math.Floor(f/g)
}

// arguments of a call, a filter or a test.
type arguments struct {
	list  []expression
	names []string
	named []expression
}

// values are evaluated arguments.
type values struct {
	list  []any
	named map[string]any
	names []string // of named, in their order
}

func (a *arguments) eval(r *run, s *scope) values {
	v := values{names: a.names}
	for _, e := range a.list {
		v.list = append(v.list, e.eval(r, s))
	}
	for i, e := range a.named {
		if v.named == nil {
			v.named = map[string]any{}
		}
		v.named[a.names[i]] = e.eval(r, s)
	}
	return v
}

// get returns the i-th argument, which may be given by name.
func (v values) get(i int, name string) (any, bool) {
	if i < len(v.list) {
		return v.list[i], true
	}
	a, ok := v.named[name]
	return a, ok
}

type call struct {
	of   expression
	args arguments
	pos  int
}

func (c *call) eval(r *run, s *scope) any {
	r.step(c.pos)
	switch f := c.of.eval(r, s).(type) {
	case function:
		return f(r, c.pos, c.args.eval(r, s))
	case *closure:
		return f.call(r, c.pos, c.args.eval(r, s))
	default:
		if a, ok := c.of.(*attribute); ok {
			r.fail(c.pos, "%s has no method %q", describe(a.of.eval(r, s)), a.name)
		}
		r.fail(c.pos, "%s cannot be called", describe(f))
	}
	return nil
}

type filter struct {
	of   expression
	name string
	args arguments
	pos  int
}

func (f *filter) eval(r *run, s *scope) any { return f.apply(r, s, f.of.eval(r, s)) }

func (f *filter) apply(r *run, s *scope, v any) any {
	r.step(f.pos)
	return filterTable[f.name](r, f.pos, v, f.args.eval(r, s))
}

type test struct {
	of   expression
	name string
	args arguments
	pos  int
}

func (t *test) eval(r *run, s *scope) any {
	r.step(t.pos)
	return testTable[t.name](r, t.pos, t.of.eval(r, s), t.args.eval(r, s))
}
