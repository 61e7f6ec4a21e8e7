// Package jinja renders Jinja templates as Hugging Face renders chat templates: trim_blocks and lstrip_blocks on, loop
// controls, raise_exception, strftime_now, tojson without HTML escapes, {% generation %}, and the sandbox's values that no template
// can change. A template may come from anywhere, so time, depth and output are bounded: a bad one ends in an error.
// (Reference: the Template Designer Documentation of Jinja 3.1.) A Template does not change once it is parsed.
package jinja

import (
	"fmt"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

const (
	// maxSteps caps the expressions and statements of one rendering; a chat of a thousand messages needs about 10^5.
	maxSteps = 1 << 21
	// maxOutput caps the text of one rendering and every list or text on the way, in bytes or items.
	maxOutput = 1 << 23
)

// Template is a parsed template.
type Template struct {
	src  string
	body []statement
}

// Parse reads a template. The error is a *fault.Format for what is no Jinja, and a *fault.Unsupported with all
// gaps for what is Jinja but not known here.
func Parse(src string) (t *Template, err error) {
	if len(src) > maxSource {
		return nil, fault.Formatf("chat template", "%d bytes are more than any template needs (limit %d)", len(src), maxSource)
	}
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, toks: toks}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(syntax)
			if !ok {
				panic(r)
			}
			t, err = nil, s.err
		}
	}()
	body, _ := p.body()
	if len(p.gaps) > 0 {
		return nil, &fault.Unsupported{Kind: "chat template part", Items: p.gaps}
	}
	return &Template{src, body}, nil
}

// Raised is what a template says by raise_exception: the conversation is not one that it can express.
type Raised struct{ Message string }

func (e *Raised) Error() string { return "the chat template refuses this conversation: " + e.Message }

// Render writes the template with these variables. The time is what strftime_now tells. An error is a *Raised, or a *fault.Format
// that says where the template went wrong.
func (t *Template) Render(vars map[string]any, now time.Time) (text string, err error) {
	r := &run{src: t.src, now: now, out: &strings.Builder{}, top: &scope{vars: map[string]any{}}}
	for name, f := range globals {
		r.top.vars[name] = f
	}
	for name, v := range vars {
		r.top.vars[name] = v
	}
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			text, err = "", f.err
		}
	}()
	r.execute(&scope{vars: map[string]any{}, parent: r.top}, t.body)
	return r.out.String(), nil
}

// run is one rendering.
type run struct {
	src   string
	now   time.Time
	top   *scope
	out   *strings.Builder
	steps int
	depth int
}

// failure is what a rendering panics with; Render turns it into an error.
type failure struct{ err error }

func (r *run) fail(pos int, format string, args ...any) {
	panic(failure{broken(r.src, pos, format, args...)})
}

// step counts work against its bound.
func (r *run) step(pos int) {
	if r.steps++; r.steps > maxSteps {
		r.fail(pos, "it does not come to an end within %d steps", maxSteps)
	}
}

// size holds what is about to be made or read against the bound, and counts it as work.
func (r *run) size(pos, n int) {
	r.limit(pos, n)
	r.steps += n / 64
}

func (r *run) limit(pos, n int) {
	if n < 0 || n > maxOutput {
		r.fail(pos, "a text or list of %d is longer than %d", n, maxOutput)
	}
}

func (r *run) write(pos int, s string) {
	r.limit(pos, r.out.Len()+len(s))
	r.size(pos, len(s))
	r.out.WriteString(s)
}

// equal is Python's ==, counted as work.
func (r *run) equal(a, b any) bool {
	work := maxSteps
	is := same(a, b, 0, &work)
	r.steps += maxSteps - work
	return is
}

// scope holds the variables of a loop, a macro or the template.
type scope struct {
	vars   map[string]any
	parent *scope
}

func (s *scope) lookup(name string) (any, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// describe names a value for messages.
func describe(v any) string {
	if u, ok := v.(undefined); ok {
		return fmt.Sprintf("%q, which is undefined", u.name)
	}
	return "a " + typeName(v)
}
