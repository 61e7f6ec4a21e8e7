package jinja

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
