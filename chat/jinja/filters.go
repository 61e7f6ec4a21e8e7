package jinja

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// builtin is a filter or a test: v with the arguments a.
type builtin func(r *run, pos int, v any, a values) any

// filterTable and testTable are filled by functions, since filters such as map look filters up.
var filterTable, testTable map[string]builtin

func init() {
	filterTable, testTable = filters(), tests()
}

func filters() map[string]builtin {
	m := map[string]builtin{
		"trim":       onText(func(r *run, pos int, s string, a values) any { return strip(r, pos, s, a, true, true) }),
		"upper":      onText(func(_ *run, _ int, s string, _ values) any { return strings.ToUpper(s) }),
		"lower":      onText(func(_ *run, _ int, s string, _ values) any { return strings.ToLower(s) }),
		"title":      onText(func(_ *run, _ int, s string, _ values) any { return title(s) }),
		"capitalize": onText(func(_ *run, _ int, s string, _ values) any { return capitalize(s) }),
		"replace":    onText(replace),
		"indent":     onText(indent),
		"string":     func(_ *run, _ int, v any, _ values) any { return textOf(v) },
		"safe":       func(_ *run, _ int, v any, _ values) any { return v },
		"escape":     onText(func(_ *run, _ int, s string, _ values) any { return htmlEscaper.Replace(s) }),
		"format": func(r *run, pos int, v any, a values) any {
			return r.format(pos, textOf(v), &List{Items: a.list, Tuple: true})
		},
		"length":     length,
		"first":      func(r *run, pos int, v any, _ values) any { return item(r.iterate(pos, v), 0) },
		"last":       func(r *run, pos int, v any, _ values) any { return item(r.iterate(pos, v), -1) },
		"list":       func(r *run, pos int, v any, _ values) any { return &List{Items: slices.Clone(r.iterate(pos, v))} },
		"reverse":    reverse,
		"join":       join,
		"sort":       sortFilter,
		"unique":     unique,
		"items":      func(r *run, pos int, v any, a values) any { return pairs(v) },
		"dictsort":   dictsort,
		"map":        mapFilter,
		"select":     func(r *run, pos int, v any, a values) any { return choose(r, pos, v, a, false, true) },
		"reject":     func(r *run, pos int, v any, a values) any { return choose(r, pos, v, a, false, false) },
		"selectattr": func(r *run, pos int, v any, a values) any { return choose(r, pos, v, a, true, true) },
		"rejectattr": func(r *run, pos int, v any, a values) any { return choose(r, pos, v, a, true, false) },
		"default":    fallback,
		"tojson":     tojson,
		"int":        toInt,
		"float":      toFloat,
		"abs":        absolute,
		"round":      round,
		"sum":        sum,
		"min":        func(r *run, pos int, v any, _ values) any { return extreme(r, pos, v, -1) },
		"max":        func(r *run, pos int, v any, _ values) any { return extreme(r, pos, v, 1) },
	}
	m["count"], m["d"], m["e"] = m["length"], m["default"], m["escape"]
	return m
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// method is a filter of texts, which is a method of theirs too.
type method func(r *run, pos int, s string, a values) any

func onText(m method) builtin {
	return func(r *run, pos int, v any, a values) any {
		s := textOf(v)
		r.size(pos, len(s))
		return m(r, pos, s, a)
	}
}

func length(r *run, pos int, v any, _ values) any {
	switch v := v.(type) {
	case undefined:
		return int64(0)
	case string:
		r.size(pos, len(v))
		return int64(runeLen(v))
	case *List:
		return int64(len(v.Items))
	case *Dict:
		return int64(len(v.keys))
	}
	r.fail(pos, "%s has no length", describe(v))
	return nil
}

func reverse(r *run, pos int, v any, _ values) any {
	items := slices.Clone(r.iterate(pos, v))
	slices.Reverse(items)
	if _, ok := v.(string); ok {
		return r.joined(pos, items, "")
	}
	return &List{Items: items}
}

func join(r *run, pos int, v any, a values) any {
	between, _ := a.get(0, "d")
	items := r.iterate(pos, v)
	if name, ok := a.get(1, "attribute"); ok {
		items = slices.Clone(items)
		for i := range items {
			items[i] = r.path(pos, items[i], name)
		}
	}
	if between == nil {
		between = ""
	}
	return r.joined(pos, items, textOf(between))
}

func (r *run) joined(pos int, items []any, between string) string {
	var b strings.Builder
	for i, item := range items {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(textOf(item))
		if b.Len() > maxOutput {
			break
		}
	}
	r.size(pos, b.Len())
	return b.String()
}

// path follows "a.b.0" from v.
func (r *run) path(pos int, v, name any) any {
	if i, ok := asInt(name); ok {
		return item(r.iterate(pos, v), i)
	}
	for part := range strings.SplitSeq(textOf(name), ".") {
		if i, err := strconv.ParseInt(part, 10, 64); err == nil {
			v = item(r.iterate(pos, v), i)
			continue
		}
		if m := (&attribute{of: &constant{v}, name: part, pos: pos}).eval(r, nil); m != nil {
			v = m
		} else {
			return nil
		}
	}
	return v
}

func sortFilter(r *run, pos int, v any, a values) any {
	down, _ := a.get(0, "reverse")
	matters, _ := a.get(1, "case_sensitive")
	name, byName := a.get(2, "attribute")
	key := func(v any) any {
		if byName && name != nil {
			v = r.path(pos, v, name)
		}
		if s, ok := v.(string); ok && !truth(matters) {
			r.size(pos, len(s))
			return strings.ToLower(s)
		}
		return v
	}
	return &List{Items: r.sorted(pos, r.iterate(pos, v), key, truth(down))}
}

func (r *run) sorted(pos int, items []any, key func(any) any, down bool) []any {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b any) int {
		r.step(pos)
		n, ok := r.order(key(a), key(b))
		if !ok {
			r.fail(pos, "%s and %s have no order", describe(a), describe(b))
		}
		if down {
			return -n
		}
		return n
	})
	return items
}

