package main

import (
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

func TestPictureNames(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old-2.png")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		annotate    string
		n           int
		force, json bool
		want        []string // nil: a usage error
	}{
		{annotate: in("a.png"), n: 1, want: []string{in("a.png")}},
		{annotate: in("a.PNG"), n: 1, json: true, want: []string{in("a.PNG")}},
		{annotate: in("a-%d.png"), n: 1, want: []string{in("a-1.png")}},
		{annotate: in("a-%02d.png"), n: 2, want: []string{in("a-01.png"), in("a-02.png")}},
		{annotate: in("a.png"), n: 2},
		{annotate: in("%d-%d.png"), n: 2},
		{annotate: in("a-%s.png"), n: 2},
		{annotate: in("a.jpg"), n: 1},
		{annotate: in("old-%d.png"), n: 2},
		{annotate: in("old-%d.png"), n: 2, force: true, want: []string{in("old-1.png"), old}},
		{annotate: "-", n: 1, want: []string{"-"}},
		{annotate: "-", n: 2},
		{annotate: "-", n: 1, json: true},
	} {
		a := &app{json: c.json}
		got, err := a.pictureNames(c.n, &runOptions{annotate: c.annotate, force: c.force})
		if usage := (*fault.Usage)(nil); c.want == nil && !errors.As(err, &usage) {
			t.Errorf("%s for %d images: %v, want a usage error", c.annotate, c.n, err)
		}
		if c.want != nil && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%s for %d images: %v, %v, want %v", c.annotate, c.n, got, err, c.want)
		}
	}
	if got, err := (&app{}).pictureNames(3, &runOptions{}); got != nil || err != nil {
		t.Errorf("without --annotate: %v, %v", got, err)
	}
}

func TestWritePicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.png")
	if err := (&app{}).writePicture(file, image.NewNRGBA(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if cfg, err := png.DecodeConfig(f); err != nil || cfg.Width != 3 || cfg.Height != 2 {
		t.Errorf("the picture is %v, %v", cfg, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(file)); len(files) != 1 {
		t.Errorf("%d files, want the picture alone", len(files))
	}
}
