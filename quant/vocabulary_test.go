package quant

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestRowEdges: parts are whole panels, and each is as large as all before it.
func TestRowEdges(t *testing.T) {
	for n, want := range map[int][]int{4096: {128, 256, 512, 1024, 2048}, 100: {16, 48}, 32001: {992, 2000, 4000, 8000, 16000}, 31: nil} {
		if got := rowEdges(n); !slices.Equal(got, want) {
			t.Errorf("%d rows are cut at %v, want %v", n, got, want)
		}
	}
}

// tableModel is a lookup and a product with rows of one table or two.
func tableModel(table, head string, rows, k int) *model.Model {
	dims := func(d ...int) (out []model.Dim) {
		for _, v := range d {
			out = append(out, model.Known(v))
		}
		return out
	}
	g := &model.Graph{
		Inputs: []model.Value{{Name: "ids", Type: model.Type{DType: tensor.I64, Shape: dims(2, 3)}}},
		Init:   map[string]*tensor.Tensor{},
		Nodes: []*model.Node{
			{Op: "Gather", Inputs: []string{table, "ids"}, Outputs: []string{"x"}, Attrs: model.Attrs{"axis": model.IntAttr(0)}},
			{Domain: model.DomainDsk, Op: "Linear", Inputs: []string{"x", head}, Outputs: []string{"logits"}, Attrs: model.Attrs{}},
		},
		Outputs: []model.Value{{Name: "x"}, {Name: "logits"}},
	}
	for i, name := range []string{table, head} {
		if g.Init[name] == nil {
			g.Init[name] = panels(rows, k, randomFloats(rows*k, int64(3+i)))
		}
	}
	m := &model.Model{Graph: g}
	m.Meta.LM = &model.LMInfo{VocabSize: rows}
	return m
}

// TestCutRows: a model with a table in parts computes what it did, for every row, and its values keep their names.
func TestCutRows(t *testing.T) {
	const rows, k = 100, 8
	for _, names := range [][2]string{{"table", "table"}, {"table", "head"}} {
		m := tableModel(names[0], names[1], rows, k)
		found := vocabularies(m)
		want := slices.Compact(names[:])
		if !slices.Equal(found, want) {
			t.Fatalf("found %v, want %v", found, want)
		}
		for _, edges := range [][]int{{16}, {16, 48}, {32, 64, 80, 96}} {
			cut := m.Clone()
			// Names that are taken.
			cut.Graph.Init["x.zero"] = tensor.FromSlice([]float32{1})
			cut.Graph.Init["x.last16"] = tensor.FromSlice([]float32{1})
			for _, name := range found {
				if got := model.CutRows(cut.Graph, name, edges); len(got) != len(edges)+1 {
					t.Errorf("parts %v", got)
				}
				if cut.Graph.Init[name] != nil {
					t.Errorf("%s is left", name)
				}
			}
			if err := cut.Graph.Infer(); err != nil {
				t.Fatal(err)
			}
			joined := model.JoinRows(cut)
			for _, name := range found {
				if w := joined.Graph.Init[name]; w == nil || len(joined.Graph.Nodes) != len(m.Graph.Nodes) || joined.Graph.Nodes[0].In(0) != found[0] {
					t.Errorf("edges %v: %s is not joined: %v", edges, name, joined.Graph.Nodes)
				}
			}
			var all []int64
			for id := range int64(rows) {
				all = append(all, id)
			}
			all = append(all, 0, 99)
			for len(all) >= 6 {
				in := map[string]*tensor.Tensor{"ids": tensor.FromSlice(all[:6:6], 2, 3)}
				all = all[6:]
				a, b, c := outputs(t, m, in), outputs(t, cut, in), outputs(t, joined, in)
				for i := range a {
					if !bytes.Equal(a[i].Data, b[i].Data) || !bytes.Equal(a[i].Data, c[i].Data) || !slices.Equal(a[i].Shape, b[i].Shape) {
						t.Fatalf("edges %v: output %d differs", edges, i)
					}
				}
			}
		}
	}
}