func unique(r *run, pos int, v any, _ values) any {
	out := &List{}
	for _, item := range r.iterate(pos, v) {
		r.size(pos, len(out.Items)*16)
		if !slices.ContainsFunc(out.Items, func(o any) bool { return r.equal(o, item) }) {
			out.Items = append(out.Items, item)
		}
	}
	return out
}

func pairs(v any) any {
	out := &List{}
	if d, ok := v.(*Dict); ok {
		for _, k := range d.keys {
			out.Items = append(out.Items, &List{Items: []any{k, d.values[k]}, Tuple: true})
		}
	}
	return out
}

func sortedKeys(d *Dict) []any {
	keys := slices.Clone(d.keys)
	slices.SortStableFunc(keys, func(a, b any) int { return strings.Compare(display(a), display(b)) })
	return keys
}

func dictsort(r *run, pos int, v any, _ values) any {
	d, ok := v.(*Dict)
	if !ok {
		r.fail(pos, "dictsort needs a dict, not %s", describe(v))
	}
	sorted := NewDict()
	for _, k := range r.sorted(pos, d.keys, func(k any) any {
		if s, ok := k.(string); ok {
			return strings.ToLower(s)
		}
		return k
	}, false) {
		sorted.set(k, d.values[k])
	}
	return pairs(sorted)
}

// rest is the arguments behind the first n.
func (v values) rest(n int) values {
	v.list = v.list[min(n, len(v.list)):]
	return v
}

func mapFilter(r *run, pos int, v any, a values) any {
	items := slices.Clone(r.iterate(pos, v))
	if name, ok := a.named["attribute"]; ok {
		for i := range items {
			items[i] = r.path(pos, items[i], name)
			if _, undef := items[i].(undefined); undef {
				if d, ok := a.named["default"]; ok {
					items[i] = d
				}
			}
		}
		return &List{Items: items}
	}
	f := r.pick(pos, filterTable, "filter", a)
	for i := range items {
		r.step(pos)
		items[i] = f(r, pos, items[i], a.rest(1))
	}
	return &List{Items: items}
}

// pick finds the filter or test that the first argument names.
func (r *run) pick(pos int, table map[string]builtin, kind string, a values) builtin {
	if len(a.list) == 0 {
		r.fail(pos, "the name of a %s is missing", kind)
	}
	f := table[textOf(a.list[0])]
	if f == nil {
		r.fail(pos, "there is no %s %q", kind, textOf(a.list[0]))
	}
	return f
}

// choose keeps the items for which a test gives want; with byName it is an attribute of theirs that is tested.
func choose(r *run, pos int, v any, a values, byName, want bool) any {
	var name any
	if byName {
		if len(a.list) == 0 {
			r.fail(pos, "the name of an attribute is missing")
		}
		name, a = a.list[0], a.rest(1)
	}
	check := truth
	if len(a.list) > 0 {
		t, rest := r.pick(pos, testTable, "test", a), a.rest(1)
		check = func(v any) bool { return truth(t(r, pos, v, rest)) }
	}
	out := &List{}
	for _, item := range r.iterate(pos, v) {
		r.step(pos)
		tested := item
		if byName {
			tested = r.path(pos, item, name)
		}
		if check(tested) == want {
			out.Items = append(out.Items, item)
		}
	}
	return out
}

