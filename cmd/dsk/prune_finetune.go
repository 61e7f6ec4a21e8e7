package main

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/prune"
)

// finetuneRate is the highest learning rate at which what was cut out of a model learns to do as that did.
const finetuneRate = 0.001

// finetuneOptions are those of a training on data without its labels, whose checkpoints lie beside the output.
func (o *pruneOptions) finetuneOptions(a *app, path string, before *model.Model) (distill.Options, error) {
	do := distill.Options{Teacher: before, Alpha: 1, Temperature: 4, Feature: distill.Kept, Optimizer: "adamw", Rate: finetuneRate, Epochs: o.epochs,
		Context: o.windows.ctx, Resume: true, Seed: 1, Threads: a.threads, Version: version}
	if o.output != "-" {
		do.Checkpoints = o.output + ".checkpoints"
	}
	if before.Meta.LM != nil {
		do.Temperature = 1
	}
	var err error
	if do.TeacherHash, err = fileHash(path); err != nil {
		return do, err
	}
	part := o.data
	part.limit = 0
	if do.Data, err = part.open(o.finetune); err != nil {
		return do, err
	}
	do.Mix = do.Data.Kind() != dataset.Text
	return do, nil
}

// finetuned trains what pruning left to imitate the model of before, and measures it on the data, if there are any, in both reports' name.
func (a *app) finetuned(ctx context.Context, pruned *model.Model, do distill.Options, measured *dataset.Data, eo eval.Options, r *prune.Report) (*model.Model, error) {
	p := a.newProgress()
	do.Progress = p.report
	out, _, err := a.train(ctx, func(uint64) (*model.Model, error) { return pruned, nil }, do, p, "the same command")
	if err != nil || measured == nil {
		return out, err
	}
	p = a.newProgress()
	defer p.finish()
	eo.Limit, eo.Threads, eo.Progress = 0, a.threads, p.stageFunc("eval")
	if r.Metrics, err = eval.Run(ctx, out, measured, do.Teacher, eo); err != nil {
		return nil, err
	}
	r.Reference, r.Metrics.Reference = r.Metrics.Reference, nil
	return out, nil
}

// checkFinetune refuses to train what would not stay as it was pruned.
func (o *pruneOptions) checkFinetune() error {
	switch m := prune.Method(o.method); {
	case o.finetune == "" && o.epochs != 0:
		return usagef("--finetune-epochs needs --finetune DATA")
	case o.finetune != "" && m != prune.Channel && m != prune.Layer && m != prune.Structured:
		return &fault.Usage{What: fmt.Sprintf("--finetune trains all weights, so those that %s sets to zero would not stay zero: it is for channel, layer and structured", o.method)}
	}
	return nil
}
