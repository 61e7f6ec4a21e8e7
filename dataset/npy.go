package dataset

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// npyTypes maps NumPy's type codes; only little-endian files are read.
var npyTypes = map[string]tensor.DType{
	"<f4": tensor.F32, "<f2": tensor.F16, "<f8": tensor.F64, "|i1": tensor.I8, "|u1": tensor.U8,
	"<i2": tensor.I16, "<u2": tensor.U16, "<i4": tensor.I32, "<u4": tensor.U32, "<i8": tensor.I64,
	"<u8": tensor.U64, "|b1": tensor.BOOL,
}

const npyMagic = "\x93NUMPY"

var npyHeader = regexp.MustCompile(`'descr':\s*'([^']+)'.*'fortran_order':\s*(True|False).*'shape':\s*\(([^)]*)\)`)

// openArrays adds the arrays of one .npy or .npz file as one sample.
func (d *Data) openArrays(path string) error {
	d.kind = Arrays
	arrays, err := ReadArrays(path)
	if err != nil {
		return err
	}
	d.arrays = append(d.arrays, arrays)
	return nil
}

// ReadArrays reads a .npy file (its array is named "") or all arrays of a .npz file.
func ReadArrays(path string) (map[string]*tensor.Tensor, error) {
	bad := func(err error) error {
		return &fault.Format{File: path, Offset: -1, Where: "NumPy array", Why: err.Error(), Next: "save it with numpy.save or numpy.savez"}
	}
	if !strings.HasSuffix(strings.ToLower(path), ".npz") {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("array: %w", err)
		}
		t, err := DecodeNPY(b)
		if err != nil {
			return nil, bad(err)
		}
		return map[string]*tensor.Tensor{"": t}, nil
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		if os.IsNotExist(err) || os.IsPermission(err) {
			return nil, fmt.Errorf("array: %w", err)
		}
		return nil, bad(err)
	}
	defer z.Close()
	out := map[string]*tensor.Tensor{}
	var total int64
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, bad(err)
		}
		b, err := readLimited(r, path)
		r.Close()
		if errors.As(err, new(*fault.Resource)) {
			return nil, err
		}
		if err != nil {
			return nil, bad(err)
		}
		// Parts of an archive may overlap: a small file can hold any number of large arrays.
		if total += int64(len(b)); total > maxText {
			return nil, bad(fmt.Errorf("it unpacks to more than %d bytes", int64(maxText)))
		}
		if err := tensor.Room(int(total), "unpacking "+path); err != nil {
			return nil, err
		}
		t, err := DecodeNPY(b)
		if err != nil {
			return nil, bad(fmt.Errorf("%s: %w", f.Name, err))
		}
		out[strings.TrimSuffix(filepath.Base(f.Name), ".npy")] = t
	}
	return out, nil
}

// DecodeNPY reads an array in NumPy's format, versions 1 to 3 (NEP 1), C order, little-endian.
func DecodeNPY(b []byte) (*tensor.Tensor, error) {
	if len(b) < 10 || string(b[:6]) != npyMagic {
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
	m := npyHeader.FindStringSubmatch(string(b[at : at+n]))
	if m == nil {
		return nil, fmt.Errorf("its header %q is not understood", b[at:at+min(n, 80)])
	}
	dt, ok := npyTypes[m[1]]
	if !ok {
		return nil, fmt.Errorf("element type %s is not supported", m[1])
	}
	if m[2] == "True" {
		return nil, fmt.Errorf("it is in Fortran order; save numpy.ascontiguousarray of it")
	}
	shape := []int{}
	for _, s := range strings.Split(m[3], ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("shape (%s) is not understood", m[3])
		}
		shape = append(shape, v)
	}
	t, err := tensor.Of(dt, shape, tensor.RowMajor, b[at+n:])
	if err != nil {
		return nil, err
	}
	return t.Align(), nil
}

// EncodeNPY writes a row-major tensor in NumPy's format, version 1.
func EncodeNPY(t *tensor.Tensor) ([]byte, error) {
	code := ""
	for c, dt := range npyTypes {
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
	out := append([]byte(npyMagic), 1, 0, byte(len(head)), byte(len(head)>>8))
	out = append(out, head...)
	return append(out, t.Data...), nil
}
