package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/google/go-cmp/cmp"
)

// tree writes files below a temporary folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func compressed(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

// idx encodes bytes in MNIST's format.
func idx(dims []int, data ...byte) string {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return string(append(b, data...))
}

func pngFile(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("picture/testdata/gray.png")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestText(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.txt":          "one",
		"b.txt.gz":       compressed("two\n"),
		"c.jsonl":        `{"text":"three"}` + "\n" + `{"prompt":"4 ","completion":"four"}` + "\n" + `{"messages":[{"role":"user","content":"five"}]}`,
		"d.csv":          "id,text,label\n1,\"six, \"\"six\"\"\",x\n2,seven,y\n",
		"e.tsv":          "eight \"8\" eight\t0\n\"nine\t1\n",
		"f.bin":          "\x00",
		"sub/g.txt":      "not read: folders are not searched",
		"plain.markdown": "neither",
	})
	for _, c := range []struct{ file, want string }{
		{"a.txt", "one"},
		{"b.txt.gz", "two\n"},
		{"c.jsonl", "three\n4 four\nuser: five\n"},
		{"d.csv", "six, \"six\"\nseven"},
		{"e.tsv", "eight \"8\" eight\n\"nine"},
		{"plain.markdown", "neither"},
		{"", "one\ntwo\nthree\n4 four\nuser: five\nsix, \"six\"\nseven\neight \"8\" eight\n\"nine"},
	} {
		d, err := Open(filepath.Join(dir, c.file), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		got, err := d.Text(context.Background())
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || d.Kind() != Text {
			t.Errorf("%s: kind %v, %s", c.file, d.Kind(), diff)
		}
	}
	d, err := Open(filepath.Join(dir, "d.csv"), Options{Limit: 1})
	if err != nil || d.Len() != 1 {
		t.Errorf("limit 1: %d texts, %v", d.Len(), err)
	}
	d, err = Open(filepath.Join(dir, "f.bin"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var f *fault.Format
	if _, err := d.Text(context.Background()); !errors.As(err, &f) || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("binary data as text: %v", err)
	}
}

func TestTextRefuses(t *testing.T) {
	dir := tree(t, map[string]string{"cut.txt.gz": compressed(strings.Repeat("long", 1000))[:30], "bad.jsonl": `{"text":"x"}` + "\n{", "none.jsonl": ""})
	for _, name := range []string{"bad.jsonl", "none.jsonl"} {
		var f *fault.Format
		if _, err := Open(filepath.Join(dir, name), Options{}); !errors.As(err, &f) || !strings.HasSuffix(f.File, name) {
			t.Errorf("%s: %v, want a format error that names it", name, err)
		}
	}
	d, err := Open(filepath.Join(dir, "cut.txt.gz"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var f *fault.Format
	if _, err := d.Text(context.Background()); !errors.As(err, &f) {
		t.Errorf("cut gzip: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	var empty *fault.Format
	if _, err := Open(t.TempDir(), Options{}); !errors.As(err, &empty) {
		t.Errorf("empty folder: %v", err)
	}
}

func TestIDX(t *testing.T) {
	dir := tree(t, map[string]string{
		"train-images-idx3-ubyte.gz": compressed(idx([]int{3, 1, 2}, 1, 2, 3, 4, 5, 6)),
		"train-labels-idx1-ubyte.gz": compressed(idx([]int{3}, 7, 8, 9)),
		"t10k-images-idx3-ubyte":     idx([]int{1, 2, 2}, 10, 20, 30, 40),
		"t10k-labels-idx1-ubyte":     idx([]int{1}, 5),
	})
	train, err := Open(dir, Options{Split: "train"})
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 3 || !train.Labelled() || train.Kind() != Images || !strings.HasSuffix(train.Name(), "/train") {
		t.Errorf("train: %d items, name %s", train.Len(), train.Name())
	}
	img, label, err := train.Image(1)
	if err != nil || label != 8 || img.W != 2 || img.H != 1 || !slices.Equal(img.Pix, []byte{3, 3, 3, 4, 4, 4}) {
		t.Errorf("second image: %+v label %d, %v", img, label, err)
	}
	for _, split := range []string{"", "test"} {
		test, err := Open(dir, Options{Split: split})
		if err != nil || test.Len() != 1 {
			t.Fatalf("split %q: %v", split, err)
		}
		if img, label, _ := test.Image(0); label != 5 || img.H != 2 {
			t.Errorf("split %q: label %d, height %d", split, label, img.H)
		}
	}
	var u *fault.Usage
	if _, err := Open(dir, Options{Split: "valid"}); !errors.As(err, &u) {
		t.Errorf("absent split: %v, want a usage error", err)
	}
}

func TestIDXRefuses(t *testing.T) {
	good := idx([]int{2, 1, 1}, 1, 2)
	for name, files := range map[string][2]string{
		"other count of labels": {good, idx([]int{1}, 1)},
		"cut":                   {good[:len(good)-1], idx([]int{2}, 1, 2)},
		"rank":                  {idx([]int{2, 1}, 1, 2), idx([]int{2}, 1, 2)},
		"huge counts":           {idx([]int{1 << 31, 1 << 31, 1 << 31}), idx([]int{2}, 1, 2)},
		"empty":                 {"", ""},
	} {
		dir := tree(t, map[string]string{"test-images-idx3-ubyte": files[0], "test-labels-idx1-ubyte": files[1]})
		var f *fault.Format
		if _, err := Open(dir, Options{}); !errors.As(err, &f) {
			t.Errorf("%s: %v, want a format error", name, err)
		}
	}
}

func TestLabelledFolders(t *testing.T) {
	png := pngFile(t)
	type want struct {
		labels  []int
		classes []string
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		split string
		want  want
	}{
		{"numbers", map[string]string{"labels.csv": "file,label\na.png,3\nb.png,0\n", "a.png": png, "b.png": png}, "", want{[]int{3, 0}, nil}},
		{"no header", map[string]string{"labels.csv": "a.png,3\n", "a.png": png}, "", want{[]int{3}, nil}},
		{"names in order", map[string]string{"labels.csv": "file,label\na.png,dog\nb.png,cat\n"}, "", want{[]int{1, 0}, []string{"cat", "dog"}}},
		{"names of classes.txt", map[string]string{"labels.csv": "file,label\na.png,cat\n", "classes.txt": "dog\ncat\n"}, "", want{[]int{1}, []string{"dog", "cat"}}},
		{"split", map[string]string{"test/labels.csv": "file,label\na.png,1\n", "classes.txt": "x\ny\n"}, "test", want{[]int{1}, []string{"x", "y"}}},
		{"a folder a class", map[string]string{"b/1.png": png, "a/2.png": png, "a/3.png": png, "a/note": ""}, "", want{[]int{0, 0, 1}, []string{"a", "b"}}},
		{"images alone", map[string]string{"1.png": png, "2.png": png}, "", want{[]int{-1, -1}, nil}},
	} {
		d, err := Open(tree(t, c.files), Options{Split: c.split})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got want
		for i := range d.Len() {
			got.labels = append(got.labels, d.items[i].label)
		}
		got.classes = d.Classes()
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if d.Labelled() != (c.want.labels[0] >= 0) {
			t.Errorf("%s: Labelled is %v", c.name, d.Labelled())
		}
	}
}

func TestFoldersRefused(t *testing.T) {
	var f *fault.Format
	if _, err := Open(tree(t, map[string]string{"labels.csv": "file,label\na.png,bird\n", "classes.txt": "dog\n"}), Options{}); !errors.As(err, &f) || !strings.Contains(err.Error(), "bird") {
		t.Errorf("unknown label: %v", err)
	}
	if _, err := Open(tree(t, map[string]string{"labels.csv": "only\n"}), Options{}); !errors.As(err, &f) {
		t.Errorf("a row without a label: %v", err)
	}
	var u *fault.Usage
	parts := tree(t, map[string]string{"train/a.png": "", "test/a.png": "", "classes.txt": "x\n"})
	if _, err := Open(parts, Options{}); !errors.As(err, &u) || !strings.Contains(err.Error(), "test or train") {
		t.Errorf("splits without a choice: %v", err)
	}
	if _, err := Open(parts, Options{Split: "tset"}); !errors.As(err, &u) || !strings.Contains(err.Error(), "tset") {
		t.Errorf("unknown split: %v", err)
	}
}

func TestYOLO(t *testing.T) {
	png := pngFile(t) // 19 x 13
	dir := tree(t, map[string]string{
		"images/a.png": png, "images/b.png": png,
		"labels/a.txt": "1 0.5 0.5 1 0.5\n0 0.25 0.25 0.5 0.5\n",
		"config.yaml":  "path: .\nnames:\n  0: cat\n  1: \"dog\"\nnc: 2\n",
	})
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind() != Detection || d.Len() != 2 || !slices.Equal(d.Classes(), []string{"cat", "dog"}) {
		t.Fatalf("kind %v, %d images, classes %v", d.Kind(), d.Len(), d.Classes())
	}
	want := []Box{{1, 0, 25, 200, 75}, {0, 0, 0, 100, 50}}
	if diff := cmp.Diff(want, d.Boxes(0, 200, 100)); diff != "" {
		t.Error(diff)
	}
	if got := d.Boxes(1, 200, 100); len(got) != 0 {
		t.Errorf("an image without a label file has boxes %v", got)
	}
	var f *fault.Format
	bad := tree(t, map[string]string{"images/a.png": png, "labels/a.txt": "1 0.5\n"})
	if _, err := Open(bad, Options{}); !errors.As(err, &f) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a short line: %v", err)
	}
}

func TestShuffleAndLimit(t *testing.T) {
	png := pngFile(t)
	files := map[string]string{}
	for _, c := range "abcdefgh" {
		files[string(c)+".png"] = png
	}
	dir := tree(t, files)
	order := func(o Options) string {
		d, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		s := ""
		for i := range d.Len() {
			s += filepath.Base(d.ImagePath(i))[:1]
		}
		return s
	}
	if got := order(Options{}); got != "abcdefgh" {
		t.Errorf("in order: %s", got)
	}
	one, two := order(Options{ShuffleSeed: 1}), order(Options{ShuffleSeed: 2})
	if one == "abcdefgh" || one == two || one != order(Options{ShuffleSeed: 1}) {
		t.Errorf("seed 1 gives %s, seed 2 %s", one, two)
	}
	if got := order(Options{ShuffleSeed: 1, Limit: 3}); got != one[:3] {
		t.Errorf("limit 3 of %s gives %s", one, got)
	}
}
