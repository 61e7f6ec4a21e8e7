package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/klauspost/compress/zstd"
)

// ReadManifest reads the manifest of a bundle in any of its forms: a folder, an executable, a .tar.zst or a Debian package. It says what
// chunks the bundle has, which is all that a difference needs of the older one. What is no bundle is a *fault.Format.
func ReadManifest(file string) (*bundle.Manifest, error) {
	if bundle.Is(file) {
		b, err := bundle.Open(file)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		return b.Manifest, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	text, err := archivedManifest(r)
	if err != nil {
		return nil, &fault.Format{File: file, Offset: -1, Where: "archive", Why: err.Error(), Next: "give a folder, an executable, a .tar.zst or a .deb of dsk package"}
	}
	m, err := bundle.ParseManifest(text)
	return m, fault.InFile(err, file)
}

// archivedManifest finds the manifest's text in a packed bundle, by the first bytes.
func archivedManifest(r *bufio.Reader) ([]byte, error) {
	magic, err := r.Peek(8)
	switch {
	case err != nil:
		return nil, errors.New("it is too short for a bundle")
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return manifestInTar(z)
	case string(magic) == "!<arch>\n":
		data, err := debData(r)
		if err != nil {
			return nil, err
		}
		z, err := gzip.NewReader(data)
		if err != nil {
			return nil, err
		}
		return manifestInTar(z)
	}
	return nil, errors.New("this is no bundle")
}

func manifestInTar(r io.Reader) ([]byte, error) {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("it has no %s", bundle.ManifestFile)
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && path.Base(h.Name) == bundle.ManifestFile {
			return io.ReadAll(io.LimitReader(t, bundle.MaxManifest+1))
		}
	}
}

// debData goes to the packed files of a Debian package, which is an archive of ar.
func debData(r *bufio.Reader) (io.Reader, error) {
	if _, err := r.Discard(8); err != nil {
		return nil, err
	}
	for {
		var h [60]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, fmt.Errorf("data.tar.gz is missing: %w", err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 {
			return nil, errors.New("the size of a part is no number")
		}
		if strings.TrimRight(string(h[:16]), " /") == "data.tar.gz" {
			return io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, err
		}
	}
}
