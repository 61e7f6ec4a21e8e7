// Command dsk converts, quantizes, evaluates, runs and times models; see docs/cli.md. Each file holds
// one command, which opens, calls, writes and prints; the work is in the packages.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long an interrupted command has to clean up before another signal may end it.
const grace = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once, but not one that comes with the first, as from a terminal and a parent.
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, stop) })
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
