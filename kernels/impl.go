package kernels

import (
	"fmt"
	"os"
	"strings"
)

// The instruction sets that routines choose between, best first. At most
// one is true; with none the generic Go forms run. Routines read them at each call, so that
// Select works for objects that exist already.
var (
	useAVX512 bool // AVX-512 F, BW, DQ, VL and VNNI
	useAVX2   bool // AVX2 and FMA
)

// kernelEnv forces an implementation for the life of the process.
const kernelEnv = "DSK_KERNEL"

// envError is what is wrong with the value of kernelEnv.
var envError error

func init() {
	Reset()
}

// List returns the names of the implementations that this machine can run, slowest
// first: generic, then avx2, avx512vnni as the processor has them.
func List() []string {
	names := []string{"generic"}
	if hasAVX2 {
		names = append(names, "avx2")
	}
	if hasAVX512 {
		names = append(names, "avx512vnni")
	}
	return names
}

// Selected returns the name of the implementation in use.
func Selected() string {
	if useAVX512 {
		return "avx512vnni"
	}
	if useAVX2 {
		return "avx2"
	}
	return "generic"
}

// Select makes every routine of the package use the named implementation, for tests and
// measurements. It must not be called while products run.
func Select(name string) error {
	for _, n := range List() {
		if n == name {
			useAVX2, useAVX512 = name == "avx2", name == "avx512vnni"
			return nil
		}
	}
	return fmt.Errorf("kernel %q cannot run here: choose one of %s", name, strings.Join(List(), ", "))
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
		useAVX2, useAVX512 = false, false
		envError = fmt.Errorf("%s: %w", kernelEnv, err)
	}
}

// EnvError reports that DSK_KERNEL names an implementation that does not exist here; the
// generic one runs then. A program should ask once, at its start.
func EnvError() error { return envError }
