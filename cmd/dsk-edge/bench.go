package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/dsk-toolkit/dsk/board"
	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
)

type benchFlags struct {
	duration      time.Duration
	save, compare string
}

func (o *benchFlags) add(_ *app, f *flag.FlagSet) {
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long to run, as in 30s or 10m")
	f.StringVar(&o.save, "save", "", "write the report to this `file`, for --compare")
	f.StringVar(&o.compare, "compare", "", "compare with the report in this `file`; refused if either run was throttled")
}

func (o *benchFlags) run(ctx context.Context, a *app, _ *flag.FlagSet, _ []string) error {
	if o.duration <= 0 {
		return &fault.Usage{What: "--duration must be positive"}
	}
	l, err := a.load(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	if l.b == nil {
		return &fault.Usage{What: "bench runs the recorded inputs of a bundle; time a .dsk file with dsk bench"}
	}
	g, err := l.b.Golden()
	if err != nil {
		return err
	}
	replay, err := bundle.NewReplay(l.m, g, a.options())
	if err != nil {
		return err
	}
	defer replay.Close()
	r, err := board.Measure(ctx, &a.guard, o.duration, replay.Step)
	if err != nil {
		return err
	}
	r.ID, r.Kernels, r.Threads = l.b.Manifest.ID, kernels.Selected(), a.options().Threads
	if o.save != "" {
		if err := r.Save(o.save); err != nil {
			return err
		}
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = r.Write(a.stdout)
	}
	if err != nil || o.compare == "" {
		return err
	}
	ratio, err := r.Compare(o.compare)
	if err == nil {
		fmt.Fprintf(a.stderr, "dsk-edge: sustained speed is %.3f of that in %s\n", ratio, o.compare)
	}
	return err
}
