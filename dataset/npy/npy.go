// Package npy reads and writes arrays in NumPy's format (NEP 1).
package npy

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// types maps NumPy's type codes; only little-endian files are read.
var types = map[string]tensor.DType{
	"<f4": tensor.F32, "<f2": tensor.F16, "<f8": tensor.F64, "|i1": tensor.I8, "|u1": tensor.U8,
	"<i2": tensor.I16, "<u2": tensor.U16, "<i4": tensor.I32, "<u4": tensor.U32, "<i8": tensor.I64,
	"<u8": tensor.U64, "|b1": tensor.BOOL,
}

const magic = "\x93NUMPY"

// Read reads a file. One that is broken is a *fault.Format.
func Read(path string) (*tensor.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("array: %w", err)
	}
	t, err := Decode(b)
	if err != nil {
		return nil, Bad(path, err)
	}
	return t, nil
}

// Bad is the error of a broken file.
func Bad(path string, err error) error {
	return &fault.Format{File: path, Offset: -1, Where: "NumPy array", Why: err.Error(), Next: "save it with numpy.save or numpy.savez"}
}

// Decode reads an array in NumPy's format, versions 1 to 3 (NEP 1), C order, little-endian.
func Decode(b []byte) (*tensor.Tensor, error) {
	if len(b) < 10 || string(b[:6]) != magic {
		return nil, fmt.Errorf("it does not start as a .npy file does")
	}
	at, n := 10, int(binary.LittleEndian.Uint16(b[8:]))
	if b[6] > 1 {
		if len(b) < 12 {
			return nil, fmt.Errorf("its header is cut off")
		}
		at, n = 12, int(binary.LittleEndian.Uint32(b[8:]))
	}
	if n < 0 || n > len(b)-at {
		return nil, fmt.Errorf("its header is cut off")
	}
	h, err := parseHeader(string(b[at : at+n]))
	if err != nil {
		return nil, err
	}
	dt, ok := types[h.descr]
	if !ok {
		return nil, fmt.Errorf("element type %s is not supported", h.descr)
	}
	if h.fortran {
		return nil, fmt.Errorf("it is in Fortran order; save numpy.ascontiguousarray of it")
	}
	t, err := tensor.Of(dt, h.shape, tensor.RowMajor, b[at+n:])
	if err != nil {
		return nil, err
	}
	return t.Align(), nil
}

// header is what the dictionary at the start of a file says.
type header struct {
	descr   string
	fortran bool
	shape   []int
}

// parseHeader reads the dictionary, a literal of Python with the keys descr, fortran_order and shape.
func parseHeader(text string) (*header, error) {
	bad := func() error { return fmt.Errorf("its header %q is not understood", text[:min(len(text), 80)]) }
	value := func(key string) string {
		_, rest, _ := strings.Cut(text, "'"+key+"':")
		return strings.TrimSpace(rest)
	}
	h := &header{shape: []int{}}
	descr, quoted := strings.CutPrefix(value("descr"), "'")
	descr, _, closed := strings.Cut(descr, "'")
	dims, open := strings.CutPrefix(value("shape"), "(")
	dims, _, ends := strings.Cut(dims, ")")
	order := value("fortran_order")
	h.descr, h.fortran = descr, strings.HasPrefix(order, "True")
	if !quoted || !closed || !open || !ends || !h.fortran && !strings.HasPrefix(order, "False") {
		return nil, bad()
	}
	for s := range strings.SplitSeq(dims, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := strconv.Atoi(s)
		if err != nil {
			return nil, bad()
		}
		h.shape = append(h.shape, v)
	}
	return h, nil
}

// Encode writes a row-major tensor in NumPy's format, version 1.
func Encode(t *tensor.Tensor) ([]byte, error) {
	code := ""
	for c, dt := range types {
		if dt == t.DType {
			code = c
		}
	}
	if code == "" || t.Layout != tensor.RowMajor {
		return nil, fmt.Errorf("%v cannot be written as a NumPy array", t)
	}
	dims := ""
	for _, d := range t.Shape {
		dims += strconv.Itoa(d) + ", "
	}
	if len(t.Shape) > 1 {
		dims = strings.TrimSuffix(dims, ", ")
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", code, strings.TrimSuffix(dims, " "))
	pad := 64 - (10+len(head)+1)%64
	head += strings.Repeat(" ", pad%64) + "\n"
	out := append([]byte(magic), 1, 0, byte(len(head)), byte(len(head)>>8))
	out = append(out, head...)
	return append(out, t.Data...), nil
}
