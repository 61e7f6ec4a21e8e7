package dskfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// memFile is a file in memory.
type memFile struct {
	b   []byte
	pos int64
}

func (f *memFile) Write(p []byte) (int, error) {
	if need := f.pos + int64(len(p)); need > int64(len(f.b)) {
		f.b = append(f.b, make([]byte, need-int64(len(f.b)))...)
	}
	copy(f.b[f.pos:], p)
	f.pos += int64(len(p))
	return len(p), nil
}

func (f *memFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += int64(len(f.b))
	}
	f.pos = offset
	return offset, nil
}

// fileOf returns m's file.
func fileOf(t testing.TB, m *model.Model) []byte {
	t.Helper()
	return fileInChunks(t, m, ChunkBytes)
}

func fileInChunks(t testing.TB, m *model.Model, chunk int64) []byte {
	t.Helper()
	var f memFile
	if err := write(context.Background(), &f, m, chunk, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Aligned, as a mapping would be, so that OpenBytes makes no copy.
	b := tensor.AlignedBytes(len(f.b))
	copy(b, f.b)
	return b
}

// counting returns a tensor whose bytes count up from seed.
func counting(t testing.TB, seed int, dt tensor.DType, l tensor.Layout, shape ...int) *tensor.Tensor {
	t.Helper()
	n, err := tensor.ByteSize(dt, shape, l)
	if err != nil {
		t.Fatal(err)
	}
	x := &tensor.Tensor{DType: dt, Shape: shape, Layout: l, Data: tensor.AlignedBytes(n)}
	for i := range x.Data {
		x.Data[i] = byte(seed + i*7)
		if dt == tensor.BOOL {
			x.Data[i] &= 1
		}
	}
	if dt.IsQuantized() {
		x.Levels = kernels.DefaultLevels(dt.Format())
	}
	return x
}

// allKinds is a model with every kind of attribute, element type and layout, nested
// subgraphs and odd strings. Its operators do not exist.
func allKinds(t testing.TB) *model.Model {
	bits := math.Float32frombits
	inner := &model.Graph{
		Name:    "inner",
		Outputs: []model.Value{{Name: "deep"}},
		Nodes:   []*model.Node{{Op: "Use", Inputs: []string{"w.I8", ""}, Outputs: []string{"deep"}}},
	}
	middle := &model.Graph{
		Name:    "middle",
		Inputs:  []model.Value{{Name: "i", Type: model.Type{DType: tensor.I64, Shape: []model.Dim{}}}},
		Outputs: []model.Value{{Name: "m", Type: model.Type{DType: tensor.F32}}},
		Nodes: []*model.Node{{
			Op: "Nest", Inputs: []string{"i"}, Outputs: []string{"m"},
			Attrs: model.Attrs{"body": {Kind: model.AttrGraph, Graph: inner}},
		}},
	}
	attrs := model.Attrs{
		"int":      model.IntAttr(math.MinInt64),
		"zero":     model.IntAttr(0),
		"float":    model.FloatAttr(0.1),
		"negzero":  model.FloatAttr(float32(math.Copysign(0, -1))),
		"tiny":     model.FloatAttr(math.SmallestNonzeroFloat32),
		"huge":     model.FloatAttr(-math.MaxFloat32),
		"inf":      model.FloatAttr(float32(math.Inf(-1))),
		"nan":      model.FloatAttr(bits(0x7fc12345)),
		"str":      model.StringAttr("a \"quoted\" \\ <b>&\n\x00\x7f \u2028 ü 漢 \U0001f600"),
		"empty":    model.StringAttr(""),
		"binary":   model.StringAttr("\xff\xfe\x00"),
		"ints":     model.IntsAttr(1, -1, math.MaxInt64),
		"noints":   model.IntsAttr(),
		"floats":   model.FloatsAttr(1, 1e-30, 16777216, bits(0xff800001)),
		"nofloats": model.FloatsAttr(),
		"strs":     {Kind: model.AttrStrings, Strs: []string{"x", "", "\x80"}},
		"nostrs":   {Kind: model.AttrStrings},
		"graph":    {Kind: model.AttrGraph, Graph: middle},
		"bare":     {Kind: model.AttrGraph, Graph: &model.Graph{}},
	}
	init := map[string]*tensor.Tensor{
		"scalar":     counting(t, 1, tensor.F32, tensor.RowMajor),
		"none":       counting(t, 1, tensor.F32, tensor.RowMajor, 3, 0, 5),
		"none.panel": counting(t, 1, tensor.D4, tensor.Panel16, 0, 64),
		"long shape": counting(t, 1, tensor.U8, tensor.RowMajor, 1, 1, 1, 1, 1, 1, 1, 2, 1, 3),
		"unused":     counting(t, 9, tensor.F32, tensor.RowMajor, 100),
	}
	for dt := tensor.F32; dt <= tensor.D2; dt++ {
		if !dt.IsQuantized() {
			init["w."+dt.String()] = counting(t, int(dt), dt, tensor.RowMajor, 3, 5)
			attrs["t."+dt.String()] = model.Attr{Kind: model.AttrTensor, Tensor: counting(t, 3, dt, tensor.RowMajor, 2)}
		}
		if dt.IsQuantized() || dt == tensor.F32 || dt == tensor.F16 || dt == tensor.BF16 {
			init["p."+dt.String()] = counting(t, int(dt), dt, tensor.Panel16, 17, 3, 11)
			attrs["p."+dt.String()] = model.Attr{Kind: model.AttrTensor, Tensor: counting(t, 4, dt, tensor.Panel16, 1, 2)}
		}
	}
	attrs["t.none"] = model.Attr{Kind: model.AttrTensor, Tensor: counting(t, 0, tensor.I64, tensor.RowMajor, 0)}
	init["p.D8"].Levels = &kernels.Levels{Shift: 5}
	init["p.D4"].Levels = kernels.LinearLevels(kernels.D4)
	deferred := counting(t, 77, tensor.F16, tensor.RowMajor, 1000)
	init["deferred"] = tensor.Deferred(tensor.F16, []int{1000}, tensor.RowMajor, nil, func(dst []byte) error {
		copy(dst, deferred.Data)
		return nil
	})
	lv := kernels.DefaultLevels(kernels.D3)
	init["deferred.D3"] = tensor.Deferred(tensor.D3, []int{20, 40}, tensor.Panel16, lv, func(dst []byte) error {
		for i := range dst {
			dst[i] += byte(i) // shows a buffer that was not cleared
		}
		return nil
	})
	return &model.Model{
		Graph: &model.Graph{
			Name: "all \"kinds\"",
			Inputs: []model.Value{
				{Name: "x", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Known(3), model.Unknown}}},
				{Name: "any", Type: model.Type{DType: tensor.I64}},
			},
			Outputs: []model.Value{{Name: "y", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Known(0)}}}},
			States: []model.State{{
				Input:  model.Value{Name: "cache_k.0", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 2)}},
				Output: "cache_k.0.new",
			}},
			Nodes: []*model.Node{
				{Op: "First", Domain: "dsk", Name: "n1", Inputs: []string{"x", "", "w.F32"}, Outputs: []string{"a", ""}, Attrs: attrs},
				{Op: "Second", Name: "n/2", Inputs: []string{"a", "p.D4"}, Outputs: []string{"y"}},
			},
			Init: init,
		},
		Meta: model.Meta{
			Name: "all <kinds>", License: "MIT", Architecture: "test", Task: model.TaskLM, Parameters: 12345,
			Source: model.Source{Format: "onnx", Files: []model.SourceFile{{Name: "m.onnx", Bytes: 1 << 40, SHA256: strings.Repeat("ab", 32)}}},
			LM:     &model.LMInfo{VocabSize: 10, ContextLength: 20, BOS: []int{1}, EOS: []int{2, 3}},
			Steps:  []model.Step{{Verb: "convert", Version: "0.1", Options: map[string]string{"b": "2", "a": "1"}}},
		},
		Assets: map[string][]byte{
			model.AssetTokenizer:    bytes.Repeat([]byte(`{"vocab":{}}`), 1000),
			model.AssetChatTemplate: []byte("{{ x }}"),
			model.AssetLabels:       {},
			"random.bin":            counting(t, 5, tensor.U8, tensor.RowMajor, 200).Data,
		},
	}
}

