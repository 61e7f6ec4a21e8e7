package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Magic is the first four bytes of a file.
const Magic = "GGUF"

// Limits against files that are made to exhaust the reader. Every count is also held
// against the bytes that are left, so that no more is allocated than a small multiple of the file's size.
const (
	maxEntries   = 1 << 16 // of metadata
	maxTensors   = 1 << 18
	maxKey       = 1<<16 - 1 // bytes; the format's own limit
	maxName      = 256       // bytes of a tensor's name; the format allows 64
	maxRank      = 8         // the format allows 4
	maxNesting   = 4         // arrays in arrays
	maxAlignment = 1 << 16
	// maxElements of a tensor; their bytes, at most eight each, are an int.
	maxElements = min(1<<48, math.MaxInt/8)
)

// File is what a file says of itself. It keeps no reference to the file's bytes.
type File struct {
	Version int
	Entries []Entry  // metadata, in the file's order
	Tensors []Tensor // in the file's order
	// Data is where the tensors' elements begin, in bytes from the start of the file.
	Data      int
	Alignment int

	byKey map[string]int
}

// Entry is one piece of metadata. Value is a uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64,
// bool or string, a slice of one of these, or, for arrays of arrays, a []any of such slices.
type Entry struct {
	Key   string
	Value any
}

// Tensor is one tensor of a file.
type Tensor struct {
	Name  string
	Type  string // "F32", "Q4_K"; "type 99" for types that are not known
	Shape []int  // outermost axis first: the reverse of the file's order
	// Offset and Bytes place the elements in the file; Bytes is -1 where the type is not known.
	Offset, Bytes int

	part int // which of a model's files it lies in
}

// valueType is the tag of a metadata value.
type valueType uint32

const (
	typeU8 valueType = iota
	typeI8
	typeU16
	typeI16
	typeU32
	typeI32
	typeF32
	typeBool
	typeString
	typeArray
	typeU64
	typeI64
	typeF64
)

// reader passes over the bytes of a file.
type reader struct {
	data []byte
	pos  int
}

func (r *reader) fail(where, format string, args ...any) error {
	return &fault.Format{Offset: int64(r.pos), Where: where, Why: fmt.Sprintf(format, args...)}
}

func (r *reader) left() int { return len(r.data) - r.pos }

// need reports an error unless n elements of at least size bytes each are left.
func (r *reader) need(n uint64, size int, what string) error {
	if n > uint64(r.left())/uint64(size) {
		return r.fail(what, "%d elements of at least %d bytes do not fit the %d bytes that are left: the file is cut off", n, size, r.left())
	}
	return nil
}

func (r *reader) u32(what string) (uint32, error) {
	if err := r.need(1, 4, what); err != nil {
		return 0, err
	}
	r.pos += 4
	return binary.LittleEndian.Uint32(r.data[r.pos-4:]), nil
}

func (r *reader) u64(what string) (uint64, error) {
	if err := r.need(1, 8, what); err != nil {
		return 0, err
	}
	r.pos += 8
	return binary.LittleEndian.Uint64(r.data[r.pos-8:]), nil
}

func (r *reader) str(limit uint64, what string) (string, error) {
	n, err := r.u64(what)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", r.fail(what, "a string of %d bytes is above the limit of %d", n, limit)
	}
	if err := r.need(n, 1, what); err != nil {
		return "", err
	}
	r.pos += int(n)
	return string(r.data[r.pos-int(n) : r.pos]), nil
}

// name reads a key or a tensor's name.
func (r *reader) name(limit uint64, what string) (string, error) {
	start := r.pos
	s, err := r.str(limit, what)
	if err == nil && (s == "" || !utf8.ValidString(s)) {
		r.pos = start
		err = r.fail(what, "the name %q is empty or not UTF-8", s)
	}
	return s, err
}

