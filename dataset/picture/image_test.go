package picture

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// pattern is an image without symmetry; testdata's figures were recorded from Pillow for the same formula.
func pattern(w, h int) *RGB {
	m := &RGB{W: w, H: h, Pix: make([]byte, 3*w*h)}
	for y := range h {
		for x := range w {
			for c := range 3 {
				m.Pix[3*(y*w+x)+c] = byte(x*37 + y*91 + c*53 + x*y*7)
			}
		}
	}
	return m
}

// TestResizeAsPillow compares with Image.resize of Pillow 9.4, byte for byte.
func TestResizeAsPillow(t *testing.T) {
	for _, c := range []struct {
		w, h, toW, toH int
		filter         Filter
		want           []byte
	}{
		{7, 5, 3, 4, Bilinear, []byte{56, 109, 149, 120, 147, 174, 158, 143, 113, 147, 154, 137, 125, 110, 122, 114, 129, 136, 110, 117, 133, 142, 154, 139, 145, 128, 135, 140, 152, 122, 136, 129, 133, 168, 139, 110}},
		{7, 5, 3, 4, Bicubic, []byte{45, 103, 149, 122, 155, 182, 162, 141, 110, 158, 160, 135, 119, 104, 117, 111, 127, 139, 103, 113, 129, 145, 159, 146, 150, 127, 133, 139, 155, 123, 139, 125, 133, 168, 140, 109}},
		{3, 4, 5, 7, Bilinear, []byte{0, 53, 106, 15, 68, 121, 37, 90, 143, 59, 112, 165, 74, 127, 180, 33, 86, 139, 49, 102, 155, 72, 125, 178, 95, 148, 147, 112, 165, 126, 85, 138, 191, 102, 155, 208, 128, 181, 234, 154, 207, 118, 172, 225, 40, 137, 190, 115, 156, 158, 134, 184, 109, 162, 136, 138, 114, 104, 157, 82, 170, 223, 38, 190, 149, 59, 222, 37, 90, 110, 68, 121, 35, 88, 141, 76, 129, 90, 98, 114, 112, 131, 93, 146, 110, 127, 180, 95, 148, 201, 17, 70, 123, 40, 93, 146, 75, 128, 181, 110, 163, 216, 133, 186, 239}},
		{3, 4, 5, 7, Bicubic, []byte{0, 43, 96, 4, 57, 109, 29, 82, 135, 55, 108, 174, 69, 122, 196, 23, 73, 137, 35, 92, 155, 63, 126, 179, 97, 153, 149, 115, 167, 127, 81, 134, 195, 97, 153, 223, 128, 188, 241, 163, 219, 107, 182, 235, 17, 149, 213, 111, 173, 169, 136, 200, 109, 162, 140, 136, 101, 96, 160, 58, 173, 245, 27, 204, 158, 47, 229, 30, 83, 101, 54, 123, 13, 85, 147, 66, 126, 85, 92, 110, 106, 126, 92, 145, 109, 127, 190, 93, 153, 216, 0, 51, 126, 21, 82, 148, 62, 136, 189, 116, 177, 229, 147, 198, 251}},
		{16, 9, 4, 2, Bicubic, []byte{120, 136, 135, 132, 132, 131, 124, 133, 129, 129, 143, 118, 125, 128, 132, 133, 129, 122, 131, 118, 129, 138, 125, 146}},
	} {
		got, err := pattern(c.w, c.h).Resize(c.toW, c.toH, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Pix, c.want) {
			t.Errorf("%dx%d to %dx%d %s:\ngot  %v\nwant %v", c.w, c.h, c.toW, c.toH, c.filter, got.Pix, c.want)
		}
	}
}

func TestResizeRefuses(t *testing.T) {
	img := pattern(4, 4)
	if _, err := img.Resize(0, 4, Bilinear); err == nil {
		t.Error("a width of 0 was accepted")
	}
	if _, err := img.Resize(1<<20, 1<<20, Bilinear); err == nil {
		t.Error("2^40 pixels were accepted")
	}
	if _, err := img.Resize(2, 2, "lanczos"); err == nil || !strings.Contains(err.Error(), "lanczos") {
		t.Errorf("unknown filter: %v", err)
	}
	same, err := img.Resize(4, 4, Bicubic)
	if err != nil || !slices.Equal(same.Pix, img.Pix) {
		t.Errorf("the same size changed the image: %v", err)
	}
}

func TestCrop(t *testing.T) {
	img := pattern(4, 3)
	got := img.Crop(1, 1, 2, 2)
	want := append(append([]byte{}, img.Pix[3*5:3*7]...), img.Pix[3*9:3*11]...)
	if !slices.Equal(got.Pix, want) {
		t.Errorf("inner crop: got %v, want %v", got.Pix, want)
	}
	// What lies outside is black.
	out := img.Crop(-1, 2, 3, 2)
	want = append([]byte{0, 0, 0}, img.Pix[3*8:3*10]...)
	want = append(want, make([]byte, 9)...)
	if !slices.Equal(out.Pix, want) {
		t.Errorf("crop over the edge: got %v, want %v", out.Pix, want)
	}
	if far := img.Crop(10, 10, 2, 2); slices.Max(far.Pix) != 0 {
		t.Errorf("crop outside is not black: %v", far.Pix)
	}
}

// TestDecodeAsPillow compares decoded pixels with Pillow's. JPEG may differ by the rounding of the
// inverse cosine transform, all others must agree.
func TestDecodeAsPillow(t *testing.T) {
	for _, c := range []struct {
		file, want string
		tolerance  int
	}{
		{"ramp-444.jpg", "ramp-444.png", 2},
		{"ramp-422.jpg", "ramp-422.png", 2},
		{"ramp-420.jpg", "ramp-420.png", 2},
		{"gray.jpg", "gray.png", 1},
		{"palette.png", "palette-rgb.png", 0},
		{"alpha.png", "alpha-rgb.png", 0},
	} {
		got, err := ReadImage(filepath.Join("testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		want, err := ReadImage(filepath.Join("testdata", c.want))
		if err != nil {
			t.Fatal(err)
		}
		if got.W != want.W || got.H != want.H {
			t.Fatalf("%s: %d x %d, want %d x %d", c.file, got.W, got.H, want.W, want.H)
		}
		for i, v := range want.Pix {
			if d := int(got.Pix[i]) - int(v); d > c.tolerance || d < -c.tolerance {
				t.Errorf("%s: byte %d is %d, want %d", c.file, i, got.Pix[i], v)
				break
			}
		}
	}
}

func TestReadImageRefuses(t *testing.T) {
	dir := t.TempDir()
	png, err := os.ReadFile("testdata/gray.png")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"empty.png": nil, "text.png": []byte("no image"), "cut.png": png[:len(png)/2]} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		var f *fault.Format
		if _, err := ReadImage(file); !errors.As(err, &f) || f.File != file {
			t.Errorf("%s: %v, want a format error that names the file", name, err)
		}
	}
	if _, err := ReadImage(filepath.Join(dir, "absent.png")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}
