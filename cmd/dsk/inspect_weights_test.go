package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runDsk runs a command line and returns its exit code and what it wrote.
func runDsk(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = execute(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// smallGGUF has two pieces of metadata, one of them infinite, and a matrix of Q4_0.
func smallGGUF() []byte {
	b := bytes.NewBufferString("GGUF")
	put := func(values ...any) {
		for _, v := range values {
			if s, ok := v.(string); ok {
				_ = binary.Write(b, binary.LittleEndian, uint64(len(s)))
				b.WriteString(s)
			} else {
				_ = binary.Write(b, binary.LittleEndian, v)
			}
		}
	}
	put(uint32(3), uint64(1), uint64(2))
	put("general.name", uint32(8), "small", "f", uint32(6), uint32(0x7f800000))
	put("w", uint32(2), uint64(64), uint64(2), uint32(2), uint64(0))
	b.Write(make([]byte, 32-b.Len()%32+72))
	return b.Bytes()
}

func TestInspectGGUF(t *testing.T) {
	path := writeFile(t, "a.bin", smallGGUF())
	code, out, _ := runDsk("inspect", path, "--tensors", "--json")
	var got struct {
		Format   string
		Bytes    int64
		Version  int
		Metadata map[string]any
		Tensors  []struct {
			Name, DType string
			Shape       []int
			Bytes       int64
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if got.Format != "gguf" || got.Version != 3 || got.Metadata["general.name"] != "small" || got.Metadata["f"] != "+Inf" || len(got.Tensors) != 1 {
		t.Fatalf("%+v", got)
	}
	if w := got.Tensors[0]; w.Name != "w" || w.DType != "Q4_0" || len(w.Shape) != 2 || w.Shape[0] != 2 || w.Bytes != 72 {
		t.Errorf("%+v", w)
	}
	if code, out, _ = runDsk("inspect", path); code != 0 || !strings.Contains(out, `general.name = "small"`) || !strings.Contains(out, "1 tensors, 72 B: Q4_0 72") {
		t.Errorf("exit code %d: %s", code, out)
	}
	cut := writeFile(t, "cut.gguf", smallGGUF()[:60])
	for _, verb := range []string{"inspect", "tokenize"} {
		if code, _, errs := runDsk(verb, cut); code != exitInput || !strings.Contains(errs, "cut.gguf: offset") {
			t.Errorf("%s of a file that is cut off: exit code %d, %s", verb, code, errs)
		}
	}
	if code, _, errs := runDsk("tokenize", path, "x"); code != exitUsage || !strings.Contains(errs, "no vocabulary") {
		t.Errorf("tokenize without a vocabulary: exit code %d, %s", code, errs)
	}
	code, _, errs := runDsk("convert", path, "-o", filepath.Join(t.TempDir(), "a.dsk"))
	if code != exitInput || !strings.Contains(errs, "general.architecture") {
		t.Errorf("convert without an architecture: exit code %d, %s", code, errs)
	}
}

func TestInspectSafetensors(t *testing.T) {
	head := `{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}`
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	data = append(data, make([]byte, 12)...)
	code, out, errs := runDsk("inspect", writeFile(t, "w.safetensors", data), "--tensors")
	for _, want := range []string{"safetensors", "6 parameters", `format = "pt"`, "1 tensors, 12 B: BF16 12", "[2 3]"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit code %d, no %q in %s%s", code, want, out, errs)
		}
	}
	if code, _, errs := runDsk("inspect", writeFile(t, "w.safetensors", data[:40])); code != exitInput || !strings.Contains(errs, "w.safetensors") {
		t.Errorf("a file that is cut off: exit code %d, %s", code, errs)
	}
}

func TestTokenizeGGUF(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "models", "ggml-vocab", "ggml-vocab-llama-spm.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skip("../shared/models/ggml-vocab is not here")
	}
	for want, args := range map[string][]string{
		"1 15043 3186\n": {"Hello world"}, "15043 3186\n": {"Hello world", "--no-special"}, "Hello world\n": {"--decode", "--no-special", "1 15043 3186"},
	} {
		if code, out, errs := runDsk(append([]string{"tokenize", path}, args...)...); code != 0 || out != want {
			t.Errorf("%v: exit code %d, %q %s, want %q", args, code, out, errs, want)
		}
	}
}
