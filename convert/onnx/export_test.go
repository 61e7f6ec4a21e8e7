package onnx

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

func exported(t *testing.T, m *model.Model, o ExportOptions) []byte {
	t.Helper()
	var b, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&b, &again} {
		if err := Export(context.Background(), w, m, o); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("the same model gives other bytes")
	}
	return b.Bytes()
}

func runModel(t *testing.T, m *model.Model, in map[string]*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	s, err := runtime.NewSession(m, runtime.Options{Threads: 2})
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

// noise fills F32 with numbers of -1..1 and the rest with small ones that are valid as tokens and masks.
func noise(t *tensor.Tensor, seed uint32) *tensor.Tensor {
	for i := range t.Len() {
		seed = seed*1664525 + 1013904223
		switch t.DType {
		case tensor.F32:
			t.F32()[i] = float32(int32(seed)>>8) / (1 << 23)
		case tensor.I64:
			t.I64()[i] = 1
		}
	}
	return t
}

// inputsOf makes inputs; unknown dimensions are 2.
func inputsOf(g *model.Graph) map[string]*tensor.Tensor {
	in := map[string]*tensor.Tensor{}
	for i, v := range g.Inputs {
		shape := make([]int, len(v.Type.Shape))
		for a, d := range v.Type.Shape {
			if shape[a] = d.N; !d.IsKnown() {
				shape[a] = 2
			}
		}
		in[v.Name] = noise(tensor.New(v.Type.DType, shape...), uint32(i+1))
	}
	return in
}

// sameBits compares the outputs that the first model has.
func sameBits(t *testing.T, what string, want, got []*tensor.Tensor) {
	t.Helper()
	for i := range want {
		if want[i].DType != got[i].DType || !tensor.SameShape(want[i].Shape, got[i].Shape) || !bytes.Equal(want[i].Data, got[i].Data) {
			t.Errorf("%s: output %d differs: %v and %v", what, i, want[i], got[i])
		}
	}
}

var fused = Options{Eval: runtime.Eval, Supports: runtime.Supports}

// TestExportReadBack: what was exported and imported again gives the same bits.
func TestExportReadBack(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared", "models")
	paths := []string{filepath.Join("..", "..", "testdata", "models", "digits-cnn", "digits-cnn.onnx")}
	if _, err := os.Stat(shared); err == nil {
		paths = append(paths, filepath.Join(shared, "cifar10-resnet", "resnet20.onnx"), filepath.Join(shared, "nanodet-m", "nanodet.onnx"),
			filepath.Join(shared, "ultraface", "version-RFB-320.onnx"))
	}
	for _, path := range paths {
		m, r, err := Import(context.Background(), path, fused)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := importBytes(exported(t, m, ExportOptions{}), fused)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		in := inputsOf(m.Graph)
		sameBits(t, path, runModel(t, m, in), runModel(t, back, in))
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExportEncoder exports an encoder of texts, which has Attention with a mask.
func TestExportEncoder(t *testing.T) {
	m, r, err := safetensors.Import(context.Background(), filepath.Join("..", "..", "testdata", "models", "bert-tiny"), safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data := exported(t, m, ExportOptions{})
	back, rep, err := importBytes(data, fused)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Opset != 23 || rep.Operators["Expand"] == 0 {
		t.Errorf("opset %d, operators %v", rep.Opset, rep.Operators)
	}
	in := inputsOf(m.Graph)
	sameBits(t, "bert-tiny", runModel(t, m, in), runModel(t, back, in))
}

// TestExportCaches: a language model's caches become inputs and outputs; a step with the caches of the prompt gives what
// the session of the model gives, bit for bit.
func TestExportCaches(t *testing.T) {
	m, r, err := safetensors.Import(context.Background(), filepath.Join("..", "..", "testdata", "models", "gutenberg-1M"), safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	back, _, err := importBytes(exported(t, m, ExportOptions{}), fused)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Graph.Inputs) != len(m.Graph.Inputs)+len(m.Graph.States) || len(back.Graph.Outputs) != 1+len(m.Graph.States) {
		t.Fatalf("%d inputs, %d outputs", len(back.Graph.Inputs), len(back.Graph.Outputs))
	}
	feed := func(past int64, ids ...int64) map[string]*tensor.Tensor {
		return map[string]*tensor.Tensor{"input_ids": tensor.FromSlice(ids, 1, len(ids)), "past_len": tensor.FromSlice([]int64{past}, 1),
			"logits_index": tensor.FromSlice([]int64{int64(len(ids) - 1)}, 1)}
	}
	const context32 = 32
	s, err := runtime.NewSession(m, runtime.Options{Threads: 2, Context: context32})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	caches := map[string]*tensor.Tensor{}
	for _, st := range m.Graph.States {
		shape := st.Input.Type.Shape
		caches[st.Input.Name] = tensor.New(tensor.F32, 1, context32, shape[2].N)
	}
	past := int64(0)
	for _, ids := range [][]int64{{5, 77, 300, 8}, {41}, {9}} {
		in := feed(past, ids...)
		want, err := s.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		in = feed(past, ids...)
		for name, c := range caches {
			in[name] = c
		}
		got := runModel(t, back, in)
		sameBits(t, "logits", want, got)
		for i, st := range m.Graph.States {
			caches[st.Input.Name] = got[1+i]
		}
		past += int64(len(ids))
	}
}

// TestExportQuantized: codes and scales stand for the very numbers that dsk's weights do, in all formats, and for all that reads them.
func TestExportQuantized(t *testing.T) {
	const n, k = 24, 72
	src := noise(tensor.New(tensor.F32, n, k), 7).F32()
	for _, f := range []kernels.Format{kernels.D8, kernels.D4, kernels.D3, kernels.D2} {
		lv := kernels.DefaultLevels(f)
		data := tensor.AlignedBytes(f.Bytes(n, k))
		if err := kernels.Quantize(data, f, lv, src, n, k, nil, nil); err != nil {
			t.Fatal(err)
		}
		q := func(shape ...int) *tensor.Tensor {
			return &tensor.Tensor{DType: tensor.QuantizedDType(f), Shape: shape, Layout: tensor.Panel16, Data: data, Levels: lv}
		}
		exact := map[string]model.Attr{"act_bits": model.IntAttr(32)}
		g := &model.Graph{
			Inputs:  []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: model.Dims(3, k)}}, {Name: "ids", Type: model.Type{DType: tensor.I64, Shape: model.Dims(4)}}, {Name: "image", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 8, 5, 6)}}},
			Outputs: []model.Value{{Name: "y"}, {Name: "rows"}, {Name: "shared"}, {Name: "map"}},
			Init:    map[string]*tensor.Tensor{"w": q(n, k), "table": q(n, k), "kernel": q(n, 3, 3, 8)},
			Nodes: []*model.Node{
				{Domain: model.DomainDsk, Op: "Linear", Name: "y", Inputs: []string{"x", "w"}, Outputs: []string{"y"}, Attrs: exact},
				{Op: "Gather", Name: "rows", Inputs: []string{"table", "ids"}, Outputs: []string{"rows"}, Attrs: model.Attrs{"axis": model.IntAttr(0)}},
				{Domain: model.DomainDsk, Op: "Linear", Name: "shared", Inputs: []string{"x", "table"}, Outputs: []string{"shared"}, Attrs: exact},
				{Domain: model.DomainDsk, Op: "Conv", Name: "map", Inputs: []string{"image", "kernel"}, Outputs: []string{"map"},
					Attrs: model.Attrs{"act_bits": model.IntAttr(32), "kernel_shape": model.IntsAttr(3, 3)}},
			},
		}
		m := &model.Model{Graph: g}
		in := inputsOf(g)
		var all [][]*tensor.Tensor
		for _, weights := range []string{WeightsQDQ, WeightsF32} {
			file := exported(t, m, ExportOptions{Weights: weights})
			back, rep, err := importBytes(file, fused)
			if err != nil {
				t.Fatal(err)
			}
			if (rep.Operators["DequantizeLinear"] > 0) != (weights == WeightsQDQ) {
				t.Errorf("%v as %s: operators %v", f, weights, rep.Operators)
			}
			all = append(all, runModel(t, back, in))
		}
		sameBits(t, f.String(), all[1], all[0])
		want := make([]float32, k)
		kernels.DequantizeRow(want, data, f, lv, 1, k)
		for r := range 4 {
			for i, v := range all[0][1].F32()[r*k:][:k] {
				if math.Float32bits(v) != math.Float32bits(want[i]) {
					t.Fatalf("%v: gathered weight %d is %v, want %v", f, i, v, want[i])
				}
			}
		}
		for i, out := range runModel(t, m, in) {
			for j, v := range out.F32() {
				if d := math.Abs(float64(v - all[0][i].F32()[j])); d > 1e-4 {
					t.Fatalf("%v: output %d is %v, was %v", f, i, all[0][i].F32()[j], v)
				}
			}
		}
	}
}

