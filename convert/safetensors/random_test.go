package safetensors

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
)

// Every model that can be imported can be made of its config alone, with as many weights.
func TestRandom(t *testing.T) {
	ctx := context.Background()
	dirs := []string{"../../testdata/models/gutenberg-1M"}
	more, err := filepath.Glob("../../../shared/models/arch-golden/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, more...) {
		if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
			continue
		}
		real, report, err := Import(ctx, dir, Options{})
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if err := report.Close(); err != nil {
			t.Fatal(err)
		}
		made, err := Random(ctx, dir, kernels.D4)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if len(made.Graph.Nodes) == len(real.Graph.Nodes) && made.Meta.Parameters != real.Meta.Parameters {
			t.Errorf("%s: %d parameters at random, %d in truth", dir, made.Meta.Parameters, real.Meta.Parameters)
		}
	}
}

// The same config gives the same weights.
func TestRandomAgain(t *testing.T) {
	for _, format := range []kernels.Format{0, kernels.D8, kernels.D4, kernels.D3, kernels.D2} {
		var first map[string][]byte
		for range 2 {
			m, err := Random(context.Background(), "../../testdata/models/gutenberg-1M/config.json", format)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]byte{}
			for name, w := range m.Graph.Init {
				if err := w.Load(); err != nil {
					t.Fatal(err)
				}
				got[name] = w.Data
			}
			if first == nil {
				first = got
			}
			for name, data := range got {
				if !bytes.Equal(data, first[name]) {
					t.Errorf("%s differs from one time to the next", name)
				}
			}
		}
	}
}
