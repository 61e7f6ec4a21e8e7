//go:build !age

package main

import (
	"flag"

	"github.com/dsk-toolkit/dsk/bundle"
)

// sealing is what a runner needs for encrypted models: this one cannot open them, for package age would make it larger than 6 MB.
type sealing struct{}

func (*sealing) add(*flag.FlagSet) {}

func (*sealing) apply(*bundle.Bundle) {}

func (*sealing) args() []string { return nil }
