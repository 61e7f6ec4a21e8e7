package jinja

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

var noon = time.Date(2024, 7, 5, 12, 3, 9, 0, time.UTC)

func render(t *testing.T, src string) (string, error) {
	t.Helper()
	vars, err := FromJSON([]byte(`{"messages":[{"role":"system","content":"be good"},{"role":"user","content":" hi "},{"role":"assistant","content":"yo"}],
		"s":"Straße & <b>\"x\"</b>","n":7,"f":2.5,"none":null,"yes":true,"d":{"z":1,"a":{"q":[1,2]},"m":"é"},"l":[3,1,2]}`))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Parse(src)
	if err != nil {
		return "", err
	}
	d := vars.(*Dict)
	m := map[string]any{}
	for _, k := range d.keys {
		m[k.(string)] = d.values[k]
	}
	return tmpl.Render(m, noon)
}

// TestRender holds constructs of chat templates to what Jinja 3.1 with trim_blocks and lstrip_blocks gives.
func TestRender(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"values", `{{ none }}|{{ yes }}|{{ f }}|{{ 3.0 }}|{{ 1e20 }}|{{ missing }}|{{ l }}|{{ d }}`, `None|True|2.5|3.0|1e+20||[3, 1, 2]|{'z': 1, 'a': {'q': [1, 2]}, 'm': 'é'}`},
		{"texts in lists", `{{ ["it's", 'a"b', "\n\\"] }}{{ (1,) }}{{ () }}`, `["it's", 'a"b', '\n\\'](1,)()`},
		{"arithmetic", `{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 - 4 }} {{ 'a' * 3 }} {{ [1] + [2] }} {{ 'a' + 'b' ~ 1 ~ none }}`, `3 -4 2 3.5 1024 3 aaa [1, 2] ab1None`},
		{"precedence", `{{ not false and true }} {{ 1 + 1 == 2 }} {{ 'a' ~ 1 * 2 }} {{ -2|abs }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}`, `True True a2 2 True False`},
		{"logic gives values", `{{ '' or 'x' }} {{ 'a' and 'b' }} {{ none or none }}`, `x b None`},
		{"inline if", `{{ 'a' if n > 5 else 'b' }}{{ 'c' if n < 5 }}{{ 'd' if n < 5 else 'e' if n == 7 else 'f' }}`, `ae`},
		{"in", `{{ 'e' in 'hello' }} {{ 'z' in d }} {{ 2 in l }} {{ 9 not in l }} {{ 'role' in messages[0] }}`, `True True True True True`},
		{"access", `{{ messages[0].role }} {{ messages[-1]['content'] }} {{ d.a.q[1] }} {{ d['a']['q'].0 }} {{ messages[9] }} {{ d.nope is defined }}`, `system yo 2 1  False`},
		{"slices", `{{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[-2:] }} {{ 'añb'[1] }} {{ l[::-1][0] }} {{ 'abcdef'[4:1:-2] }} {{ l[5:] }}`, `el olleh [1, 2] [3, 1] [1, 2] ñ 2 ec []`},
		{"tests", `{{ n is odd }}{{ n is number }}{{ s is string }}{{ none is none }}{{ d is mapping }}{{ l is iterable }}{{ l is sequence }}{{ missing is not defined }}{{ n is divisibleby 7 }}{{ 'a' is eq 'a' }}{{ n is in [7] }}{{ yes is true }}{{ f is float and n is integer }}`, strings.Repeat("True", 13)},
		{"methods", `{{ ' a '.strip() }}|{{ 'xxaxx'.lstrip('x') }}|{{ 'a,b,c'.split(',')[-1] }}|{{ 'a b  c'.split() }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a,b,c'.rsplit(',', 1) }}|{{ 'abab'.replace('a', 'x') }}|{{ 'abab'.replace('a', 'x', 1) }}|{{ 'ab'.startswith('a') }}|{{ 'ab'.endswith(('x','b')) }}|{{ 'aB'.upper() }}{{ 'aB'.lower() }}|{{ 'hello world'.title() }}|{{ 'éa'.find('a') }}|{{ ', '.join(['a', 'b']) }}|{{ 'ab'.removeprefix('a') }}`,
			`a|axx|c|['a', 'b', 'c']|['a', 'b,c']|['a,b', 'c']|xbxb|xbab|True|True|ABab|Hello World|1|a, b|b`},
		{"dicts", `{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{{ d.keys()|list }}{{ d.get('x', 5) }}{{ d.get('x') }}{% for k, v in d|dictsort %}{{ k }}{% endfor %}`, `z=1;a={'q': [1, 2]};m=é;['z', 'a', 'm']5Noneamz`},
		{"filters", `{{ s|length }} {{ l|sort }} {{ l|sort(reverse=true)|first }} {{ l|last }} {{ l|join('-') }} {{ ' x '|trim }} {{ 'a'|upper }} {{ missing|default('d') }} {{ ''|default('d', true) }} {{ '12'|int + 1 }} {{ '2.5'|float }} {{ [1,1,2]|unique|list }} {{ l|sum }} {{ l|max }} {{ l|reverse|list }} {{ 2.5|round }} {{ 'x'|string ~ 1|string }}`,
			`19 [1, 2, 3] 3 2 3-1-2 x A d d 13 2.5 [1, 2] 6 3 [2, 1, 3] 2.0 x1`},
		{"selection", `{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|map(attribute='role')|join(',') }} {{ messages|rejectattr('role', 'in', ['system', 'user'])|map(attribute='content')|first }} {{ l|select('gt', 1)|list }} {{ ['a', '']|select|list }} {{ l|map('string')|join }}`, `1 system,user,assistant yo [3, 2] ['a'] 312`},
		{"tojson", `{{ d|tojson }} {{ s|tojson }} {{ [1.0, none, true, '\x01/']|tojson }} {{ {'b': 'é'}|tojson(ensure_ascii=true) }}`, `{"z": 1, "a": {"q": [1, 2]}, "m": "é"} "Straße & <b>\"x\"</b>" [1.0, null, true, "\u0001/"] {"b": "\u00e9"}`},
		{"tojson with lines", `{{ {'a': [1, {}], 'b': []}|tojson(indent=2) }}`, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
		{"escape and indent", `{{ '<a>&'|e }} {{ 'a\nb\n\nc'|indent(2) }}`, "&lt;a&gt;&amp; a\n  b\n\n  c"},
		{"loop", `{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.cycle('a', 'b') }};{% endfor %}`, `103TrueFalse3a;212FalseFalse3b;321FalseTrue3a;`},
		{"loop controls", `{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}`, `0134`},
		{"loop filter and else", `{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }} {% else %}none{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}`, `1user 2assistant empty`},
		{"scopes", `{% set x = 1 %}{% for i in l %}{% set x = 2 %}{% endfor %}{{ x }}{% set ns = namespace(x=1, y='a') %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}`, `17a3`},
		{"tuple set", `{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% set (c, e) = l[:2] %}{{ c }}{{ e }}`, `1x31`},
		{"block set", `{% set x %}a{{ n }}{% endset %}{{ x|upper }}{% set y | trim %} b {% endset %}[{{ y }}]`, `A7[b]`},
		{"macros", `{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m('q', 4, 5) }}`, `12z 123 q45`},
		{"filter block", `{% filter upper %}a{{ n }}{% endfilter %}`, `A7`},
		{"generation", `a{% generation %}b{% endgeneration %}c`, `abc`},
		{"raw", `{% raw %}{{ x }}{% y %}{% endraw %}z`, `{{ x }}{% y %}z`},
		{"trim and lstrip", "a\n  {% if true %}\nb\n  {% endif %}\nc {# x #}\nd\n", "a\nb\nc d"},
		{"strip marks", "a \n {%- if true -%} \n b \n {%- endif +%}\nc\n  {{- n -}}  \n d", "ab\nc7d"},
		{"kept blanks", "  {%+ if true %}x{% endif %}\n  {{ n }}\n", "  x  7"},
		{"blanks within a line", "{% if true %}  {% if true %}x{% endif %}{% endif %}", "  x"},
		{"time", `{{ strftime_now('%d %b %Y %H:%M:%S %B %-d %j %%') }}`, `05 Jul 2024 12:03:09 July 5 187 %`},
		{"joined literals", `{{ 'a' 'b' "c" }}{{ {'a': {'b': 1}}['a']['b'] }}{{ {1: 2}[1] }}`, `abc12`},
		{"formats", `{{ '%s-%d' % ('a', 3) }}{{ '{} {x}'.format('b', x=1) }}{{ '%.2f'|format(2.5) }}`, `a-3b 12.50`},
		{"undefined is empty", `{% for x in missing %}{% endfor %}{{ missing|length }}{{ not missing }}{{ missing|join }}`, `0True`},
	} {
		got, err := render(t, c.src)
		if err != nil || got != c.want {
			t.Errorf("%s:\n%q, %v, want\n%q", c.name, got, err, c.want)
		}
	}
}