// TestExportOurs writes each activation, channels last, a pool and a further operand as ONNX's operators.
func TestExportOurs(t *testing.T) {
	for act, params := range map[string][]float32{
		model.ActNone: nil, model.ActRelu: nil, model.ActLeakyRelu: {0.1}, model.ActClip: {-0.5, 0.5}, model.ActSigmoid: nil, model.ActTanh: nil,
		model.ActSwish: nil, model.ActHardSwish: nil, model.ActGelu: nil, model.ActGeluTanh: nil,
	} {
		attrs := model.Attrs{"kernel_shape": model.IntsAttr(3, 3), "pads": model.IntsAttr(1, 1, 1, 1), "activation": model.StringAttr(act),
			"activation_params": model.FloatsAttr(params...), "layout": model.StringAttr(model.LayoutNHWC)}
		first := model.Attrs{"input_layout": model.StringAttr(model.LayoutNCHW)}
		for name, a := range attrs {
			first[name] = a
		}
		linear := model.Attrs{"activation": attrs["activation"], "activation_params": attrs["activation_params"]}
		g := &model.Graph{
			Inputs:  []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 3, 6, 7)}}},
			Outputs: []model.Value{{Name: "y"}, {Name: "c"}},
			Init: map[string]*tensor.Tensor{"w1": noise(tensor.New(tensor.F32, 5, 3, 3, 3), 1), "b1": noise(tensor.New(tensor.F32, 5), 2),
				"w2": noise(tensor.New(tensor.F32, 5, 3, 3, 5), 3), "w3": noise(tensor.New(tensor.F32, 4, 5), 4), "b3": noise(tensor.New(tensor.F32, 4), 5)},
			Nodes: []*model.Node{
				{Domain: model.DomainDsk, Op: "Conv", Name: "a", Inputs: []string{"x", "w1", "b1"}, Outputs: []string{"a"}, Attrs: first},
				{Domain: model.DomainDsk, Op: "Conv", Name: "b", Inputs: []string{"a", "w2", "", "a"}, Outputs: []string{"b"}, Attrs: attrs},
				{Domain: model.DomainDsk, Op: "MaxPool", Name: "c", Inputs: []string{"b"}, Outputs: []string{"c"}, Attrs: model.Attrs{"kernel_shape": model.IntsAttr(2, 2)}},
				{Domain: model.DomainDsk, Op: "Linear", Name: "y", Inputs: []string{"c", "w3", "b3"}, Outputs: []string{"y"}, Attrs: linear},
			},
		}
		m := &model.Model{Graph: g}
		data := exported(t, m, ExportOptions{})
		plain := fused
		plain.NoFuse = true
		back, rep, err := importBytes(data, plain)
		if err != nil {
			t.Fatalf("%s: %v", act, err)
		}
		for op := range rep.Operators {
			if strings.Contains(op, ".") {
				t.Errorf("%s: operator %s", act, op)
			}
		}
		in := inputsOf(g)
		want := runModel(t, m, in)
		for i, out := range runModel(t, back, in) {
			for j, v := range out.F32() {
				if d := math.Abs(float64(v - want[i].F32()[j])); d > 1e-5 {
					t.Fatalf("%s: output %d is %v, want %v", act, i, v, want[i].F32()[j])
				}
			}
		}
	}
}

