package dskfile

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// encoder writes the JSON of GRPH and TENS in the one form that decoder reads.
// The first error sticks.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) raw(s string) { e.b = append(e.b, s...) }

// open starts an object or array.
func (e *encoder) open(c byte) { e.b = append(e.b, c) }

// close ends one.
func (e *encoder) close(c byte) { e.b = append(e.b, c) }

// comma separates an element from one before it.
func (e *encoder) comma() {
	switch e.b[len(e.b)-1] {
	case '{', '[', ':':
	default:
		e.b = append(e.b, ',')
	}
}

// key starts a member of an object.
func (e *encoder) key(k string) {
	e.comma()
	e.str(k)
	e.b = append(e.b, ':')
}

// str writes a string, which must be valid UTF-8.
func (e *encoder) str(s string) {
	if !utf8.ValidString(s) {
		e.fail("string %q is not valid UTF-8", s)
		return
	}
	const hex = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			e.b = append(e.b, '\\', c)
		case c < ' ':
			e.b = append(e.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			e.b = append(e.b, c)
		}
	}
	e.b = append(e.b, '"')
}

func (e *encoder) int(v int64) { e.b = strconv.AppendInt(e.b, v, 10) }

// float writes the shortest number that reads back as f, or the bits of an infinity or NaN.
func (e *encoder) float(f float32) {
	if f-f != 0 {
		e.b = fmt.Appendf(e.b, "%q", fmt.Sprintf("0x%08x", math.Float32bits(f)))
		return
	}
	e.b = strconv.AppendFloat(e.b, float64(f), 'g', -1, 32)
}

func (e *encoder) bytes(b []byte) {
	e.b = append(e.b, '"')
	e.b = base64.StdEncoding.AppendEncode(e.b, b)
	e.b = append(e.b, '"')
}

// list writes an array of v, each by one.
func list[T any](e *encoder, v []T, one func(T)) {
	e.open('[')
	for i, x := range v {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		one(x)
	}
	e.close(']')
}

// field writes a string member unless it is empty.
func (e *encoder) field(key, v string) {
	if v != "" {
		e.key(key)
		e.str(v)
	}
}
