//go:build accuracy

package accuracy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// dskPath is the binary under test, and workDir the folder that the models it makes lie in.
var dskPath, workDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "dsk-accuracy-*")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		workDir, dskPath = dir, filepath.Join(dir, "dsk")
		build := exec.Command("go", "build", "-trimpath", "-o", dskPath, "./cmd/dsk")
		build.Dir, build.Stderr = "..", os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building dsk:", err)
			return 1
		}
		return m.Run()
	}())
}

// shared returns a path in the shared folder beside the repository.
func shared(t *testing.T, path string) string {
	t.Helper()
	full := filepath.Join("..", "..", "shared", filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		t.Skipf("../shared is absent: %v", err)
	}
	return full
}

// dsk runs the binary and returns its standard output. A command that fails ends the test.
func dsk(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(dskPath, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dsk %v: %v\n%s%s", args, err, out, &stderr)
	}
	return out
}

// dskJSON runs the binary with --json and decodes what it prints.
func dskJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	out := dsk(t, append(args, "--json")...)
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("dsk %v: %v in %s", args, err, out)
	}
}

// converted converts a source once and returns the .dsk file.
func converted(t *testing.T, name, source string, flags ...string) string {
	t.Helper()
	file := filepath.Join(workDir, name+".dsk")
	if _, err := os.Stat(file); err != nil {
		dsk(t, append([]string{"convert", source, "-o", file}, flags...)...)
	}
	return file
}

// metrics is the part of eval's output that is compared.
type metrics struct {
	Metrics map[string]float64 `json:"metrics"`
	Samples int                `json:"samples"`
}

// eval measures a model.
func eval(t *testing.T, file, data string, flags ...string) metrics {
	t.Helper()
	var m metrics
	dskJSON(t, &m, append([]string{"eval", file, "--data", data}, flags...)...)
	return m
}

// near logs a figure and demands that it is within tolerance of want.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	t.Logf("%s: %.6g (bar: %g ± %g)", what, got, want, tolerance)
	if d := got - want; !(d <= tolerance && -d <= tolerance) {
		t.Errorf("%s is %.6g, want %g ± %g", what, got, want, tolerance)
	}
}

// atMost logs a figure and demands that it does not exceed a bar.
func atMost(t *testing.T, what string, got, bar float64) {
	t.Helper()
	t.Logf("%s: %.6g (bar: at most %g)", what, got, bar)
	if !(got <= bar) {
		t.Errorf("%s is %.6g, want at most %g", what, got, bar)
	}
}

// readJSON decodes a file.
func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
