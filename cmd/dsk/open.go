package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/spf13/pflag"
)

// openModel maps a .dsk file; the caller closes it. With whole, every byte is checked first: verbs that read all
// weights to make something new of them must not pass damage on.
func (a *app) openModel(ctx context.Context, path string, whole bool) (*dskfile.File, *model.Model, error) {
	f, err := a.openFile(path)
	if err != nil {
		return nil, nil, err
	}
	m, err := f.Model()
	if err == nil && whole {
		p := a.newProgress()
		err = f.Verify(ctx, p.stageFunc("verify"))
		p.finish()
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, m, nil
}

func (a *app) openFile(path string) (*dskfile.File, error) {
	if path != "-" {
		return dskfile.Open(path)
	}
	b, err := io.ReadAll(a.stdin)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return dskfile.OpenBytes(b)
}

// saveModel writes a model to a path, or to standard output for "-": what is reported after that goes to standard error.
func (a *app) saveModel(ctx context.Context, path string, m *model.Model, force bool) (int64, error) {
	p := a.newProgress()
	defer p.finish()
	o := dskfile.SaveOptions{Force: force}
	o.Progress = p.stageFunc("write")
	if path != "-" {
		if err := dskfile.Save(ctx, path, m, o); err != nil {
			return 0, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	tmp, err := os.CreateTemp("", "dsk-*.dsk")
	if err != nil {
		return 0, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := dskfile.Write(ctx, tmp, m, o.WriteOptions); err != nil {
		return 0, err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.Copy(a.stdout, tmp)
	a.stdout = a.stderr
	return n, err
}

// needFolder reports before any work is done that the folder of a file that is to be written is missing or cannot be written to.
func needFolder(path string) error {
	if path == "" || path == "-" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return &fault.Usage{What: fmt.Sprintf("%s is a folder; name a file in it", path)}
		}
		return nil // a device is written as it is
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".dsk-*.tmp")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// needOutput checks the output path before any work is done.
func needOutput(path string, force bool) error {
	if path == "" {
		return &fault.Usage{What: "an output is needed: -o FILE.dsk, or -o - for standard output"}
	}
	if path == "-" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil && !force {
		return &fault.Usage{What: fmt.Sprintf("%s exists already; give --force to replace it", path)}
	}
	return needFolder(path)
}

// saveFile writes a file that appears whole or not at all: it is written beside its place and moved there. What is
// there and is no ordinary file, such as a device, is written to as it is.
func saveFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".dsk-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := errors.Join(write(tmp), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// dataFlags are the flags that select a part of some data.
type dataFlags struct {
	split string
	limit int
	seed  uint64
}

func (d *dataFlags) add(f *pflag.FlagSet) {
	f.StringVar(&d.split, "split", "", "part of the data: train, test or valid")
	f.IntVar(&d.limit, "limit", 0, "number of images or of windows of text (0 = all)")
	f.Uint64Var(&d.seed, "shuffle-seed", 0, "shuffle images or texts with this seed (0 = in order)")
}

// windowFlags say how text is cut into windows.
type windowFlags struct{ ctx, scoreFrom int }

func (w *windowFlags) add(f *pflag.FlagSet) {
	f.IntVar(&w.ctx, "ctx", 0, "tokens in a window of text (0 = the model's context length)")
	f.IntVar(&w.scoreFrom, "score-from", 0, "first position of a window that is scored (0 = 1)")
}

// openEval opens data that a result is measured on, with the split of the same flags unless it has one of its own. Data that it is chosen on are
// refused.
func (d *dataFlags) openEval(path, split, calib string) (*dataset.Data, error) {
	e := *d
	if split != "" {
		e.split = split
	}
	if e.split == d.split && sameFile(path, calib) {
		return nil, &fault.Usage{What: fmt.Sprintf("--eval %s is the calibration data: give other data, or another --eval-split", path)}
	}
	return e.open(path)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (d *dataFlags) open(path string) (*dataset.Data, error) {
	return dataset.Open(path, dataset.Options{Split: d.split, ShuffleSeed: d.seed})
}

// megabytes formats a size for people.
func megabytes(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n >= 10_000_000_000:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.2f MB", float64(n)/1e6)
}
