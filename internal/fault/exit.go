package fault

import (
	"context"
	"errors"
	"syscall"
)

// The exit codes of docs/cli.md.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitGate        = 3
	ExitUnsupported = 4
	ExitResource    = 5
	ExitInput       = 6
	ExitInterrupted = 130
)

// ExitCode maps an error's class to the exit code.
func ExitCode(err error) int {
	var (
		usage       *Usage
		gate        *Gate
		unsupported *Unsupported
		resource    *Resource
		format      *Format
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &gate):
		return ExitGate
	case errors.As(err, &unsupported):
		return ExitUnsupported
	case errors.As(err, &resource), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM):
		return ExitResource
	case errors.As(err, &format):
		return ExitInput
	}
	return ExitFailure
}