// TestErrors: what is wrong, and where.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"not closed", "a\n{{ x ", "line 2 column 1: a tag is not closed"},
		{"no end", "{% if x %}a", "endif is missing"},
		{"unknown tag", "{% foo %}", `unknown tag "foo"`},
		{"wrong end", "{% for a in b %}{% endif %}", "unknown tag"},
		{"bad expression", "{{ 1 + }}", "an expression is missing"},
		{"open text", "{{ 'a }}", "not closed"},
		{"odd character", "{{ a ? b }}", "'?' has no meaning"},
		{"comment", "{# a", "comment"},
		{"raw", "{% raw %}a", "endraw"},
		{"break outside", "{% break %}", "outside a loop"},
		{"item of nothing", "{{ missing.x.y }}", `"missing", which is undefined`},
		{"no method", "{{ 'a'.foo() }}", `no method "foo"`},
		{"wrong types", "{{ 'a' + 1 }}", "cannot be computed"},
		{"changing a list", "{{ l.append(1) }}", `no method "append"`},
		{"no order", "{{ 'a' < 1 }}", "no order"},
		{"division", "{{ 1 // 0 }}", "division by zero"},
		{"not a namespace", "{% set d.x = 1 %}", "no namespace"},
		{"not iterable", "{% for x in 5 %}{% endfor %}", "no items"},
		{"tuple of another length", "{% set a, b = l %}", "3 values for 2 names"},
		{"endless", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "does not come to an end"},
		{"long range", "{% for a in range(1000000000000) %}{% endfor %}", "does not come to an end"},
		{"long text", "{{ 'a' * 1000000000000 }}", "longer than"},
		{"doubled text", "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "longer than"},
		{"doubled replacements", "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('a', 'aaaaaaaa') %}{% endfor %}", "longer than"},
		{"macros without end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deep"},
		{"brackets", "{{ " + strings.Repeat("(", 1e5) + "1" + strings.Repeat(")", 1e5) + " }}", "deep"},
		{"nots", "{{ " + strings.Repeat("not ", 1e5) + "1 }}", "deep"},
		{"minus", "{{ " + strings.Repeat("-", 1e5) + "1 }}", ""},
		{"elifs", "{% if a %}" + strings.Repeat("{% elif a %}", 1e4) + "{% endif %}", "deep"},
		{"ifs", strings.Repeat("{% if a %}", 1e5), "deep"},
		{"dots", "{{ d" + strings.Repeat(".z", 1e5) + " }}", "in a row"},
		{"filters", "{{ d" + strings.Repeat("|string", 1e5) + " }}", "in a row"},
		{"nested data", "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}", "JSON"},
	} {
		_, err := render(t, c.src)
		var f *fault.Format
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v, want %q", c.name, err, c.want)
		}
	}
	var raised *Raised
	if _, err := render(t, "{{ raise_exception('roles must alternate') }}"); !errors.As(err, &raised) || raised.Message != "roles must alternate" {
		t.Errorf("raised: %v", err)
	}
	var u *fault.Unsupported
	if _, err := render(t, "{% include 'x' %}{{ a|nofilter }}{{ a is notest }}{% block x %}b{% endblock %}"); !errors.As(err, &u) || len(u.Items) != 4 {
		t.Errorf("gaps: %v", err)
	}
}

