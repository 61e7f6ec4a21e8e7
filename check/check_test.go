package check

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"google.golang.org/protobuf/encoding/protowire"
)

const testdata = "../testdata/models/"

func TestCompare(t *testing.T) {
	tol := tolerance{rel: 1e-3, abs: 1e-7}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name      string
		got, want *tensor.Tensor
		diff      float64
		fault     string // "" = they match
	}{
		{"equal", tensor.FromSlice([]float32{1, 2}, 2), tensor.FromSlice([]float32{1, 2}, 2), 0, ""},
		{"within", tensor.FromSlice([]float32{1000.5}, 1), tensor.FromSlice([]float32{1000}, 1), 0.5, ""},
		{"beyond", tensor.FromSlice([]float32{1, 1002}, 2), tensor.FromSlice([]float32{1, 1000}, 2), 2, "1 of 2 values differ by up to 2; the first is [1] = 1002, want 1000"},
		{"type", tensor.FromSlice([]int32{1}, 1), tensor.FromSlice([]int64{1}, 1), 0, "element type I32, want I64"},
		{"shape", tensor.FromSlice([]int32{1, 2}, 2), tensor.FromSlice([]int32{1, 2}, 1, 2), 0, "shape [2], want [1 2]"},
		{"NaN is NaN", tensor.FromSlice([]float32{nan}, 1), tensor.FromSlice([]float32{nan}, 1), 0, ""},
		{"NaN is no number", tensor.FromSlice([]float32{nan}, 1), tensor.FromSlice([]float32{1}, 1), math.NaN(), "1 of 1"},
		{"infinity", tensor.FromSlice([]float32{inf}, 1), tensor.FromSlice([]float32{inf}, 1), 0, ""},
		{"no infinity", tensor.FromSlice([]float32{5}, 1), tensor.FromSlice([]float32{inf}, 1), math.Inf(1), "1 of 1"},
		{"other infinity", tensor.FromSlice([]float32{-inf}, 1), tensor.FromSlice([]float32{inf}, 1), math.Inf(1), "1 of 1"},
		{"integers", tensor.FromSlice([]int8{-3}, 1), tensor.FromSlice([]int8{-4}, 1), 1, "1 of 1"},
		{"halves", &tensor.Tensor{DType: tensor.F16, Shape: []int{1}, Data: []byte{0, 0x3c}}, &tensor.Tensor{DType: tensor.F16, Shape: []int{1}, Data: []byte{0, 0x40}}, 1, "[0] = 1, want 2"},
	} {
		diff, err := tol.compare(c.got, c.want)
		switch {
		case c.fault == "" && err != nil, c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: error %v, want %q", c.name, err, c.fault)
		case diff != c.diff && !(math.IsNaN(diff) && math.IsNaN(c.diff)):
			t.Errorf("%s: difference %g, want %g", c.name, diff, c.diff)
		}
	}
}