// Read reads the metadata and the list of tensors of a file. It fails with *fault.Format if the file is
// broken and with *fault.Unsupported if its version is not one of those above.
func Read(file []byte) (*File, error) {
	r := &reader{data: file}
	f := &File{byKey: map[string]int{}}
	if len(file) < 24 || string(file[:4]) != Magic {
		return nil, r.fail("", "this is no GGUF file: it does not start with %s and a header of 24 bytes", Magic)
	}
	r.pos = 4
	version, err := r.u32("version")
	if err != nil {
		return nil, err
	}
	switch {
	case version == 2 || version == 3:
	case bits.ReverseBytes32(version) == 2 || bits.ReverseBytes32(version) == 3:
		return nil, unsupported("format", "GGUF with big-endian numbers", "write it anew for a little-endian machine")
	default:
		return nil, unsupported("format", fmt.Sprintf("GGUF version %d", version), "versions 2 and 3 are read")
	}
	f.Version = int(version)
	tensors, err := r.u64("tensor count")
	if err != nil {
		return nil, err
	}
	entries, err := r.u64("metadata count")
	if err != nil {
		return nil, err
	}
	if tensors > maxTensors || entries > maxEntries {
		return nil, r.fail("", "%d tensors and %d pieces of metadata are above the limits of %d and %d", tensors, entries, maxTensors, maxEntries)
	}
	if err := r.entries(f, int(entries)); err != nil {
		return nil, err
	}
	if f.Alignment, err = f.alignment(); err != nil {
		return nil, err
	}
	if err := r.tensors(f, int(tensors)); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *reader) entries(f *File, n int) error {
	for range n {
		start := r.pos
		key, err := r.name(maxKey, "metadata")
		if err != nil {
			return err
		}
		if _, ok := f.byKey[key]; ok {
			r.pos = start
			return r.fail("metadata "+key, "the key occurs twice")
		}
		tag, err := r.u32("metadata " + key)
		if err != nil {
			return err
		}
		value, err := r.value(valueType(tag), "metadata "+key)
		if err != nil {
			return err
		}
		f.byKey[key] = len(f.Entries)
		f.Entries = append(f.Entries, Entry{key, value})
	}
	return nil
}

// value reads one value that is no element of an array.
func (r *reader) value(t valueType, what string) (any, error) {
	switch t {
	case typeU8:
		return scalar[uint8](r, what)
	case typeI8:
		return scalar[int8](r, what)
	case typeU16:
		return scalar[uint16](r, what)
	case typeI16:
		return scalar[int16](r, what)
	case typeU32:
		return scalar[uint32](r, what)
	case typeI32:
		return scalar[int32](r, what)
	case typeU64:
		return scalar[uint64](r, what)
	case typeI64:
		return scalar[int64](r, what)
	case typeF32:
		return scalar[float32](r, what)
	case typeF64:
		return scalar[float64](r, what)
	case typeBool:
		b, err := r.bools(1, what)
		if err != nil {
			return nil, err
		}
		return b[0], nil
	case typeString:
		return r.str(uint64(r.left()), what)
	case typeArray:
		return r.array(what, 1)
	}
	return nil, r.fail(what, "unknown type %d of a value", t)
}

