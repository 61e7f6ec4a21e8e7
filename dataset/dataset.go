// Package dataset opens text, images, arrays and labels for calibration, evaluation and training, by
// the form that they lie in, and turns images into the tensors that models take. It
// does not know what a model is.
package dataset

import (
	"context"
	"fmt"
	"image"
	_ "image/gif" // a decoder registers itself
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset/picture"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
	_ "golang.org/x/image/bmp" // a decoder registers itself
)

// Kind is the form of some data.
type Kind uint8

// The kinds.
const (
	Text      Kind = iota + 1 // one text, or several
	Images                    // images, with labels or without
	Detection                 // images with boxes
	Arrays                    // tensors named after a graph's inputs
)

// String names the kind for messages.
func (k Kind) String() string {
	return [...]string{"nothing", "text", "images", "images with boxes", "arrays"}[k]
}

// Options select a part of the data.
type Options struct {
	Split       string // train, test or valid: a subfolder, or the prefix of IDX files
	Limit       int    // images, arrays or texts; 0 = all
	ShuffleSeed uint64 // 0 = in order
}

// Data is opened data. Images are decoded when they are asked for.
type Data struct {
	name    string
	kind    Kind
	texts   []text
	items   []item
	classes []string
	arrays  []map[string]*tensor.Tensor
}

// text is one document: a file to read, or the text itself.
type text struct {
	path  string
	body  string
	label string
}

// item is one image: a file, or pixels that are at hand.
type item struct {
	path  string
	gray  *image.Gray
	label int // -1: none
	boxes []Box
}

// Box is an object in an image: corners in pixels.
type Box struct {
	Class          int
	X1, Y1, X2, Y2 float32
}

// Open recognizes what lies at path; see docs/cli.md for the forms.
func Open(path string, o Options) (*Data, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	d := &Data{name: filepath.Base(filepath.Clean(path))}
	if info.IsDir() {
		err = d.openFolder(path, o)
	} else {
		err = d.openFile(path)
	}
	if err != nil {
		return nil, err
	}
	if len(d.texts)+len(d.items)+len(d.arrays) == 0 {
		return nil, &fault.Format{File: path, Offset: -1, Where: "data", Why: "nothing is in it",
			Next: "give a text file, a folder of images, IDX files, .jsonl, .csv, .tsv, .npy or .npz"}
	}
	d.choose(o)
	return d, nil
}

// choose applies the shuffle and the limit.
func (d *Data) choose(o Options) {
	if o.ShuffleSeed != 0 {
		rng := rand.New(rand.NewPCG(o.ShuffleSeed, 0))
		rng.Shuffle(len(d.items), func(i, j int) { d.items[i], d.items[j] = d.items[j], d.items[i] })
		rng.Shuffle(len(d.texts), func(i, j int) { d.texts[i], d.texts[j] = d.texts[j], d.texts[i] })
	}
	if o.Limit > 0 {
		d.items = d.items[:min(o.Limit, len(d.items))]
		d.arrays = d.arrays[:min(o.Limit, len(d.arrays))]
		d.texts = d.texts[:min(o.Limit, len(d.texts))]
	}
}

func (d *Data) openFolder(path string, o Options) error {
	split := o.Split
	if sub := filepath.Join(path, split); split != "" && isDir(sub) {
		path = sub
		d.name += "/" + split
		split = ""
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if idx := idxFiles(entries, split); idx != "" {
		return d.openIDX(path, idx)
	}
	if split != "" {
		return &fault.Usage{What: fmt.Sprintf("%s has no split %q: neither a subfolder nor IDX files of that name", path, split)}
	}
	switch {
	case exists(filepath.Join(path, "labels.csv")):
		return d.openLabelled(path)
	case isDir(filepath.Join(path, "images")) && isDir(filepath.Join(path, "labels")):
		return d.openYOLO(path)
	}
	var images, folders, texts []string
	for _, e := range entries {
		switch full := filepath.Join(path, e.Name()); {
		case e.IsDir():
			folders = append(folders, full)
		case isImage(e.Name()):
			images = append(images, full)
		case isText(e.Name()):
			texts = append(texts, full)
		}
	}
	switch {
	case len(images) > 0:
		d.kind = Images
		for _, f := range images {
			d.items = append(d.items, item{path: f, label: -1})
		}
	case len(splitsAmong(folders)) > 0:
		return &fault.Usage{What: fmt.Sprintf("%s has parts: choose one with --split %s", path, strings.Join(splitsAmong(folders), " or "))}
	case len(texts) > 0:
		for _, f := range texts {
			if err := d.openText(f); err != nil {
				return err
			}
		}
	case len(folders) > 0:
		return d.openClassFolders(folders)
	}
	return nil
}

// splitsAmong returns the names of folders that are splits.
func splitsAmong(folders []string) []string {
	var found []string
	for _, f := range folders {
		if name := filepath.Base(f); name == "train" || name == "test" || name == "valid" {
			found = append(found, name)
		}
	}
	return found
}

func (d *Data) openFile(path string) error {
	switch name := strings.ToLower(path); {
	case strings.HasSuffix(name, ".npy"), strings.HasSuffix(name, ".npz"):
		return d.openArrays(path)
	case isImage(name):
		d.kind = Images
		d.items = []item{{path: path, label: -1}}
		return nil
	}
	return d.openText(path)
}

// Name returns the data's base name, with the split.
func (d *Data) Name() string { return d.name }

// Kind returns the data's form.
func (d *Data) Kind() Kind { return d.kind }

// Len returns the number of images, arrays or texts.
func (d *Data) Len() int { return len(d.items) + len(d.arrays) + len(d.texts) }

// Classes returns the class names that the data has, by index; nil if it has none.
func (d *Data) Classes() []string { return d.classes }

// Labelled reports whether every image has a label.
func (d *Data) Labelled() bool {
	for _, it := range d.items {
		if it.label < 0 {
			return false
		}
	}
	return len(d.items) > 0
}

// Image decodes image i and returns it with its label (-1 if it has none).
func (d *Data) Image(i int) (*picture.RGB, int, error) {
	it := &d.items[i]
	if it.gray != nil {
		return picture.FromImage(it.gray), it.label, nil
	}
	img, err := picture.ReadImage(it.path)
	return img, it.label, err
}

// ImagePath returns the file of image i, or "" if it came from an IDX file.
func (d *Data) ImagePath(i int) string { return d.items[i].path }

// Boxes returns the objects of image i, which has the given size in pixels.
func (d *Data) Boxes(i, width, height int) []Box {
	out := make([]Box, len(d.items[i].boxes))
	w, h := float32(width), float32(height)
	for j, b := range d.items[i].boxes {
		out[j] = Box{b.Class, b.X1 * w, b.Y1 * h, b.X2 * w, b.Y2 * h}
	}
	return out
}

// Array returns the tensors of sample i by name; a single .npy has the name "".
func (d *Data) Array(i int) map[string]*tensor.Tensor { return d.arrays[i] }

// Text returns all texts, joined by line breaks.
func (d *Data) Text(ctx context.Context) (string, error) {
	var b strings.Builder
	for i := range d.texts {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		body, err := d.texts[i].read()
		if err != nil {
			return "", err
		}
		if i > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(body)
	}
	return b.String(), nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func hasSuffix(name string, suffixes ...string) bool {
	name = strings.ToLower(name)
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

func isImage(name string) bool { return hasSuffix(name, ".png", ".jpg", ".jpeg", ".gif", ".bmp") }

func isText(name string) bool {
	return hasSuffix(name, ".txt", ".txt.gz", ".md", ".jsonl", ".jsonl.gz", ".csv", ".tsv")
}
