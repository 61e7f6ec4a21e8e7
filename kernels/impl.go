package kernels

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// implementation is a set of instructions beside generic that this build has routines for: see
// offered. Routines read what use has set at each call, so that Select works for objects that exist already.
type implementation struct {
	name string
	runs bool // on this machine
}

// selected is the name of the implementation in use.
var selected string

// kernelEnv forces an implementation for the life of the process.
const kernelEnv = "DSK_KERNEL"

// envError is what is wrong with the value of kernelEnv.
var envError error

func init() {
	Reset()
}

// List returns the names of the implementations that this machine can run, slowest
// first: generic, then as the processor has them avx2, avxvnni and avx512vnni, or neon, neon-dotprod and neon-i8mm.
func List() []string {
	names := []string{"generic"}
	for _, i := range offered() {
		if i.runs {
			names = append(names, i.name)
		}
	}
	return names
}

// Selected returns the name of the implementation in use.
func Selected() string { return selected }

// Select makes every routine of the package use the named implementation, for tests and
// measurements. It must not be called while products run.
func Select(name string) error {
	if !slices.Contains(List(), name) {
		return fmt.Errorf("kernel %q cannot run here: choose one of %s", name, strings.Join(List(), ", "))
	}
	selected = name
	use(name)
	return nil
}

// Reset goes back to the implementation that the environment variable DSK_KERNEL names, or
// to the best one where it is unset.
func Reset() {
	names := List()
	name := names[len(names)-1]
	if env := os.Getenv(kernelEnv); env != "" {
		name = env
	}
	envError = nil
	if err := Select(name); err != nil {
		selected = "generic"
		use(selected)
		envError = fmt.Errorf("%s: %w", kernelEnv, err)
	}
}

// EnvError reports that DSK_KERNEL names an implementation that does not exist here; the
// generic one runs then. A program should ask once, at its start.
func EnvError() error { return envError }
