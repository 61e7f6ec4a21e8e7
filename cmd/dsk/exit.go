package main

import "github.com/dsk-toolkit/dsk/internal/fault"

// The exit codes of docs/cli.md.
const (
	exitOK          = fault.ExitOK
	exitFailure     = fault.ExitFailure
	exitUsage       = fault.ExitUsage
	exitGate        = fault.ExitGate
	exitUnsupported = fault.ExitUnsupported
	exitResource    = fault.ExitResource
	exitInput       = fault.ExitInput
	exitInterrupted = fault.ExitInterrupted
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
func exitCode(err error) int { return fault.ExitCode(err) }