func outputs(t *testing.T, m *model.Model, in map[string]*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	s, err := runtime.NewSession(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range out {
		out[i] = out[i].Clone()
	}
	return out
}

// TestVocabulariesThatStay: a table that something else reads, with a bias, or with other rows than tokens is not cut.
func TestVocabulariesThatStay(t *testing.T) {
	for name, change := range map[string]func(m *model.Model){
		"bias":   func(m *model.Model) { m.Graph.Nodes[1].Inputs = append(m.Graph.Nodes[1].Inputs, "b") },
		"axis":   func(m *model.Model) { m.Graph.Nodes[0].Attrs["axis"] = model.IntAttr(1) },
		"tokens": func(m *model.Model) { m.Meta.LM.VocabSize++ },
		"reader": func(m *model.Model) {
			m.Graph.Nodes = append(m.Graph.Nodes, &model.Node{Op: "Neg", Inputs: []string{"table"}, Outputs: []string{"n"}, Attrs: model.Attrs{}})
		},
	} {
		m := tableModel("table", "table", 100, 8)
		change(m)
		if got := vocabularies(m); len(got) > 0 {
			t.Errorf("%s: cuts %v", name, got)
		}
	}
}

// TestRowsJoined: neighbours of one width are one constant, the same as without cuts; with two widths, two constants and one entry each
// in the report.
func TestRowsJoined(t *testing.T) {
	const rows, k = 512, 32
	m := tableModel("table", "table", rows, k)
	q := &quantizer{m: m, o: Options{Strategy: Adaptive, Calib: data(t, "text/calib.txt"), Threads: 1}}
	if err := q.prepare(); err != nil {
		t.Fatal(err)
	}
	whole := &quantizer{m: m, o: Options{Threads: 1}}
	whole.findCandidates()
	set := func(q *quantizer, widths ...int) {
		for i, c := range q.candidates {
			c.choice = option{bits: widths[i], bytes: c.size(widths[i])}
			if err := q.measureError(c, &c.choice); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(q.candidates) != 6 || len(whole.candidates) != 1 {
		t.Fatalf("%d and %d candidates", len(q.candidates), len(whole.candidates))
	}
	set(q, 4, 4, 4, 4, 4, 4)
	set(whole, 4)
	a, b := q.encode(), whole.encode()
	if x, y := written(t, a), written(t, b); !bytes.Equal(x, y) {
		t.Error("with one width for all parts the file differs from one without parts")
	}
	set(q, 8, 8, 8, 3, 3, 3)
	out := q.encode()
	var names []string
	var list []TensorReport
	for _, c := range q.candidates {
		list = append(list, TensorReport{Name: c.name, Shape: c.t.Shape, Bits: c.choice.bits, Bytes: c.choice.bytes})
	}
	for _, r := range q.joinRows(list) {
		names = append(names, r.Name)
		if c := out.Graph.Init[r.Name]; c == nil || c.DType != dtypeOf(r.Bits) || !tensor.SameShape(c.Shape, r.Shape) || int64(c.Bytes()) != r.Bytes || r.SQNR == nil {
			t.Errorf("the report has %+v, the file %v", r, c)
		}
	}
	if !slices.Equal(names, []string{"table.rows0", "table.rows64"}) {
		t.Errorf("constants %v", names)
	}
	in := map[string]*tensor.Tensor{"ids": tensor.FromSlice([]int64{0, 63, 64, 127, 300, 511}, 2, 3)}
	joined := model.JoinRows(out)
	if w := joined.Graph.Init["table"]; w == nil || w.DType != tensor.F32 || len(joined.Graph.Init) != 1 || len(joined.Graph.Nodes) != 2 {
		t.Errorf("joined: %v", joined.Graph.Nodes)
	}
	got := outputs(t, out, in)[0].F32()
	if again := outputs(t, joined, in)[0].F32(); !slices.Equal(got, again) {
		t.Error("the joined table has other rows")
	}
	row := make([]float32, k)
	for i, id := range []int{0, 63, 64, 127, 300, 511} {
		part, at := "table.rows0", id
		if id >= 64 {
			part, at = "table.rows64", id-64
		}
		w, err := out.Graph.Init[part].Loaded()
		if err != nil {
			t.Fatal(err)
		}
		kernels.DequantizeRow(row, w.Data, w.DType.Format(), w.Levels, at, k)
		if !slices.Equal(row, got[i*k:(i+1)*k]) {
			t.Errorf("row %d is not that of %s", id, part)
		}
	}
}

// TestCutHeadInSequence: the parts of a matrix that makes logits are products of one stage, which sees its input whether the matrix is cut
// at that moment or not.
func TestCutHeadInSequence(t *testing.T) {
	m := tableModel("table", "head", 512, 32)
	q := &quantizer{m: m, o: Options{Strategy: Adaptive, Calib: data(t, "text/calib.txt"), Threads: 1}}
	if err := q.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, c := range q.candidates {
		c.feedback = &kernels.Feedback{}
	}
	stages := q.stages()
	if len(stages) != 1 || len(stages[0].products) != 6 || stages[0].uncut != "logits" {
		t.Fatalf("stages %+v", stages)
	}
	for _, c := range q.candidates {
		c.choice = option{bits: 4}
	}
	whole := q.encode()
	stages[0].products[0].choice.bits = 8
	for what, g := range map[string]*model.Graph{"whole": whole.Graph, "cut": q.encode().Graph} {
		seen := 0
		see := observer(stages, func(int, *stage, []float32) { seen++ }, nil)
		more := true
		for _, n := range g.Nodes {
			if more {
				more = see(0, n, []*tensor.Tensor{tensor.New(tensor.F32, 6, 32)})
			}
		}
		if seen != 1 || more {
			t.Errorf("%s: seen %d times, more %v", what, seen, more)
		}
	}
}

// TestVocabularyWidths: in a language model the frequent tokens get more bits than the rare ones, the budget holds for the file that is written,
// and what is read from the file computes the same.
func TestVocabularyWidths(t *testing.T) {
	ctx := context.Background()
	m := open(t, "models/gutenberg-1M", convert.Options{})
	o := Options{Strategy: Adaptive, TargetBPW: 4.6, Calib: data(t, "text/calib.txt"), Threads: 2, EvalOptions: eval.Options{Context: 48, Limit: 6}}
	out, r, err := Apply(ctx, m, o)
	if err != nil {
		t.Fatal(err)
	}
	b := written(t, out)
	if want := int64(4.6 / 8 * float64(m.Meta.Parameters)); int64(len(b)) != r.Bytes || r.Bytes > want || r.Bytes < want*98/100 {
		t.Errorf("%d bytes, the report says %d, the target is %d", len(b), r.Bytes, want)
	}
	var bits []int
	for _, w := range r.Tensors {
		if strings.Contains(w.Name, "embed_tokens") {
			bits = append(bits, w.Bits)
			if c := out.Graph.Init[w.Name]; c == nil || c.DType != dtypeOf(w.Bits) {
				t.Errorf("%s of %d bits is not in the file", w.Name, w.Bits)
			}
		}
	}
	t.Log("widths of the table's parts", bits)
	if len(bits) < 2 {
		t.Errorf("the table has widths %v", bits)
	}
	if size, err := dskfile.Size(out); err != nil || size != r.Bytes {
		t.Errorf("size %d, %v", size, err)
	}
}
