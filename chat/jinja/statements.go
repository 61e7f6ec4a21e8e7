package jinja

import "strings"

// statement is a piece of text or a tag.
type statement interface {
	// run does what the tag says and returns how the loop around it goes on.
	run(r *run, s *scope) control
}

type control uint8

const (
	goOn control = iota
	breakLoop
	continueLoop
)

func (r *run) execute(s *scope, list []statement) control {
	for _, st := range list {
		if c := st.run(r, s); c != goOn {
			return c
		}
	}
	return goOn
}

type text string

func (t text) run(r *run, _ *scope) control {
	r.write(0, string(t))
	return goOn
}

// output is {{ e }}.
type output struct {
	e   expression
	pos int
}

func (o *output) run(r *run, s *scope) control {
	r.step(o.pos)
	v := o.e.eval(r, s)
	if _, ok := v.(undefined); !ok {
		r.write(o.pos, display(v))
	}
	return goOn
}

// evaluate is {% do e %}.
type evaluate struct{ e expression }

func (e *evaluate) run(r *run, s *scope) control {
	e.e.eval(r, s)
	return goOn
}

// group is {% generation %}: it marks what the model says and changes nothing.
type group struct{ body []statement }

func (g *group) run(r *run, s *scope) control { return r.execute(s, g.body) }

type jump struct{ out bool }

func (j *jump) run(*run, *scope) control {
	if j.out {
		return breakLoop
	}
	return continueLoop
}

type branch struct {
	cond            expression
	then, otherwise []statement
}

func (b *branch) run(r *run, s *scope) control {
	if truth(b.cond.eval(r, s)) {
		return r.execute(s, b.then)
	}
	return r.execute(s, b.otherwise)
}

type loop struct {
	pos             int
	target          []string
	over, filter    expression
	body, otherwise []statement
}

func (l *loop) run(r *run, s *scope) control {
	items := r.iterate(l.pos, l.over.eval(r, s))
	if l.filter != nil {
		var kept []any
		for _, item := range items {
			r.step(l.pos)
			inner := &scope{vars: map[string]any{}, parent: s}
			r.unpack(l.pos, inner, l.target, item)
			if truth(l.filter.eval(r, inner)) {
				kept = append(kept, item)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		return r.execute(s, l.otherwise)
	}
	for i, item := range items {
		r.step(l.pos)
		inner := &scope{vars: map[string]any{"loop": &iteration{items, i}}, parent: s}
		r.unpack(l.pos, inner, l.target, item)
		if r.execute(inner, l.body) == breakLoop {
			break
		}
	}
	return goOn
}

// iteration is the variable "loop".
type iteration struct {
	items []any
	i     int
}

func (l *iteration) attribute(name string) any {
	n := len(l.items)
	neighbour := func(i int) any {
		if i < 0 || i >= n {
			return undefined{"loop." + name}
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return int64(l.i + 1)
	case "index0":
		return int64(l.i)
	case "revindex":
		return int64(n - l.i)
	case "revindex0":
		return int64(n - l.i - 1)
	case "first":
		return l.i == 0
	case "last":
		return l.i == n-1
	case "length":
		return int64(n)
	case "previtem":
		return neighbour(l.i - 1)
	case "nextitem":
		return neighbour(l.i + 1)
	case "cycle":
		return function(func(r *run, pos int, a values) any {
			if len(a.list) == 0 {
				r.fail(pos, "cycle needs values")
			}
			return a.list[l.i%len(a.list)]
		})
	}
	return undefined{"loop." + name}
}

// unpack gives names their parts of a value.
func (r *run) unpack(pos int, s *scope, names []string, v any) {
	if len(names) == 1 {
		s.vars[names[0]] = v
		return
	}
	items := r.iterate(pos, v)
	if len(items) != len(names) {
		r.fail(pos, "%d values for %d names", len(items), len(names))
	}
	for i, name := range names {
		s.vars[name] = items[i]
	}
}

// iterate returns what a loop over v sees.
func (r *run) iterate(pos int, v any) []any {
	switch v := v.(type) {
	case undefined:
		return nil
	case *List:
		return v.Items
	case *Dict:
		return v.keys
	case string:
		r.size(pos, len(v))
		items := make([]any, 0, len(v))
		for _, c := range v {
			items = append(items, string(c))
		}
		return items
	}
	r.fail(pos, "%s has no items to go over", describe(v))
	return nil
}

// assign is {% set names = value %} or {% set ns.attribute = value %}.
type assign struct {
	pos       int
	names     []string
	attribute string
	value     expression
}

func (a *assign) run(r *run, s *scope) control {
	v := a.value.eval(r, s)
	if a.attribute == "" {
		r.unpack(a.pos, s, a.names, v)
		return goOn
	}
	of, _ := s.lookup(a.names[0])
	ns, ok := of.(*space)
	if !ok {
		r.fail(a.pos, "%s is no namespace, so its %q cannot be set", a.names[0], a.attribute)
	}
	ns.attributes[a.attribute] = v
	return goOn
}

// capture is {% set name %}...{% endset %}, or without a name {% filter %}...{% endfilter %}.
type capture struct {
	pos     int
	name    string
	filters expression // over the first constant of its chain, which is the text
	body    []statement
}

func (c *capture) run(r *run, s *scope) control {
	v := r.captured(s, c.body)
	v = applied(r, s, c.filters, v)
	if c.name != "" {
		s.vars[c.name] = v
		return goOn
	}
	r.write(c.pos, display(v))
	return goOn
}

// applied runs a chain of filters over a value.
func applied(r *run, s *scope, chain expression, v any) any {
	f, ok := chain.(*filter)
	if !ok {
		return v
	}
	return f.apply(r, s, applied(r, s, f.of, v))
}

// captured is the text that statements write.
func (r *run) captured(s *scope, body []statement) any {
	outer := r.out
	r.out = &strings.Builder{}
	defer func() { r.out = outer }()
	r.execute(&scope{vars: map[string]any{}, parent: s}, body)
	return r.out.String()
}

// macro is a definition; running it binds a closure to its name.
type macro struct {
	name     string
	params   []string
	defaults []expression // nil: none
	body     []statement
}

type closure struct {
	*macro
	scope *scope
}

func (m *macro) run(_ *run, s *scope) control {
	s.vars[m.name] = &closure{m, s}
	return goOn
}

func (c *closure) call(r *run, pos int, a values) any {
	if r.depth++; r.depth > maxDepth {
		r.fail(pos, "macros call each other more than %d deep", maxDepth)
	}
	defer func() { r.depth-- }()
	if len(a.list) > len(c.params) {
		r.fail(pos, "macro %s takes %d arguments, not %d", c.name, len(c.params), len(a.list))
	}
	s := &scope{vars: map[string]any{}, parent: c.scope}
	for i, name := range c.params {
		v, ok := a.named[name]
		switch {
		case i < len(a.list):
			v = a.list[i]
		case ok:
		case c.defaults[i] != nil:
			v = c.defaults[i].eval(r, s)
		default:
			v = undefined{name}
		}
		s.vars[name] = v
	}
	return r.captured(s, c.body)
}
