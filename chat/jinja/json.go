package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// FromJSON reads a JSON text as a value; dictionaries keep the order of their keys.
func FromJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readJSON(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more text behind the end of the value")
	}
	return v, nil
}

func readJSON(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested more than " + strconv.Itoa(maxDepth) + " deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Number:
		return number(t.String()), nil
	case json.Delim:
		list, dict := &List{}, NewDict()
		for dec.More() {
			var key any
			if t == '{' {
				if key, err = dec.Token(); err != nil {
					return nil, err
				}
			}
			v, err := readJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			if t == '{' {
				dict.set(key, v)
			} else {
				list.Items = append(list.Items, v)
			}
		}
		if _, err := dec.Token(); err != nil {
			return nil, err
		}
		if t == '{' {
			return dict, nil
		}
		return list, nil
	}
	return t, nil
}

// dumpJSON writes v as Python's json.dumps does with ensure_ascii off, which is what Hugging Face's tojson is: no HTML
// escapes, ", " and ": " between, keys in their order. ok is false for what JSON cannot hold.
func dumpJSON(b *strings.Builder, v any, f jsonForm, depth int) bool {
	if depth > maxDepth || b.Len() > maxOutput {
		return false
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64, float64:
		switch s := display(v); s {
		case "inf":
			b.WriteString("Infinity")
		case "-inf":
			b.WriteString("-Infinity")
		case "nan":
			b.WriteString("NaN")
		default:
			b.WriteString(s)
		}
	case string:
		quoteJSON(b, v, f.ascii)
	case *List:
		return f.write(b, "[", "]", len(v.Items), depth, func(i int) bool { return dumpJSON(b, v.Items[i], f, depth+1) })
	case *Dict:
		keys := v.keys
		if f.sorted {
			keys = sortedKeys(v)
		}
		return f.write(b, "{", "}", len(keys), depth, func(i int) bool {
			if s, ok := keys[i].(string); ok {
				quoteJSON(b, s, f.ascii)
			} else {
				b.WriteByte('"')
				dumpJSON(b, keys[i], f, depth)
				b.WriteByte('"')
			}
			b.WriteString(f.colon)
			return dumpJSON(b, v.values[keys[i]], f, depth+1)
		})
	default:
		return false
	}
	return true
}

// jsonForm is how JSON is laid out.
type jsonForm struct {
	indent        string
	lines         bool // one item a line
	comma, colon  string
	ascii, sorted bool
}

func (f jsonForm) write(b *strings.Builder, open, end string, n, depth int, item func(i int) bool) bool {
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteString(f.comma)
		}
		if f.lines {
			b.WriteString("\n" + strings.Repeat(f.indent, depth+1))
		}
		if !item(i) {
			return false
		}
	}
	if f.lines && n > 0 {
		b.WriteString("\n" + strings.Repeat(f.indent, depth))
	}
	b.WriteString(end)
	return true
}

func quoteJSON(b *strings.Builder, s string, ascii bool) {
	const hex = "0123456789abcdef"
	unit := func(r rune) {
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(hex[r>>shift&15])
		}
	}
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < 0x20 || ascii && r > unicode.MaxASCII && r < 0x10000:
			unit(r)
		case ascii && r > unicode.MaxASCII:
			r -= 0x10000
			unit(0xd800 + r>>10)
			unit(0xdc00 + r&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
