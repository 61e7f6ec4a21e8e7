package main

import (
	"context"
	"fmt"
	"sort"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/spf13/cobra"
)

type evalOptions struct {
	data, reference, task, kv string
	windows                   windowFlags
	part                      dataFlags
}

func (a *app) evalCommand() *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval MODEL.dsk --data PATH",
		Short: "Measure a model on data, alone or against a reference",
		Long: `Measure a model on data: perplexity and bits per byte of language models (windows of
text side by side), top-1 and top-5 of classifiers, mAP50 of detectors. With
--reference also the mean KL divergence and the top-1 agreement.

  dsk eval m4.dsk --data valid.txt --reference m.dsk --ctx 256
  dsk eval resnet.dsk --data cifar10 --split test`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEval(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", "text, images, arrays: see dsk's documentation of data")
	f.StringVar(&o.reference, "reference", "", "model to compare with")
	f.StringVar(&o.task, "task", "auto", "lm, classify, detect or auto")
	f.StringVar(&o.kv, "kv", "f32", "keep keys and values as f32, f16, bf16 or int8; a reference keeps f32")
	o.windows.add(f)
	o.part.add(f)
	return cmd
}

func (a *app) runEval(ctx context.Context, path string, o *evalOptions) error {
	if o.data == "" {
		return &fault.Usage{What: "--data is needed"}
	}
	cache, err := runtime.ParseCacheType(o.kv)
	if err != nil {
		return err
	}
	d, err := o.part.open(o.data)
	if err != nil {
		return err
	}
	f, m, err := a.openModel(ctx, path, true)
	if err != nil {
		return err
	}
	defer f.Close()
	var ref *model.Model
	if o.reference != "" {
		rf, r, err := a.openModel(ctx, o.reference, true)
		if err != nil {
			return err
		}
		defer rf.Close()
		ref = r
	}
	task := model.Task(o.task)
	if o.task == "auto" {
		task = ""
	}
	p := a.newProgress()
	r, err := eval.Run(ctx, m, d, ref, eval.Options{Task: task, Context: o.windows.ctx, ScoreFrom: o.windows.scoreFrom,
		Limit: o.part.limit, Cache: cache, Threads: a.threads, Progress: p.stageFunc("eval")})
	p.finish()
	if err != nil && ref == nil {
		err = fault.InFile(err, path)
	}
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("eval", r)
		return nil
	}
	a.printMetrics(r)
	return nil
}

// printMetrics prints an evaluation, beside the reference's where there is one.
func (a *app) printMetrics(r *eval.Report) {
	a.print("measured on %s: %d samples", r.Data, r.Samples)
	names := make([]string, 0, len(r.Metrics))
	for name := range r.Metrics {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		line := fmt.Sprintf("  %-16s %.6g", name, r.Metrics[name])
		if r.Reference != nil {
			if ref, ok := r.Reference.Metrics[name]; ok {
				line += fmt.Sprintf("   (reference %.6g)", ref)
			}
		}
		if sure := r.Sure(name); sure != "" {
			line += "   " + sure
		}
		a.print("%s", line)
	}
}
