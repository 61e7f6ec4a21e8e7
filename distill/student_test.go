package distill_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// TestFitting finds students that fill a size, of pictures and of texts.
func TestFitting(t *testing.T) {
	pictures := &distill.Pattern{Target: distill.Target{Channels: 3, Height: 32, Width: 32, Classes: 10}}
	texts, err := distill.PatternOfModel(decoder(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p     *distill.Pattern
		bytes int64
		kind  string
	}{"pictures": {pictures, 300_000, "conv "}, "texts": {texts, 2_000_000, "llama "}} {
		spec, err := c.p.Fitting(c.bytes, 32)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.p.Student(spec, 1)
		if err != nil {
			t.Fatal(err)
		}
		if n := 4 * m.Meta.Parameters; !strings.HasPrefix(spec, c.kind) || n > c.bytes || n < c.bytes/3 {
			t.Errorf("%s: %q has %d bytes of %d", name, spec, n, c.bytes)
		}
		var gate *fault.Gate
		if _, err := c.p.Fitting(10, 32); !errors.As(err, &gate) {
			t.Errorf("%s: ten bytes: %v", name, err)
		}
	}
}

// TestPatternOfData reads the size, the classes and the pre-processing of gray pictures, and refuses what has no labels.
func TestPatternOfData(t *testing.T) {
	p, err := distill.PatternOfData(barsFolder(t, 40, 1, true))
	if err != nil {
		t.Fatal(err)
	}
	want := distill.Target{Channels: 1, Height: 8, Width: 8, Classes: 2}
	if p.Target != want {
		t.Errorf("%+v, want %+v", p.Target, want)
	}
	if prep := string(p.Assets[model.AssetPreprocess]); !strings.Contains(prep, `"gray":true`) || !strings.Contains(prep, `"mean":[13`) {
		t.Errorf("pre-processing %s", prep)
	}
	var usage *fault.Usage
	if _, err := distill.PatternOfData(barsFolder(t, 8, 1, false)); !errors.As(err, &usage) {
		t.Errorf("without labels: %v", err)
	}
	if _, err := distill.PatternOfData(sizedFolder(t, 8, 8)); !errors.As(err, &usage) || !strings.Contains(err.Error(), "one class") {
		t.Errorf("one class: %v", err)
	}
	if _, err := distill.PatternOfData(sizedFolder(t, 8, 9)); !errors.As(err, &usage) || !strings.Contains(err.Error(), "different sizes, as 8x8 and 9x8") {
		t.Errorf("different sizes: %v", err)
	}
}

// sizedFolder has two pictures of a class, of these widths.
func sizedFolder(t *testing.T, widths ...int) *dataset.Data {
	t.Helper()
	folder := t.TempDir()
	list := "file,label\n"
	for i, w := range widths {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, 8))); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%d.png", i)
		list += name + ",0\n"
		if err := os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "labels.csv"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	return opened(t, folder, dataset.Options{})
}
