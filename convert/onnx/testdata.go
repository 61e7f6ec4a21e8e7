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
	"github.com/dsk-toolkit/dsk/model"
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
	var held map[string]protoValue
	for _, model := range []string{filepath.Join(dir, "model.onnx"), filepath.Join(filepath.Dir(dir), "model.onnx")} {
		if held == nil {
			held = heldTypes(model)
		}
	}
	var sets []TestSet
	for _, f := range folders {
		s := TestSet{Name: filepath.Base(f.path)}
		if s.Inputs, err = loadTensors(f.path, "input_", held); err != nil {
			return nil, err
		}
		if s.Outputs, err = loadTensors(f.path, "output_", held); err != nil {
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

// heldTypes returns a model's inputs and outputs that are no tensors, by file name ("input_0.pb"), since the data
// files themselves do not say; nil if there is no such model.
func heldTypes(path string) map[string]protoValue {
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
	held := map[string]protoValue{}
	add := func(prefix string, values []protoValue) {
		for i, v := range values {
			if v.kind != "" && v.kind != "tensor" || v.sequence || v.optional {
				held[fmt.Sprintf("%s_%d.pb", prefix, i)] = v
			}
		}
	}
	add("input", p.graph.inputs)
	add("output", p.graph.outputs)
	return held
}

func loadTensors(dir, prefix string, held map[string]protoValue) ([]TestTensor, error) {
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
		t, err := readTestValue(path, held[found[k]])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func unsupportedData(path, what string) error {
	return &fault.Unsupported{File: path, Kind: "test data", Items: []fault.Item{{What: what}}}
}

// readTestValue reads a file of test data whose type v the model states, if it is no tensor.
func readTestValue(path string, v protoValue) (TestTensor, error) {
	if !v.sequence && !v.optional {
		return ReadTensor(path)
	}
	if v.kind != "tensor" {
		return TestTensor{}, unsupportedData(path, v.kind)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return TestTensor{}, err
	}
	dt, err := model.ElemType(int64(v.elem))
	if err != nil {
		return TestTensor{}, unsupportedData(path, dtypeName(v.elem))
	}
	if v.sequence {
		dt = tensor.SequenceOf(dt)
	}
	r := newReader(data, "test data")
	out := TestTensor{}
	src := sources{}
	if v.optional {
		out.Name, out.Tensor, err = src.optional(r, dt)
	} else {
		out.Name, out.Tensor, err = src.sequence(r, dt)
	}
	if err == nil {
		err = r.err
	}
	return out, fault.InFile(err, path)
}

// sequence reads a SequenceProto of tensors.
func (s *sources) sequence(r *reader, dt tensor.DType) (name string, t *tensor.Tensor, err error) {
	t = tensor.Holding(dt)
	for r.more() {
		switch r.num {
		case 1:
			name = r.text()
		case 3:
			m := r.message("tensor")
			p := decodeTensor(m)
			r.failWith(m.err)
			if r.err != nil {
				return name, t, r.err
			}
			item, err := s.tensor(p)
			if err != nil {
				return name, t, err
			}
			t.Items = append(t.Items, item)
		default:
			r.skip()
		}
	}
	return name, t, r.err
}

// optional reads an OptionalProto of a value of type dt.
func (s *sources) optional(r *reader, dt tensor.DType) (name string, t *tensor.Tensor, err error) {
	t = tensor.Holding(tensor.OptionalOf(dt))
	for r.more() {
		switch r.num {
		case 1:
			name = r.text()
		case 3:
			m := r.message("tensor")
			p := decodeTensor(m)
			r.failWith(m.err)
			if r.err != nil {
				return name, t, r.err
			}
			item, err := s.tensor(p)
			if err != nil {
				return name, t, err
			}
			t.Items = append(t.Items, item)
		case 5:
			m := r.message("sequence")
			_, item, err := s.sequence(m, dt)
			r.failWith(m.err)
			if err != nil {
				return name, t, err
			}
			t.Items = append(t.Items, item)
		default:
			r.skip()
		}
	}
	return name, t, r.err
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