// small is a sound model: y = x w1 w2 twice, the second time inside a branch.
func small(t testing.TB, hidden int) *model.Model {
	branch := func(name string) *model.Graph {
		return &model.Graph{
			Name:    name,
			Outputs: []model.Value{{Name: name + ".y"}},
			Nodes:   []*model.Node{{Op: "MatMul", Name: name, Inputs: []string{"h", "w2"}, Outputs: []string{name + ".y"}}},
		}
	}
	f32 := func(shape ...model.Dim) model.Type { return model.Type{DType: tensor.F32, Shape: shape} }
	return &model.Model{
		Graph: &model.Graph{
			Name:    "small",
			Inputs:  []model.Value{{Name: "x", Type: f32(model.Sym("batch"), model.Known(4))}},
			Outputs: []model.Value{{Name: "y", Type: f32(model.Sym("batch"), model.Known(5))}},
			Nodes: []*model.Node{
				{Op: "MatMul", Name: "m1", Inputs: []string{"x", "w1"}, Outputs: []string{"h"}},
				{
					Op: "If", Name: "if", Inputs: []string{"flag"}, Outputs: []string{"y"},
					Attrs: model.Attrs{
						"then_branch": {Kind: model.AttrGraph, Graph: branch("then")},
						"else_branch": {Kind: model.AttrGraph, Graph: branch("else")},
					},
				},
			},
			Init: map[string]*tensor.Tensor{
				"w2":   counting(t, 2, tensor.F32, tensor.RowMajor, hidden, 5),
				"w1":   counting(t, 1, tensor.F32, tensor.RowMajor, 4, hidden),
				"flag": counting(t, 1, tensor.BOOL, tensor.RowMajor),
			},
		},
		Meta:   model.Meta{Name: "small", Source: model.Source{Format: "onnx", Files: []model.SourceFile{}}, Steps: []model.Step{}},
		Assets: map[string][]byte{model.AssetLabels: []byte(strings.Repeat("cat\ndog\n", 20))},
	}
}

// deep nests subgraphs.
func deep(depth int) *model.Graph {
	g := &model.Graph{Name: fmt.Sprint("level ", depth)}
	if depth > 0 {
		g.Nodes = []*model.Node{{Op: "Nest", Attrs: model.Attrs{"body": {Kind: model.AttrGraph, Graph: deep(depth - 1)}}}}
	}
	return g
}
