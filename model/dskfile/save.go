package dskfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// SaveOptions are the options of Save.
type SaveOptions struct {
	WriteOptions
	// Force allows an existing file to be replaced.
	Force bool
}

// Save writes m to path. The file appears there whole or not at all: it is written under another
// name in the same folder, brought to the disk and renamed; after an error or a
// cancelled context nothing is left. m may view the very file that is replaced.
func Save(ctx context.Context, path string, m *model.Model, o SaveOptions) (err error) {
	if err := checkTarget(path, o.Force); err != nil {
		return err
	}
	tmp, err := createBeside(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := Write(ctx, tmp, m, o.WriteOptions); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Another process may have made the file meanwhile.
	if err := checkTarget(path, o.Force); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// checkTarget refuses to write over what the caller did not mean to replace.
func checkTarget(path string, force bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return &fault.Usage{What: fmt.Sprintf("%s is a folder; name a file in it", path)}
	case !force:
		return &fault.Usage{What: fmt.Sprintf("%s exists; --force replaces it", path)}
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return &fault.Usage{What: fmt.Sprintf("%s is not an ordinary file and cannot be replaced", path)}
	}
	return nil
}

// createBeside makes a new file in path's folder, with the permissions that path would get.
func createBeside(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	for range 100 {
		name := fmt.Sprintf("%s.%s.%08x.tmp", dir, base, rand.Uint32())
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("no free name for a temporary file beside %s", path)
}

// syncFolder brings a rename to the disk where the system can do that for a folder.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
