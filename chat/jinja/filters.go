package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
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
