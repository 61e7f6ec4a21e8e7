package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/bundle/pack"
	"github.com/dsk-toolkit/dsk/internal/fault"
)

// findRunner returns the runner for a platform: the given file, or the one that a release of dsk carries, or the one in the folder runners
// beside the program. There is no other way: a runner that is not there is an error that says how to get it.
func findRunner(p *bundle.Platform, path string, decrypts bool) ([]byte, error) {
	if path != "" {
		return os.ReadFile(path)
	}
	name := "dsk-edge-" + p.Runner
	if decrypts {
		name += "-age"
	}
	places := []fs.FS{embeddedRunners()}
	if self, err := os.Executable(); err == nil {
		places = append(places, os.DirFS(filepath.Join(filepath.Dir(self), "runners")))
	}
	for _, place := range places {
		if place == nil {
			continue
		}
		for _, file := range []string{name, name + ".gz"} {
			b, err := fs.ReadFile(place, file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				return nil, err
			case file == name:
				return b, nil
			}
			return pack.UnpackRunner(bytes.NewReader(b))
		}
	}
	return nil, &fault.Usage{What: fmt.Sprintf("this build of dsk carries no runners: use a release (make release), put %s into the folder runners beside dsk, or give --runner FILE", name)}
}
