package dataset

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // decoders register themselves
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
	_ "golang.org/x/image/bmp" // a decoder registers itself
)

// decodedBytes is what a decoded pixel takes at most: 8 in package image, 3 as RGB.
const decodedBytes = 11

// maxPixels bounds the size of an image that is decoded.
const maxPixels = 1 << 28

// RGB is an image of three bytes a pixel, row by row. Gray images have equal channels.
type RGB struct {
	W, H int
	Pix  []byte // (H, W, 3)
}

// ReadImage decodes a PNG, JPEG, GIF or BMP file.
func ReadImage(path string) (*RGB, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	bad := func(why string) error {
		return &fault.Format{File: path, Offset: -1, Where: "image", Why: why,
			Next: "give a PNG, JPEG, GIF or BMP file that is whole"}
	}
	cfg, _, err := image.DecodeConfig(bufio.NewReader(f))
	if err != nil {
		return nil, bad(err.Error())
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > maxPixels/cfg.Height {
		return nil, bad(fmt.Sprintf("its size of %d x %d is out of range", cfg.Width, cfg.Height))
	}
	if err := tensor.Room(cfg.Width*cfg.Height*decodedBytes, "decoding "+path); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	img, _, err := image.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, bad(err.Error())
	}
	return FromImage(img), nil
}

// FromImage converts a decoded image. Transparency is dropped, not blended, as PIL's
// convert("RGB") does.
func FromImage(img image.Image) *RGB {
	switch src := img.(type) {
	case *image.YCbCr:
		return fromYCbCr(src)
	case *image.Gray:
		return fromGray(src)
	case *image.NRGBA:
		return fromNRGBA(src)
	}
	b := img.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 3*b.Dx()*b.Dy())}
	i := 0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			out.Pix[i], out.Pix[i+1], out.Pix[i+2] = c.R, c.G, c.B
			i += 3
		}
	}
	return out
}

func fromNRGBA(src *image.NRGBA) *RGB {
	b := src.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 0, 3*b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		row := src.Pix[src.PixOffset(b.Min.X, y):][:4*b.Dx()]
		for ; len(row) > 0; row = row[4:] {
			out.Pix = append(out.Pix, row[0], row[1], row[2])
		}
	}
	return out
}

func fromGray(src *image.Gray) *RGB {
	b := src.Bounds()
	out := &RGB{W: b.Dx(), H: b.Dy(), Pix: make([]byte, 0, 3*b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for _, v := range src.Pix[src.PixOffset(b.Min.X, y):][:b.Dx()] {
			out.Pix = append(out.Pix, v, v, v)
		}
	}
	return out
}

// openLabelled reads a folder whose labels.csv names files and labels. A label is a class number, or
// a name; names are numbered by classes.txt or in order.
func (d *Data) openLabelled(path string) error {
	d.kind = Images
	file := filepath.Join(path, "labels.csv")
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return &fault.Format{File: file, Offset: -1, Where: "table", Why: err.Error()}
	}
	if len(rows) > 0 && len(rows[0]) > 1 && rows[0][0] == "file" {
		rows = rows[1:]
	}
	for _, dir := range []string{path, filepath.Dir(path)} {
		if names, err := readLines(filepath.Join(dir, "classes.txt")); err == nil {
			d.classes = names
			break
		}
	}
	var names []string
	numeric := true
	for i, row := range rows {
		if len(row) < 2 {
			return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("row %d", i+1), Why: "it has no label", Next: "each row is file,label"}
		}
		if n, err := strconv.Atoi(row[1]); err != nil || n < 0 {
			numeric = false
		}
		names = append(names, row[1])
	}
	if !numeric && d.classes == nil {
		d.classes = unique(names)
	}
	for i, row := range rows {
		var label int
		if numeric {
			label, _ = strconv.Atoi(row[1])
		} else if label = indexOf(d.classes, row[1]); label < 0 {
			return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("row %d", i+1),
				Why: fmt.Sprintf("label %q is not in classes.txt", row[1]), Next: "add it there, or number the labels"}
		}
		d.items = append(d.items, item{path: filepath.Join(path, filepath.FromSlash(row[0])), label: label})
	}
	return nil
}

// openClassFolders reads one subfolder of images for each class, classes in the order of their names.
func (d *Data) openClassFolders(folders []string) error {
	d.kind = Images
	sort.Strings(folders)
	for label, dir := range folders {
		d.classes = append(d.classes, filepath.Base(dir))
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		for _, e := range entries {
			if isImage(e.Name()) {
				d.items = append(d.items, item{path: filepath.Join(dir, e.Name()), label: label})
			}
		}
	}
	return nil
}

// openYOLO reads images/ and labels/ (a line a box: class cx cy w h, as fractions of the image) and
// the class names of config.yaml.
func (d *Data) openYOLO(path string) error {
	d.kind = Detection
	d.classes = yamlNames(filepath.Join(path, "config.yaml"))
	entries, err := os.ReadDir(filepath.Join(path, "images"))
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	for _, e := range entries {
		if !isImage(e.Name()) {
			continue
		}
		it := item{path: filepath.Join(path, "images", e.Name()), label: -1}
		stem := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		file := filepath.Join(path, "labels", stem+".txt")
		lines, err := readLines(file)
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("data: %w", err)
		}
		for i, line := range lines {
			var c int
			var cx, cy, w, h float32
			if _, err := fmt.Sscan(line, &c, &cx, &cy, &w, &h); err != nil {
				return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("line %d", i+1), Why: err.Error(), Next: "a line is: class cx cy w h"}
			}
			it.boxes = append(it.boxes, Box{c, cx - w/2, cy - h/2, cx + w/2, cy + h/2})
		}
		d.items = append(d.items, it)
	}
	return nil
}

// yamlNames reads the "names:" map or list of a YOLO configuration; nil if there is none.
func yamlNames(path string) []string {
	lines, err := readLines(path)
	if err != nil {
		return nil
	}
	var names []string
	in := false
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "names:":
			in = true
		case in && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "-")):
			_, name, ok := strings.Cut(trimmed, ":")
			if !ok {
				name = strings.TrimPrefix(trimmed, "-")
			}
			names = append(names, strings.Trim(strings.TrimSpace(name), `"'`))
		case trimmed != "":
			in = false
		}
	}
	return names
}

// readLines returns a file's lines that are not blank.
func readLines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}
