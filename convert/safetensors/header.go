package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Limits against files that are made to exhaust the reader.
const (
	maxHeader  = 100_000_000 // bytes; the format's own limit
	maxTensors = 1 << 20
	maxRank    = 16
)

// Entry is one tensor of a file.
type Entry struct {
	Name  string
	Type  string       // as the file writes it: "F32", "F8_E4M3"
	DType tensor.DType // Invalid for types that dsk does not have
	Shape []int
	// Offset and Bytes place the elements in the file.
	Offset, Bytes int
}

// typeBits gives the bits of an element of each type of the format.
var typeBits = map[string]int{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}

// ReadHeader reads the header of a safetensors file: its tensors in the order in which their elements
// lie, and its metadata. A file is eight bytes with the header's length (little-endian), the
// header (JSON), and the elements without gaps. A file that is not so is a *fault.Format.
func ReadHeader(file []byte) ([]Entry, map[string]string, error) {
	if len(file) < 8 {
		return nil, nil, broken(0, "", "%d bytes are too few for a safetensors file", len(file))
	}
	n := binary.LittleEndian.Uint64(file)
	switch {
	case n > maxHeader:
		return nil, nil, broken(0, "", "the header's length, %d, is above the limit of %d", n, maxHeader)
	case n > uint64(len(file)-8):
		return nil, nil, broken(0, "", "the header of %d bytes does not fit the file of %d: it is cut off", n, len(file))
	}
	data := 8 + int(n)
	h := headerReader{base: 8, dec: json.NewDecoder(bytes.NewReader(file[8:data]))}
	entries, meta, err := h.read(len(file) - data)
	if err != nil {
		return nil, nil, err
	}
	sort.Slice(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		if a.Offset != b.Offset {
			return a.Offset < b.Offset
		}
		if a.Bytes != b.Bytes {
			return a.Bytes < b.Bytes // empty tensors first
		}
		return a.Name < b.Name
	})
	end := 0
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Offset < end:
			return nil, nil, broken(data+e.Offset, "tensor "+e.Name, "it overlaps tensor %s", entries[i-1].Name)
		case e.Offset > end:
			return nil, nil, broken(data+end, "tensor "+e.Name, "%d bytes before it belong to no tensor", e.Offset-end)
		}
		end = e.Offset + e.Bytes
		e.Offset += data
	}
	if data+end != len(file) {
		return nil, nil, broken(data+end, "", "%d bytes at the end belong to no tensor", len(file)-data-end)
	}
	return entries, meta, nil
}

func broken(offset int, where, format string, args ...any) error {
	return &fault.Format{Offset: int64(offset), Where: where, Why: fmt.Sprintf(format, args...)}
}

type headerReader struct {
	base int // where the JSON starts in the file
	dec  *json.Decoder
}

func (h *headerReader) fail(where string, err any) error {
	return broken(h.base+int(h.dec.InputOffset()), where, "header: %v", err)
}

// read reads the JSON token by token, so that a name that occurs twice is seen. Offsets
// in the entries count from the first element; elements says how many bytes there are.
func (h *headerReader) read(elements int) ([]Entry, map[string]string, error) {
	if t, err := h.dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, h.fail("", "it does not start with an object")
	}
	var entries []Entry
	var meta map[string]string
	seen := map[string]bool{}
	for h.dec.More() {
		t, err := h.dec.Token()
		if err != nil {
			return nil, nil, h.fail("", err)
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, nil, h.fail("tensor "+name, "the name occurs twice")
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := h.dec.Decode(&meta); err != nil {
				return nil, nil, h.fail(name, err)
			}
			continue
		}
		if len(entries) == maxTensors {
			return nil, nil, h.fail("", fmt.Sprintf("more than %d tensors", maxTensors))
		}
		e, err := h.entry(name, elements)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
	}
	if _, err := h.dec.Token(); err != nil {
		return nil, nil, h.fail("", err)
	}
	if t, err := h.dec.Token(); err == nil {
		return nil, nil, h.fail("", fmt.Sprintf("%v behind its end", t))
	}
	return entries, meta, nil
}

func (h *headerReader) entry(name string, elements int) (Entry, error) {
	where := "tensor " + name
	var raw struct {
		DType   *string `json:"dtype"`
		Shape   *[]int  `json:"shape"`
		Offsets *[]int  `json:"data_offsets"`
	}
	if err := h.dec.Decode(&raw); err != nil {
		return Entry{}, h.fail(where, err)
	}
	if raw.DType == nil || raw.Shape == nil || raw.Offsets == nil || len(*raw.Offsets) != 2 {
		return Entry{}, h.fail(where, "it needs dtype, shape and two data_offsets")
	}
	e := Entry{Name: name, Type: *raw.DType, Shape: *raw.Shape}
	lo, hi := (*raw.Offsets)[0], (*raw.Offsets)[1]
	if lo < 0 || hi < lo || hi > elements {
		return Entry{}, h.fail(where, fmt.Sprintf("data_offsets %d to %d lie outside the %d bytes of elements", lo, hi, elements))
	}
	e.Offset, e.Bytes = lo, hi-lo
	if len(e.Shape) > maxRank {
		return Entry{}, h.fail(where, fmt.Sprintf("rank %d is above the limit of %d", len(e.Shape), maxRank))
	}
	n, err := tensor.NumElements(e.Shape)
	if err != nil {
		return Entry{}, h.fail(where, err)
	}
	bits, ok := typeBits[e.Type]
	if !ok {
		return e, nil // a type of the future: its size is unknown
	}
	// A count beyond the bits of the file cannot be right, and could overflow below.
	if n > (e.Bytes+1)*8 || (n*bits+7)/8 != e.Bytes {
		return Entry{}, h.fail(where, fmt.Sprintf("%s of shape %v does not take %d bytes", e.Type, e.Shape, e.Bytes))
	}
	if dt, err := tensor.ParseDType(e.Type); err == nil && !dt.IsQuantized() {
		e.DType = dt
	}
	return e, nil
}
