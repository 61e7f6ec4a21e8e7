package main

import (
	"context"
	"fmt"
	goruntime "runtime"
	"time"

	"github.com/dsk-toolkit/dsk/board"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/pflag"
)

// sustainedOptions are the flags of a measurement over time.
type sustainedOptions struct {
	duration      time.Duration
	save, compare string
	tempLimit     float64
}

func (o *sustainedOptions) add(f *pflag.FlagSet) {
	f.DurationVar(&o.duration, "duration", 0, "time runs or tokens over so long, as in 10m: burst and sustained speed, temperature, throttling")
	f.StringVar(&o.save, "save", "", "with --duration: write the report to this file, for --compare")
	f.StringVar(&o.compare, "compare", "", "with --duration: compare with the report in this file; refused (exit 3) if either run was throttled")
	f.Float64Var(&o.tempLimit, "temp-limit", 0, "with --duration: wait whenever the machine is as hot as this, in degrees Celsius")
}

// runSustained times single runs, or tokens of a language model, one after the other, as the runner of a bundle does.
func (a *app) runSustained(ctx context.Context, m *model.Model, threads []int, o *sustainedOptions) error {
	n := goruntime.NumCPU()
	switch {
	case len(threads) > 1:
		return &fault.Usage{What: "--duration times one number of threads: give one with -t"}
	case len(threads) == 1:
		n = threads[0]
	case a.threads > 0:
		n = a.threads
	}
	guard := &board.Guard{Limit: o.tempLimit, Board: board.Local(), Say: func(s string) { a.warn("%s", s) }}
	if err := guard.Check(); err != nil {
		return &fault.Usage{What: err.Error()}
	}
	opts := runtime.Options{Threads: n}
	golden, _, err := bundle.Record(ctx, m, opts)
	if err != nil {
		return err
	}
	replay, err := bundle.NewReplay(m, golden, opts)
	if err != nil {
		return err
	}
	defer replay.Close()
	r, err := board.Measure(ctx, guard, o.duration, replay.Step)
	if err != nil {
		return err
	}
	r.Kernels, r.Threads = kernels.Selected(), n
	if o.save != "" {
		if err := r.Save(o.save); err != nil {
			return err
		}
	}
	if a.json {
		a.printJSON("bench", r)
	} else if err := r.Write(a.stdout); err != nil {
		return err
	}
	if o.compare == "" {
		return nil
	}
	ratio, err := r.Compare(o.compare)
	if err == nil {
		fmt.Fprintf(a.stderr, "dsk: sustained speed is %.3f of that in %s\n", ratio, o.compare)
	}
	return err
}
