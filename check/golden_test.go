package check_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/check"
)

// TestArchitectures imports the tiny models of each architecture and holds their logits, and their greedy tokens
// with the caches, against those of the reference implementation.
func TestArchitectures(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "models", "arch-golden")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Skip("../shared/models/arch-golden is not there")
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if _, err := os.Stat(filepath.Join(dir, "golden.json")); err != nil {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			r, err := check.Run(context.Background(), []string{dir}, check.Options{Threads: 2}, func(res check.Result) {
				if res.Status != check.Pass {
					t.Errorf("%s: %s", res.Status, res.Detail)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Total != 1 {
				t.Errorf("%d tests", r.Total)
			}
		})
	}
}

// TestPublishedLayout holds nomic_bert with the keys that published checkpoints have in config.json.
func TestPublishedLayout(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "shared", "models", "arch-golden", "nomic_bert"))); err != nil {
		t.Skip("../shared/models/arch-golden is not there")
	}
	if err := os.Rename(filepath.Join(dir, "config_hub_layout.json"), filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	r, err := check.Run(context.Background(), []string{dir}, check.Options{Threads: 2}, func(check.Result) {})
	if err != nil || r.Pass != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}
