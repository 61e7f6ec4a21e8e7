package tensor_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestMap(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := tensor.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []tensor.Advice{
		tensor.AdviceSequential, tensor.AdviceRandom, tensor.AdviceWillNeed, tensor.AdviceDontNeed, tensor.AdviceNormal,
	} {
		m.Advise(a, 0, len(m.Data))
		m.Advise(a, 5000, 7000)
		m.Advise(a, 15999, math.MaxInt)
		m.Advise(a, -1, 5)
		m.Advise(a, 16000, 5)
	}
	if !bytes.Equal(m.Data, want) {
		t.Error("mapped bytes differ from the file's")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	m.Advise(tensor.AdviceNormal, 0, 1)
}

func TestMapRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := tensor.Map(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
	if _, err := tensor.Map(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var format *fault.Format
	if _, err := tensor.Map(empty); !errors.As(err, &format) || format.File != empty {
		t.Errorf("empty file: %v", err)
	}
	if _, err := os.Stat(os.DevNull); err == nil {
		if _, err := tensor.Map(os.DevNull); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("device: %v", err)
		}
	}
}