func fallback(_ *run, _ int, v any, a values) any {
	_, missing := v.(undefined)
	falseToo, _ := a.get(1, "boolean")
	if !missing && (!truth(falseToo) || truth(v)) {
		return v
	}
	if d, ok := a.get(0, "default_value"); ok {
		return d
	}
	return ""
}

func tojson(r *run, pos int, v any, a values) any {
	f := jsonForm{comma: ", ", colon: ": "}
	ascii, _ := a.named["ensure_ascii"]
	sorted, _ := a.named["sort_keys"]
	f.ascii, f.sorted = truth(ascii), truth(sorted)
	if n, ok := a.get(0, "indent"); ok && n != nil {
		f.lines, f.comma = true, ","
		if s, ok := n.(string); ok {
			f.indent = s
		} else if i, ok := asInt(n); ok && i >= 0 && i <= 64 {
			f.indent = strings.Repeat(" ", int(i))
		}
	}
	if s, ok := a.named["separators"].(*List); ok && len(s.Items) == 2 {
		f.comma, f.colon = textOf(s.Items[0]), textOf(s.Items[1])
	}
	var b strings.Builder
	if !dumpJSON(&b, v, f, 0) {
		r.fail(pos, "%s cannot be written as JSON", describe(v))
	}
	r.size(pos, b.Len())
	return b.String()
}

func toInt(_ *run, _ int, v any, a values) any {
	if i, ok := asInt(v); ok {
		return i
	}
	if f, ok := v.(float64); ok && math.Abs(f) < 1<<62 {
		return int64(f)
	}
	if s, ok := v.(string); ok {
		s = strings.TrimSpace(s)
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f)
		}
	}
	if d, ok := a.get(0, "default"); ok {
		return d
	}
	return int64(0)
}

func toFloat(_ *run, _ int, v any, a values) any {
	if f, ok := asFloat(v); ok {
		return f
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f
		}
	}
	if d, ok := a.get(0, "default"); ok {
		return d
	}
	return 0.0
}

func (r *run) number(pos int, v any) float64 {
	f, ok := asFloat(v)
	if !ok {
		r.fail(pos, "%s is no number", describe(v))
	}
	return f
}

func absolute(r *run, pos int, v any, _ values) any {
	if i, ok := asInt(v); ok {
		return max(i, -i)
	}
	return math.Abs(r.number(pos, v))
}

func round(r *run, pos int, v any, a values) any {
	places, _ := a.get(0, "precision")
	n, _ := asInt(places)
	if n < -300 || n > 300 {
		n = 0
	}
	scale := math.Pow(10, float64(n))
	f := r.number(pos, v) * scale
	switch how, _ := a.get(1, "method"); how {
	case "ceil":
		f = math.Ceil(f)
	case "floor":
		f = math.Floor(f)
	default:
		f = math.RoundToEven(f)
	}
	return f / scale
}

func sum(r *run, pos int, v any, a values) any {
	var total any = int64(0)
	name, byName := a.get(0, "attribute")
	if start, ok := a.get(1, "start"); ok {
		total = start
	}
	for _, item := range r.iterate(pos, v) {
		if byName && name != nil {
			item = r.path(pos, item, name)
		}
		total = (&arithmetic{op: "+", left: &constant{total}, right: &constant{item}, pos: pos}).eval(r, nil)
	}
	return total
}

func extreme(r *run, pos int, v any, sign int) any {
	items := r.iterate(pos, v)
	best := item(items, 0)
	for _, item := range items {
		if n, ok := r.order(item, best); ok && n*sign > 0 {
			best = item
		}
	}
	return best
}

