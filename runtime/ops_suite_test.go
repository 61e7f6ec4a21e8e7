package runtime_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/onnx"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The suite's rule for single operators.
const (
	suiteRel = 1e-3
	suiteAbs = 1e-7
)

// TestSuite runs the test folders of the ONNX backend suite, each model as it is and rewritten. A
// folder that the importer does not support (sequences, strings, 4- and 8-bit floats) is
// counted; anything else must pass.
func TestSuite(t *testing.T) {
	dir := suiteDir(t)
	tiers := suiteTiers(t)
	for name, opts := range map[string]onnx.Options{
		"plain":     {NoFuse: true, Supports: runtime.Supports},
		"rewritten": {Eval: runtime.Eval, Supports: runtime.Supports},
	} {
		t.Run(name, func(t *testing.T) { runSuite(t, dir, tiers, opts) })
	}
}

func runSuite(t *testing.T, dir string, tiers map[string]string, opts onnx.Options) {
	passed, failed := 0, 0
	unsupported := map[string]int{}
	for _, category := range []string{"node", "simple", "pytorch-converted", "pytorch-operator"} {
		folders, err := os.ReadDir(filepath.Join(dir, category))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			name := category + "/" + f.Name()
			if tiers[name] == "3" {
				continue
			}
			err := runFolder(filepath.Join(dir, category, f.Name()), opts)
			var u *fault.Unsupported
			switch {
			case errors.As(err, &u):
				for _, it := range u.Items {
					unsupported[it.What]++
				}
			case err != nil:
				failed++
				t.Errorf("%s: %v", name, err)
			default:
				passed++
			}
		}
	}
	var missing []string
	for what, n := range unsupported {
		missing = append(missing, fmt.Sprintf("%s (%d)", what, n))
	}
	sort.Strings(missing)
	t.Logf("%d passed, %d failed, unsupported: %s", passed, failed, strings.Join(missing, ", "))
}

// runFolder imports a folder's model, runs its data sets and compares.
func runFolder(dir string, opts onnx.Options) error {
	ctx := context.Background()
	m, report, err := onnx.Import(ctx, filepath.Join(dir, "model.onnx"), opts)
	if err != nil {
		return err
	}
	defer report.Close()
	sets, err := onnx.LoadTestSets(dir)
	if err != nil {
		return err
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: 2})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, set := range sets {
		in := map[string]*tensor.Tensor{}
		for i, x := range set.Inputs {
			if i < len(m.Graph.Inputs) {
				in[m.Graph.Inputs[i].Name] = x.Tensor
			}
		}
		out, err := s.Run(ctx, in)
		if err != nil {
			return fmt.Errorf("%s: %w", set.Name, err)
		}
		if len(out) != len(set.Outputs) {
			return fmt.Errorf("%s: %d outputs, want %d", set.Name, len(out), len(set.Outputs))
		}
		for i, want := range set.Outputs {
			if err := sameTensor(out[i], want.Tensor, suiteRel, suiteAbs); err != nil {
				return fmt.Errorf("%s: output %d: %w", set.Name, i, err)
			}
		}
	}
	return nil
}

// sameTensor compares type, shape and values within abs + rel |want|, but lets pass what is less than
// the noise of a float32 reference: a few units in the last place of the largest element.
func sameTensor(got, want *tensor.Tensor, rel, abs float64) error {
	if got.DType != want.DType || !tensor.SameShape(got.Shape, want.Shape) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	g, w := floatsOf(got), floatsOf(want)
	for _, v := range w {
		if !math.IsInf(v, 0) && want.DType.IsFloat() {
			abs = max(abs, 3e-7*math.Abs(v))
		}
	}
	for i := range w {
		switch {
		case g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]):
		case !(math.Abs(g[i]-w[i]) <= abs+rel*math.Abs(w[i])):
			return fmt.Errorf("element %d of %v: got %v, want %v", i, want, g[i], w[i])
		}
	}
	return nil
}

// floatsOf converts any plain tensor.
func floatsOf(t *tensor.Tensor) []float64 {
	switch t.DType {
	case tensor.F32:
		return widen(t.F32())
	case tensor.F64:
		return widen(tensor.View[float64](t))
	case tensor.I8:
		return widen(tensor.View[int8](t))
	case tensor.U8, tensor.BOOL:
		return widen(t.Data)
	case tensor.I16:
		return widen(tensor.View[int16](t))
	case tensor.U16:
		return widen(tensor.View[uint16](t))
	case tensor.I32:
		return widen(tensor.View[int32](t))
	case tensor.U32:
		return widen(tensor.View[uint32](t))
	case tensor.I64:
		return widen(t.I64())
	case tensor.U64:
		return widen(tensor.View[uint64](t))
	}
	out := make([]float64, t.Len())
	if t.DType.IsSmall() {
		table := tensor.DecodeSmall(t.DType)
		for i, code := range t.Data {
			out[i] = float64(table[code])
		}
		return out
	}
	for i, u := range tensor.View[uint16](t) {
		if t.DType == tensor.F16 {
			out[i] = float64(kernels.F16ToF32(u))
		} else {
			out[i] = float64(kernels.BF16ToF32(u))
		}
	}
	return out
}

func widen[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64](v []T) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

const sharedOnnx = "../../shared/onnx"

// suiteDir unpacks the suite's folders.
func suiteDir(t *testing.T) string {
	f, err := os.Open(filepath.Join(sharedOnnx, "node-tests-open.tar.gz"))
	if err != nil {
		t.Skip("../shared is absent: the ONNX backend suite is not run")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node")); err != nil {
		inner, _ := filepath.Glob(filepath.Join(dir, "*", "node"))
		if len(inner) == 0 {
			t.Fatal("the archive has no folder node")
		}
		dir = filepath.Dir(inner[0])
	}
	return dir
}

// suiteTiers returns each test's tier: 3 is what dsk does not aim at.
func suiteTiers(t *testing.T) map[string]string {
	f, err := os.Open(filepath.Join(sharedOnnx, "tests-open.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, row := range rows[1:] {
		out[row[0]+"/"+row[1]] = row[2]
	}
	return out
}