// TestExportRefuses lists everything at once that ONNX has no form for.
func TestExportRefuses(t *testing.T) {
	v := func(name string, shape ...int) model.Value {
		return model.Value{Name: name, Type: model.Type{DType: tensor.F32, Shape: model.Dims(shape...)}}
	}
	heads := model.Attrs{"q_num_heads": model.IntAttr(1), "kv_num_heads": model.IntAttr(1)}
	window := model.Attrs{"q_num_heads": model.IntAttr(1), "kv_num_heads": model.IntAttr(1), "is_causal": model.IntAttr(1), "local_window_size": model.IntAttr(2)}
	g := &model.Graph{Inputs: []model.Value{v("x", 1, 4, 8), v("s", 1)}, Outputs: []model.Value{{Name: "a"}, {Name: "b"}}, Nodes: []*model.Node{
		{Op: "Attention", Name: "a", Inputs: []string{"x", "x", "x"}, Outputs: []string{"a"}, Attrs: window},
		{Op: "Attention", Name: "b", Inputs: []string{"x", "x", "x", "", "", "", "", "s"}, Outputs: []string{"b"}, Attrs: heads},
	}}
	var u *fault.Unsupported
	err := Export(context.Background(), &bytes.Buffer{}, &model.Model{Graph: g}, ExportOptions{})
	if !errors.As(err, &u) || len(u.Items) != 2 || !strings.Contains(err.Error(), "sinks") || !strings.Contains(err.Error(), "window") {
		t.Errorf("%v", err)
	}
	var usage *fault.Usage
	if err := Export(context.Background(), &bytes.Buffer{}, &model.Model{Graph: g}, ExportOptions{Weights: "q8_0"}); !errors.As(err, &usage) {
		t.Errorf("%v, want an error of usage", err)
	}
}
