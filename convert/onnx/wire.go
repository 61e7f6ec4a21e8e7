package onnx

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Limits against hostile files. Real models stay far below: the largest decomposed
// language models have some 50,000 nodes, and control flow nests three or four deep.
const (
	maxDepth    = 64      // of messages inside messages; a subgraph costs three
	maxMessages = 1 << 21 // of all kinds
	maxNodes    = 1 << 18 // after the inlining of functions, too
	maxRank     = 64
	maxInline   = 32 // functions that call functions
)

// limits counts what one file has used up of the limits above.
type limits struct{ messages int }

// reader walks over the fields of one message. Its first error sticks: more then
// returns false and every getter a zero value, so callers check err once at the end.
type reader struct {
	data  []byte
	pos   int
	base  int // offset of data[0] in the file
	depth int
	what  string // the message, for errors
	num   protowire.Number
	typ   protowire.Type
	used  *limits
	err   error
}

func newReader(data []byte, what string) *reader {
	return &reader{data: data, what: what, used: &limits{}}
}

// offset is the file's offset of what will be read next.
func (r *reader) offset() int { return r.base + r.pos }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &fault.Format{Offset: int64(r.offset()), Where: r.what, Why: fmt.Sprintf(format, args...)}
		r.pos = len(r.data)
	}
}

// failWith keeps the first error of a reader below.
func (r *reader) failWith(err error) {
	if r.err == nil && err != nil {
		r.err = err
		r.pos = len(r.data)
	}
}

// more reads the next field's tag; it returns false at the end and after an error.
func (r *reader) more() bool {
	if r.err != nil || r.pos >= len(r.data) {
		return false
	}
	num, typ, n := protowire.ConsumeTag(r.data[r.pos:])
	if n < 0 {
		r.fail("broken field tag")
		return false
	}
	r.num, r.typ = num, typ
	r.pos += n
	return true
}

func (r *reader) want(typ protowire.Type) bool {
	if r.err == nil && r.typ != typ {
		r.fail("field %d has wire type %d, not %d", r.num, r.typ, typ)
	}
	return r.err == nil
}

// skip passes over a field that is not of interest.
func (r *reader) skip() {
	n := protowire.ConsumeFieldValue(r.num, r.typ, r.data[r.pos:])
	if n < 0 {
		r.fail("field %d is cut off or broken", r.num)
		return
	}
	r.pos += n
}

// bytes returns a length-delimited field as a view of the file.
func (r *reader) bytes() []byte {
	if !r.want(protowire.BytesType) {
		return nil
	}
	size, n := protowire.ConsumeVarint(r.data[r.pos:])
	if n < 0 {
		r.fail("field %d: broken length", r.num)
		return nil
	}
	left := len(r.data) - r.pos - n
	if size > uint64(left) {
		r.fail("field %d: length %d, but only %d bytes are left", r.num, size, left)
		return nil
	}
	lo := r.pos + n
	r.pos = lo + int(size)
	return r.data[lo:r.pos:r.pos]
}

// text returns a string field, which must be UTF-8: names end up in JSON.
func (r *reader) text() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.pos -= len(b)
		r.fail("field %d is not valid UTF-8", r.num)
		return ""
	}
	return string(b)
}

// message returns a reader of a message field.
func (r *reader) message(what string) *reader {
	b := r.bytes()
	sub := &reader{data: b, base: r.offset() - len(b), depth: r.depth + 1, what: what, used: r.used}
	r.used.messages++
	switch {
	case r.err != nil:
		sub.data = nil
	case sub.depth > maxDepth:
		r.fail("messages are nested more than %d deep", maxDepth)
		sub.data = nil
	case r.used.messages > maxMessages:
		r.fail("more than %d messages", maxMessages)
		sub.data = nil
	}
	return sub
}

func (r *reader) varint() uint64 {
	if !r.want(protowire.VarintType) {
		return 0
	}
	v, n := protowire.ConsumeVarint(r.data[r.pos:])
	if n < 0 {
		r.fail("field %d: broken number", r.num)
		return 0
	}
	r.pos += n
	return v
}

func (r *reader) int64() int64 { return int64(r.varint()) }

// enum returns a number that fits 32 bits.
func (r *reader) enum() int { return int(int32(r.varint())) }

func (r *reader) fixed32() uint32 {
	if !r.want(protowire.Fixed32Type) {
		return 0
	}
	v, n := protowire.ConsumeFixed32(r.data[r.pos:])
	if n < 0 {
		r.fail("field %d is cut off", r.num)
		return 0
	}
	r.pos += n
	return v
}

// int64s appends a repeated int64 field, packed or not, up to limit values.
func (r *reader) int64s(to []int64, limit int) []int64 {
	if r.typ != protowire.BytesType {
		to = append(to, r.int64())
	} else {
		for b := r.bytes(); len(b) > 0; {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				r.fail("field %d: broken packed number", r.num)
				return to
			}
			b = b[n:]
			to = append(to, int64(v))
			if len(to) > limit {
				break
			}
		}
	}
	if len(to) > limit {
		r.fail("field %d has more than %d values", r.num, limit)
	}
	return to
}

// packed is a repeated number field as it lies in the file, packed: a view of the
// file while it came in one piece, a copy once pieces had to be joined.
type packed struct {
	data  []byte
	owned bool
}

// packed appends one piece of a repeated field whose unpacked elements have wire type typ.
func (r *reader) packed(p *packed, typ protowire.Type) {
	piece := []byte(nil)
	if r.typ == protowire.BytesType {
		piece = r.bytes()
	} else if r.want(typ) {
		n := protowire.ConsumeFieldValue(r.num, typ, r.data[r.pos:])
		if n < 0 {
			r.fail("field %d is cut off or broken", r.num)
			return
		}
		piece = r.data[r.pos : r.pos+n]
		r.pos += n
	}
	if p.data == nil {
		p.data = piece
		return
	}
	if !p.owned {
		p.data = append(make([]byte, 0, 2*len(p.data)+len(piece)), p.data...)
		p.owned = true
	}
	p.data = append(p.data, piece...)
}
