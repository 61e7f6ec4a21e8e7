//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package tensor

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

func mapFile(f *os.File, size int) (*Mapping, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	return &Mapping{Data: data, mapped: true}, nil
}

func unmap(data []byte) error { return unix.Munmap(data) }

// advise ignores the system's answer, as Advise promises.
func advise(data []byte, a Advice) {
	advice := unix.MADV_NORMAL
	switch a {
	case AdviceSequential:
		advice = unix.MADV_SEQUENTIAL
	case AdviceRandom:
		advice = unix.MADV_RANDOM
	case AdviceWillNeed:
		advice = unix.MADV_WILLNEED
	case AdviceDontNeed:
		advice = unix.MADV_DONTNEED
	}
	_ = unix.Madvise(data, advice)
}
