package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/model/dskfile"
)

// TestModelOnStdout: with "-o -" standard output has the model and nothing else, whatever a command reports.
func TestModelOnStdout(t *testing.T) {
	digits := filepath.Join("..", "..", "testdata", "models", "digits-cnn")
	whole, images := filepath.Join(t.TempDir(), "m.dsk"), filepath.Join(digits, "images")
	onnx, err := filepath.Glob(filepath.Join(digits, "*.onnx"))
	if err != nil || len(onnx) != 1 {
		t.Fatalf("%v, %v", onnx, err)
	}
	run := func(args ...string) (stdout, stderr bytes.Buffer) {
		t.Helper()
		if code := execute(context.Background(), args, nil, &stdout, &stderr); code != exitOK {
			t.Fatalf("%v: exit %d: %s", args, code, stderr.String())
		}
		return stdout, stderr
	}
	run("convert", onnx[0], "-o", whole, "--preprocess", "gray")
	for _, args := range [][]string{
		{"convert", onnx[0]},
		{"quantize", whole},
		{"prune", whole, "--method", "magnitude", "--ratio", ".5"},
		{"distill", "train", "--student", whole, "--data", images, "--steps", "1"},
	} {
		for _, json := range []bool{false, true} {
			list := append(append([]string{}, args...), "-o", "-")
			if json {
				list = append(list, "--json")
			}
			stdout, stderr := run(list...)
			f, err := dskfile.OpenBytes(stdout.Bytes())
			if err != nil {
				t.Errorf("%v: %v", list, err)
				continue
			}
			f.Close()
			if json && args[0] != "convert" && !strings.Contains(stderr.String(), `"schema_version"`) {
				t.Errorf("%v: no report: %s", list, stderr.String())
			}
		}
	}
}