// array reads the type, the length and the elements of an array that lies in depth-1 others.
func (r *reader) array(what string, depth int) (any, error) {
	tag, err := r.u32(what)
	if err != nil {
		return nil, err
	}
	n, err := r.u64(what)
	if err != nil {
		return nil, err
	}
	switch valueType(tag) {
	case typeU8:
		return numbers[uint8](r, n, what)
	case typeI8:
		return numbers[int8](r, n, what)
	case typeU16:
		return numbers[uint16](r, n, what)
	case typeI16:
		return numbers[int16](r, n, what)
	case typeU32:
		return numbers[uint32](r, n, what)
	case typeI32:
		return numbers[int32](r, n, what)
	case typeU64:
		return numbers[uint64](r, n, what)
	case typeI64:
		return numbers[int64](r, n, what)
	case typeF32:
		return numbers[float32](r, n, what)
	case typeF64:
		return numbers[float64](r, n, what)
	case typeBool:
		return r.bools(n, what)
	case typeString:
		if err := r.need(n, 8, what); err != nil {
			return nil, err
		}
		out := make([]string, n)
		for i := range out {
			if out[i], err = r.str(uint64(r.left()), what); err != nil {
				return nil, err
			}
		}
		return out, nil
	case typeArray:
		if depth == maxNesting {
			return nil, r.fail(what, "arrays are nested more than %d deep", maxNesting)
		}
		if err := r.need(n, 12, what); err != nil {
			return nil, err
		}
		out := make([]any, n)
		for i := range out {
			if out[i], err = r.array(what, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, r.fail(what, "unknown type %d of an array's elements", tag)
}

func scalar[T any](r *reader, what string) (any, error) {
	v, err := numbers[T](r, 1, what)
	if err != nil {
		return nil, err
	}
	return v.([]T)[0], nil
}

func numbers[T any](r *reader, n uint64, what string) (any, error) {
	var zero T
	size := binary.Size(zero)
	if err := r.need(n, size, what); err != nil {
		return nil, err
	}
	out := make([]T, n)
	used, err := binary.Decode(r.data[r.pos:][:int(n)*size], binary.LittleEndian, out)
	if err != nil {
		return nil, r.fail(what, "%v", err)
	}
	r.pos += used
	return out, nil
}

func (r *reader) bools(n uint64, what string) ([]bool, error) {
	if err := r.need(n, 1, what); err != nil {
		return nil, err
	}
	out := make([]bool, n)
	for i := range out {
		b := r.data[r.pos]
		if b > 1 {
			return nil, r.fail(what, "%d is no truth value: it must be 0 or 1", b)
		}
		out[i] = b == 1
		r.pos++
	}
	return out, nil
}

// alignment is what the tensors' elements begin at multiples of.
func (f *File) alignment() (int, error) {
	const key, usual = "general.alignment", 32
	i, ok := f.byKey[key]
	if !ok {
		return usual, nil
	}
	n, ok := f.Entries[i].Value.(uint32)
	if !ok || n == 0 || n&(n-1) != 0 || n > maxAlignment {
		return 0, fault.Formatf("metadata "+key, "%v is no power of two up to %d", f.Entries[i].Value, maxAlignment)
	}
	return int(n), nil
}

func (r *reader) tensors(f *File, n int) error {
	seen := map[string]bool{}
	var places []int // where each tensor's entry ends, for errors
	for range n {
		t, err := r.tensor(f.Alignment)
		if err != nil {
			return err
		}
		if seen[t.Name] {
			return r.fail("tensor "+t.Name, "the name occurs twice")
		}
		seen[t.Name] = true
		f.Tensors, places = append(f.Tensors, t), append(places, r.pos)
	}
	f.Data = (r.pos + f.Alignment - 1) / f.Alignment * f.Alignment
	for i := range f.Tensors {
		t := &f.Tensors[i]
		r.pos = places[i]
		if t.Offset > len(r.data)-f.Data || t.Bytes > len(r.data)-f.Data-t.Offset {
			return r.fail("tensor "+t.Name, "its %d bytes at offset %d of the elements lie behind the end of the file: it is cut off", t.Bytes, t.Offset)
		}
		t.Offset += f.Data
	}
	return f.overlaps()
}

func (r *reader) tensor(alignment int) (Tensor, error) {
	name, err := r.name(maxName, "tensor")
	if err != nil {
		return Tensor{}, err
	}
	t, what := Tensor{Name: name}, "tensor "+name
	rank, err := r.u32(what)
	if err != nil {
		return t, err
	}
	if rank > maxRank {
		return t, r.fail(what, "rank %d is above the limit of %d", rank, maxRank)
	}
	t.Shape = make([]int, rank)
	count := uint64(1)
	for i := range t.Shape {
		d, err := r.u64(what)
		if err != nil {
			return t, err
		}
		high, product := bits.Mul64(count, d)
		if high != 0 || product > maxElements || d > maxElements {
			return t, r.fail(what, "the number of elements is out of range")
		}
		count = product
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	tag, err := r.u32(what)
	if err != nil {
		return t, err
	}
	offset, err := r.u64(what)
	if err != nil {
		return t, err
	}
	if offset > uint64(len(r.data)) || int(offset)%alignment != 0 {
		return t, r.fail(what, "offset %d lies outside the file or is no multiple of %d", offset, alignment)
	}
	t.Offset = int(offset)
	e, ok := elements[tag]
	if !ok {
		t.Type, t.Bytes = fmt.Sprintf("type %d", tag), -1
		return t, nil
	}
	t.Type = e.name
	row := 1
	if rank > 0 {
		row = t.Shape[rank-1]
	}
	if row%e.block != 0 {
		return t, r.fail(what, "rows of %d elements are no whole blocks of %d, as %s has them", row, e.block, e.name)
	}
	t.Bytes = int(count) / e.block * e.bytes
	return t, nil
}

// overlaps reports tensors whose elements share bytes.
func (f *File) overlaps() error {
	order := make([]*Tensor, len(f.Tensors))
	for i := range order {
		order[i] = &f.Tensors[i]
	}
	sort.SliceStable(order, func(i, j int) bool {
		if order[i].Offset != order[j].Offset {
			return order[i].Offset < order[j].Offset
		}
		return order[i].Bytes < order[j].Bytes // empty tensors first
	})
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; a.Bytes > b.Offset-a.Offset {
			return &fault.Format{Offset: int64(b.Offset), Where: "tensor " + b.Name, Why: "it overlaps tensor " + a.Name}
		}
	}
	return nil
}

func unsupported(kind, what, hint string) error {
	return &fault.Unsupported{Kind: kind, Items: []fault.Item{{What: what, Hint: hint}}}
}
