package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// The exit codes of docs/cli.md.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitGate        = 3
	exitUnsupported = 4
	exitResource    = 5
	exitInput       = 6
	exitInterrupted = 130
)

const exitCodesText = `dsk's exit codes:
  0    ok
  1    failure
  2    wrong usage: an unknown flag, a missing argument, flags that exclude each other
  3    a gate was not met: quality, size or latency
  4    unsupported operator, architecture or format
  5    not enough memory or disk
  6    bad, truncated or tampered input
  130  interrupted
`

// exitCode maps an error's class to the exit code.
func exitCode(err error) int {
	var (
		usage       *fault.Usage
		gate        *fault.Gate
		unsupported *fault.Unsupported
		resource    *fault.Resource
		format      *fault.Format
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &gate):
		return exitGate
	case errors.As(err, &unsupported):
		return exitUnsupported
	case errors.As(err, &resource), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM):
		return exitResource
	case errors.As(err, &format):
		return exitInput
	}
	return exitFailure
}
