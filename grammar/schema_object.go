package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// properties is the part for objects: the properties that the schema names in its order, then others where additionalProperties is given.
func (c *compiler) properties(o *object, where string) expr {
	props, _ := o.get("properties").(*object)
	if o.has("properties") && props == nil {
		c.fail(where+"/properties", "it must be an object")
		return literal("")
	}
	if props == nil {
		props = &object{values: map[string]any{}}
	}
	required := c.strings(o, "required", where)
	extra := o.get("additionalProperties")
	allowed := extra != nil && extra != false
	type member struct {
		part expr
		must bool
	}
	var members []member
	for _, k := range props.keys {
		if props.get(k) == false && !slices.Contains(required, k) {
			continue
		}
		e := c.schema(props.get(k), where+"/properties/"+k)
		members = append(members, member{sequence{literal(quote(k)), colon(), e}, slices.Contains(required, k)})
	}
	for _, k := range required {
		if props.has(k) {
			continue
		}
		// A property that must be there and is not described: any value will do, or what additionalProperties says.
		e := c.value()
		if allowed {
			e = c.schema(extra, where+"/additionalProperties")
		} else if extra == false {
			c.fail(where+"/required", "%q must be there, but additionalProperties is false", k)
		}
		members = append(members, member{sequence{literal(quote(k)), colon(), e}, true})
	}
	var others expr = literal("")
	first := others
	if allowed {
		key := c.keyOutside(append(slices.Clone(props.keys), required...))
		other := sequence{key, colon(), c.schema(extra, where+"/additionalProperties")}
		others = repeat{sequence{comma(), other}, 0, -1}
		first = repeat{sequence{other, others}, 0, 1}
	}
	// From the last member to the first: what may follow when something stands before, and when nothing does.
	after, begin := others, first
	for _, m := range slices.Backward(members) {
		after, begin = c.named(after), c.named(begin)
		then := sequence{m.part, after}
		if m.must {
			begin, after = then, sequence{comma(), then}
		} else {
			begin, after = anyOf{then, begin}, anyOf{sequence{comma(), then}, after}
		}
	}
	return sequence{literal("{"), begin, literal("}")}
}

// named gives an expression a rule of its own, so that it can be used twice without being written twice.
func (c *compiler) named(e expr) expr {
	if s, ok := e.(literal); ok && s == "" {
		return e
	}
	if _, ok := e.(ref); ok {
		return e
	}
	name := c.fresh()
	if c.err == nil {
		c.b.define(name, e)
	}
	return ref(name)
}

