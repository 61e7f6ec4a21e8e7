package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadTestSets(t *testing.T) {
	dir := t.TempDir()
	for _, set := range []string{"test_data_set_10", "test_data_set_2"} {
		for i, name := range []string{"a", "b"} {
			write(t, filepath.Join(dir, set, "input_"+string(rune('0'+i))+".pb"), tensorMsg(name, 1, float32s(1, 2), 2))
		}
		write(t, filepath.Join(dir, set, "output_0.pb"), tensorMsg("", 7, int64s(5), 1))
	}
	sets, err := LoadTestSets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != 2 || sets[0].Name != "test_data_set_2" || sets[1].Name != "test_data_set_10" {
		t.Fatalf("got %v", sets)
	}
	s := sets[0]
	if len(s.Inputs) != 2 || s.Inputs[1].Name != "b" || s.Inputs[1].Tensor.F32()[1] != 2 || s.Outputs[0].Tensor.I64()[0] != 5 {
		t.Errorf("got %v", s)
	}
	if one, err := LoadTestSets(filepath.Join(dir, "test_data_set_2")); err != nil || len(one) != 1 || len(one[0].Inputs) != 2 {
		t.Errorf("one set: %v, %v", one, err)
	}
	if _, err := LoadTestSets(t.TempDir()); err == nil {
		t.Error("a folder without data gives no error")
	}

	sequence := message(nil).str(1, "s").num(2, 1).bytes(3, tensorMsg("", 1, float32s(1), 1))
	write(t, filepath.Join(dir, "seq", "output_0.pb"), sequence)
	write(t, filepath.Join(dir, "text", "output_0.pb"), message(nil).num(1, 1).num(2, 8).str(6, "hello"))
	var u *fault.Unsupported
	if _, err := LoadTestSets(filepath.Join(dir, "seq")); !errors.As(err, &u) {
		t.Errorf("a sequence without a model that says so: %v", err)
	}
	if sets, err = LoadTestSets(filepath.Join(dir, "text")); err != nil || sets[0].Outputs[0].Tensor.Strings()[0] != "hello" {
		t.Errorf("text: %v, %v", sets, err)
	}
	write(t, filepath.Join(dir, "cut", "output_0.pb"), tensorMsg("", 7, int64s(5), 1)[:8])
	var format *fault.Format
	if _, err := LoadTestSets(filepath.Join(dir, "cut")); !errors.As(err, &format) || format.File == "" {
		t.Errorf("truncated data: %v", err)
	}

	// An empty sequence looks like a tensor; the model tells.
	other := t.TempDir()
	seqType := message(nil).bytes(4, message(nil).bytes(1, message(nil).bytes(1, message(nil).num(1, 1))))
	write(t, filepath.Join(other, "model.onnx"), modelMsg(13, graphSpec{outputs: []message{message(nil).str(1, "y").bytes(2, seqType)}}))
	write(t, filepath.Join(other, "test_data_set_0", "output_0.pb"), message(nil).str(1, "").num(2, 1))
	sets, err = LoadTestSets(other)
	if err != nil || sets[0].Outputs[0].Tensor.DType != tensor.SequenceOf(tensor.F32) || len(sets[0].Outputs[0].Tensor.Items) != 0 {
		t.Errorf("empty sequence: %v, %v", sets, err)
	}
	write(t, filepath.Join(other, "test_data_set_0", "output_0.pb"), sequence)
	sets, err = LoadTestSets(other)
	if err != nil || len(sets[0].Outputs[0].Tensor.Items) != 1 || sets[0].Outputs[0].Tensor.Items[0].F32()[0] != 1 {
		t.Errorf("sequence: %v, %v", sets, err)
	}
}

func TestResolveModel(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "models", "real.onnx")
	write(t, real, tiny())
	write(t, filepath.Join(dir, "a", "model.onnx"), []byte("../models/real.onnx"))
	write(t, filepath.Join(dir, "b", "model.onnx"), []byte("../a/model.onnx\n"))
	write(t, filepath.Join(dir, "c", "model.onnx"), []byte("../none.onnx"))
	write(t, filepath.Join(dir, "d", "model.onnx"), []byte("model.onnx"))
	write(t, filepath.Join(dir, "e", "model.onnx"), []byte(real))
	for name, want := range map[string]string{
		"models/real.onnx": real, "a/model.onnx": real, "b/model.onnx": real,
		"c/model.onnx": filepath.Join(dir, "c", "model.onnx"), "e/model.onnx": filepath.Join(dir, "e", "model.onnx"),
	} {
		if got, err := ResolveModel(filepath.Join(dir, filepath.FromSlash(name))); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	var format *fault.Format
	if _, err := ResolveModel(filepath.Join(dir, "d", "model.onnx")); !errors.As(err, &format) {
		t.Errorf("a link to itself: %v", err)
	}
	if _, err := ResolveModel(filepath.Join(dir, "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
