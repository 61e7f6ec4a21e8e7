package dskfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

func TestSaveAndOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.dsk")
	m := small(t, 8)
	ctx := context.Background()
	if err := Save(ctx, path, m, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(ctx, nil); err != nil {
		t.Error(err)
	}
	var usage *fault.Usage
	if err := Save(ctx, path, m, SaveOptions{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("existing file: %v", err)
	}
	// A model may replace the file that it views.
	got, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(ctx, path, got, SaveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := f.Verify(ctx, nil); err == nil {
		t.Error("Verify after Close passes")
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b, fileOf(t, m)) {
		t.Errorf("Save and Write differ (%v)", err)
	}
	onlyFile(t, dir, "m.dsk")
}

// onlyFile checks that a folder holds the names given and no more.
func onlyFile(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("folder holds %v, want %v", names, want)
	}
}

func TestSaveLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.dsk")
	ctx, cancel := context.WithCancel(context.Background())
	err := Save(ctx, path, small(t, 1000), SaveOptions{WriteOptions: WriteOptions{Progress: func(done, total int64) { cancel() }}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	bad := &model.Model{Graph: &model.Graph{Name: "\xff"}}
	if err := Save(context.Background(), path, bad, SaveOptions{}); err == nil {
		t.Error("a model that cannot be stored is stored")
	}
	onlyFile(t, dir)
	if err := Save(context.Background(), dir, small(t, 3), SaveOptions{Force: true}); err == nil {
		t.Error("a folder is replaced")
	}
	if err := Save(context.Background(), filepath.Join(dir, "none", "m.dsk"), small(t, 3), SaveOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
}

// fullDisk takes some bytes, then has no space left.
type fullDisk struct {
	memFile
	room int
}

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, &fs.PathError{Op: "write", Path: "m.dsk", Err: syscall.ENOSPC}
	}
	return f.memFile.Write(p)
}

func TestFullDisk(t *testing.T) {
	for _, room := range []int{0, 5000} {
		var resource *fault.Resource
		err := Write(context.Background(), &fullDisk{room: room}, small(t, 1000), WriteOptions{})
		if !errors.As(err, &resource) || !strings.Contains(err.Error(), "takes ") {
			t.Errorf("room for %d: %v", room, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path   string
		format bool
		want   string
	}{
		{dir, true, "is a directory"},
		{filepath.Join(dir, "none.dsk"), false, "no such file"},
		{file("empty.dsk", ""), true, "the file is empty"},
		{file("text.dsk", "hello, world, this is not a model"), true, "not a .dsk file (dsk convert"},
		{file("short.dsk", Magic[:5]), true, "truncated"},
		{file("gguf.dsk", "GGUF\x03\x00\x00\x00"), true, "GGUF"},
		{file("safetensors.dsk", "\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":1}"), true, "safetensors"},
		{file("textmode.dsk", "\x89DSK\n\x1a\n"+strings.Repeat("\x00", 200)), true, "text mode"},
	} {
		f, err := Open(c.path)
		if err == nil {
			f.Close()
			t.Errorf("%s opens", c.path)
			continue
		}
		var format *fault.Format
		if errors.As(err, &format) != c.format || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%v", err)
		}
	}
}
