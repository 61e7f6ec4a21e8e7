package bundle

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// TestPlatforms holds the table to what must be true of any machine.
func TestPlatforms(t *testing.T) {
	features := []string{"asimd", "asimddp", "i8mm", "avx2", "fma", "avxvnni"}
	seen := map[string]bool{}
	for _, p := range Platforms() {
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
		if q, err := FindPlatform(p.Name); err != nil || q.Name != p.Name {
			t.Errorf("%s is not found: %v", p.Name, err)
		}
		for _, f := range p.Features {
			if !slices.Contains(features, f) {
				t.Errorf("%s: feature %s is none of kernels.Features", p.Name, f)
			}
		}
		if p.System >= p.Memory && p.Memory > 0 || p.Slows > p.Stops || p.L1 > p.L2 {
			t.Errorf("%s: figures contradict each other: %+v", p.Name, p)
		}
		// Boards are known in full; a system that runs on any machine has no figures, so that nothing is predicted for it.
		switch kind := strings.SplitN(p.Name, ":", 2)[0]; kind {
		case "raspberrypi", "jetson-nano", "jetson-orin", "android-arm64":
			if len(p.Features) == 0 || len(p.Cores) == 0 || p.Memory == 0 || p.System == 0 || p.L1 == 0 || p.L2 == 0 || p.Bandwidth == 0 || p.Slows == 0 || p.Stops == 0 {
				t.Errorf("%s: a figure is missing: %+v", p.Name, p)
			}
		}
		if p.Title == "" || p.Runner == "" || (p.Memory > 0) != (p.System > 0) && p.Name != "wasm" {
			t.Errorf("%s: a field is missing: %+v", p.Name, p)
		}
		for i, c := range p.Cores {
			if c.Count < 1 || c.MHz < 500 || c.MACs < 8 || i > 0 && c.MHz > p.Cores[i-1].MHz {
				t.Errorf("%s: cores %+v", p.Name, p.Cores)
			}
		}
	}
	for short := range shortNames {
		if _, err := FindPlatform(short); err != nil {
			t.Error(err)
		}
	}
	var usage *fault.Usage
	if _, err := FindPlatform("rasberrypi:4"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "did you mean raspberrypi:4") {
		t.Errorf("a misspelt platform: %v", err)
	}
}

func TestFit(t *testing.T) {
	p, err := FindPlatform("raspberrypi:zero2")
	if err != nil {
		t.Fatal(err)
	}
	f := Fit{Weights: 300 << 20, Caches: 10 << 20, Arena: 5 << 20, Runner: 22 << 20, Memory: p.Memory, System: p.System}
	if err := f.Check(p); err != nil {
		t.Error(err)
	}
	f.Caches = 60 << 20
	var resource *fault.Resource
	if err := f.Check(p); !errors.As(err, &resource) || !strings.Contains(err.Error(), "512.0 MiB") || !strings.Contains(err.Error(), "need 387.0 MiB") {
		t.Errorf("%v", err)
	}
}
