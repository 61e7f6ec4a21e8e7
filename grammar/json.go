package grammar

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// object is a JSON object that keeps the order of its keys.
type object struct {
	keys   []string
	values map[string]any
}

func (o *object) get(key string) any {
	if o == nil {
		return nil
	}
	return o.values[key]
}

func (o *object) has(key string) bool {
	_, ok := o.values[key]
	return ok
}

func (o *object) set(key string, v any) {
	if !o.has(key) {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// readJSON reads a JSON text: *object, []any, json.Number, string, bool or nil.
func readJSON(data []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	v, err := readValue(dec, 0)
	if err == nil {
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("more text behind the end of the value")
		}
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &fault.Format{Offset: dec.InputOffset(), Where: "json schema", Why: err.Error(), Next: "give a JSON schema as an object"}
	}
	return v, nil
}

func readValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested more than " + strconv.Itoa(maxDepth) + " deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	list, o := []any{}, &object{values: map[string]any{}}
	for dec.More() {
		key := ""
		if open == '{' {
			t, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, _ = t.(string)
		}
		v, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			o.set(key, v)
		} else {
			list = append(list, v)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if open == '{' {
		return o, nil
	}
	return list, nil
}

// compact writes a value as JSON without white space.
func compact(v any) string {
	switch v := v.(type) {
	case *object:
		s := "{"
		for i, k := range v.keys {
			if i > 0 {
				s += ","
			}
			s += quote(k) + ":" + compact(v.values[k])
		}
		return s + "}"
	case []any:
		s := "["
		for i, item := range v {
			if i > 0 {
				s += ","
			}
			s += compact(item)
		}
		return s + "]"
	case string:
		return quote(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

// quote writes a text as JSON without HTML escapes.
func quote(s string) string {
	out := []byte{'"'}
	for _, r := range s {
		out = append(out, escaped(r)...)
	}
	return string(append(out, '"'))
}

// escaped is a character as it stands in a JSON text.
func escaped(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x20 || r == 0x7f:
		const hex = "0123456789abcdef"
		return `\u00` + string(hex[r>>4]) + string(hex[r&15])
	}
	return string(r)
}
