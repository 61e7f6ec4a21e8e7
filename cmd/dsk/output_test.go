package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// full is a stdout that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestLostOutputIsAnError: results that do not reach stdout are no success.
func TestLostOutputIsAnError(t *testing.T) {
	var errs bytes.Buffer
	code := execute(context.Background(), []string{"version"}, strings.NewReader(""), full{}, &errs)
	if code != exitFailure || !strings.Contains(errs.String(), "standard output: no space left") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

// TestNaNIsNoJSON: a value that JSON cannot hold is an error, not silence.
func TestNaNIsNoJSON(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard, json: true}
	a.printJSON("eval", map[string]float64{"perplexity": math.NaN()})
	if a.outErr == nil || a.printed {
		t.Errorf("outErr %v, printed %v", a.outErr, a.printed)
	}
}

// TestSaveFile: a file appears whole or not at all.
func TestSaveFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	broken := errors.New("broken")
	err := saveFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	})
	if left, _ := os.ReadDir(dir); !errors.Is(err, broken) || len(left) != 0 {
		t.Errorf("%v, left %v", err, left)
	}
	for _, text := range []string{"one", "two"} {
		if err := saveFile(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q, %v, want %q", b, err, text)
		}
	}
	if err := saveFile(os.DevNull, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
}
