package dskfile

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// decoder reads the JSON of GRPH and TENS: no white space, keys in a fixed order, as
// docs/format.md says. encoding/json would take repeated and unknown keys, and cannot be
// held to an amount of memory; here everything is charged to the ledger before it is made.
//
// The first error sticks: every method then returns zero values and every iterator ends.
// Strings are pieces of the text.
type decoder struct {
	text  string
	pos   int
	where string // the part being read, for messages
	mem   *ledger
	err   *fault.Format

	// Stacks for lists whose length is not known yet.
	ints   []int64
	floats []float32
	names  []string
	attrs  []namedAttr

	nodes  int
	levels bool // the tensor being read has had its levels
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badFormat(-1, d.where, "%s, at byte %d of its text", fmt.Sprintf(format, args...), d.pos)
	}
}

// quote returns s for a message, cut short.
func quote(s string) string {
	const longest = 60
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "..."
	}
	return strconv.Quote(s)
}

// charge takes n elements of size bytes from the ledger.
func (d *decoder) charge(n int, size uintptr) bool {
	if d.err != nil {
		return false
	}
	if n > math.MaxInt32 || !d.mem.take(int64(n)*int64(size)) {
		d.fail("needs more memory than a file of this size may")
		return false
	}
	return true
}

// push appends to a slice whose growth it charges.
func push[T any](d *decoder, s []T, v T) []T {
	if len(s) == cap(s) {
		n := max(16, 2*cap(s))
		if !d.charge(n, unsafe.Sizeof(v)) {
			return s
		}
		grown := make([]T, len(s), n)
		copy(grown, s)
		s = grown
	}
	return append(s, v)
}

// taken returns a charged copy of s, nil if it is empty.
func taken[T any](d *decoder, s []T) []T {
	var z T
	if len(s) == 0 || !d.charge(len(s), unsafe.Sizeof(z)) {
		return nil
	}
	return append(make([]T, 0, len(s)), s...)
}

func (d *decoder) peek() byte {
	if d.err != nil || d.pos >= len(d.text) {
		return 0
	}
	return d.text[d.pos]
}

// next consumes c if it comes next.
func (d *decoder) next(c byte) bool {
	if d.peek() != c || c == 0 {
		return false
	}
	d.pos++
	return true
}

func (d *decoder) expect(c byte) {
	if !d.next(c) && d.err == nil {
		if d.pos >= len(d.text) {
			d.fail("expected %q, found the end", c)
		} else {
			d.fail("expected %q, found %q", c, d.text[d.pos])
		}
	}
}

// end demands that nothing is left.
func (d *decoder) end() {
	if d.err == nil && d.pos != len(d.text) {
		d.fail("text after the end")
	}
}

// array yields once before each element, which the loop's body must read.
func (d *decoder) array() iter.Seq[int] {
	return func(yield func(int) bool) {
		d.expect('[')
		if d.next(']') {
			return
		}
		for i := 0; d.err == nil; i++ {
			if !yield(i) || d.err != nil || d.next(']') {
				return
			}
			d.expect(',')
		}
	}
}

// object yields the keys of an object, which must be some of known, in that order.
func (d *decoder) object(known ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		d.expect('{')
		if d.next('}') {
			return
		}
		for at := 0; d.err == nil; at++ {
			key := d.str()
			if d.err != nil {
				return
			}
			for at < len(known) && known[at] != key {
				at++
			}
			if at >= len(known) {
				d.fail("key %s is unknown here, repeated or out of order", quote(key))
				return
			}
			d.expect(':')
			if d.err != nil || !yield(known[at]) || d.err != nil || d.next('}') {
				return
			}
			d.expect(',')
		}
	}
}

// str reads a string.
func (d *decoder) str() string {
	d.expect('"')
	if d.err != nil {
		return ""
	}
	start := d.pos
	for escaped := false; d.pos < len(d.text); d.pos++ {
		switch c := d.text[d.pos]; {
		case c == '\\':
			escaped = true
			d.pos++
		case c < ' ':
			d.fail("control character in a string")
			return ""
		case c == '"':
			s := d.text[start:d.pos]
			d.pos++
			if escaped {
				s = d.unescape(start - 1)
			}
			if !utf8.ValidString(s) {
				d.fail("string is not valid UTF-8")
				return ""
			}
			return s
		}
	}
	d.pos = len(d.text)
	d.fail("string without an end")
	return ""
}

