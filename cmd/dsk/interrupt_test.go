package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInterruptLeavesNothing interrupts commands at many moments: exit 130, or 0 if they were done, and no file but a whole one.
func TestInterruptLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.dsk")
	const lm = "../../testdata/models/gutenberg-1M"
	for _, args := range [][]string{
		{"convert", lm, "-o", out, "--force"},
		{"quantize", lm + "-4bit.dsk", "-o", out, "--weight-bits", "2", "--force"},
		{"eval", lm + "-4bit.dsk", "--data", "../../testdata/text/text.txt", "--ctx", "64"},
	} {
		for after := 500 * time.Microsecond; after < 100*time.Millisecond; after *= 3 {
			ctx, cancel := context.WithCancel(context.Background())
			timer := time.AfterFunc(after, cancel)
			code := execute(ctx, args, strings.NewReader(""), io.Discard, io.Discard)
			timer.Stop()
			cancel()
			if code != exitInterrupted && code != exitOK {
				t.Errorf("%s after %v: exit %d", args[0], after, code)
			}
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if f.Name() != "out.dsk" {
					t.Errorf("%s after %v leaves %s", args[0], after, f.Name())
				}
			}
			if len(left) > 0 {
				if code, says := command("verify", out); code != exitOK {
					t.Errorf("%s after %v: %s", args[0], after, says)
				}
				if err := os.Remove(out); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
