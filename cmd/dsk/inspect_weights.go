package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/convert/gguf"
	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// metadatum is a line that a file of weights says of itself.
type metadatum struct {
	key   string
	value any
}

// isGGUF and isSafetensors look at the first bytes of a file, and of the latter at the name, too.
func isGGUF(path string) bool { return strings.HasPrefix(firstBytes(path), gguf.Magic) }

func isSafetensors(path string) bool {
	head := firstBytes(path)
	return head != "" && filepath.Ext(path) == ".safetensors" || len(head) >= 9 && head[8] == '{' && head[6] == 0 && head[7] == 0
}

// inspectGGUF reads the header of a GGUF file.
func inspectGGUF(_ context.Context, path string, o *inspectOptions) (*inspection, error) {
	file, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	f, err := gguf.Read(file.Data)
	if err != nil {
		return nil, fault.InFile(err, path)
	}
	in := newWeights(path, "gguf", len(file.Data))
	in.Version, in.HeaderBytes = f.Version, int64(min(f.Data, len(file.Data)))
	in.Meta.Name, in.Meta.License = f.Text("general.name"), f.Text("general.license")
	in.Meta.Architecture = f.Text("general.architecture")
	for _, e := range f.Entries {
		in.lines = append(in.lines, metadatum{e.Key, e.Value})
	}
	for _, t := range f.Tensors {
		in.addTensor(model.TensorSummary{Name: t.Name, DType: t.Type, Layout: "ggml", Shape: t.Shape, Bytes: int64(t.Bytes)}, o.tensors)
	}
	in.finish()
	return in, nil
}

// inspectSafetensors reads the header of one safetensors file, which need not be a whole checkpoint.
func inspectSafetensors(_ context.Context, path string, o *inspectOptions) (*inspection, error) {
	file, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	entries, meta, err := safetensors.ReadHeader(file.Data)
	if err != nil {
		return nil, fault.InFile(err, path)
	}
	in := newWeights(path, "safetensors", len(file.Data))
	in.HeaderBytes = int64(len(file.Data))
	for key, value := range meta {
		in.lines = append(in.lines, metadatum{key, value})
	}
	sort.Slice(in.lines, func(i, j int) bool { return in.lines[i].key < in.lines[j].key })
	for _, e := range entries {
		in.HeaderBytes -= int64(e.Bytes)
		in.addTensor(model.TensorSummary{Name: e.Name, DType: e.Type, Layout: tensor.RowMajor.String(), Shape: e.Shape, Bytes: int64(e.Bytes)}, o.tensors)
	}
	in.finish()
	return in, nil
}

func newWeights(path, format string, size int) *inspection {
	return &inspection{File: path, Format: format, Bytes: int64(size), Summary: &model.Summary{
		Meta:   model.Meta{Source: model.Source{Format: format}},
		Inputs: []model.ValueSummary{}, Outputs: []model.ValueSummary{},
		Operators: map[string]int{}, BytesByType: map[string]int64{}, Assets: map[string]int{},
	}}
}

// addTensor counts a tensor, and lists it if tensors are asked for. Bytes below 0 are not known.
func (in *inspection) addTensor(t model.TensorSummary, list bool) {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	in.Meta.Parameters += n
	in.TensorCount++
	in.TensorBytes += max(t.Bytes, 0)
	in.BytesByType[t.DType] += max(t.Bytes, 0)
	if list {
		in.Tensors = append(in.Tensors, t)
	}
}

// finish fills in what follows from the rest.
func (in *inspection) finish() {
	if len(in.lines) == 0 {
		return
	}
	in.Metadata = map[string]any{}
	for _, l := range in.lines {
		in.Metadata[l.key] = jsonValue(l.value)
	}
}

// jsonValue keeps what JSON can say; arrays, which may be vocabularies, are described.
func jsonValue(v any) any {
	switch x := v.(type) {
	case string, bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return v
	case float32:
		return jsonFloat(float64(x), v)
	case float64:
		return jsonFloat(x, v)
	}
	return gguf.Describe(v)
}

func jsonFloat(x float64, v any) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Sprint(x)
	}
	return v
}

func (a *app) printWeights(in *inspection) {
	a.print("%s: %s, %s", in.File, in.Format, megabytes(in.Bytes))
	if in.BitsPerW > 0 {
		a.print("  %d parameters, %.3f bits per weight, %.2fx smaller than f32", in.Meta.Parameters, in.BitsPerW, in.RatioVsF32)
	}
	for _, l := range in.lines {
		a.print("  %s = %s", l.key, gguf.Describe(l.value))
	}
	if in.TensorCount > 0 {
		a.print("  %d tensors, %s: %s", in.TensorCount, megabytes(in.TensorBytes), counts(in.BytesByType))
	} else {
		a.print("  no tensors")
	}
	a.printLists(in)
}