func (c *compiler) strings(o *object, key, where string) []string {
	if !o.has(key) {
		return nil
	}
	list, ok := o.get(key).([]any)
	var out []string
	for _, v := range list {
		s, isText := v.(string)
		ok = ok && isText
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if !ok {
		c.fail(where+"/"+key, "it must be a list of texts")
	}
	return out
}

// keyOutside is a key of plain characters that is none of these.
func (c *compiler) keyOutside(keys []string) expr {
	return sequence{literal(`"`), c.outside(keys, 0), literal(`"`)}
}

// outside is the rest of a text that differs from all of these from a place on, at which they are equal.
func (c *compiler) outside(keys []string, at int) expr {
	byRune := map[rune][]string{}
	var order []rune
	ends := len(keys) == 0
	for _, k := range keys {
		r := []rune(k)
		if at >= len(r) {
			ends = true
			continue
		}
		if byRune[r[at]] == nil {
			order = append(order, r[at])
		}
		byRune[r[at]] = append(byRune[r[at]], k)
	}
	other := plainCharacters
	for _, r := range order {
		other = without(other, r)
	}
	rest := repeat{plainCharacters, 0, -1}
	list := anyOf{sequence{other, rest}}
	for _, r := range order {
		if len(escaped(r)) == len(string(r)) {
			list = append(list, sequence{literal(string(r)), c.outside(byRune[r], at+1)})
		}
	}
	if !ends || at == 0 && !slices.Contains(keys, "") {
		list = append(list, literal(""))
	}
	return c.named(list)
}

// without takes a character out of a class.
func without(c class, r rune) class {
	return complement(append(complement(c), r, r))
}

// array is the part for arrays: first those of prefixItems, then items.
func (c *compiler) array(o *object, where string) expr {
	prefix, _ := o.get("prefixItems").([]any)
	items := o.get("items")
	if list, ok := items.([]any); ok && !o.has("prefixItems") {
		c.gap(where, "items as a list", "use prefixItems")
		prefix = list
	}
	least, most := c.count(o, "minItems", where, 0), c.count(o, "maxItems", where, -1)
	if items == false && (most < 0 || most > len(prefix)) {
		most = len(prefix)
	}
	if most >= 0 && most < least {
		c.fail(where+"/maxItems", "it lies below minItems")
		return literal("")
	}
	var item expr
	if items != false && (most < 0 || most > len(prefix)) {
		if items == nil {
			item = c.value()
		} else {
			item = c.named(c.schema(items, where+"/items"))
		}
	}
	// From the end: what follows the i-th item.
	rest := func(i int) expr {
		lo := max(0, least-max(i, len(prefix)))
		hi := -1
		if most >= 0 {
			hi = max(0, most-max(i, len(prefix)))
		}
		if item == nil || hi == 0 {
			return literal("")
		}
		return repeat{sequence{comma(), item}, lo, hi}
	}
	after := rest(len(prefix))
	for i := len(prefix) - 1; i >= 0; i-- {
		if most >= 0 && i >= most {
			after = literal("")
			continue
		}
		part := sequence{c.schema(prefix[i], fmt.Sprintf("%s/prefixItems/%d", where, i)), after}
		if i > 0 {
			part = append(sequence{comma()}, part...)
		}
		after = part
		if i >= least {
			after = repeat{part, 0, 1}
		}
	}
	if len(prefix) > 0 {
		return sequence{literal("["), after, literal("]")}
	}
	if item == nil || most == 0 {
		return literal("[]")
	}
	body := expr(sequence{item, rest(1)})
	if least == 0 {
		body = repeat{body, 0, 1}
	}
	return sequence{literal("["), body, literal("]")}
}

// alternatives is the part for anyOf and oneOf; what stands beside them holds for each.
func (c *compiler) alternatives(o *object, key, where string) expr {
	list, ok := o.get(key).([]any)
	if !ok || len(list) == 0 {
		c.fail(where+"/"+key, "it must be a list of schemas")
		return literal("")
	}
	base := &object{values: map[string]any{}}
	for _, k := range o.keys {
		if k != key && !slices.Contains(annotations, k) {
			base.set(k, o.get(k))
		}
	}
	var out anyOf
	var merged []*object
	for i, v := range list {
		at := fmt.Sprintf("%s/%s/%d", where, key, i)
		branch, isObject := v.(*object)
		if !isObject || len(base.keys) == 0 && key == "anyOf" {
			out = append(out, c.schema(v, at))
			if key == "oneOf" {
				c.gap(at, "oneOf of truth values", "")
			}
			continue
		}
		full := branch
		if len(base.keys) > 0 || key == "oneOf" {
			full = c.merge(base, c.followed(branch, at), at)
		}
		merged = append(merged, full)
		if len(base.keys) == 0 {
			out = append(out, c.schema(branch, at))
		} else {
			out = append(out, c.schema(full, at))
		}
	}
	if key == "oneOf" && c.err == nil {
		for i := range merged {
			for j := range i {
				if !c.exclude(merged[j], merged[i], where) {
					c.gap(fmt.Sprintf("%s/oneOf/%d", where, i), fmt.Sprintf("oneOf: one value may match both alternative %d and %d", j, i),
						"use anyOf, or alternatives that differ in type or in a required property with a const")
				}
			}
		}
	}
	return out
}

// followed is a schema, or the one that it refers to.
func (c *compiler) followed(o *object, where string) *object {
	for range maxDepth {
		o = c.resolved(o, where)
		if !o.has("$ref") {
			return o
		}
		target, _, ok := c.find(o, where)
		next, isObject := target.(*object)
		if !ok || !isObject {
			return o
		}
		o = next
	}
	c.fail(where, "references go round in a circle")
	return &object{values: map[string]any{}}
}

// resolved merges the parts of allOf into the schema.
func (c *compiler) resolved(o *object, where string) *object {
	if !o.has("allOf") {
		return o
	}
	if c.depth++; c.depth > maxDepth {
		c.fail(where, "nested more than %d deep", maxDepth)
	}
	defer func() { c.depth-- }()
	list, ok := o.get("allOf").([]any)
	if !ok {
		c.fail(where+"/allOf", "it must be a list of schemas")
	}
	out := &object{values: map[string]any{}}
	for _, k := range o.keys {
		if k != "allOf" {
			out.set(k, o.get(k))
		}
	}
	if out.has("$ref") && len(list) > 0 {
		out = c.followed(out, where)
	}
	for i, v := range list {
		if c.err != nil {
			break
		}
		at := fmt.Sprintf("%s/allOf/%d", where, i)
		part, isObject := v.(*object)
		switch {
		case isObject:
			out = c.merge(out, c.followed(part, at), at)
		case v != true:
			c.gap(at, "allOf with what is no object", "")
		}
	}
	return out
}

// merge is the schema of what both describe. What cannot be put into one schema is a gap.
func (c *compiler) merge(a, b *object, where string) *object {
	out := &object{values: map[string]any{}}
	for _, k := range a.keys {
		out.set(k, a.get(k))
	}
	for _, k := range b.keys {
		v := b.get(k)
		switch {
		case slices.Contains(annotations, k) && k != "$defs" && k != "definitions":
			continue
		case !out.has(k) || compact(out.get(k)) == compact(v):
			if k == "additionalProperties" && a.has("properties") && v == false && !subset(a.get("properties"), b.get("properties")) ||
				k == "properties" && a.get("additionalProperties") != nil && !subset(v, a.get("properties")) {
				c.gap(where, "additionalProperties in one part of allOf and properties in another", "")
			}
			out.set(k, v)
		case k == "required":
			out.set(k, union(out.get(k), v))
		case k == "properties":
			x, isX := out.get(k).(*object)
			y, isY := v.(*object)
			if !isX || !isY {
				c.fail(where+"/properties", "it must be an object")
				return out
			}
			if a.get("additionalProperties") != nil && !subset(y, x) || b.get("additionalProperties") != nil && !subset(x, y) {
				c.gap(where, "additionalProperties in one part of allOf and properties in another", "")
			}
			out.set(k, c.merge2(x, y, where))
		case slices.Contains([]string{"minimum", "exclusiveMinimum", "minLength", "minItems"}, k):
			out.set(k, tighter(out.get(k), v, true))
		case slices.Contains([]string{"maximum", "exclusiveMaximum", "maxLength", "maxItems"}, k):
			out.set(k, tighter(out.get(k), v, false))
		default:
			c.gap(where, k+" in two parts that must both hold", "")
		}
	}
	return out
}

// merge2 puts the properties of two schemas together; those of one name must both hold.
func (c *compiler) merge2(x, y *object, where string) *object {
	both := &object{values: map[string]any{}}
	for _, k := range x.keys {
		both.set(k, x.get(k))
	}
	for _, k := range y.keys {
		p, isP := both.get(k).(*object)
		q, isQ := y.get(k).(*object)
		switch {
		case !both.has(k) || both.get(k) == true:
			both.set(k, y.get(k))
		case y.get(k) == true:
		case isP && isQ:
			both.set(k, c.merge(c.followed(p, where), c.followed(q, where), where+"/properties/"+k))
		default:
			both.set(k, false)
		}
	}
	return both
}

func subset(a, b any) bool {
	x, _ := a.(*object)
	y, _ := b.(*object)
	return x == nil || y != nil && !slices.ContainsFunc(x.keys, func(k string) bool { return !y.has(k) })
}

func union(a, b any) any {
	x, _ := a.([]any)
	y, _ := b.([]any)
	return append(slices.Clone(x), y...)
}

func tighter(a, b any, larger bool) any {
	x, _ := a.(json.Number)
	y, _ := b.(json.Number)
	v, err1 := x.Float64()
	w, err2 := y.Float64()
	if err1 == nil && err2 == nil && (w > v) == larger {
		return b
	}
	return a
}

// exclude reports whether no value can match both schemas: their types differ, or their constants do, or those of a property that
// both require.
func (c *compiler) exclude(a, b *object, where string) bool {
	if x, y := constants(a), constants(b); x != nil && y != nil {
		return !slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	x, y := c.kinds(a, where), c.kinds(b, where)
	shared := slices.DeleteFunc(slices.Clone(x), func(s string) bool { return !slices.Contains(y, s) })
	if len(shared) == 0 {
		return true
	}
	if !slices.Equal(shared, []string{"object"}) {
		return false
	}
	p, _ := a.get("properties").(*object)
	q, _ := b.get("properties").(*object)
	if p == nil || q == nil {
		return false
	}
	must := c.strings(b, "required", where)
	for _, k := range c.strings(a, "required", where) {
		u, isU := p.get(k).(*object)
		v, isV := q.get(k).(*object)
		if slices.Contains(must, k) && isU && isV && c.depth < maxDepth {
			c.depth++
			apart := c.exclude(c.followed(u, where), c.followed(v, where), where)
			c.depth--
			if apart {
				return true
			}
		}
	}
	return false
}

// constants are the values that const or enum name, nil without them.
func constants(o *object) []string {
	if o.has("const") {
		return []string{compact(o.get("const"))}
	}
	list, _ := o.get("enum").([]any)
	var out []string
	for _, v := range list {
		out = append(out, compact(v))
	}
	return out
}

// kinds are the types of a schema's values; an integer is a number.
func (c *compiler) kinds(o *object, where string) []string {
	var names []string
	if list := constants(o); list != nil {
		for _, s := range list {
			names = append(names, map[byte]string{'{': "object", '[': "array", '"': "string", 't': "boolean", 'f': "boolean", 'n': "null"}[s[0]])
		}
		for i := range names {
			if names[i] == "" {
				names[i] = "number"
			}
		}
		return names
	}
	if o.has("anyOf") || o.has("oneOf") || o.has("$ref") {
		return allTypes
	}
	for _, name := range c.types(o, where) {
		names = append(names, strings.Replace(name, "integer", "number", 1))
	}
	return names
}
