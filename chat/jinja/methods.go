package jinja

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// stringMethods are the methods of Python's str that templates use.
var stringMethods = map[string]method{
	"strip":      func(r *run, pos int, s string, a values) any { return strip(r, pos, s, a, true, true) },
	"lstrip":     func(r *run, pos int, s string, a values) any { return strip(r, pos, s, a, true, false) },
	"rstrip":     func(r *run, pos int, s string, a values) any { return strip(r, pos, s, a, false, true) },
	"upper":      func(_ *run, _ int, s string, _ values) any { return strings.ToUpper(s) },
	"lower":      func(_ *run, _ int, s string, _ values) any { return strings.ToLower(s) },
	"title":      func(_ *run, _ int, s string, _ values) any { return title(s) },
	"capitalize": func(_ *run, _ int, s string, _ values) any { return capitalize(s) },
	"replace":    replace,
	"split":      func(r *run, pos int, s string, a values) any { return split(r, pos, s, a, false) },
	"rsplit":     func(r *run, pos int, s string, a values) any { return split(r, pos, s, a, true) },
	"splitlines": func(_ *run, _ int, s string, _ values) any {
		out := &List{}
		for line := range strings.Lines(s) {
			out.Items = append(out.Items, strings.TrimSuffix(line, "\n"))
		}
		return out
	},
	"partition": func(r *run, pos int, s string, a values) any {
		by := r.textArg(pos, a, 0, "sep")
		before, after, found := strings.Cut(s, by)
		if !found {
			by = ""
		}
		return &List{Items: []any{before, by, after}, Tuple: true}
	},
	"join": func(r *run, pos int, s string, a values) any {
		if len(a.list) == 0 {
			r.fail(pos, "join needs a list")
		}
		return r.joined(pos, r.iterate(pos, a.list[0]), s)
	},
	"startswith": func(r *run, pos int, s string, a values) any { return affix(r, pos, s, a, strings.HasPrefix) },
	"endswith":   func(r *run, pos int, s string, a values) any { return affix(r, pos, s, a, strings.HasSuffix) },
	"removeprefix": func(r *run, pos int, s string, a values) any {
		return strings.TrimPrefix(s, r.textArg(pos, a, 0, "prefix"))
	},
	"removesuffix": func(r *run, pos int, s string, a values) any {
		return strings.TrimSuffix(s, r.textArg(pos, a, 0, "suffix"))
	},
	"find": func(r *run, pos int, s string, a values) any {
		return find(s, strings.Index(s, r.textArg(pos, a, 0, "sub")))
	},
	"rfind": func(r *run, pos int, s string, a values) any {
		return find(s, strings.LastIndex(s, r.textArg(pos, a, 0, "sub")))
	},
	"index": func(r *run, pos int, s string, a values) any {
		i := strings.Index(s, r.textArg(pos, a, 0, "sub"))
		if i < 0 {
			r.fail(pos, "the text is not found")
		}
		return find(s, i)
	},
	"count": func(r *run, pos int, s string, a values) any {
		return int64(strings.Count(s, r.textArg(pos, a, 0, "sub")))
	},
	"format":  formatMethod,
	"isdigit": every(unicode.IsDigit), "isnumeric": every(unicode.IsNumber), "isdecimal": every(unicode.IsDigit),
	"isalpha": every(unicode.IsLetter), "isspace": every(unicode.IsSpace),
	"isalnum": every(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
	"isupper": func(_ *run, _ int, s string, _ values) any {
		return strings.ToUpper(s) == s && strings.ContainsFunc(s, unicode.IsLetter)
	},
	"islower": func(_ *run, _ int, s string, _ values) any {
		return strings.ToLower(s) == s && strings.ContainsFunc(s, unicode.IsLetter)
	},
}

var dictMethods = map[string]func(r *run, pos int, d *Dict, a values) any{
	"items": func(_ *run, _ int, d *Dict, _ values) any { return pairs(d) },
	"keys":  func(_ *run, _ int, d *Dict, _ values) any { return &List{Items: d.keys} },
	"values": func(_ *run, _ int, d *Dict, _ values) any {
		out := &List{}
		for _, k := range d.keys {
			out.Items = append(out.Items, d.values[k])
		}
		return out
	},
	"get": func(r *run, pos int, d *Dict, a values) any {
		if len(a.list) == 0 {
			r.fail(pos, "get needs a key")
		}
		if v, ok := d.values[r.key(pos, a.list[0])]; ok {
			return v
		}
		v, _ := a.get(1, "default")
		return v
	},
	"copy": func(_ *run, _ int, d *Dict, _ values) any { return d },
}

var listMethods = map[string]func(r *run, pos int, l *List, a values) any{
	"index": func(r *run, pos int, l *List, a values) any {
		for i, item := range l.Items {
			if len(a.list) > 0 && r.equal(item, a.list[0]) {
				return int64(i)
			}
		}
		r.fail(pos, "the item is not in the list")
		return nil
	},
	"count": func(r *run, _ int, l *List, a values) any {
		n := int64(0)
		for _, item := range l.Items {
			if len(a.list) > 0 && r.equal(item, a.list[0]) {
				n++
			}
		}
		return n
	},
	"copy": func(_ *run, _ int, l *List, _ values) any { return l },
}

func (r *run) textArg(pos int, a values, i int, name string) string {
	v, ok := a.get(i, name)
	s, isText := v.(string)
	if !ok || !isText {
		r.fail(pos, "the argument %s must be a text, not %s", name, describe(v))
	}
	return s
}

// strip cuts characters off a text's ends: white space, or those of the first argument.
func strip(r *run, pos int, s string, a values, left, right bool) string {
	r.size(pos, len(s))
	cut := unicode.IsSpace
	if v, ok := a.get(0, "chars"); ok && v != nil {
		set := textOf(v)
		cut = func(c rune) bool { return strings.ContainsRune(set, c) }
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return s
}

func replace(r *run, pos int, s string, a values) any {
	old, with := r.textArg(pos, a, 0, "old"), r.textArg(pos, a, 1, "new")
	n := -1
	if v, ok := a.get(2, "count"); ok && v != nil {
		if i, ok := asInt(v); ok && i >= 0 {
			n = int(min(i, maxOutput))
		}
	}
	found := strings.Count(s, old)
	if n >= 0 {
		found = min(found, n)
	}
	r.size(pos, len(s)+product(len(with), int64(found)))
	return strings.Replace(s, old, with, n)
}

func split(r *run, pos int, s string, a values, fromRight bool) any {
	r.size(pos, len(s))
	n := -1
	if v, ok := a.get(1, "maxsplit"); ok {
		if i, ok := asInt(v); ok && i >= 0 {
			n = int(min(i, maxOutput))
		}
	}
	var parts []string
	by, ok := a.get(0, "sep")
	switch {
	case !ok || by == nil:
		parts = fields(s, n)
	case textOf(by) == "":
		r.fail(pos, "a text cannot be split at an empty text")
	case fromRight && n >= 0:
		for rest := s; ; n-- {
			i := strings.LastIndex(rest, textOf(by))
			if i < 0 || n == 0 {
				parts = append(parts, rest)
				break
			}
			parts = append(parts, rest[i+len(textOf(by)):])
			rest = rest[:i]
		}
		slices.Reverse(parts)
	case n >= 0:
		parts = strings.SplitN(s, textOf(by), n+1)
	default:
		parts = strings.Split(s, textOf(by))
	}
	out := &List{Items: make([]any, len(parts))}
	for i, p := range parts {
		out.Items[i] = p
	}
	return out
}

// fields splits at white space, n times at most unless n is negative.
func fields(s string, n int) []string {
	if n < 0 {
		return strings.Fields(s)
	}
	var parts []string
	for s = strings.TrimSpace(s); s != ""; {
		i := strings.IndexFunc(s, unicode.IsSpace)
		if i < 0 || len(parts) == n {
			return append(parts, s)
		}
		parts = append(parts, s[:i])
		s = strings.TrimLeftFunc(s[i:], unicode.IsSpace)
	}
	return parts
}

func affix(r *run, pos int, s string, a values, has func(s, affix string) bool) any {
	if len(a.list) > 0 {
		if l, ok := a.list[0].(*List); ok {
			return slices.ContainsFunc(l.Items, func(v any) bool { return has(s, textOf(v)) })
		}
	}
	return has(s, r.textArg(pos, a, 0, "prefix"))
}

// find is a byte offset as a count of characters.
func find(s string, i int) any {
	if i < 0 {
		return int64(-1)
	}
	return int64(runeLen(s[:i]))
}

func every(is func(rune) bool) method {
	return func(_ *run, _ int, s string, _ values) any {
		return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !is(c) })
	}
}