func tests() map[string]builtin {
	compare := func(op string) builtin {
		return func(r *run, pos int, v any, a values) any {
			if len(a.list) == 0 {
				r.fail(pos, "the test needs a value to compare with")
			}
			return r.compare(pos, op, v, a.list[0])
		}
	}
	kind := func(names ...string) builtin {
		return func(_ *run, _ int, v any, _ values) any { return slices.Contains(names, typeName(v)) }
	}
	remainder := func(r *run, pos int, v any, by int64) int64 {
		i, ok := asInt(v)
		if !ok || by == 0 {
			r.fail(pos, "%s is not divided by %d", describe(v), by)
		}
		return i % by
	}
	isTrue := func(want bool) builtin {
		return func(_ *run, _ int, v any, _ values) any { b, ok := v.(bool); return ok && b == want }
	}
	cased := func(fold func(string) string) builtin {
		return func(_ *run, _ int, v any, _ values) any {
			s := textOf(v)
			return fold(s) == s && strings.ContainsFunc(s, unicode.IsLetter)
		}
	}
	m := map[string]builtin{
		"defined":     func(_ *run, _ int, v any, _ values) any { _, missing := v.(undefined); return !missing },
		"undefined":   kind("undefined"),
		"none":        kind("None"),
		"boolean":     kind("bool"),
		"string":      kind("str"),
		"number":      kind("int", "float", "bool"),
		"integer":     kind("int"),
		"float":       kind("float"),
		"mapping":     kind("dict"),
		"iterable":    kind("str", "list", "tuple", "dict", "undefined"),
		"sequence":    kind("str", "list", "tuple", "dict", "undefined"),
		"callable":    kind("function"),
		"true":        isTrue(true),
		"false":       isTrue(false),
		"odd":         func(r *run, pos int, v any, _ values) any { return remainder(r, pos, v, 2) != 0 },
		"even":        func(r *run, pos int, v any, _ values) any { return remainder(r, pos, v, 2) == 0 },
		"upper":       cased(strings.ToUpper),
		"lower":       cased(strings.ToLower),
		"equalto":     compare("=="),
		"ne":          compare("!="),
		"lessthan":    compare("<"),
		"le":          compare("<="),
		"greaterthan": compare(">"),
		"ge":          compare(">="),
		"in":          compare("in"),
		"filter":      func(_ *run, _ int, v any, _ values) any { return filterTable[textOf(v)] != nil },
		"test":        func(_ *run, _ int, v any, _ values) any { return testTable[textOf(v)] != nil },
		"divisibleby": func(r *run, pos int, v any, a values) any {
			var by int64
			if len(a.list) > 0 {
				by, _ = asInt(a.list[0])
			}
			return remainder(r, pos, v, by) == 0
		},
	}
	m["eq"], m["=="], m["sameas"] = m["equalto"], m["equalto"], m["equalto"]
	m["!="], m["lt"], m["<"], m["<="] = m["ne"], m["lessthan"], m["lessthan"], m["le"]
	m["gt"], m[">"], m[">="] = m["greaterthan"], m["greaterthan"], m["ge"]
	return m
}

// globals are the functions that a template finds.
var globals = map[string]function{
	"range": func(r *run, pos int, a values) any {
		bounds := []int64{0, 0, 1}
		for i, v := range a.list[:min(3, len(a.list))] {
			n, ok := asInt(v)
			if !ok {
				r.fail(pos, "range needs integers, not %s", describe(v))
			}
			bounds[i] = n
		}
		if len(a.list) == 1 {
			bounds[0], bounds[1] = 0, bounds[0]
		}
		if len(a.list) == 0 || bounds[2] == 0 {
			r.fail(pos, "range needs an end, and a step other than zero")
		}
		out := &List{}
		for i := bounds[0]; bounds[2] > 0 && i < bounds[1] || bounds[2] < 0 && i > bounds[1]; i += bounds[2] {
			r.step(pos)
			out.Items = append(out.Items, i)
		}
		return out
	},
	"namespace": func(r *run, pos int, a values) any {
		ns := &space{map[string]any{}}
		for _, v := range a.list {
			d, ok := v.(*Dict)
			if !ok {
				r.fail(pos, "namespace takes a dict or names, not %s", describe(v))
			}
			for _, k := range d.keys {
				ns.attributes[display(k)] = d.values[k]
			}
		}
		for k, v := range a.named {
			ns.attributes[k] = v
		}
		return ns
	},
	"dict": func(r *run, pos int, a values) any {
		d := NewDict()
		for _, v := range a.list {
			from, ok := v.(*Dict)
			if !ok {
				r.fail(pos, "dict takes a dict or names, not %s", describe(v))
			}
			for _, k := range from.keys {
				d.set(k, from.values[k])
			}
		}
		for _, k := range a.names {
			d.set(k, a.named[k])
		}
		return d
	},
	"raise_exception": func(_ *run, _ int, a values) any {
		message := "no reason given"
		if v, ok := a.get(0, "message"); ok {
			message = textOf(v)
		}
		panic(failure{&Raised{message}})
	},
	"strftime_now": func(r *run, pos int, a values) any {
		if len(a.list) == 0 {
			r.fail(pos, "strftime_now needs a format")
		}
		return strftime(r.now, textOf(a.list[0]))
	},
}

// strftime formats a time as C's function of this name does in the C locale.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{'d': "02", 'm': "01", 'Y': "2006", 'y': "06", 'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700", 'F': "2006-01-02", 'T': "15:04:05", 'e': "_2",
		'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		pad := true
		if format[i] == '-' && i+1 < len(format) {
			pad = false
			i++
		}
		var s string
		switch c := format[i]; {
		case c == '%':
			s = "%"
		case c == 'j':
			s = fmt.Sprintf("%03d", t.YearDay())
		case c == 'n':
			s = "\n"
		case layouts[c] != "":
			s = t.Format(layouts[c])
		default:
			s = "%" + string(c)
		}
		if !pad {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String()
}
