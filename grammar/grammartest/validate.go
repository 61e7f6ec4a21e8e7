// Package grammartest checks JSON texts against JSON schemas, for tests: it interprets the schema on the parsed value and shares nothing
// with the grammars that are made of schemas.
package grammartest

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Validate returns what is wrong with a JSON text, nil if it is valid.
func Validate(schema, text string) error {
	var s, v any
	if err := decode(schema, &s); err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	if err := decode(text, &v); err != nil {
		return err
	}
	return check(s, s, v)
}

func decode(text string, v *any) error {
	if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
		return fmt.Errorf("no JSON: %q", text)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

func check(root, schema, v any) error {
	if b, ok := schema.(bool); ok {
		if !b {
			return fmt.Errorf("nothing is allowed, but there is %v", v)
		}
		return nil
	}
	s := schema.(map[string]any)
	for _, f := range []func(root any, s map[string]any, v any) error{checkGeneral, checkCombined, checkNumber, checkText, checkArray, checkObject} {
		if err := f(root, s, v); err != nil {
			return err
		}
	}
	return nil
}

func checkGeneral(root any, s map[string]any, v any) error {
	if path, ok := s["$ref"].(string); ok {
		target := root
		for _, part := range strings.Split(strings.TrimPrefix(path, "#"), "/")[1:] {
			target = target.(map[string]any)[part]
		}
		if err := check(root, target, v); err != nil {
			return err
		}
	}
	switch t := s["type"].(type) {
	case string:
		if !hasType(v, t) {
			return fmt.Errorf("%v is no %s", v, t)
		}
	case []any:
		found := false
		for _, name := range t {
			found = found || hasType(v, name.(string))
		}
		if !found {
			return fmt.Errorf("%v is none of %v", v, t)
		}
	}
	if want, ok := s["const"]; ok && !reflect.DeepEqual(v, want) {
		return fmt.Errorf("%v is not %v", v, want)
	}
	if list, ok := s["enum"].([]any); ok {
		for _, want := range list {
			if reflect.DeepEqual(v, want) {
				return nil
			}
		}
		return fmt.Errorf("%v is none of %v", v, list)
	}
	return nil
}

func hasType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	case json.Number:
		return name == "number" || name == "integer" && rational(v).IsInt()
	}
	return false
}

func rational(v any) *big.Rat {
	r, ok := new(big.Rat).SetString(string(v.(json.Number)))
	if !ok {
		return new(big.Rat)
	}
	return r
}

func checkCombined(root any, s map[string]any, v any) error {
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list, ok := s[key].([]any)
		if !ok {
			continue
		}
		n := 0
		var last error
		for _, sub := range list {
			if err := check(root, sub, v); err != nil {
				last = err
			} else {
				n++
			}
		}
		if key == "allOf" && n < len(list) || key == "anyOf" && n == 0 || key == "oneOf" && n != 1 {
			return fmt.Errorf("%s: %d of %d hold for %v: %w", key, n, len(list), v, last)
		}
	}
	return nil
}

func checkNumber(_ any, s map[string]any, v any) error {
	if _, ok := v.(json.Number); !ok {
		return nil
	}
	n := rational(v)
	for key, bad := range map[string]func(c int) bool{
		"minimum": func(c int) bool { return c < 0 }, "exclusiveMinimum": func(c int) bool { return c <= 0 },
		"maximum": func(c int) bool { return c > 0 }, "exclusiveMaximum": func(c int) bool { return c >= 0 },
	} {
		if bound, ok := s[key]; ok && bad(n.Cmp(rational(bound))) {
			return fmt.Errorf("%v: %s %v", v, key, bound)
		}
	}
	return nil
}

// within checks a count against a lower and an upper bound.
func within(s map[string]any, n int, least, most string) error {
	count := big.NewRat(int64(n), 1)
	if bound, ok := s[least]; ok && count.Cmp(rational(bound)) < 0 {
		return fmt.Errorf("%d: %s %v", n, least, bound)
	}
	if bound, ok := s[most]; ok && count.Cmp(rational(bound)) > 0 {
		return fmt.Errorf("%d: %s %v", n, most, bound)
	}
	return nil
}

func checkText(_ any, s map[string]any, v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(text) {
		return fmt.Errorf("%q does not match %q", text, p)
	}
	if layout := map[any]string{"date": time.DateOnly, "date-time": time.RFC3339Nano}[s["format"]]; layout != "" {
		if _, err := time.Parse(layout, text); err != nil {
			return err
		}
	}
	return within(s, utf8.RuneCountInString(text), "minLength", "maxLength")
}

func checkArray(root any, s map[string]any, v any) error {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	prefix, _ := s["prefixItems"].([]any)
	for i, item := range list {
		var sub any = true
		if i < len(prefix) {
			sub = prefix[i]
		} else if rest, ok := s["items"]; ok {
			sub = rest
		}
		if err := check(root, sub, item); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return within(s, len(list), "minItems", "maxItems")
}

func checkObject(root any, s map[string]any, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	must, _ := s["required"].([]any)
	for _, name := range must {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%q is missing", name)
		}
	}
	props, _ := s["properties"].(map[string]any)
	for name, value := range object {
		sub, ok := props[name]
		if !ok {
			if sub, ok = s["additionalProperties"]; !ok {
				sub = true
			}
		}
		if err := check(root, sub, value); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}
