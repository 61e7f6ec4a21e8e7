package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// FromSchema makes the grammar of the JSON texts that a JSON schema (draft 2020-12, and the older spellings definitions and
// items) describes. Every text that matches is valid; not every valid text matches: properties come in the order of the
// schema, white space is at most one blank behind "," and ":", numbers have at most 16 digits, and properties that the schema does not name
// come only where additionalProperties is given. Known are type, properties, required, additionalProperties, items, prefixItems, minItems,
// maxItems, enum, const, minLength, maxLength, pattern, format (date, time, date-time, uuid), minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, anyOf, oneOf (of alternatives that exclude each other), allOf (of parts that can be merged), $ref and $defs.
// The error is a *fault.Format for what is no schema, and a *fault.Unsupported that lists every other keyword.
func FromSchema(data []byte) (*Grammar, error) {
	if len(data) > maxSource {
		return nil, fault.Formatf("json schema", "%d bytes are more than any schema needs (limit %d)", len(data), maxSource)
	}
	v, err := readJSON(data)
	if err != nil {
		return nil, err
	}
	c := &compiler{root: v, b: newBuilder(), refs: map[string]bool{}, optional: map[string]bool{}}
	e := c.schema(v, "#")
	if c.err != nil {
		return nil, c.err
	}
	if len(c.gaps) > 0 {
		return nil, &fault.Unsupported{Kind: "json schema keyword", Items: c.gaps}
	}
	c.b.define("root", e)
	return c.b.finish("root")
}

// compiler turns schemas into parts of a grammar.
type compiler struct {
	root     any
	b        *builder
	refs     map[string]bool // rules for $ref that are made
	optional map[string]bool // shared rules that are made
	parts    int             // numbered rules
	depth    int
	gaps     []fault.Item
	err      error
}

func (c *compiler) gap(where, keyword, hint string) {
	c.gaps = append(c.gaps, fault.Item{What: keyword, Where: where, Hint: hint})
}

func (c *compiler) fail(where, format string, args ...any) {
	if c.err == nil {
		e := fault.Formatf("json schema "+where, format, args...)
		e.Next = "correct the schema"
		c.err = e
	}
}

// fresh is the name of a new rule; users cannot write it.
func (c *compiler) fresh() string {
	c.parts++
	return "#" + strconv.Itoa(c.parts)
}

// shared returns a rule that is made at its first use.
func (c *compiler) shared(name string, make func() expr) expr {
	if !c.optional[name] {
		c.optional[name] = true
		c.b.define(name, make())
	}
	return ref(name)
}

// annotations say nothing about which texts are valid.
var annotations = []string{"title", "description", "default", "example", "examples", "$schema", "$id", "$anchor", "$comment", "deprecated", "readOnly", "writeOnly",
	"$defs", "definitions", "$vocabulary", "contentEncoding", "contentMediaType"}

