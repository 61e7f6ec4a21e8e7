// Package bench times models: prompt and generation speed of language models, latency of other graphs.
// A figure is the mean over repeats after a warm-up, with the standard deviation beside it.
package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options are the settings of Run.
type Options struct {
	Prompt   int   // tokens of the prompt test; 0 = skip it
	Generate int   // tokens of the generation test; 0 = skip it
	Depth    int   // tokens that are in the caches before the prompt and generation tests
	Threads  []int // one set of tests for each
	Repeats  int
	Cache    runtime.CacheType
	Progress func(done, total int64)
}

// Report is the outcome of Run.
type Report struct {
	Model   string   `json:"model"`
	Results []Result `json:"results"`
}

// Result is one test. Times are milliseconds a repeat.
type Result struct {
	Test            string    `json:"test"` // "pp512", "tg128" (with a depth: "pp512@d4096") or "latency"
	Threads         int       `json:"threads"`
	TokensPerSecond float64   `json:"tokens_per_second,omitempty"`
	PerSecond       float64   `json:"runs_per_second,omitempty"`
	MS              float64   `json:"ms"`
	Stddev          float64   `json:"stddev"` // of ms
	MedianMS        float64   `json:"median_ms"`
	MinMS           float64   `json:"min_ms"`
	SamplesMS       []float64 `json:"samples_ms"`
}

// Run times a model.
func Run(ctx context.Context, m *model.Model, o Options) (*Report, error) {
	if o.Repeats < 1 {
		return nil, &fault.Usage{What: "at least one repeat is needed"}
	}
	r := &Report{Model: m.Meta.Name}
	for i, threads := range o.Threads {
		if threads < 1 {
			return nil, &fault.Usage{What: fmt.Sprintf("%d threads are not possible", threads)}
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(o.Threads)))
		}
		var results []Result
		var err error
		if m.Meta.Task == model.TaskLM {
			results, err = timeLM(ctx, m, threads, &o)
		} else {
			results, err = timeGraph(ctx, m, threads, o.Repeats)
		}
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, results...)
	}
	return r, nil
}

// Load makes the weights of a model that does not lie in a file.
func Load(ctx context.Context, m *model.Model) error {
	for _, name := range slices.Sorted(maps.Keys(m.Graph.Init)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.Graph.Init[name].Load(); err != nil {
			return err
		}
	}
	return nil
}

// timeLM runs llama-bench's tests: a prompt of n tokens after Depth tokens, and n tokens one by one.
func timeLM(ctx context.Context, m *model.Model, threads int, o *Options) ([]Result, error) {
	longest := max(o.Prompt, o.Generate, 1)
	lm, err := runtime.NewLM(m, runtime.Options{Threads: threads, Context: o.Depth + longest, Cache: o.Cache})
	if err != nil {
		return nil, err
	}
	defer lm.Close()
	tokens := make([]int32, o.Depth+longest)
	for i := range tokens {
		// Ids spread over the vocabulary, the same on each run (Knuth's multiplicative hash).
		tokens[i] = int32(uint32(i+1) * 2654435761 >> 1 % uint32(lm.VocabSize()))
	}
	depth := ""
	if o.Depth > 0 {
		depth = fmt.Sprintf("@d%d", o.Depth)
		if _, err := lm.Next(ctx, tokens[:o.Depth]); err != nil {
			return nil, err
		}
	}
	tokens = tokens[o.Depth:]
	var results []Result
	if o.Prompt > 0 {
		r, err := repeat(ctx, fmt.Sprintf("pp%d%s", o.Prompt, depth), o.Repeats, func() error {
			lm.Rewind(o.Depth)
			_, err := lm.Next(ctx, tokens[:o.Prompt])
			return err
		})
		if err != nil {
			return nil, err
		}
		r.TokensPerSecond = float64(o.Prompt) / r.MS * 1e3
		results = append(results, r)
	}
	if o.Generate > 0 {
		r, err := repeat(ctx, fmt.Sprintf("tg%d%s", o.Generate, depth), o.Repeats, func() error {
			lm.Rewind(o.Depth)
			for i := range o.Generate {
				if _, err := lm.Next(ctx, tokens[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		r.TokensPerSecond = float64(o.Generate) / r.MS * 1e3
		results = append(results, r)
	}
	for i := range results {
		results[i].Threads = threads
	}
	return results, nil
}

// timeGraph runs a graph on zeros; unknown dimensions are 1.
func timeGraph(ctx context.Context, m *model.Model, threads, repeats int) ([]Result, error) {
	in := map[string]*tensor.Tensor{}
	for _, v := range m.Graph.Inputs {
		if v.Type.Shape == nil {
			return nil, &fault.Usage{What: fmt.Sprintf("input %s has no known rank, so it cannot be made up", v.Name)}
		}
		shape := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			shape[i] = max(d.N, 1)
			if !d.IsKnown() && i >= 2 {
				return nil, &fault.Usage{What: fmt.Sprintf("input %s is %v: fix its size at convert with --input-shape to time it", v.Name, v.Type)}
			}
		}
		size, err := tensor.ByteSize(v.Type.DType, shape, tensor.RowMajor)
		if err != nil {
			return nil, fault.Formatf("input "+v.Name, "%v", err)
		}
		if err := tensor.Room(size, "input "+v.Name); err != nil {
			return nil, err
		}
		in[v.Name] = tensor.New(v.Type.DType, shape...)
	}
	s, err := runtime.NewSession(m, runtime.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r, err := repeat(ctx, "latency", repeats, func() error {
		_, err := s.Run(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.PerSecond, r.Threads = 1e3/r.MS, threads
	return []Result{r}, nil
}

// The time of one repeat: fast runs are repeated within it, so that the clock's steps do not show.
const minSample = 20 * time.Millisecond

// repeat times fn after a warm-up that also finds how many calls fill a sample.
func repeat(ctx context.Context, test string, repeats int, fn func() error) (Result, error) {
	r := Result{Test: test}
	if err := fn(); err != nil {
		return r, err
	}
	start := time.Now()
	if err := fn(); err != nil {
		return r, err
	}
	calls := max(1, int(minSample/max(time.Since(start), time.Microsecond)))
	for range repeats {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		start := time.Now()
		for range calls {
			if err := fn(); err != nil {
				return r, err
			}
		}
		r.SamplesMS = append(r.SamplesMS, float64(time.Since(start).Nanoseconds())/1e6/float64(calls))
	}
	r.summarize()
	return r, nil
}

func (r *Result) summarize() {
	sorted := append([]float64(nil), r.SamplesMS...)
	sort.Float64s(sorted)
	n := float64(len(sorted))
	for _, v := range sorted {
		r.MS += v / n
	}
	for _, v := range sorted {
		r.Stddev += (v - r.MS) * (v - r.MS) / n
	}
	r.Stddev = math.Sqrt(r.Stddev)
	r.MinMS = sorted[0]
	r.MedianMS = (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// WriteBenchstat writes the samples in the form that benchstat reads.
func (r *Report) WriteBenchstat(w io.Writer) error {
	for _, res := range r.Results {
		for _, ms := range res.SamplesMS {
			line := fmt.Sprintf("Benchmark%s/threads=%d 1 %.0f ns/op", res.Test, res.Threads, ms*1e6)
			if res.TokensPerSecond > 0 {
				line += fmt.Sprintf(" %.2f tokens/s", res.TokensPerSecond*res.MS/ms)
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}
