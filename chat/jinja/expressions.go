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

// attribute is of.name: a method or attribute first, then the item of this name.
type attribute struct {
	of   expression
	name string
	pos  int
}

func (a *attribute) eval(r *run, s *scope) any {
	r.step(a.pos)
	v := a.of.eval(r, s)
	if m := r.member(a.pos, v, a.name); m != nil {
		return m
	}
	if d, ok := v.(*Dict); ok {
		if v, ok := d.values[a.name]; ok {
			return v
		}
	}
	return undefined{a.name}
}

// member returns a method or an attribute of a value, nil if it has none of this name.
func (r *run) member(pos int, v any, name string) any {
	switch v := v.(type) {
	case undefined:
		r.fail(pos, "%q of %s", name, describe(v))
	case *iteration:
		return v.attribute(name)
	case *space:
		if v, ok := v.attributes[name]; ok {
			return v
		}
	case string:
		if m := stringMethods[name]; m != nil {
			r.size(pos, len(v))
			return function(func(r *run, pos int, a values) any { return m(r, pos, v, a) })
		}
	case *Dict:
		if m := dictMethods[name]; m != nil {
			return function(func(r *run, pos int, a values) any { return m(r, pos, v, a) })
		}
	case *List:
		if m := listMethods[name]; m != nil {
			return function(func(r *run, pos int, a values) any { return m(r, pos, v, a) })
		}
	}
	return nil
}

// subscript is of[index]: the item first, then the attribute.
type subscript struct {
	of, index expression
	pos       int
}

func (x *subscript) eval(r *run, s *scope) any {
	r.step(x.pos)
	v, index := x.of.eval(r, s), x.index.eval(r, s)
	switch v := v.(type) {
	case *Dict:
		switch index.(type) {
		case nil, bool, int64, float64, string:
			if item, ok := v.values[index]; ok {
				return item
			}
		}
	case *List:
		if i, ok := asInt(index); ok {
			return item(v.Items, i)
		}
	case string:
		if i, ok := asInt(index); ok {
			r.size(x.pos, len(v))
			c := runes(v)
			if i < 0 {
				i += int64(len(c))
			}
			if i < 0 || i >= int64(len(c)) {
				return undefined{"an item outside the text"}
			}
			return string(c[i])
		}
	}
	if name, ok := index.(string); ok {
		if m := r.member(x.pos, v, name); m != nil {
			return m
		}
	}
	if u, ok := v.(undefined); ok {
		r.fail(x.pos, "item %s of %s", display(index), describe(u))
	}
	return undefined{display(index)}
}

func item(items []any, i int64) any {
	if i < 0 {
		i += int64(len(items))
	}
	if i < 0 || i >= int64(len(items)) {
		return undefined{"an item outside the list"}
	}
	return items[i]
}

// slice is of[start:stop:step] with Python's rules.
type slice struct {
	of    expression
	parts [3]expression
	pos   int
}

func (x *slice) eval(r *run, s *scope) any {
	r.step(x.pos)
	v := x.of.eval(r, s)
	var n int
	var chars []rune
	switch v := v.(type) {
	case string:
		r.size(x.pos, len(v))
		chars = runes(v)
		n = len(chars)
	case *List:
		n = len(v.Items)
	default:
		r.fail(x.pos, "%s has no parts to cut out", describe(v))
	}
	var bounds [3]*int64
	for i, e := range x.parts {
		if e == nil {
			continue
		}
		part := e.eval(r, s)
		if part == nil {
			continue
		}
		b, ok := asInt(part)
		if !ok {
			r.fail(x.pos, "a slice's bounds must be integers, not %s", describe(part))
		}
		bounds[i] = &b
	}
	at := r.indices(x.pos, n, bounds)
	if list, ok := v.(*List); ok {
		out := &List{Items: make([]any, len(at)), Tuple: list.Tuple}
		for i, j := range at {
			out.Items[i] = list.Items[j]
		}
		return out
	}
	out := make([]rune, len(at))
	for i, j := range at {
		out[i] = chars[j]
	}
	return string(out)
}

// indices lists the positions that a slice takes of n.
func (r *run) indices(pos, n int, bounds [3]*int64) []int {
	r.size(pos, n)
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		r.fail(pos, "a slice's step must not be zero")
	}
	lo, hi := int64(0), int64(n)
	if step < 0 {
		lo, hi = -1, int64(n)-1
	}
	clamp := func(b *int64, otherwise int64) int64 {
		if b == nil {
			return otherwise
		}
		v := *b
		if v < 0 {
			v = max(v+int64(n), lo)
		}
		return max(lo, min(v, hi))
	}
	first, last := clamp(bounds[0], lo), clamp(bounds[1], hi)
	if step < 0 {
		first, last = clamp(bounds[0], hi), clamp(bounds[1], lo)
	}
	var at []int
	for i := first; step > 0 && i < last || step < 0 && i > last; i += step {
		at = append(at, int(i))
		if step > int64(n) || step < -int64(n) {
			break
		}
	}
	return at
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
