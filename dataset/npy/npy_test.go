package npy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
	"pgregory.net/rapid"
)

// TestRoundTrip holds for every type and rank that NumPy and tensors share.
func TestRoundTrip(t *testing.T) {
	types := []tensor.DType{tensor.F32, tensor.F16, tensor.F64, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64, tensor.BOOL}
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4).Draw(t, "shape")
		x := tensor.New(rapid.SampledFrom(types).Draw(t, "type"), shape...)
		for i := range x.Data {
			x.Data[i] = byte(i*151 + 7)
		}
		b, err := Encode(x)
		if err != nil {
			t.Fatal(err)
		}
		if len(b)-len(x.Data) < 64 || (len(b)-len(x.Data))%64 != 0 {
			t.Fatalf("the header takes %d bytes, which is no multiple of 64", len(b)-len(x.Data))
		}
		y, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if y.DType != x.DType || !slices.Equal(y.Shape, x.Shape) || !slices.Equal(y.Data, x.Data) {
			t.Fatalf("%v came back as %v", x, y)
		}
	})
	if _, err := Encode(tensor.New(tensor.BF16, 2)); err == nil {
		t.Error("BF16 was written, which NumPy does not have")
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("../testdata/*.npy")
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
		x, err := Decode(b)
		if err != nil {
			return
		}
		if x.Bytes() != len(x.Data) {
			t.Fatalf("%v has %d bytes", x, len(x.Data))
		}
	})
}
