package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
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

// FuzzData opens broken data of every form of text and table, and IDX files.
func FuzzData(f *testing.F) {
	for _, s := range []string{"plain\n", `{"text":"a"}` + "\n" + `{"messages":[{"role":"user","content":"b"}]}`, "text,label\n\"a,b\",1\n", "sentence\tlabel\nx\t0\n"} {
		f.Add([]byte(s), uint8(0))
	}
	f.Add(append([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2}, 1, 2, 3, 4), uint8(5))
	names := []string{"x.txt", "x.jsonl", "x.csv", "x.tsv", "x.txt.gz", "test-images-idx3-ubyte", "labels.csv", "x.npz"}
	dir := f.TempDir()
	label := append([]byte{0, 0, 8, 1, 0, 0, 0, 1}, 7)
	f.Fuzz(func(t *testing.T, b []byte, form uint8) {
		folder := filepath.Join(dir, "d")
		if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o755)); err != nil {
			t.Fatal(err)
		}
		name := names[int(form)%len(names)]
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, b, 0o644), os.WriteFile(filepath.Join(folder, "test-labels-idx1-ubyte"), label, 0o644)); err != nil {
			t.Fatal(err)
		}
		if name == "labels.csv" || name[0] == 't' {
			path = folder
		}
		d, err := Open(path, Options{})
		classed(t, err)
		if err != nil {
			return
		}
		if d.Kind() == Text {
			_, err := d.Text(context.Background())
			classed(t, err)
		}
		for i := range d.items {
			if d.items[i].gray != nil {
				if img, _, err := d.Image(i); err != nil || img.W < 1 || img.H < 1 {
					t.Fatalf("image %d: %v", i, err)
				}
			}
		}
	})
}

// TestEmptyIDXImages: images without pixels are refused.
func TestEmptyIDXImages(t *testing.T) {
	dir := t.TempDir()
	head := []byte{0, 0, 8, 3}
	for _, n := range []uint32{1, 0, 1 << 31} {
		head = binary.BigEndian.AppendUint32(head, n)
	}
	err := errors.Join(os.WriteFile(filepath.Join(dir, "test-images-idx3-ubyte"), head, 0o644),
		os.WriteFile(filepath.Join(dir, "test-labels-idx1-ubyte"), []byte{0, 0, 8, 1, 0, 0, 0, 1, 5}, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{})
	var format *fault.Format
	if !errors.As(err, &format) {
		t.Errorf("got %v, want an error of form", err)
	}
}

// TestReadLimited: texts longer than the first step of reading come whole.
func TestReadLimited(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), firstStep/16+1000)
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(&z)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readLimited(r, "x.gz")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
}
