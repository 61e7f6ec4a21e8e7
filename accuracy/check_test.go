//go:build accuracy

package accuracy

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// check runs "dsk check" and demands that every test passes.
func check(t *testing.T, dirs ...string) {
	t.Helper()
	out, err := exec.Command(dskPath, append([]string{"check", "--json"}, dirs...)...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var r struct {
		Total, Pass int
		Tests       []struct{ Name, Status, Detail string }
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, test := range r.Tests {
		if test.Status != "PASS" {
			t.Errorf("%s %s: %s", test.Status, test.Name, test.Detail)
		}
	}
	t.Logf("%d of %d pass", r.Pass, r.Total)
}

// folders returns the folders that match a pattern below ../shared.
func folders(t *testing.T, parent, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(shared(t, parent), pattern))
	if err != nil || len(list) == 0 {
		t.Fatalf("%s/%s: %d folders, %v", parent, pattern, len(list), err)
	}
	return list
}

func TestCheckNetworks(t *testing.T) {
	check(t, append(folders(t, "onnx/real", "onnx-light_*"), folders(t, "onnx/real", "zoo-*")...)...)
}

func TestCheckModels(t *testing.T) {
	check(t, folders(t, "onnx/ort-reference/models", "*")...)
}

func TestCheckArchitectures(t *testing.T) {
	check(t, shared(t, "models/arch-golden"))
}
