package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// scanner reads the two big parts of a tokenizer.json, the vocabulary and the merges,
// without building values that are thrown away again; encoding/json reads the small parts.
type scanner struct {
	data []byte
	pos  int
}

// span is the place of one JSON value.
type span struct{ lo, hi int }

func (s *scanner) fail(format string, args ...any) error {
	return &fault.Format{Offset: int64(s.pos), Where: "tokenizer", Why: fmt.Sprintf(format, args...)}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) want(c byte) error {
	got := s.peek()
	switch {
	case got == 0:
		return s.fail("the file ends where %q should be", c)
	case got != c:
		return s.fail("%q where %q should be", got, c)
	}
	s.pos++
	return nil
}

// list calls item for every element between open and end.
func (s *scanner) list(open, end byte, item func() error) error {
	if err := s.want(open); err != nil {
		return err
	}
	if s.peek() == end {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.peek() == end {
			s.pos++
			return nil
		}
		if err := s.want(','); err != nil {
			return err
		}
	}
}

// fields returns where the values of an object lie, by key.
func (s *scanner) fields() (map[string]span, error) {
	out := map[string]span{}
	err := s.list('{', '}', func() error {
		key, err := s.str(nil)
		if err != nil {
			return err
		}
		if err := s.want(':'); err != nil {
			return err
		}
		s.peek()
		lo := s.pos
		if err := s.skip(); err != nil {
			return err
		}
		out[string(key)] = span{lo, s.pos}
		return nil
	})
	return out, err
}

// skip passes over one value; only its brackets and strings are looked at.
func (s *scanner) skip() error {
	depth := 0
	for {
		switch c := s.peek(); c {
		case 0:
			return s.fail("the file ends inside a value")
		case '"':
			if err := s.skipString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
			if depth < 0 {
				return s.fail("unexpected %q", c)
			}
		case ',', ':':
			if depth == 0 {
				return s.fail("a value is missing")
			}
			s.pos++
			continue
		default:
			start := s.pos
			for s.pos < len(s.data) && !bytes.ContainsRune([]byte(" \t\r\n,:{}[]\""), rune(s.data[s.pos])) {
				s.pos++
			}
			if s.pos == start {
				return s.fail("unexpected %q", c)
			}
		}
		if depth == 0 {
			return nil
		}
	}
}

func (s *scanner) skipString() error {
	start := s.pos
	s.pos++
	for {
		i := bytes.IndexByte(s.data[s.pos:], '"')
		if i < 0 {
			s.pos = start
			return s.fail("a string does not end")
		}
		s.pos += i + 1
		escapes := 0
		for s.data[s.pos-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return nil
		}
	}
}

// str appends the next string, unescaped, to dst.
func (s *scanner) str(dst []byte) ([]byte, error) {
	if err := s.want('"'); err != nil {
		return dst, err
	}
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return dst, nil
		case c < ' ':
			return dst, s.fail("control character in a string")
		case c != '\\':
			dst = append(dst, c)
			continue
		}
		if s.pos == len(s.data) {
			break
		}
		c = s.data[s.pos]
		s.pos++
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := s.hex4()
			if !ok {
				return dst, s.fail("broken \\u escape")
			}
			if utf16.IsSurrogate(r) {
				first := r
				r = utf8.RuneError
				if rest := s.data[s.pos:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
					save := s.pos
					s.pos += 2
					second, ok := s.hex4()
					if r = utf16.DecodeRune(first, second); !ok || r == utf8.RuneError {
						s.pos = save
					}
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return dst, s.fail("unknown escape \\%c", c)
		}
	}
	return dst, s.fail("a string does not end")
}

func (s *scanner) hex4() (rune, bool) {
	if s.pos+4 > len(s.data) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.data[s.pos:s.pos+4]), 16, 16)
	s.pos += 4
	return rune(v), err == nil
}

// number returns the text of the next number.
func (s *scanner) number() string {
	s.peek()
	start := s.pos
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.pos++
	}
	return string(s.data[start:s.pos])
}

// id reads a token id.
func (s *scanner) id() (int32, error) {
	text := s.number()
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 || v >= maxTokens {
		return 0, s.fail("%q is not a token id below %d", text, maxTokens)
	}
	return int32(v), nil
}

// decode reads a small part into a struct.
func decode[T any](raw json.RawMessage, where string) (T, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fault.Formatf("tokenizer "+where, "%v", err)
	}
	return v, nil
}

// isNull reports whether an optional part is absent.
func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}
