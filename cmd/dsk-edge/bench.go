package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
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

// slow is the part of the burst speed below which a run counts as throttled even if the board does not say so.
const slow = 0.9

// benchReport is what bench measures: runs, or tokens of a language model.
type benchReport struct {
	Schema     int           `json:"schema_version"`
	Command    string        `json:"command"`
	ID         string        `json:"bundle_id,omitempty"`
	Kernels    string        `json:"kernels"`
	Threads    int           `json:"threads"`
	Seconds    float64       `json:"seconds"`
	Steps      int           `json:"steps"`
	Burst      float64       `json:"burst_per_second"`     // the median of the first tenth of the seconds
	Sustained  float64       `json:"sustained_per_second"` // that of the last half
	MedianMS   float64       `json:"median_ms"`
	P95MS      float64       `json:"p95_ms"`
	Waited     float64       `json:"waited_seconds"` // at --temp-limit
	Throttled  []string      `json:"throttled"`      // why the figures are not those of a board at its full clock
	Sensors    bool          `json:"sensors"`
	EachSecond []benchSecond `json:"each_second"`
}

type benchSecond struct {
	PerSecond float64 `json:"per_second"`
	board.State
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
	r, err := a.measure(ctx, o.duration, replay.Step)
	if err != nil {
		return err
	}
	r.ID, r.Threads = l.b.Manifest.ID, a.options().Threads
	if o.save != "" {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.save, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		r.print(a)
	}
	if err == nil && o.compare != "" {
		err = r.compare(a, o.compare)
	}
	return err
}

// measure runs step for a time and reads the board's state each second.
func (a *app) measure(ctx context.Context, d time.Duration, step func(context.Context) error) (*benchReport, error) {
	r := &benchReport{Schema: 1, Command: "bench", Kernels: kernels.Selected(), Throttled: []string{}}
	if err := step(ctx); err != nil {
		return nil, err
	}
	var all []float64
	why := map[string]bool{}
	begin := time.Now()
	second, steps := begin, 0
	for time.Since(begin) < d {
		waited := a.guard.Waited
		if err := a.guard.Wait(ctx); err != nil {
			return nil, err
		}
		if a.guard.Waited > waited {
			why["waited at --temp-limit"] = true
		}
		start := time.Now()
		if err := step(ctx); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(start).Nanoseconds())/1e6)
		steps++
		if past := time.Since(second); past >= time.Second {
			s := benchSecond{float64(steps) / past.Seconds(), a.guard.Board.Read()}
			for _, t := range s.State.Throttled {
				why[t] = true
			}
			r.Sensors = r.Sensors || s.Known
			r.EachSecond = append(r.EachSecond, s)
			second, steps = time.Now(), 0
		}
	}
	r.Seconds, r.Steps, r.Waited = time.Since(begin).Seconds(), len(all), a.guard.Waited.Seconds()
	r.summarize(all)
	if r.Sustained < slow*r.Burst {
		why[fmt.Sprintf("sustained speed is below %.0f %% of burst speed", 100*slow)] = true
	}
	for w := range why {
		r.Throttled = append(r.Throttled, w)
	}
	slices.Sort(r.Throttled)
	return r, nil
}

func (r *benchReport) summarize(ms []float64) {
	sorted := slices.Sorted(slices.Values(ms))
	r.MedianMS, r.P95MS = sorted[len(sorted)/2], sorted[len(sorted)*95/100]
	r.Burst, r.Sustained = 1e3/r.MedianMS, 1e3/r.MedianMS
	if n := len(r.EachSecond); n >= 2 {
		r.Burst, r.Sustained = medianRate(r.EachSecond[:max(1, n/10)]), medianRate(r.EachSecond[n/2:])
	}
}

func medianRate(s []benchSecond) float64 {
	var v []float64
	for _, x := range s {
		v = append(v, x.PerSecond)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (r *benchReport) print(a *app) {
	fmt.Fprintf(a.stdout, "median %.3f ms, 95 %% below %.3f ms; %d threads, kernels %s\nburst %.2f/s, sustained %.2f/s over %.0f s\n",
		r.MedianMS, r.P95MS, r.Threads, r.Kernels, r.Burst, r.Sustained, r.Seconds)
	hottest := 0.0
	for _, s := range r.EachSecond {
		hottest = max(hottest, s.Celsius)
	}
	switch {
	case len(r.Throttled) > 0:
		fmt.Fprintf(a.stdout, "THROTTLED: %s\n", strings.Join(r.Throttled, "; "))
	case !r.Sensors:
		fmt.Fprintln(a.stdout, "this system shows no temperature; nothing points to throttling but speed was all there was to see")
	}
	if r.Sensors {
		fmt.Fprintf(a.stdout, "hottest %.1f C\n", hottest)
	}
}

// compare prints the ratio to another report, if both are of boards at their full clock.
func (r *benchReport) compare(a *app, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old := &benchReport{}
	if err := json.Unmarshal(b, old); err != nil || old.Command != "bench" || old.Sustained <= 0 {
		return &fault.Format{File: path, Offset: -1, Why: "this is no report of bench --save"}
	}
	for _, x := range []struct {
		name string
		r    *benchReport
	}{{"this run", r}, {path, old}} {
		if len(x.r.Throttled) > 0 {
			return &fault.Gate{What: fmt.Sprintf("no comparison: %s was throttled (%s); let the board cool, or look at its power supply", x.name, strings.Join(x.r.Throttled, "; "))}
		}
	}
	if old.Threads != r.Threads || old.Kernels != r.Kernels {
		return &fault.Gate{What: fmt.Sprintf("no comparison: %s ran with %d threads and kernels %s, this run with %d and %s", path, old.Threads, old.Kernels, r.Threads, r.Kernels)}
	}
	fmt.Fprintf(a.stderr, "dsk-edge: sustained speed is %.3f of that in %s\n", r.Sustained/old.Sustained, path)
	return nil
}