// unescape decodes the string literal from start to the current position.
func (d *decoder) unescape(start int) string {
	literal := d.text[start:d.pos]
	// encoding/json makes a copy to read, one to unescape and one to keep.
	if !d.charge(len(literal), 4) || !d.charge(1, 512) {
		return ""
	}
	var s string
	if json.Unmarshal([]byte(literal), &s) != nil {
		d.fail("string with an invalid escape")
		return ""
	}
	return s
}

// name reads a string that is a name.
func (d *decoder) name() string {
	s := d.str()
	if len(s) > MaxNameBytes {
		d.fail("name of %d bytes, limit %d", len(s), MaxNameBytes)
	}
	return s
}

// number reads the characters of a number.
func (d *decoder) number() string {
	start := d.pos
	for c := d.peek(); c != 0 && strings.IndexByte("+-.0123456789Ee", c) >= 0; c = d.peek() {
		d.pos++
	}
	// No number that the writer makes is longer, and errors of strconv copy theirs.
	const longest = 32
	if start == d.pos || d.pos-start > longest {
		d.fail("expected a number")
		return ""
	}
	return d.text[start:d.pos]
}

// integer reads an int64 in its shortest form.
func (d *decoder) integer() int64 {
	s := d.number()
	if d.err != nil {
		return 0
	}
	v, err := strconv.ParseInt(s, 10, 64)
	digits := strings.TrimPrefix(s, "-")
	if err != nil || s[0] == '+' || len(digits) > 1 && digits[0] == '0' || s == "-0" {
		d.fail("invalid integer")
		return 0
	}
	return v
}

// size reads an integer that is not negative.
func (d *decoder) size() int {
	v := d.integer()
	if v < 0 || v != int64(int(v)) {
		d.fail("%d is not a size", v)
		return 0
	}
	return int(v)
}

// float reads a float32: a number, or a string of the bits of an infinity or NaN.
func (d *decoder) float() float32 {
	if d.peek() == '"' {
		s := d.str()
		if len(s) != len("0x7f800000") {
			d.fail("%s is not the bits of an infinity or NaN", quote(s))
			return 0
		}
		bits, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32)
		f := math.Float32frombits(uint32(bits))
		if err != nil || f-f == 0 {
			d.fail("%s is not the bits of an infinity or NaN", quote(s))
			return 0
		}
		return f
	}
	s := d.number()
	if d.err != nil {
		return 0
	}
	v, err := strconv.ParseFloat(s, 32)
	if err != nil {
		d.fail("invalid float")
		return 0
	}
	return float32(v)
}

// bytes reads base64; the result is aligned as tensors are.
func (d *decoder) bytes() []byte {
	s := d.str()
	n := base64.StdEncoding.DecodedLen(len(s))
	// []byte(s) and the result.
	if !d.charge(len(s), 1) || !d.charge(n+LineBytes, 1) {
		return nil
	}
	out := tensor.AlignedBytes(n)
	n, err := base64.StdEncoding.Strict().Decode(out, []byte(s))
	if err != nil {
		d.fail("invalid base64")
		return nil
	}
	return out[:n]
}

// nameList reads an array of names.
func (d *decoder) nameList() []string {
	base := len(d.names)
	for range d.array() {
		d.names = push(d, d.names, d.name())
	}
	out := taken(d, d.names[base:])
	d.names = d.names[:base]
	return out
}

// shape reads an array of sizes; it is never nil.
func (d *decoder) shape() []int {
	var dims [MaxRank]int
	n := 0
	for i := range d.array() {
		if i == MaxRank {
			d.fail("more than %d dimensions", MaxRank)
			return nil
		}
		dims[i] = d.size()
		n++
	}
	d.charge(n, unsafe.Sizeof(dims[0]))
	return append(make([]int, 0, n), dims[:n]...)
}
