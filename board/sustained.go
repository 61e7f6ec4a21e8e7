package board

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// slow is the part of the burst speed below which a run counts as throttled even if the board does not say so.
const slow = 0.9

// Report is what Measure finds: speed over time, and what the board said meanwhile. A step is a run, or a token of a language model.
type Report struct {
	Schema     int      `json:"schema_version"`
	Command    string   `json:"command"`
	ID         string   `json:"bundle_id,omitempty"`
	Kernels    string   `json:"kernels"`
	Threads    int      `json:"threads"`
	Seconds    float64  `json:"seconds"`
	Steps      int      `json:"steps"`
	Burst      float64  `json:"burst_per_second"`     // the median of the first tenth of the seconds
	Sustained  float64  `json:"sustained_per_second"` // that of the last half
	MedianMS   float64  `json:"median_ms"`
	P95MS      float64  `json:"p95_ms"`
	Waited     float64  `json:"waited_seconds"` // at --temp-limit
	Throttled  []string `json:"throttled"`      // why the figures are not those of a board at its full clock
	Sensors    bool     `json:"sensors"`
	EachSecond []Second `json:"each_second"`
}

// Second is a second of a measurement.
type Second struct {
	PerSecond float64 `json:"per_second"`
	State
}

// Measure runs step for a time and reads the board's state each second. g keeps the board below its limit, if it has one; waiting for that
// counts as being throttled.
func Measure(ctx context.Context, g *Guard, d time.Duration, step func(context.Context) error) (*Report, error) {
	r := &Report{Schema: 1, Command: "bench", Throttled: []string{}}
	if err := step(ctx); err != nil {
		return nil, err
	}
	var all []float64
	why := map[string]bool{}
	begin := time.Now()
	second, steps := begin, 0
	for len(all) == 0 || time.Since(begin) < d {
		waited := g.Waited
		if err := g.Wait(ctx); err != nil {
			return nil, err
		}
		if g.Waited > waited {
			why["waited at --temp-limit"] = true
		}
		start := time.Now()
		if err := step(ctx); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(start).Nanoseconds())/1e6)
		steps++
		if past := time.Since(second); past >= time.Second {
			s := Second{float64(steps) / past.Seconds(), g.Board.Read()}
			for _, t := range s.State.Throttled {
				why[t] = true
			}
			r.Sensors = r.Sensors || s.Known
			r.EachSecond = append(r.EachSecond, s)
			second, steps = time.Now(), 0
		}
	}
	r.Seconds, r.Steps, r.Waited = time.Since(begin).Seconds(), len(all), g.Waited.Seconds()
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

func (r *Report) summarize(ms []float64) {
	sorted := slices.Sorted(slices.Values(ms))
	r.MedianMS, r.P95MS = sorted[len(sorted)/2], sorted[len(sorted)*95/100]
	r.Burst, r.Sustained = 1e3/r.MedianMS, 1e3/r.MedianMS
	if n := len(r.EachSecond); n >= 2 {
		r.Burst, r.Sustained = medianRate(r.EachSecond[:max(1, n/10)]), medianRate(r.EachSecond[n/2:])
	}
}

func medianRate(s []Second) float64 {
	var v []float64
	for _, x := range s {
		v = append(v, x.PerSecond)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "median %.3f ms, 95 %% below %.3f ms; %d threads, kernels %s\nburst %.2f/s, sustained %.2f/s over %.0f s\n",
		r.MedianMS, r.P95MS, r.Threads, r.Kernels, r.Burst, r.Sustained, r.Seconds)
	hottest := 0.0
	for _, s := range r.EachSecond {
		hottest = max(hottest, s.Celsius)
	}
	switch {
	case len(r.Throttled) > 0:
		fmt.Fprintf(&b, "THROTTLED: %s\n", strings.Join(r.Throttled, "; "))
	case !r.Sensors:
		fmt.Fprintln(&b, "this system shows no temperature; nothing points to throttling but speed was all there was to see")
	}
	if r.Sensors {
		fmt.Fprintf(&b, "hottest %.1f C\n", hottest)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Compare is the ratio of the report's sustained speed to that of an older one, read from a file. The error is a *fault.Gate if either run
// was throttled, or if they ran with other threads or kernels: then the figures are not of the same thing.
func (r *Report) Compare(path string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	old := &Report{}
	if err := json.Unmarshal(b, old); err != nil || old.Command != "bench" || old.Sustained <= 0 {
		return 0, &fault.Format{File: path, Offset: -1, Why: "this is no report of bench --save"}
	}
	for _, x := range []struct {
		name string
		r    *Report
	}{{"this run", r}, {path, old}} {
		if len(x.r.Throttled) > 0 {
			return 0, &fault.Gate{What: fmt.Sprintf("no comparison: %s was throttled (%s); let the board cool, or look at its power supply", x.name, strings.Join(x.r.Throttled, "; "))}
		}
	}
	if old.Threads != r.Threads || old.Kernels != r.Kernels {
		return 0, &fault.Gate{What: fmt.Sprintf("no comparison: %s ran with %d threads and kernels %s, this run with %d and %s", path, old.Threads, old.Kernels, r.Threads, r.Kernels)}
	}
	return r.Sustained / old.Sustained, nil
}

// Save writes the report, for Compare.
func (r *Report) Save(path string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
