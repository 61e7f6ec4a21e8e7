package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func writeModel(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func importBytes(data []byte, o Options) (*model.Model, *Report, error) {
	r := &Report{}
	m, err := r.build(context.Background(), data, o)
	return m, r, err
}

// TestGoldenImport holds every tensor of an import against a recorded type, shape and hash.
func TestGoldenImport(t *testing.T) {
	m, r, err := Import(context.Background(), writeModel(t, tiny()), Options{NoFuse: true, Labels: []string{"a", "b", "c"}, Preprocess: []byte(`{"scale":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	type entry struct {
		DType  string `json:"dtype"`
		Shape  []int  `json:"shape"`
		SHA256 string `json:"sha256"`
	}
	got := map[string]entry{}
	for name, w := range m.Graph.Init {
		if err := w.Load(); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(w.Data)
		got[name] = entry{w.DType.String(), w.Shape, hex.EncodeToString(sum[:])}
	}
	golden := filepath.Join("testdata", "tiny.json")
	if *update {
		text, _ := json.MarshalIndent(got, "", "\t")
		if err := os.WriteFile(golden, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]entry{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("weights differ (-want +got):\n%s", d)
	}
	if m.Meta.Task != model.TaskClassify || m.Meta.Parameters != 18+2+2+2+6 || m.Meta.Name != "tiny" || m.Meta.Source.Format != "onnx" {
		t.Errorf("meta: %+v", m.Meta)
	}
	if f := m.Meta.Source.Files; len(f) != 1 || f[0].Name != "tiny.onnx" || f[0].Bytes != int64(len(tiny())) {
		t.Errorf("source files: %+v", f)
	}
	if string(m.Assets[model.AssetLabels]) != "a\nb\nc\n" || string(m.Assets[model.AssetPreprocess]) != `{"scale":1}` {
		t.Errorf("assets: %q", m.Assets)
	}
	if err := m.Graph.Check(); err != nil {
		t.Error(err)
	}
	if got := m.Graph.Outputs[0].Type.String(); got != "F32[n,3]" {
		t.Errorf("output is %s", got)
	}
}

// TestWeightsAreViews checks that large weights are not copied.
func TestWeightsAreViews(t *testing.T) {
	raw := make([]byte, 4*smallTensor)
	data := []byte(modelMsg(13, graphSpec{
		nodes:   []message{nodeMsg("Add", "", []string{"x", "w"}, []string{"y"})},
		inits:   []message{tensorMsg("w", 1, raw, smallTensor)},
		inputs:  []message{valueMsg("x", 1, 1)},
		outputs: []message{valueMsg("y", 1, smallTensor)},
	}))
	p, err := decodeModel(data)
	if err != nil {
		t.Fatal(err)
	}
	w, err := (&sources{}).tensor(p.graph.inits[0])
	if err != nil {
		t.Fatal(err)
	}
	at := p.graph.inits[0].rawAt
	if &w.Data[0] != &data[at] {
		t.Error("the weight was copied")
	}
	allocs := testing.AllocsPerRun(1, func() { _, _ = decodeModel(data) })
	if allocs > 100 {
		t.Errorf("decoding takes %v allocations", allocs)
	}
}

func TestInputShapes(t *testing.T) {
	two := modelMsg(13, graphSpec{
		nodes:   []message{nodeMsg("Add", "", []string{"a", "b"}, []string{"y"})},
		inputs:  []message{valueMsg("a", 1, -1, 4), valueMsg("b", 1, -1, 4)},
		outputs: []message{valueMsg("y", 1, -1, 4)},
	})
	m, _, err := importBytes(two, Options{InputShapes: map[string][]int{"a": {3, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Graph.Inputs[1].Type.String() + m.Graph.Outputs[0].Type.String(); got != "F32[3,4]F32[3,4]" {
		t.Errorf("b and y are %s", got)
	}
	for name, shapes := range map[string]map[string][]int{
		"no such input":       {"c": {3, 4}},
		"rank":                {"a": {3}},
		"fixed dimension":     {"a": {3, 5}},
		"two values of a dim": {"a": {3, 4}, "b": {2, 4}},
		"negative":            {"a": {-3, 4}},
	} {
		_, _, err := importBytes(two, Options{InputShapes: shapes})
		var usage *fault.Usage
		if !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnsupportedListsAll(t *testing.T) {
	g := graphSpec{
		nodes: []message{
			nodeMsg("Relu", "ok", []string{"x"}, []string{"a"}),
			nodeMsg("Reluu", "n1", []string{"a"}, []string{"b"}),
			nodeMsg("Reluu", "n2", []string{"b"}, []string{"c"}),
			nodeMsg("StringNormaliser", "n3", []string{"c"}, []string{"d"}),
			nodeMsg("Neg", "good", []string{"a"}, []string{"e"}),
		},
		inputs:  []message{valueMsg("x", 1, 2)},
		outputs: []message{valueMsg("d", 8, 2), valueMsg("e", 1, 2)},
	}
	_, _, err := importBytes(modelMsg(13, g), Options{})
	var u *fault.Unsupported
	if !errors.As(err, &u) {
		t.Fatalf("got %v", err)
	}
	text := err.Error()
	for _, want := range []string{"Reluu (opset 13) F32 at node n1", "nearest supported operator is Relu", "StringNormaliser", "node n3", "nearest supported operator is StringNormalizer"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	m, r, err := importBytes(modelMsg(13, g), Options{Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Graph.Outputs) != 1 || m.Graph.Outputs[0].Name != "e" || len(r.Dropped) != 1 || r.Dropped[0] != "d" {
		t.Errorf("partial: outputs %v, dropped %v", m.Graph.Outputs, r.Dropped)
	}
	m, r, err = importBytes(modelMsg(13, g), Options{AnyOperator: true})
	if err != nil || len(m.Graph.Nodes) != 5 || len(r.Unsupported) != 3 {
		t.Errorf("any operator: %v, %v, %v", err, m, r.Unsupported)
	}
	noNeg := func(_, op string) bool { return op != "Neg" }
	if _, _, err = importBytes(modelMsg(13, g), Options{Partial: true, Supports: noNeg}); !errors.As(err, &u) || !strings.Contains(err.Error(), "Neg") {
		t.Errorf("runtime without Neg: %v", err)
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	external := func(entries ...string) message {
		m := message(nil).num(1, 2).num(2, 1).str(8, "w").num(14, 1)
		for i := 0; i < len(entries); i += 2 {
			m = m.bytes(13, message(nil).str(1, entries[i]).str(2, entries[i+1]))
		}
		return modelMsg(13, graphSpec{
			nodes:   []message{nodeMsg("Add", "", []string{"x", "w"}, []string{"y"})},
			inits:   []message{m},
			inputs:  []message{valueMsg("x", 1, 2)},
			outputs: []message{valueMsg("y", 1, 2)},
		})
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"w.bin", "sub/w.bin"} {
		if err := os.WriteFile(filepath.Join(dir, name), append(make([]byte, 8), float32s(3, 4)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(data []byte) (*model.Model, error) {
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, r, err := Import(context.Background(), path, Options{NoFuse: true})
		if err == nil {
			t.Cleanup(func() { r.Close() })
		}
		return m, err
	}
	m, err := run(external("location", "sub/w.bin", "offset", "8", "length", "8"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Graph.Init["w"].F32(); got[0] != 3 || got[1] != 4 {
		t.Errorf("w is %v", got)
	}
	if f := m.Meta.Source.Files; len(f) != 2 || f[1].Name != "w.bin" || f[1].Bytes != 16 {
		t.Errorf("source files: %+v", f)
	}
	for name, c := range map[string]struct {
		entries []string
		want    string
	}{
		"missing file":    {[]string{"location", "none.bin"}, `"none.bin" is missing`},
		"outside":         {[]string{"location", "../w.bin"}, "outside of the model's folder"},
		"absolute":        {[]string{"location", "/w.bin"}, "outside of the model's folder"},
		"hidden outside":  {[]string{"location", "sub/../../w.bin"}, "outside of the model's folder"},
		"no location":     {nil, "names no file"},
		"past the end":    {[]string{"location", "w.bin", "offset", "9"}, "ends at byte 16"},
		"overflow":        {[]string{"location", "w.bin", "offset", "9223372036854775807"}, "ends at byte 16"},
		"wrong length":    {[]string{"location", "w.bin", "length", "12"}, "takes 8 bytes"},
		"negative offset": {[]string{"location", "w.bin", "offset", "-1"}, "not a number"},
		"a folder":        {[]string{"location", "sub"}, "directory"},
	} {
		_, err := run(external(c.entries...))
		var format *fault.Format
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRealModels imports the real models of ../shared and counts what comes out.
func TestRealModels(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared")
	if _, err := os.Stat(shared); err != nil {
		t.Skip("../shared is absent")
	}
	for path, want := range map[string]struct {
		nodes, convs int
		parameters   int64
		task         model.Task
	}{
		"models/digits-cnn/digits-cnn.onnx":                             {19, 5, 45018, model.TaskClassify},
		"models/cifar10-resnet/resnet20.onnx":                           {73, 19, 269722, model.TaskClassify},
		"models/mobilenet-v1-0.25/mobilenet_v1_0.25_224.onnx":           {84, 28, 470072, model.TaskClassify},
		"models/nanodet-m/nanodet.onnx":                                 {335, 73, 941818, model.TaskGraph},
		"models/silero-vad/silero_vad_16k_op15.onnx":                    {350, 6, 309633, model.TaskGraph},
		"models/ultraface/version-RFB-320_simplified.onnx":              {110, 52, 273888, model.TaskGraph},
		"onnx/real/onnx-light_resnet50/model.onnx":                      {415, 53, 897, model.TaskClassify},
		"onnx/real/zoo-super-resolution-10/model.onnx":                  {12, 4, 59657, model.TaskGraph},
		"onnx/ort-reference/models/cifar10-resnet56/model.onnx":         {199, 55, 853018, model.TaskClassify},
		"onnx/ort-reference/models/ultraface-rfb-320-models/model.onnx": {242, 52, 302812, model.TaskGraph},
	} {
		m, r, err := Import(context.Background(), filepath.Join(shared, filepath.FromSlash(path)), Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if r.SourceNodes != want.nodes || r.Operators["Conv"] != want.convs || r.Parameters != want.parameters || m.Meta.Task != want.task {
			t.Errorf("%s: {%d, %d, %d, %q}, want %v", path, r.SourceNodes, r.Operators["Conv"], r.Parameters, m.Meta.Task, want)
		}
		if err := m.Graph.Check(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRealFolders imports every model of the folders that must all pass.
func TestRealFolders(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared")
	if _, err := os.Stat(shared); err != nil {
		t.Skip("../shared is absent")
	}
	for _, pattern := range []string{"models/*/*.onnx", "onnx/real/onnx-light_*/model.onnx", "onnx/real/zoo-*/model.onnx", "onnx/ort-reference/models/*/model.onnx"} {
		paths, err := filepath.Glob(filepath.Join(shared, filepath.FromSlash(pattern)))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no models (%v)", pattern, err)
		}
		for _, path := range paths {
			_, r, err := Import(context.Background(), path, Options{NoFuse: true})
			if err != nil {
				t.Error(err)
				continue
			}
			r.Close()
		}
	}
}

// dump writes a graph as text: one line a node, constants with their values.
func dump(g *model.Graph) string {
	var b strings.Builder
	value := func(name string) string {
		t := g.Init[name]
		switch {
		case t == nil:
			return name
		case t.DType == tensor.I64:
			return fmt.Sprint(t.I64())
		case t.DType == tensor.F32:
			return fmt.Sprint(t.F32())
		}
		return t.String()
	}
	for _, n := range g.Nodes {
		var in []string
		for _, name := range n.Inputs {
			in = append(in, value(name))
		}
		var attrs []string
		for _, k := range sortedKeys(n.Attrs) {
			a := n.Attrs[k]
			switch a.Kind {
			case model.AttrInt:
				attrs = append(attrs, fmt.Sprintf("%s=%d", k, a.Int))
			case model.AttrFloat:
				attrs = append(attrs, fmt.Sprintf("%s=%g", k, a.Float))
			case model.AttrString:
				attrs = append(attrs, k+"="+a.Str)
			case model.AttrInts:
				attrs = append(attrs, fmt.Sprintf("%s=%v", k, a.Ints))
			default:
				attrs = append(attrs, k)
			}
		}
		fmt.Fprintf(&b, "%s = %s(%s)", strings.Join(n.Outputs, ", "), n.Op, strings.Join(in, ", "))
		if len(attrs) > 0 {
			b.WriteString(" " + strings.Join(attrs, " "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
