//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package tensor

import (
	"io"
	"os"
)

func mapFile(f *os.File, size int) (*Mapping, error) {
	data := AlignedBytes(size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return &Mapping{Data: data}, nil
}

func unmap([]byte) error { return nil }

func advise([]byte, Advice) {}
