package picture

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// classed fails the test if err is of no class that has an exit code.
func classed(t *testing.T, err error) {
	t.Helper()
	var (
		format   *fault.Format
		usage    *fault.Usage
		resource *fault.Resource
	)
	if err != nil && !errors.As(err, &format) && !errors.As(err, &usage) && !errors.As(err, &resource) {
		t.Fatalf("no class: %v", err)
	}
}

// FuzzImage reads broken images and brings what can be read to a small size.
func FuzzImage(f *testing.F) {
	img := image.NewNRGBA(image.Rect(0, 0, 9, 7))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var a, b, c bytes.Buffer
	if err := errors.Join(png.Encode(&a, img), jpeg.Encode(&b, img, nil), gif.Encode(&c, img, nil)); err != nil {
		f.Fatal(err)
	}
	for _, buf := range []*bytes.Buffer{&a, &b, &c} {
		f.Add(buf.Bytes())
	}
	dir := f.TempDir()
	p := &Preprocess{Fit: FitLetterbox}
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(dir, "x.png")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		// A small file may rightly hold a large image; that takes long and finds nothing.
		if cfg, _, err := image.DecodeConfig(bytes.NewReader(b)); err == nil && cfg.Width*cfg.Height > 1<<22 {
			return
		}
		img, err := ReadImage(file)
		classed(t, err)
		if err == nil {
			_, _, err = p.Tensor(img, 5, 4)
			classed(t, err)
		}
	})
}

// FuzzPreprocess takes any description of pre-processing and any size that a model may declare.
func FuzzPreprocess(f *testing.F) {
	f.Add([]byte(`{"fit":"crop","width":8,"height":8,"filter":"bicubic","mean":[1,2,3],"std":[4]}`), 4, 4, 5, 3)
	f.Add([]byte(`{"fit":"letterbox","gray":true,"order":"bgr","layout":"nhwc"}`), 1<<40, 1, 5, 3)
	f.Add([]byte(`{"fit":"stretch","scale":2}`), 16384, 16384, 1, 3)
	f.Add([]byte(`{"fit":"crop","width":1,"height":16384}`), 7, 1<<62, 300, 1)
	f.Fuzz(func(t *testing.T, b []byte, w, h, iw, ih int) {
		p, err := ParsePreprocess(b)
		classed(t, err)
		if err != nil {
			return
		}
		iw, ih = 1+iw&63, 1+ih&63
		// What is in range may be as large as it says.
		if w >= 0 && w <= maxSide && h >= 0 && h <= maxSide && max(w, p.Width)*max(h, p.Height) > 1<<22 {
			return
		}
		_, _, err = p.Tensor(&RGB{W: iw, H: ih, Pix: make([]byte, 3*iw*ih)}, w, h)
		classed(t, err)
	})
}

// TestHugeModelSize: a model may declare any size; no image of that size is made.
func TestHugeModelSize(t *testing.T) {
	img := &RGB{W: 4, H: 4, Pix: make([]byte, 48)}
	for _, fit := range []Fit{FitNone, FitStretch, FitLetterbox, FitCrop} {
		for _, size := range [][2]int{{1 << 40, 1}, {1, 1 << 40}, {1 << 62, 1 << 62}} {
			p := &Preprocess{Fit: fit}
			if fit == FitCrop {
				p.Width, p.Height = 8, 8
			}
			_, _, err := p.Tensor(img, size[0], size[1])
			var format *fault.Format
			if !errors.As(err, &format) {
				t.Errorf("%q to %v: %v, want an error of form", fit, size, err)
			}
		}
	}
}
