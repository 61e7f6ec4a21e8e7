package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestSet is one set of an ONNX backend test: what to feed a model with and what it must give.
type TestSet struct {
	Name    string // of its folder
	Inputs  []TestTensor
	Outputs []TestTensor
}

// TestTensor is a tensor of input_K.pb or output_K.pb. Name is what the file says, often
// the graph's value; it may be empty, and the order K is then that of the graph's values.
type TestTensor struct {
	Name   string
	Tensor *tensor.Tensor
}

// ResolveModel follows files that hold nothing but the relative path of an existing .onnx
// file, as a symbolic link does that git checked out as text. Other paths come back as they are.
func ResolveModel(path string) (string, error) {
	const maxLink, maxHops = 1024, 8
	for hop := 0; ; hop++ {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > maxLink {
			return path, nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		link := strings.TrimSpace(string(text))
		if !utf8.ValidString(link) || strings.ContainsAny(link, "\x00\n\r") || !strings.HasSuffix(link, ".onnx") || filepath.IsAbs(link) {
			return path, nil
		}
		next := filepath.Join(filepath.Dir(path), filepath.FromSlash(link))
		if _, err := os.Stat(next); err != nil {
			return path, nil
		}
		if hop == maxHops {
			return "", fault.Formatf(path, "it is a link of a link, more than %d deep", maxHops)
		}
		path = next
	}
}

// LoadTestSets reads test data: dir either has the folders test_data_set_K or is such a
// folder itself. Data that is a sequence, an optional or of an unsupported type is *fault.Unsupported.
func LoadTestSets(dir string) ([]TestSet, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type numbered struct {
		k    int
		path string
	}
	var folders []numbered
	for _, e := range entries {
		if k, ok := number(e.Name(), "test_data_set_", ""); ok {
			folders = append(folders, numbered{k, filepath.Join(dir, e.Name())})
		}
	}
	sort.Slice(folders, func(i, j int) bool { return folders[i].k < folders[j].k })
	if len(folders) == 0 {
		folders = []numbered{{0, dir}}
	}
	var kinds map[string]string
	for _, model := range []string{filepath.Join(dir, "model.onnx"), filepath.Join(filepath.Dir(dir), "model.onnx")} {
		if kinds == nil {
			kinds = valueKinds(model)
		}
	}
	var sets []TestSet
	for _, f := range folders {
		s := TestSet{Name: filepath.Base(f.path)}
		if s.Inputs, err = loadTensors(f.path, "input_", kinds); err != nil {
			return nil, err
		}
		if s.Outputs, err = loadTensors(f.path, "output_", kinds); err != nil {
			return nil, err
		}
		if len(s.Outputs) == 0 {
			return nil, fmt.Errorf("%s: no test data: neither test_data_set_0 nor output_0.pb", f.path)
		}
		sets = append(sets, s)
	}
	return sets, nil
}

// number parses names like input_3.pb.
func number(name, prefix, suffix string) (int, bool) {
	s, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, suffix); !ok {
		return 0, false
	}
	k, err := strconv.Atoi(s)
	return k, err == nil && k >= 0
}

// valueKinds returns what of a model's inputs and outputs is not a tensor, by file name
// ("input_0.pb"), since the data files themselves do not say; nil if there is no such model.
func valueKinds(path string) map[string]string {
	path, err := ResolveModel(path)
	if err != nil {
		return nil
	}
	m, err := tensor.Map(path)
	if err != nil {
		return nil
	}
	defer m.Close()
	p, err := decodeModel(m.Data)
	if err != nil {
		return nil
	}
	kinds := map[string]string{}
	for i, v := range p.graph.inputs {
		kinds[fmt.Sprintf("input_%d.pb", i)] = v.kind
	}
	for i, v := range p.graph.outputs {
		kinds[fmt.Sprintf("output_%d.pb", i)] = v.kind
	}
	return kinds
}

func loadTensors(dir, prefix string, kinds map[string]string) ([]TestTensor, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	var order []int
	for _, e := range entries {
		if k, ok := number(e.Name(), prefix, ".pb"); ok {
			found[k] = e.Name()
			order = append(order, k)
		}
	}
	sort.Ints(order)
	var out []TestTensor
	for _, k := range order {
		path := filepath.Join(dir, found[k])
		if kind := kinds[found[k]]; kind != "" && kind != "tensor" {
			return nil, unsupportedData(path, kind)
		}
		t, err := ReadTensor(path)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func unsupportedData(path, what string) error {
	return &fault.Unsupported{File: path, Kind: "test data", Items: []fault.Item{{What: what, Hint: "only tensors are supported"}}}
}

// ReadTensor reads a TensorProto file.
func ReadTensor(path string) (TestTensor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return TestTensor{}, err
	}
	r := newReader(data, "tensor")
	p := decodeTensor(r)
	if r.err != nil {
		return TestTensor{}, fault.InFile(r.err, path)
	}
	// Field 3 holds the elements of sequences and optionals; in tensors it is a segment,
	// which nothing writes.
	if p.segment {
		return TestTensor{}, unsupportedData(path, "sequence or optional")
	}
	src := sources{dir: filepath.Dir(path)}
	defer src.close()
	t, err := src.tensor(p)
	var u *unsupportedType
	if errors.As(err, &u) {
		return TestTensor{}, unsupportedData(path, u.what)
	}
	if err != nil {
		return TestTensor{}, fault.InFile(err, path)
	}
	if len(src.opened) > 0 {
		t = t.Clone()
	}
	return TestTensor{Name: p.name, Tensor: t.Align()}, nil
}
