package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/dsk-toolkit/dsk/bench"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/prune"
	"github.com/spf13/cobra"
)

type pruneOptions struct {
	output, method         string
	pattern, importance    string
	calib, eval, evalSplit string
	ratio, minSpeedup      float64
	round                  int
	windows                windowFlags
	noRepair, force        bool
	finetune               string
	epochs                 float64
	data                   dataFlags
}

func (a *app) pruneCommand() *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune IN.dsk -o OUT.dsk",
		Short: "Leave out channels, heads and layers, or single weights",
		Long: `Leave out what a model needs least.

  dsk prune m.dsk -o p.dsk --method structured --ratio .5 --calib train --eval test
  dsk prune lm.dsk -o p.dsk --method wanda --ratio .5 --calib train.txt --eval valid.txt

Methods:
  channel      channels of convolutions, neurons and heads, with everything that depends on them
  layer        residual branches
  structured   both, whichever costs less
  experts      of each mixture, the experts that bring least: the model is smaller, and as fast
  magnitude    the smallest weights of each matrix become zero
  wanda        the weights that bring least to each output, by what they are multiplied with
  sparsegpt    the weights that cost least once the others make good what they can, which they do

The first three make the model smaller and faster anywhere: --ratio is the part of the multiplications that
goes. Every step is tried on --calib data and the one that costs least is taken; then the
weights that are left are fitted to what the model computed before. A mask (the last three) keeps
the size and the speed: only what packs zeros gains from it. --pattern 2:4 leaves out two of each four
neighbouring weights; --method 2:4 is wanda with it.

--finetune DATA trains what is left to imitate the model of before, on data without its labels. It is short for
  dsk distill train --student p.dsk --teacher m.dsk --data DATA --alpha 1 --features kept --optimizer adamw --rate .001 -o q.dsk
with --mix for pictures and --temperature 1 for text; what was cut off goes on when the command is given again.

EXIT STATUS
  3 if so much cannot be left out, or the gate --min-speedup is missed; no file is left then.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkNumbers(cmd.Flags()); err != nil {
				return err
			}
			return a.runPrune(cmd.Context(), args[0], &o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "file to write")
	f.StringVar(&o.method, "method", "structured", "channel, layer, structured, experts, magnitude, wanda, sparsegpt or 2:4")
	f.StringVar(&o.pattern, "pattern", "", "of a mask: 2:4")
	f.Float64Var(&o.ratio, "ratio", 0, "part that goes: of the multiplications; of the weights for masks; of each mixture's experts")
	f.StringVar(&o.importance, "importance", "", "how channels are ranked: fit (default), taylor, activation (default with --no-repair) or magnitude")
	f.IntVar(&o.round, "round", 16, "channels are left in multiples of so many")
	f.BoolVar(&o.noRepair, "no-repair", false, "leave the remaining weights as they are")
	f.StringVar(&o.calib, "calib", "", "calibration data: text, .jsonl, images, .npy, .npz")
	f.StringVar(&o.eval, "eval", "", "evaluation data; must not be the calibration data")
	f.StringVar(&o.evalSplit, "eval-split", "", "part of the --eval data: train, test or valid")
	f.StringVar(&o.finetune, "finetune", "", "data on which the result learns to do as the model of before; labels are not used")
	f.Float64Var(&o.epochs, "finetune-epochs", 0, "how often each sample of it is used (0 = 10)")
	f.Float64Var(&o.minSpeedup, "min-speedup", 0, "gate: how many times as fast the result must be, measured here")
	f.BoolVar(&o.force, "force", false, "replace an existing file")
	o.windows.add(f)
	o.data.add(f)
	return cmd
}

// pruneReport is what the command says.
type pruneReport struct {
	*prune.Report
	Speed *speedup `json:"speed,omitempty"`
}

// speedup is the time of a run before and after, in one process: the medians, in milliseconds.
type speedup struct {
	Threads int     `json:"threads"`
	Before  float64 `json:"before_ms"`
	After   float64 `json:"after_ms"`
	Times   float64 `json:"times_as_fast"`
}

func (a *app) runPrune(ctx context.Context, path string, o *pruneOptions) error {
	if err := needOutput(o.output, o.force); err != nil {
		return err
	}
	po, err := o.settings(a)
	if err != nil {
		return err
	}
	f, m, err := a.openModel(ctx, path, true)
	if err != nil {
		return err
	}
	defer f.Close()
	var do distill.Options
	measured := po.Eval
	if o.finetune != "" {
		if do, err = o.finetuneOptions(a, path, m); err != nil {
			return err
		}
		po.Eval = nil // the result is measured
	}
	p := a.newProgress()
	po.Progress = p.report
	out, r, err := prune.Apply(ctx, m, po)
	p.finish()
	if err != nil {
		return fault.InFile(err, path)
	}
	if o.finetune != "" {
		if out, err = a.finetuned(ctx, out, do, measured, po.EvalOptions, r); err != nil {
			return err
		}
	}
	report := pruneReport{Report: r}
	if r.Faster && m.Meta.LM == nil || o.minSpeedup > 0 {
		if report.Speed, err = a.compareSpeed(ctx, m, out); err != nil {
			return err
		}
	}
	var gate error
	if o.minSpeedup > 0 && report.Speed.Times < o.minSpeedup {
		gate = &fault.Gate{What: fmt.Sprintf("the result is %.2f times as fast, not %.2f: %s is not written", report.Speed.Times, o.minSpeedup, o.output)}
	} else if _, err := a.saveModel(ctx, o.output, out, o.force); err != nil {
		return err
	}
	if do.Checkpoints != "" {
		if err := distill.RemoveCheckpoints(do.Checkpoints); err != nil {
			return err
		}
	}
	if a.json {
		a.printJSON("prune", report)
	} else {
		a.printPruned(m, report)
	}
	return gate
}

// settings turns flags into the verb's options.
func (o *pruneOptions) settings(a *app) (prune.Options, error) {
	if o.method == prune.TwoOfFour {
		o.method, o.pattern = string(prune.Wanda), prune.TwoOfFour
		if o.calib == "" {
			o.method = string(prune.Magnitude)
		}
	}
	p := prune.Options{Method: prune.Method(o.method), Pattern: o.pattern, Ratio: o.ratio, Importance: prune.Importance(o.importance), Round: o.round,
		NoRepair: o.noRepair, Threads: a.threads, Version: version}
	if o.minSpeedup < 0 {
		return p, &fault.Usage{What: "--min-speedup must be positive"}
	}
	if err := o.checkFinetune(); err != nil {
		return p, err
	}
	if o.evalSplit != "" && o.eval == "" {
		return p, usagef("--eval-split needs --eval DATA")
	}
	var err error
	if o.calib != "" {
		if p.Calib, err = o.data.open(o.calib); err != nil {
			return p, err
		}
	}
	if o.eval != "" {
		if p.Eval, err = o.data.openEval(o.eval, o.evalSplit, o.calib); err != nil {
			return p, err
		}
	}
	p.EvalOptions.Limit, p.EvalOptions.Context, p.EvalOptions.ScoreFrom = o.data.limit, o.windows.ctx, o.windows.scoreFrom
	return p, nil
}

// compareSpeed times both models.
func (a *app) compareSpeed(ctx context.Context, before, after *model.Model) (*speedup, error) {
	s := &speedup{Threads: max(1, a.threads)}
	p := a.newProgress()
	defer p.finish()
	times := []*float64{&s.Before, &s.After}
	for i, m := range []*model.Model{before, after} {
		prompt := 0
		if m.Meta.LM != nil {
			prompt = min(128, m.Meta.LM.ContextLength)
		}
		r, err := bench.Run(ctx, m, bench.Options{Prompt: prompt, Threads: []int{s.Threads}, Repeats: 20, Progress: p.stageFunc("bench")})
		if err != nil {
			return nil, err
		}
		*times[i] = r.Results[0].MedianMS
	}
	s.Times = s.Before / s.After
	return s, nil
}

func (a *app) printPruned(m *model.Model, r pruneReport) {
	a.print("%s: %d parameters, of %d before; %.2f million multiplications, of %.2f", m.Meta.Name, r.After.Parameters, r.Before.Parameters,
		float64(r.After.MACs)/1e6, float64(r.Before.MACs)/1e6)
	a.print("method %s, calibration %s", r.Method, r.Calibration)
	if len(r.Moves) > 0 {
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "left out\tof\tunits\tmultiplications left\tloss\trepaired")
		for _, v := range r.Moves {
			repaired := "-"
			if v.Repaired != nil {
				repaired = fmt.Sprintf("%.4g", *v.Repaired)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%.2f M\t%.4g\t%s\n", v.Kind, v.Name, v.Units, float64(v.MACs)/1e6, v.Loss, repaired)
		}
		w.Flush()
	}
	switch {
	case r.Speed != nil:
		a.print("speed: %.3f ms before, %.3f ms after: %.2f times as fast (%d threads, this machine)", r.Speed.Before, r.Speed.After, r.Speed.Times, r.Speed.Threads)
	case r.Method == prune.Experts:
		a.print("speed: as before; the file and what a run keeps in memory are smaller")
	case !r.Faster:
		a.print("speed: as before; %.1f %% of the parameters are zeros in masked weights, which saves bytes only where something packs zeros",
			100*float64(r.After.Zeros)/float64(max(1, r.After.Parameters)))
	}
	if r.Metrics == nil {
		a.print("quality: not measured; give --eval DATA")
		return
	}
	a.print("before:")
	a.printMetrics(r.Reference)
	a.print("after:")
	a.printMetrics(r.Metrics)
}
