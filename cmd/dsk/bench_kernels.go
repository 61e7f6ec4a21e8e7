package main

import (
	"context"
	"fmt"
	"regexp"
	goruntime "runtime"
	"text/tabwriter"
	"time"

	"github.com/dsk-toolkit/dsk/bench"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/spf13/cobra"
)

type benchKernelsOptions struct {
	filter        string
	assert, quick bool
}

func (a *app) benchKernelsCommand() *cobra.Command {
	var o benchKernelsOptions
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "Measure every kernel against the limits of this machine",
		Long: `Measure every kernel of this build, in every implementation that this machine can run, against the
limits measured in the same run: peak arithmetic, or the bandwidth of where its data lie.
The implementation that dsk picks is marked <--. Weights are synthetic.

  dsk bench kernels --filter 'gemm/.*/D4'     names are kind/routine/format/MxNxK/source/kernels/threads
  dsk bench kernels --assert                  exit 3 where the pick is not the fastest`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBenchKernels(cmd.Context(), &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.filter, "filter", "", "only kernels whose name matches this regular expression")
	f.BoolVar(&o.assert, "assert", false, "exit 3 where the pick is not the fastest implementation (beyond 5 % of noise)")
	f.BoolVar(&o.quick, "quick", false, "a quarter of the time, and less exact")
	return cmd
}

func (a *app) runBenchKernels(ctx context.Context, o *benchKernelsOptions) error {
	filter, err := regexp.Compile(o.filter)
	if err != nil {
		return &fault.Usage{What: fmt.Sprintf("--filter %q: %v", o.filter, err)}
	}
	budget := 160 * time.Millisecond
	if o.quick {
		budget /= 4
	}
	threads := []int{1, goruntime.NumCPU()}
	switch {
	case a.threads > 0:
		threads = []int{a.threads}
	case goruntime.NumCPU() == 1:
		threads = []int{1}
	}
	p := a.newProgress()
	r, err := bench.MeasureKernels(ctx, bench.KernelOptions{Threads: threads, Budget: budget, Filter: filter, Progress: p.stageFunc("bench kernels")})
	p.finish()
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("bench kernels", r)
	} else {
		a.printKernels(r)
	}
	if o.assert {
		return r.Assert()
	}
	return nil
}

func (a *app) printKernels(r *bench.KernelReport) {
	a.print("weights are %s; kernels in use: %s", r.Weights, r.Selected)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "kind\troutine\tformat\tm\tn\tk\tsource\tthreads\tkernels\trate\tunit\tof limit\tspread\tlimit\t\t")
	for _, l := range r.Results {
		rate, unit, mark := l.GBytesPerSecond, "GB/s", ""
		if l.GMACs > 0 {
			rate, unit = l.GMACs, "GMAC/s"
		}
		if l.Picked {
			mark = "<--"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%d\t%s\t%.2f\t%s\t%.0f%%\t%.0f%%\t%s\t%s\t\n", l.Kind, l.Kernel, l.Format, l.M, l.N, l.K, l.Source,
			l.Threads, l.ISA, rate, unit, 100*l.FractionOfLimit, 100*l.Spread, l.LimitOf, mark)
	}
	w.Flush()
	if len(kernels.List()) == 1 {
		a.print("this build or machine has one implementation only")
	}
}
