//go:build release

package main

import (
	"embed"
	"io/fs"
)

// runners are made by make release.
//
//go:embed runners
var runners embed.FS

func embeddedRunners() fs.FS {
	sub, err := fs.Sub(runners, "runners")
	if err != nil {
		return nil
	}
	return sub
}
