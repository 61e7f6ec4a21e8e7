package grammar

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp/syntax"
	"strconv"
	"unicode/utf8"
)

// plainCharacters stand in a JSON text as they are.
var plainCharacters = complement(class{0, 0x1f, '"', '"', '\\', '\\', 0x7f, 0x7f})

// character is one character of a JSON text, plain or escaped. \u is for control characters only: all others can be written plainly.
func (c *compiler) character() expr {
	return c.shared("#character", func() expr {
		return anyOf{plainCharacters, sequence{literal(`\`), class{'"', '"', '\\', '\\', '/', '/', 'b', 'b', 'f', 'f', 'n', 'n', 'r', 'r', 't', 't'}},
			sequence{literal(`\u00`), class{'0', '1'}, class{'0', '9', 'a', 'f'}}}
	})
}

func (c *compiler) anyText() expr {
	return c.shared("#text", func() expr {
		return sequence{literal(`"`), repeat{c.character(), 0, -1}, literal(`"`)}
	})
}

// formats are those whose texts a regular expression describes (RFC 3339, RFC 9562).
var formats = map[string]string{
	"date":      `^` + datePattern + `$`,
	"time":      `^` + timePattern + `$`,
	"date-time": `^` + datePattern + `T` + timePattern + `$`,
	"uuid":      `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`,
}

const (
	datePattern = `\d{4}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)`
	timePattern = `([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)`
)

// text is the part for strings.
func (c *compiler) text(o *object, where string) expr {
	least, most := c.count(o, "minLength", where, 0), c.count(o, "maxLength", where, -1)
	if most >= 0 && most < least {
		c.fail(where+"/maxLength", "it lies below minLength")
		return literal("")
	}
	pattern, hasPattern := o.get("pattern").(string)
	if o.has("pattern") && !hasPattern {
		c.fail(where+"/pattern", "it must be a text")
	}
	if o.has("format") {
		name, _ := o.get("format").(string)
		p, ok := formats[name]
		if !ok {
			c.gap(where, fmt.Sprintf("format %q", name), "date, time, date-time and uuid are known; a pattern can say the rest")
		}
		if hasPattern {
			c.gap(where, "format beside pattern", "")
		}
		pattern, hasPattern = p, true
	}
	if !hasPattern {
		if least == 0 && most < 0 {
			return c.anyText()
		}
		return sequence{literal(`"`), repeat{c.character(), least, most}, literal(`"`)}
	}
	if o.has("minLength") || o.has("maxLength") {
		c.gap(where, "minLength or maxLength beside pattern", "say the length in the pattern: {m,n}")
	}
	return sequence{literal(`"`), c.pattern(pattern, where), literal(`"`)}
}

// pattern is the part for the texts in which a regular expression matches.
func (c *compiler) pattern(p, where string) expr {
	re, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		c.gap(where, fmt.Sprintf("pattern %q", p), "it must be a regular expression without look-around and back references")
		return literal("")
	}
	return c.unanchored(re, p, where)
}

// unanchored lets anything stand before and behind an expression that does not say where the text begins and ends.
func (c *compiler) unanchored(re *syntax.Regexp, p, where string) expr {
	parts := []*syntax.Regexp{re}
	switch re.Op {
	case syntax.OpConcat:
		parts = re.Sub
	case syntax.OpAlternate:
		var list anyOf
		for _, sub := range re.Sub {
			list = append(list, c.unanchored(sub, p, where))
		}
		return list
	}
	anything := repeat{c.character(), 0, -1}
	var list sequence
	if parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
	} else {
		list = append(list, anything)
	}
	var end expr = anything
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		parts, end = parts[:n-1], literal("")
	}
	for _, part := range parts {
		list = append(list, c.regexp(part, p, where))
	}
	return append(list, end)
}

func (c *compiler) regexp(re *syntax.Regexp, p, where string) expr {
	all := func() []expr {
		var list []expr
		for _, sub := range re.Sub {
			list = append(list, c.regexp(sub, p, where))
		}
		return list
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return literal("")
	case syntax.OpLiteral:
		var list sequence
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				c.gap(where, fmt.Sprintf("pattern %q", p), "(?i) is not supported")
			}
			list = append(list, literal(escaped(r)))
		}
		return list
	case syntax.OpCharClass:
		return quotedClass(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return quotedClass(complement(class{'\n', '\n', '\r', '\r', 0x2028, 0x2029}))
	case syntax.OpCapture:
		return c.regexp(re.Sub[0], p, where)
	case syntax.OpConcat:
		return sequence(all())
	case syntax.OpAlternate:
		return anyOf(all())
	case syntax.OpStar:
		return repeat{all()[0], 0, -1}
	case syntax.OpPlus:
		return repeat{all()[0], 1, -1}
	case syntax.OpQuest:
		return repeat{all()[0], 0, 1}
	case syntax.OpRepeat:
		return repeat{all()[0], re.Min, re.Max}
	}
	c.gap(where, fmt.Sprintf("pattern %q", p), "^ and $ may stand at its ends only, and \\b nowhere")
	return literal("")
}

// quotedClass is a class of characters as they stand in a JSON text.
func quotedClass(ranges class) expr {
	plain := class{}
	var list anyOf
	for i := 0; i+1 < len(ranges); i += 2 {
		lo, hi := ranges[i], min(ranges[i+1], utf8.MaxRune)
		for r := lo; r <= min(hi, 0x7f); r++ {
			if s := escaped(r); len(s) > 1 {
				list = append(list, literal(s))
			} else {
				plain = append(plain, r, r)
			}
		}
		if l := max(lo, 0x80); l <= hi {
			plain = append(plain, l, hi)
		}
	}
	if len(plain) > 0 {
		list = append(list, plain)
	}
	return list
}

// plainNumber is a number without bounds: of a form that every reader holds exactly enough, so without huge exponents.
func (c *compiler) plainNumber(integer bool) expr {
	if integer {
		return c.shared("#integer", func() expr {
			return sequence{repeat{literal("-"), 0, 1}, digits(15)}
		})
	}
	return c.shared("#number", func() expr {
		return sequence{c.plainNumber(true), repeat{sequence{literal("."), repeat{class{'0', '9'}, 1, 15}}, 0, 1},
			repeat{sequence{class{'e', 'e', 'E', 'E'}, repeat{class{'+', '+', '-', '-'}, 0, 1}, repeat{class{'0', '9'}, 1, 2}}, 0, 1}}
	})
}

// digits is a whole number of at most 1 + more digits that does not begin with 0 unless it is 0.
func digits(more int) expr {
	return anyOf{literal("0"), sequence{class{'1', '9'}, repeat{class{'0', '9'}, 0, more}}}
}

// largest bounds the integers of a range, so that every reader holds them exactly: 10^15.
const largest = 1e15

// number is the part for numbers and integers.
func (c *compiler) number(o *object, where string, integer bool) expr {
	lo, loOpen := c.bound(o, "minimum", "exclusiveMinimum", where, -1)
	hi, hiOpen := c.bound(o, "maximum", "exclusiveMaximum", where, 1)
	if math.IsInf(lo, 0) && math.IsInf(hi, 0) {
		return c.plainNumber(integer)
	}
	lo, hi = max(lo, -largest), min(hi, largest)
	var list anyOf
	first, last := math.Ceil(lo), math.Floor(hi)
	if loOpen && first == lo {
		first++
	}
	if hiOpen && last == hi {
		last--
	}
	if first <= last {
		list = append(list, integers(int64(first), int64(last)))
	}
	if !integer {
		list = append(list, fractions(lo, hi)...)
	}
	switch {
	case len(list) > 0:
	case integer || lo > hi:
		c.fail(where, "no number lies within the bounds")
	default:
		c.gap(where, "bounds without a whole number between them", "")
	}
	return list
}

// bound reads a bound and its exclusive form, whichever is tighter.
func (c *compiler) bound(o *object, key, exclusive, where string, sign float64) (v float64, open bool) {
	v = math.Inf(int(sign))
	for _, k := range []string{key, exclusive} {
		if !o.has(k) {
			continue
		}
		n, _ := o.get(k).(json.Number)
		f, err := n.Float64()
		if err != nil {
			c.fail(where+"/"+k, "it must be a number")
			return 0, false
		}
		if f*sign < v*sign || f == v && k == exclusive {
			v, open = f, k == exclusive
		}
	}
	return v, open
}

// integers matches lo..hi.
func integers(lo, hi int64) expr {
	var list anyOf
	if lo < 0 {
		list = append(list, sequence{literal("-"), naturals(strconv.FormatInt(max(1, -min(hi, -1)), 10), strconv.FormatInt(-lo, 10))})
	}
	if hi >= 0 {
		list = append(list, naturals(strconv.FormatInt(max(0, lo), 10), strconv.FormatInt(hi, 10)))
	}
	return list
}

// naturals matches lo..hi, length by length.
func naturals(lo, hi string) expr {
	var list anyOf
	for n := len(lo); n <= len(hi); n++ {
		l, h := lo, hi
		if n > len(lo) {
			l = "1" + zeros(n-1, '0')
		}
		if n < len(hi) {
			h = zeros(n, '9')
		}
		list = append(list, sameLength(l, h))
	}
	return list
}

func zeros(n int, c byte) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = c
	}
	return string(b)
}

// sameLength matches the digits lo..hi, which are equally many.
func sameLength(lo, hi string) expr {
	switch {
	case lo == "":
		return literal("")
	case lo[0] == hi[0]:
		return sequence{literal(lo[:1]), sameLength(lo[1:], hi[1:])}
	case lo[1:] == zeros(len(lo)-1, '0') && hi[1:] == zeros(len(hi)-1, '9'):
		return sequence{class{rune(lo[0]), rune(hi[0])}, repeat{class{'0', '9'}, len(lo) - 1, len(lo) - 1}}
	}
	list := anyOf{sequence{literal(lo[:1]), sameLength(lo[1:], zeros(len(lo)-1, '9'))},
		sequence{literal(hi[:1]), sameLength(zeros(len(hi)-1, '0'), hi[1:])}}
	if lo[0]+1 < hi[0] {
		list = append(list, sequence{class{rune(lo[0] + 1), rune(hi[0] - 1)}, repeat{class{'0', '9'}, len(lo) - 1, len(lo) - 1}})
	}
	return list
}

// fractions matches numbers with a point, strictly between whole numbers of lo..hi: each whole part whose every fraction lies within. The
// fraction ends in no zero, so it is not one itself.
func fractions(lo, hi float64) []expr {
	tail := sequence{literal("."), repeat{class{'0', '9'}, 0, 9}, class{'1', '9'}}
	var list []expr
	if first, last := max(0, math.Ceil(lo)), math.Floor(hi)-1; first <= last {
		list = append(list, sequence{integers(int64(first), int64(last)), tail})
	}
	if first, last := max(0, math.Ceil(-hi)), math.Floor(-lo)-1; first <= last {
		list = append(list, sequence{literal("-"), integers(int64(first), int64(last)), tail})
	}
	return list
}