// TestDeepData: what a template nests without bound is printed and compared within bounds.
func TestDeepData(t *testing.T) {
	const deep = "{% set ns = namespace(x=[], y=[]) %}{% for i in range(50000) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
	for _, use := range []string{"{{ ns.x|length }}", "{{ ns.x == ns.y }}", "{{ ns.x is eq ns.y }}"} {
		if _, err := render(t, deep+use); err != nil {
			t.Errorf("%s: %v", use, err)
		}
	}
	if out, err := render(t, deep+"{{ ns.x }}"); err == nil && len(out) > maxOutput {
		t.Errorf("%d bytes", len(out))
	}
}

// TestLongChats: a conversation of a thousand turns is within the bounds.
func TestLongChats(t *testing.T) {
	turns := &List{}
	for range 1000 {
		turns.Items = append(turns.Items, NewDict("role", "user", "content", strings.Repeat("All work and no play. ", 50)))
	}
	tmpl, err := Parse("{% for m in messages %}{{ '[' + m['role'] + '] ' }}{{ m['content'] | trim }}{{ '\n' }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := tmpl.Render(map[string]any{"messages": turns}, noon); err != nil || strings.Count(out, "\n") != 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func FuzzRender(f *testing.F) {
	b, err := os.ReadFile("jinja_test.go")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if _, src, ok := strings.Cut(line, "`"); ok {
			src, _, _ = strings.Cut(src, "`")
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) < 500 {
			_, _ = render(t, src)
		}
	})
}
