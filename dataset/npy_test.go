package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
	"pgregory.net/rapid"
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
	for file, part := range map[string]string{"fortran.npy": "Fortran", "big-endian.npy": ">f4", "gray.png": "does not start"} {
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
		if _, err := DecodeNPY(b[:cut]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", cut, len(b))
		}
	}
	if _, err := DecodeNPY(append(b, 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
	negative := strings.Replace(string(b), "(3,)", "(-3,)", 1)
	if _, err := DecodeNPY([]byte(negative[:len(b)])); err == nil {
		t.Error("a negative size was accepted")
	}
	if _, err := ReadArrays("testdata/absent.npz"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// TestNPYRoundTrip holds for every type and rank that NumPy and tensors share.
func TestNPYRoundTrip(t *testing.T) {
	types := []tensor.DType{tensor.F32, tensor.F16, tensor.F64, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64, tensor.BOOL}
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4).Draw(t, "shape")
		x := tensor.New(rapid.SampledFrom(types).Draw(t, "type"), shape...)
		for i := range x.Data {
			x.Data[i] = byte(i*151 + 7)
		}
		b, err := EncodeNPY(x)
		if err != nil {
			t.Fatal(err)
		}
		if len(b)-len(x.Data) < 64 || (len(b)-len(x.Data))%64 != 0 {
			t.Fatalf("the header takes %d bytes, which is no multiple of 64", len(b)-len(x.Data))
		}
		y, err := DecodeNPY(b)
		if err != nil {
			t.Fatal(err)
		}
		if y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) || !slices.Equal(y.Data, x.Data) {
			t.Fatalf("%v came back as %v", x, y)
		}
	})
	if _, err := EncodeNPY(tensor.New(tensor.BF16, 2)); err == nil {
		t.Error("BF16 was written, which NumPy does not have")
	}
}

func FuzzDecodeNPY(f *testing.F) {
	files, err := filepath.Glob("testdata/*.npy")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := DecodeNPY(b)
		if err != nil {
			return
		}
		if x.Bytes() != len(x.Data) {
			t.Fatalf("%v has %d bytes", x, len(x.Data))
		}
	})
}
