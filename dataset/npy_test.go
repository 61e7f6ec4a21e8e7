package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset/npy"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestReadArrays reads what NumPy wrote; see testdata/make.py.
func TestReadArrays(t *testing.T) {
	one := func(file string) *tensor.Tensor {
		t.Helper()
		m, err := ReadArrays(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if len(m) != 1 || m[""] == nil {
			t.Fatalf("%s: %v, want one array without a name", file, m)
		}
		return m[""]
	}
	if a := one("scalar.npy"); a.DType != tensor.I64 || len(a.Shape) != 0 || tensor.View[int64](a)[0] != 7 {
		t.Errorf("scalar: %v", a)
	}
	if a := one("vector.npy"); a.DType != tensor.I16 || !slices.Equal(tensor.View[int16](a), []int16{1, -2, 3}) {
		t.Errorf("vector: %v", a)
	}
	if a := one("half.npy"); a.DType != tensor.F16 || !slices.Equal(a.Shape, []int{2, 2}) || !slices.Equal(tensor.View[uint16](a), []uint16{0x3c00, 0x3800, 0xc000, 0x7bff}) {
		t.Errorf("half: %v", a)
	}
	if a := one("empty.npy"); a.DType != tensor.F32 || !slices.Equal(a.Shape, []int{0, 3}) {
		t.Errorf("empty: %v", a)
	}
	m, err := ReadArrays("testdata/pair.npz")
	if err != nil {
		t.Fatal(err)
	}
	if len(m) != 2 || !slices.Equal(m["a"].F32(), []float32{0, 1, 2, 3, 4, 5}) || m["b"].DType != tensor.BOOL || !slices.Equal(m["b"].Data, []byte{1, 0}) {
		t.Errorf("pair: %v", m)
	}
}

func TestReadArraysRefuses(t *testing.T) {
	for file, part := range map[string]string{"fortran.npy": "Fortran", "big-endian.npy": ">f4", "make.py": "does not start"} {
		var f *fault.Format
		if _, err := ReadArrays(filepath.Join("testdata", file)); !errors.As(err, &f) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want a format error with %q", file, err, part)
		}
	}
	b, err := os.ReadFile("testdata/vector.npy")
	if err != nil {
		t.Fatal(err)
	}
	for cut := range b {
		if _, err := npy.Decode(b[:cut]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", cut, len(b))
		}
	}
	if _, err := npy.Decode(append(b, 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
	negative := strings.Replace(string(b), "(3,)", "(-3,)", 1)
	if _, err := npy.Decode([]byte(negative[:len(b)])); err == nil {
		t.Error("a negative size was accepted")
	}
	if _, err := ReadArrays("testdata/absent.npz"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}
