package jinja

import (
	"slices"
	"strings"
	"unicode"
)

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
