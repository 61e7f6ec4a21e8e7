package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

func TestSniff(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	onnxHead := "\x08\x08\x12\x04test:\x00"
	weights := "\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":0}         "
	for _, c := range []struct{ path, format string }{
		{put("by-content", onnxHead), FormatONNX},
		{put("llama.bin", "GGUF\x03\x00\x00\x00"), FormatGGUF},
		{put("broken.onnx", "garbage"), FormatONNX},
		{put("weights.bin", weights), FormatSafetensors},
		{put("w/model.safetensors", weights), FormatSafetensors},
		{put("hf/config.json", "{}"), FormatSafetensors},
		{filepath.Dir(put("folder/model-00001.safetensors", weights)), FormatSafetensors},
		{filepath.Dir(put("single/net.onnx", onnxHead)), FormatONNX},
	} {
		if _, got, err := sniff(c.path); err != nil || got != c.format {
			t.Errorf("%s: %q, %v", c.path, got, err)
		}
	}
	for _, c := range []struct{ path, want string }{
		{put("m.pt", "PK\x03\x04...."), "torch.onnx.export"},
		{put("m.h5", "\x89HDF\r\n\x1a\n"), "tf2onnx"},
		{put("m.tflite", "\x1c\x00\x00\x00TFL3"), "Lite"},
		{put("m.dsk", "\x89DSK\r\n\x1a\n"), "converted already"},
	} {
		_, _, err := Open(context.Background(), c.path, Options{})
		var u *fault.Unsupported
		if !errors.As(err, &u) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	put("many/b.onnx", onnxHead)
	put("many/a.onnx", onnxHead)
	put("none/readme", "")
	var usage *fault.Usage
	if _, _, err := sniff(filepath.Join(dir, "many")); !errors.As(err, &usage) || !strings.Contains(err.Error(), "a.onnx, b.onnx") {
		t.Errorf("several models: %v", err)
	}
	var format *fault.Format
	if _, _, err := sniff(filepath.Join(dir, "none")); !errors.As(err, &format) {
		t.Errorf("no model: %v", err)
	}
	if _, _, err := sniff(put("text", "hello, this is a text")); !errors.As(err, &format) {
		t.Errorf("text: %v", err)
	}
	if _, _, err := sniff(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := Open(context.Background(), dir, Options{Format: "caffe"}); !errors.As(err, &usage) {
		t.Errorf("unknown format: %v", err)
	}
}

func TestOpenSharedModels(t *testing.T) {
	shared := filepath.Join("..", "..", "shared", "models")
	if _, err := os.Stat(shared); err != nil {
		t.Skip("../shared is absent")
	}
	m, r, err := Open(context.Background(), filepath.Join(shared, "digits-cnn", "digits-cnn.onnx"), Options{
		Version: "test", InputShapes: map[string][]int{}, NoFuse: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Format != FormatONNX || r.Parameters != 45018 || r.Name != "digits-cnn" || r.SourceBytes != 183792 {
		t.Errorf("report: %+v", r)
	}
	if s := m.Meta.Steps; len(s) != 1 || s[0].Verb != "convert" || s[0].Version != "test" || s[0].Options["no-fuse"] != "true" {
		t.Errorf("steps: %+v", s)
	}
}
