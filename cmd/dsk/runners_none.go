//go:build !release

package main

import "io/fs"

// embeddedRunners are those of a release.
func embeddedRunners() fs.FS { return nil }
