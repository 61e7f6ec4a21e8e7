package bundle

import (
	"errors"
	"io"
	"os"
	goruntime "runtime"
)

// FS is what an update does to a disk. Everything that changes anything goes through it, so that a test can cut the power at any step.
type FS interface {
	MkdirAll(path string) error
	// Open opens a file for reading and writing; it is made if it is not there.
	Open(path string, executable bool) (WritableFile, error)
	Rename(from, to string) error
	Symlink(target, path string) error
	RemoveAll(path string) error
	// SyncDir makes renames and new files in a folder last.
	SyncDir(path string) error
}

// WritableFile is an open file of an FS.
type WritableFile interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Disk is the real FS.
type Disk struct{}

// MkdirAll makes a folder and those above it.
func (Disk) MkdirAll(path string) error { return os.MkdirAll(path, 0o755) }

// Open opens or makes a file.
func (Disk) Open(path string, executable bool) (WritableFile, error) {
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, mode)
}

// Rename replaces to by from in one step.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Symlink makes a link.
func (Disk) Symlink(target, path string) error { return os.Symlink(target, path) }

// RemoveAll removes a file or folder.
func (Disk) RemoveAll(path string) error { return os.RemoveAll(path) }

// SyncDir asks the system to write a folder. Systems that cannot do that for folders do it on their own.
func (Disk) SyncDir(path string) error {
	if goruntime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