// keywords that are for one type only.
var keywords = map[string][]string{
	"object": {"properties", "required", "additionalProperties"},
	"array":  {"items", "prefixItems", "minItems", "maxItems"},
	"string": {"minLength", "maxLength", "pattern", "format"},
	"number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}

var general = []string{"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}

func known(keyword string) bool {
	if slices.Contains(annotations, keyword) || slices.Contains(general, keyword) {
		return true
	}
	for _, list := range keywords {
		if slices.Contains(list, keyword) {
			return true
		}
	}
	return false
}

// nothing matches no text: a rule that only leads to itself.
func (c *compiler) nothing() expr {
	return c.shared("#nothing", func() expr { return sequence{literal("x"), ref("#nothing")} })
}

// schema is the part for a schema at a place, given as a JSON pointer.
func (c *compiler) schema(v any, where string) expr {
	if c.depth++; c.depth > maxDepth {
		c.fail(where, "nested more than %d deep", maxDepth)
	}
	defer func() { c.depth-- }()
	if c.err != nil {
		return literal("")
	}
	switch v := v.(type) {
	case bool:
		if v {
			return c.value()
		}
		return c.nothing()
	case *object:
		return c.object(c.resolved(v, where), where)
	}
	c.fail(where, "a schema is an object or a truth value")
	return literal("")
}

// object is the part for a schema without allOf.
func (c *compiler) object(o *object, where string) expr {
	for _, k := range o.keys {
		if !known(k) {
			c.gap(where, k, "")
		}
	}
	if c.err != nil {
		return literal("")
	}
	switch {
	case o.has("$ref"):
		return c.ref(o, where)
	case o.has("const"):
		return literal(compact(o.get("const")))
	case o.has("enum"):
		return c.enum(o, where)
	case o.has("anyOf"):
		return c.alternatives(o, "anyOf", where)
	case o.has("oneOf"):
		return c.alternatives(o, "oneOf", where)
	}
	var list anyOf
	for _, name := range c.types(o, where) {
		list = append(list, c.typed(o, name, where))
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

var allTypes = []string{"object", "array", "string", "number", "boolean", "null"}

// types lists the types that a schema allows: those it names, or those its keywords are about, or all.
func (c *compiler) types(o *object, where string) []string {
	var names []string
	switch t := o.get("type").(type) {
	case string:
		names = []string{t}
	case []any:
		for _, v := range t {
			s, _ := v.(string)
			names = append(names, s)
		}
	case nil:
		for _, name := range allTypes {
			if slices.ContainsFunc(keywords[name], o.has) {
				names = append(names, name)
			}
		}
		if names == nil {
			names = allTypes
		}
	}
	if len(names) == 0 {
		c.fail(where+"/type", "a type is one of object, array, string, number, integer, boolean and null, or a list of them")
	}
	return names
}

// typed is the part for values of one type.
func (c *compiler) typed(o *object, name, where string) expr {
	switch name {
	case "object":
		if !o.has("properties") && !o.has("required") && !o.has("additionalProperties") {
			c.value()
			return ref("#object")
		}
		return c.properties(o, where)
	case "array":
		return c.array(o, where)
	case "string":
		return c.text(o, where)
	case "number":
		return c.number(o, where, false)
	case "integer":
		return c.number(o, where, true)
	case "boolean":
		return anyOf{literal("true"), literal("false")}
	case "null":
		return literal("null")
	}
	c.fail(where+"/type", "%q is no type; it is one of object, array, string, number, integer, boolean and null", name)
	return literal("")
}

// value is any JSON value.
func (c *compiler) value() expr {
	return c.shared("#value", func() expr {
		item := ref("#value")
		member := sequence{c.anyText(), colon(), item}
		c.b.define("#object", sequence{literal("{"), repeat{sequence{member, repeat{sequence{comma(), member}, 0, -1}}, 0, 1}, literal("}")})
		c.b.define("#array", sequence{literal("["), repeat{sequence{item, repeat{sequence{comma(), item}, 0, -1}}, 0, 1}, literal("]")})
		return anyOf{ref("#object"), ref("#array"), c.anyText(), c.plainNumber(false), literal("true"), literal("false"), literal("null")}
	})
}

// comma and colon may have a blank behind them, as people and models write them.
func comma() expr { return sequence{literal(","), repeat{literal(" "), 0, 1}} }
func colon() expr { return sequence{literal(":"), repeat{literal(" "), 0, 1}} }

func (c *compiler) enum(o *object, where string) expr {
	list, ok := o.get("enum").([]any)
	if !ok || len(list) == 0 {
		c.fail(where+"/enum", "it must be a list of values")
		return literal("")
	}
	var out anyOf
	for _, v := range list {
		if !o.has("type") || slices.ContainsFunc(c.types(o, where), func(name string) bool { return isType(v, name) }) {
			out = append(out, literal(compact(v)))
		}
	}
	if len(out) == 0 {
		c.fail(where+"/enum", "no value has the type that is asked for")
	}
	return out
}

func isType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case *object:
		return name == "object"
	case []any:
		return name == "array"
	case json.Number:
		return name == "number" || name == "integer" && !strings.ContainsAny(v.String(), ".eE")
	}
	return false
}

// ref is the rule for a schema elsewhere in the document.
func (c *compiler) ref(o *object, where string) expr {
	for _, k := range o.keys {
		if k != "$ref" && !slices.Contains(annotations, k) {
			c.gap(where, k+" beside $ref", "")
		}
	}
	target, pointer, ok := c.find(o, where)
	if !ok {
		return literal("")
	}
	name := "$ref " + pointer
	if !c.refs[name] {
		c.refs[name] = true
		depth := c.depth
		c.depth = 0
		e := c.schema(target, pointer)
		c.depth = depth
		if c.err == nil {
			c.b.define(name, e)
		}
	}
	return ref(name)
}

// find follows a reference within the document.
func (c *compiler) find(o *object, where string) (target any, pointer string, ok bool) {
	pointer, _ = o.get("$ref").(string)
	rest, local := strings.CutPrefix(pointer, "#")
	if !local {
		c.gap(where, fmt.Sprintf("$ref %q", pointer), "references within the schema begin with #/")
		return nil, "", false
	}
	target = c.root
	for part := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if rest == "" {
			break
		}
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch at := target.(type) {
		case *object:
			target, ok = at.values[part]
		case []any:
			i, err := strconv.Atoi(part)
			if ok = err == nil && i >= 0 && i < len(at); ok {
				target = at[i]
			}
		default:
			ok = false
		}
		if !ok {
			c.fail(where+"/$ref", "there is nothing at %q", pointer)
			return nil, "", false
		}
	}
	return target, pointer, true
}

// count reads a bound that is a number of things.
func (c *compiler) count(o *object, key, where string, otherwise int) int {
	if !o.has(key) {
		return otherwise
	}
	n, _ := o.get(key).(json.Number)
	v, err := strconv.Atoi(n.String())
	if err != nil || v < 0 {
		c.fail(where+"/"+key, "it must be an integer that is not negative")
		return otherwise
	}
	return v
}