func capitalize(s string) string {
	for i, c := range s {
		return string(unicode.ToUpper(c)) + strings.ToLower(s[i+len(string(c)):])
	}
	return s
}

func title(s string) string {
	inWord := false
	return strings.Map(func(c rune) rune {
		first := !inWord
		inWord = unicode.IsLetter(c) || unicode.IsNumber(c) || c == '\''
		if first {
			return unicode.ToUpper(c)
		}
		return unicode.ToLower(c)
	}, s)
}

// indent puts blanks before each line but the first and the empty ones.
func indent(r *run, pos int, s string, a values) any {
	by := "    "
	if v, ok := a.get(0, "width"); ok {
		if n, isInt := asInt(v); isInt {
			r.size(pos, product(1, n))
			by = strings.Repeat(" ", int(max(n, 0)))
		} else {
			by = textOf(v)
		}
	}
	first, _ := a.get(1, "first")
	blank, _ := a.get(2, "blank")
	r.size(pos, len(s)+product(len(by), int64(strings.Count(s, "\n")+1)))
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if (i > 0 || truth(first)) && (line != "" || truth(blank)) {
			b.WriteString(by)
		}
		b.WriteString(line)
	}
	return b.String()
}

// format is Python's "%s" formatting, for the plain verbs s, r, d and f.
func (r *run) format(pos int, s string, args any) string {
	list := []any{args}
	if l, ok := args.(*List); ok && l.Tuple {
		list = l.Items
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i < len(s) && s[i] == '%' {
			b.WriteByte('%')
			continue
		}
		places := 6
		if i+1 < len(s) && s[i] == '.' && isDigit(s[i+1]) {
			places = int(s[i+1] - '0')
			i += 2
		}
		if i == len(s) || len(list) == 0 {
			r.fail(pos, "the format has more places than there are values")
		}
		switch v := list[0]; s[i] {
		case 's':
			b.WriteString(textOf(v))
		case 'r':
			represent(&b, v, 0)
		case 'd':
			b.WriteString(strconv.FormatInt(int64(r.number(pos, v)), 10))
		case 'f':
			b.WriteString(strconv.FormatFloat(r.number(pos, v), 'f', places, 64))
		default:
			r.fail(pos, "the format %%%c is not known", s[i])
		}
		list = list[1:]
		r.size(pos, b.Len())
	}
	return b.String()
}

// formatMethod is str.format for plain fields: {}, {0} and {name}.
func formatMethod(r *run, pos int, s string, a values) any {
	var b strings.Builder
	for next := 0; s != ""; {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if i+1 < len(s) && s[i] == s[i+1] {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		field, rest, ok := strings.Cut(s[i+1:], "}")
		if s[i] == '}' || !ok {
			r.fail(pos, "a bracket of the format has no partner")
		}
		v, found := a.named[field]
		if field == "" {
			field = itoa(next)
			next++
		}
		if n, err := strconv.Atoi(field); err == nil && n >= 0 {
			v, found = a.get(n, field)
		}
		if !found {
			r.fail(pos, "the format's field %q has no value", field)
		}
		b.WriteString(textOf(v))
		r.size(pos, b.Len())
		s = rest
	}
	return b.String()
}
