package main

import (
	"context"
	"fmt"
	goruntime "runtime"
	"text/tabwriter"

	"github.com/dsk-toolkit/dsk/bench"
	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/cobra"
)

type benchOptions struct {
	prompt, generate, repeats int
	depth                     int
	threads                   []int
	format, kv                string
	random                    int
	sustained                 sustainedOptions
}

func (a *app) benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench MODEL.dsk|config.json",
		Short: "Time a model: prompt and generation speed, or latency",
		Long: `Time a model: prompt and generation speed of a language model (llama-bench's pp and tg
tests), latency of any other graph. Figures are means over -r repeats after a warm-up.

  dsk bench lm.dsk -p 512 -n 128 -t 1,2
  dsk bench cnn.dsk -t 1 -r 20 --format benchstat
  dsk bench cnn.dsk --duration 10m --save today.json

With --random-weights a config.json is enough: how fast a model of that shape is here can be
known before its weights are fetched.

  dsk bench config.json --random-weights 4 -p 512 -n 128

A model file that is called kernels or hardware is given as ./kernels.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBench(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.IntVarP(&o.prompt, "prompt", "p", 512, "tokens of the prompt test (0 = skip); at most the model's context")
	f.IntVarP(&o.generate, "generate", "n", 128, "tokens of the generation test (0 = skip)")
	f.IntVarP(&o.depth, "depth", "d", 0, "tokens in the context before the prompt and generation tests")
	f.StringVar(&o.kv, "kv", "f32", "keep keys and values as f32, f16, bf16 or int8")
	f.IntSliceVarP(&o.threads, "bench-threads", "t", nil, "thread counts to time (default 1 and all cores)")
	f.IntVarP(&o.repeats, "repeats", "r", 5, "timed repeats")
	f.IntVar(&o.random, "random-weights", 0, "time the model of a config.json, with random weights of 2, 3, 4, 8 or 16 bits")
	f.StringVar(&o.format, "format", "table", "table or benchstat")
	o.sustained.add(f)
	cmd.AddCommand(a.benchHardwareCommand(), a.benchKernelsCommand())
	return cmd
}

func (a *app) runBench(ctx context.Context, path string, o *benchOptions) error {
	if o.format != "table" && o.format != "benchstat" {
		return &fault.Usage{What: fmt.Sprintf("--format %q: must be table or benchstat", o.format)}
	}
	cache, err := runtime.ParseCacheType(o.kv)
	if err != nil {
		return err
	}
	switch s := &o.sustained; {
	case o.depth < 0:
		return &fault.Usage{What: "--depth must not be negative"}
	case s.duration < 0:
		return &fault.Usage{What: "--duration must be positive"}
	case s.duration == 0 && (s.save != "" || s.compare != "" || s.tempLimit != 0):
		return &fault.Usage{What: "--save, --compare and --temp-limit go with --duration"}
	}
	m, closeModel, err := a.benchModel(ctx, path, o)
	if err != nil {
		return err
	}
	defer closeModel()
	if o.sustained.duration > 0 {
		return fault.InFile(a.runSustained(ctx, m, o.threads, &o.sustained), path)
	}
	p := a.newProgress()
	r, err := bench.Run(ctx, m, bench.Options{Prompt: o.fit(m, o.prompt), Generate: o.fit(m, o.generate),
		Depth: o.depth, Cache: cache, Threads: a.benchThreads(o), Repeats: o.repeats, Progress: p.stageFunc("bench")})
	p.finish()
	if err != nil {
		return fault.InFile(err, path)
	}
	switch {
	case a.json:
		a.printJSON("bench", r)
	case o.format == "benchstat":
		return r.WriteBenchstat(a.stdout)
	default:
		a.printBench(r)
	}
	return nil
}

// benchModel opens the model, or makes one of random weights.
func (a *app) benchModel(ctx context.Context, path string, o *benchOptions) (*model.Model, func(), error) {
	if o.random == 0 {
		f, m, err := a.openModel(ctx, path, false)
		if err != nil {
			return nil, nil, err
		}
		return m, func() { f.Close() }, nil
	}
	format, ok := map[int]kernels.Format{2: kernels.D2, 3: kernels.D3, 4: kernels.D4, 8: kernels.D8, 16: 0}[o.random]
	if !ok {
		return nil, nil, &fault.Usage{What: fmt.Sprintf("--random-weights %d: must be 2, 3, 4, 8 or 16", o.random)}
	}
	m, err := safetensors.Random(ctx, path, format)
	if err != nil {
		return nil, nil, err
	}
	return m, func() {}, bench.Load(ctx, m)
}

// fit keeps a test within the model's context: the test's name says what was run.
func (o *benchOptions) fit(m *model.Model, n int) int {
	if m.Meta.LM != nil {
		return max(0, min(n, m.Meta.LM.ContextLength-o.depth))
	}
	return n
}

func (a *app) benchThreads(o *benchOptions) []int {
	switch {
	case len(o.threads) > 0:
		return o.threads
	case a.threads > 0:
		return []int{a.threads}
	case goruntime.NumCPU() == 1:
		return []int{1}
	}
	return []int{1, goruntime.NumCPU()}
}

func (a *app) printBench(r *bench.Report) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "test\tthreads\tms\t± ms\ttokens/s\truns/s\t")
	for _, b := range r.Results {
		rate := func(v float64) string {
			if v == 0 {
				return "-"
			}
			return fmt.Sprintf("%.1f", v)
		}
		fmt.Fprintf(w, "%s\t%d\t%.3f\t%.3f\t%s\t%s\t\n", b.Test, b.Threads, b.MS, b.Stddev, rate(b.TokensPerSecond), rate(b.PerSecond))
	}
	w.Flush()
}
