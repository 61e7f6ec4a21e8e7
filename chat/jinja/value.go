package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Values are nil (None), bool, int64, float64, string, *List, *Dict and what templates make themselves: undefined, *space,
// *closure and function. Lists and dictionaries never change, as in the sandbox that Hugging Face renders templates in.

// List is a list or a tuple.
type List struct {
	Items []any
	Tuple bool
}

// Dict is a dictionary that keeps the order of its keys.
type Dict struct {
	keys   []any
	values map[any]any
}

// NewDict returns a dictionary of keys and values in turn. Keys are texts, numbers or truth values.
func NewDict(pairs ...any) *Dict {
	d := &Dict{values: map[any]any{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		d.set(pairs[i], pairs[i+1])
	}
	return d
}

func (d *Dict) set(key, value any) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// undefined is the value of a name that nobody gave a value.
type undefined struct{ name string }

// space is what namespace() makes: attributes that may be set.
type space struct{ attributes map[string]any }

// function is a callable of ours.
type function func(r *run, pos int, a values) any

func itoa(n int) string { return strconv.Itoa(n) }

// truth is Python's bool(v).
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// display is Python's str(v): what {{ v }} prints.
func display(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b strings.Builder
	represent(&b, v, 0)
	return b.String()
}

// represent writes Python's repr(v), and dots for what is nested too deep or too long to be meant.
func represent(b *strings.Builder, v any, depth int) {
	if depth > maxDepth || b.Len() > maxOutput {
		b.WriteString("...")
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(floatText(v))
	case string:
		quotePython(b, v)
	case *List:
		open, end := "[", "]"
		if v.Tuple {
			open, end = "(", ")"
			if len(v.Items) == 1 {
				end = ",)"
			}
		}
		b.WriteString(open)
		for i, item := range v.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			represent(b, item, depth+1)
		}
		b.WriteString(end)
	case *Dict:
		b.WriteString("{")
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			represent(b, k, depth+1)
			b.WriteString(": ")
			represent(b, v.values[k], depth+1)
		}
		b.WriteString("}")
	case *space:
		b.WriteString("<namespace>")
	case *closure:
		b.WriteString("<macro " + v.name + ">")
	case function:
		b.WriteString("<function>")
	}
}

// floatText is Python's repr of a float.
func floatText(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	case v != v:
		return "nan"
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		format = 'e'
	}
	s := strconv.FormatFloat(v, format, -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// quotePython writes a text as Python shows it within a list.
func quotePython(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			b.WriteString(`\x` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(quote)
}

// asFloat returns a number as a float; truth values count as 0 and 1.
func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return v, true
	}
	return 0, false
}

// same compares until the work is used up, or what is compared is nested deeper than any text of a template makes
// it: such values count as different.
func same(a, b any, depth int, work *int) bool {
	if *work--; *work < 0 || depth > maxDepth {
		return false
	}
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			return x == y
		}
	}
	if x, ok := asFloat(a); ok {
		y, ok := asFloat(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		b, ok := b.(string)
		*work -= len(a) / 64
		return ok && a == b
	case *List:
		b, ok := b.(*List)
		if !ok || a.Tuple != b.Tuple || len(a.Items) != len(b.Items) {
			return false
		}
		for i := range a.Items {
			if !same(a.Items[i], b.Items[i], depth+1, work) {
				return false
			}
		}
		return true
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for _, k := range a.keys {
			if v, ok := b.values[k]; !ok || !same(a.values[k], v, depth+1, work) {
				return false
			}
		}
		return true
	case *space:
		b, ok := b.(*space)
		return ok && a == b
	case *closure:
		b, ok := b.(*closure)
		return ok && a == b
	}
	return false
}

// order is Python's comparison of numbers, texts and lists of them; ok is false for what has no order.
func (r *run) order(a, b any) (cmp int, ok bool) {
	x, isX := a.(*List)
	y, isY := b.(*List)
	if !isX || !isY {
		if s, ok := a.(string); ok {
			r.steps += len(s) / 64
		}
		return orderPlain(a, b)
	}
	for i := range min(len(x.Items), len(y.Items)) {
		if !r.equal(x.Items[i], y.Items[i]) {
			return orderPlain(x.Items[i], y.Items[i])
		}
	}
	return len(x.Items) - len(y.Items), true
}

func orderPlain(a, b any) (cmp int, ok bool) {
	if x, ok := asFloat(a); ok {
		y, ok := asFloat(b)
		switch {
		case x < y:
			return -1, ok
		case x > y:
			return 1, ok
		}
		return 0, ok
	}
	x, isX := a.(string)
	y, isY := b.(string)
	return strings.Compare(x, y), isX && isY
}

// typeName is Python's name of a value's type, for messages.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case undefined:
		return "undefined"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *List:
		if v.Tuple {
			return "tuple"
		}
		return "list"
	case *Dict:
		return "dict"
	case *space:
		return "namespace"
	}
	return "function"
}

// runes returns a text's characters, for what counts them.
func runes(s string) []rune { return []rune(s) }

func runeLen(s string) int { return utf8.RuneCountInString(s) }