// protoTensor encodes an ONNX TensorProto: dims, data_type, name, raw_data.
func protoTensor(t *tensor.Tensor) []byte {
	var b []byte
	for _, d := range t.Shape {
		b = protowire.AppendTag(b, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(d))
	}
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	b = protowire.AppendVarint(b, 1)
	b = protowire.AppendTag(b, 9, protowire.BytesType)
	return protowire.AppendBytes(b, t.Data)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// backendTest makes a test folder of digits-cnn: what the model gives, with change applied to it.
func backendTest(t *testing.T, dir string, change func(*tensor.Tensor)) {
	t.Helper()
	b, err := os.ReadFile(testdata + "digits-cnn/digits-cnn.onnx")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "model.onnx"), b)
	m, r, err := convert.Open(context.Background(), filepath.Join(dir, "model.onnx"), convert.Options{NoFuse: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := runtime.NewSession(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := tensor.New(tensor.F32, 1, 1, 28, 28)
	for i := range in.F32() {
		in.F32()[i] = float32(i%7) / 3
	}
	out, err := s.Run(context.Background(), map[string]*tensor.Tensor{m.Graph.Inputs[0].Name: in})
	if err != nil {
		t.Fatal(err)
	}
	want := tensor.New(tensor.F32, out[0].Shape...)
	copy(want.Data, out[0].Data)
	change(want)
	write(t, filepath.Join(dir, "test_data_set_0", "input_0.pb"), protoTensor(in))
	write(t, filepath.Join(dir, "test_data_set_0", "output_0.pb"), protoTensor(want))
}

// TestRun sees each outcome: a fused model against the results of the unfused one, results that were changed, an
// unknown operator, a broken file, nothing to compare with.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	backendTest(t, filepath.Join(dir, "a-good"), func(*tensor.Tensor) {})
	backendTest(t, filepath.Join(dir, "b-wrong"), func(w *tensor.Tensor) { w.F32()[3] += 0.1 })
	backendTest(t, filepath.Join(dir, "c-unknown"), func(*tensor.Tensor) {})
	model := filepath.Join(dir, "c-unknown", "model.onnx")
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	write(t, model, []byte(strings.ReplaceAll(string(b), "MaxPool", "MaxLoop")))
	backendTest(t, filepath.Join(dir, "d-cut"), func(*tensor.Tensor) {})
	write(t, filepath.Join(dir, "d-cut", "model.onnx"), b[:len(b)/2])
	backendTest(t, filepath.Join(dir, "e-nothing"), func(*tensor.Tensor) {})
	if err := os.RemoveAll(filepath.Join(dir, "e-nothing", "test_data_set_0")); err != nil {
		t.Fatal(err)
	}

	var lines []string
	r, err := Run(context.Background(), []string{dir}, Options{RTol: DefaultRTol, ATol: -1, Threads: 1}, func(res Result) {
		lines = append(lines, string(res.Status)+" "+res.Name)
		if strings.Contains(res.Detail, "\n") {
			t.Errorf("%s: the detail has several lines: %q", res.Name, res.Detail)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "PASS a-good, FAIL b-wrong, UNSUPPORTED c-unknown, FAIL d-cut, FAIL e-nothing"
	if got := strings.Join(lines, ", "); got != want || r.Total != 5 || r.Pass != 1 || r.Fail != 3 || r.Unsupported != 1 {
		t.Errorf("got  %s (%d: %d %d %d)\nwant %s", got, r.Total, r.Pass, r.Fail, r.Unsupported, want)
	}
	var gate *fault.Gate
	if err := r.Err(); !errors.As(err, &gate) {
		t.Errorf("error %v, want that of a gate", err)
	}
	one, err := Run(context.Background(), []string{filepath.Join(dir, "c-unknown")}, Options{}, func(Result) {})
	var u *fault.Unsupported
	if err != nil || !errors.As(one.Err(), &u) {
		t.Errorf("one unsupported test: %v, %v", err, one.Err())
	}
	good, err := Run(context.Background(), []string{filepath.Join(dir, "a-good")}, Options{RTol: DefaultRTol, ATol: -1}, func(Result) {})
	if err != nil || good.Err() != nil {
		t.Errorf("one good test: %v, %v", err, good.Err())
	}
	var usage *fault.Usage
	if _, err := Run(context.Background(), []string{t.TempDir()}, Options{}, func(Result) {}); !errors.As(err, &usage) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestGoldenFolder holds gutenberg-1M against what it gave itself, and sees changes of each part.
func TestGoldenFolder(t *testing.T) {
	source := testdata + "gutenberg-1M"
	m, rep, err := convert.Open(context.Background(), source, convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Close()
	lm, err := runtime.NewLM(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer lm.Close()
	ids := []int32{81, 2487, 913}
	logits, err := lm.All(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	base := golden{Kind: "causal", InputIDs: [][]int32{ids}, OutputStd: 2}
	base.Output.Name = "logits"
	base.Output.Values = append(base.Output.Values, logits...)
	next, sampler := logits[2*lm.VocabSize():], &runtime.Sampler{}
	var tokens []int32
	for range 3 {
		tokens = append(tokens, sampler.Next(next))
		if next, err = lm.Next(context.Background(), tokens[len(tokens)-1:]); err != nil {
			t.Fatal(err)
		}
	}
	base.Greedy = [][]int32{tokens}

	for _, c := range []struct {
		name   string
		change func(g *golden)
		status Status
		detail string
	}{
		{"as it is", func(*golden) {}, Pass, "greedy tokens equal"},
		{"a logit off by more than 1e-4 deviations", func(g *golden) { g.Output.Values[5000] += 3e-4 }, Fail, "value 5000 of logits"},
		{"a logit off by less", func(g *golden) { g.Output.Values[5000] += 1e-4 }, Pass, ""},
		{"another token", func(g *golden) { g.Greedy = [][]int32{{tokens[0], tokens[1] + 1}} }, Fail, "greedy token 1"},
		{"a row too many", func(g *golden) { g.Output.Values = append(g.Output.Values, 0) }, Fail, "the model gives"},
		{"a row too few", func(g *golden) { g.Output.Values = g.Output.Values[:lm.VocabSize()] }, Fail, "golden.json holds"},
		{"no prompt", func(g *golden) { g.InputIDs, g.Output.Values = nil, nil }, Fail, "is missing"},
		{"another kind", func(g *golden) { g.Kind = "diffusion" }, Unsupported, "diffusion"},
	} {
		dir := t.TempDir()
		for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
			b, err := os.ReadFile(filepath.Join(source, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name), b)
		}
		g := base
		g.Output.Values = append([]float32(nil), base.Output.Values...)
		c.change(&g)
		b, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "golden.json"), b)
		r, err := Run(context.Background(), []string{dir}, Options{Threads: 1}, func(Result) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Tests[0]; got.Status != c.status || !strings.Contains(got.Detail, c.detail) {
			t.Errorf("%s: %s %q, want %s with %q", c.name, got.Status, got.Detail, c.status, c.detail)
		}
	}
}

// TestOutputSteps: an output that is quantized may be one level off.
func TestOutputSteps(t *testing.T) {
	g := &model.Graph{
		Outputs: []model.Value{{Name: "y"}, {Name: "z"}},
		Init:    map[string]*tensor.Tensor{"s": tensor.FromSlice([]float32{0.25}), "t": tensor.FromSlice([]float32{0.5, 0.75}, 2)},
		Nodes: []*model.Node{
			{Op: "DequantizeLinear", Inputs: []string{"a", "s"}, Outputs: []string{"y"}},
			{Op: "DequantizeLinear", Inputs: []string{"b", "t"}, Outputs: []string{"z"}},
		},
	}
	if s := outputSteps(g); len(s) != 2 || s[0] < 0.25 || s[0] > 0.2501 || s[1] != 0 {
		t.Errorf("steps %v, want 0.25 and 0", s)
	}
}
