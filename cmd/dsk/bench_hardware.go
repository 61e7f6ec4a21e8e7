package main

import (
	"context"
	"fmt"
	goruntime "runtime"
	"text/tabwriter"
	"time"

	"github.com/dsk-toolkit/dsk/bench"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/spf13/cobra"
)

// noArgs is cobra.NoArgs with a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &fault.Usage{What: err.Error()}
	}
	return nil
}

// hardwareTime is about how long all tests take together, beside filling the memory they read.
const hardwareTime = 8 * time.Second

func (a *app) benchHardwareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hardware",
		Short: "Measure this machine: clock, peak arithmetic, bandwidth of caches and memory",
		Long: `Measure what this machine can do at most, with each number of threads: the clock, the peak rate of
the instructions that products are made of, and the bandwidth of reading and copying in each
cache and in memory. A figure is the best of several; the spread is how much lower their median is.

  dsk bench hardware
  dsk bench hardware -j 1 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBenchHardware(cmd.Context()) },
	}
}

func (a *app) runBenchHardware(ctx context.Context) error {
	threads := allThreads(goruntime.NumCPU())
	if a.threads > 0 {
		threads = []int{a.threads}
	}
	p := a.newProgress()
	h, err := bench.MeasureHardware(ctx, bench.HardwareOptions{Threads: threads, Total: hardwareTime, Progress: p.stageFunc("bench hardware")})
	p.finish()
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("bench hardware", h)
		return nil
	}
	for _, c := range h.Caches {
		note := ""
		if c.Assumed {
			note = " (assumed: the system does not tell)"
		}
		a.print("L%d cache  %s, shared by %d%s", c.Level, kibibytes(c.Bytes), c.Threads, note)
	}
	a.print("memory    tested with %s", kibibytes(h.BufferBytes))
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "test\tkernels\tinstruction\tthreads\tKiB/thread\trate\tunit\tspread\t")
	for _, l := range h.Results {
		size := "-"
		if l.BytesPerThread > 0 {
			size = fmt.Sprint(l.BytesPerThread >> 10)
		}
		rate, unit := l.GBytesPerSecond, "GB/s"
		switch {
		case l.GHz > 0:
			rate, unit = l.GHz, "GHz"
		case l.GMACs > 0:
			rate, unit = l.GMACs, "GMAC/s"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%.2f\t%s\t%.1f%%\t\n", l.Test, orNone(l.ISA), orNone(l.Instruction), l.Threads, size, rate, unit, 100*l.Spread)
	}
	return w.Flush()
}

// allThreads returns the numbers of threads to measure: every one up to eight, then doubles.
func allThreads(cores int) []int {
	var out []int
	for t := 1; t < cores; {
		out = append(out, t)
		if t < 8 {
			t++
		} else {
			t *= 2
		}
	}
	return append(out, cores)
}

// kibibytes writes a size that is a power of two or nearly so.
func kibibytes(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
