package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset/npy"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

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
	bad := func(err error) error { return npy.Bad(path, err) }
	if !strings.HasSuffix(strings.ToLower(path), ".npz") {
		t, err := npy.Read(path)
		if err != nil {
			return nil, err
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
		t, err := npy.Decode(b)
		if err != nil {
			return nil, bad(fmt.Errorf("%s: %w", f.Name, err))
		}
		out[strings.TrimSuffix(filepath.Base(f.Name), ".npy")] = t
	}
	return out, nil
}
