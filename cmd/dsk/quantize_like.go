package main

import (
	"context"
	"errors"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/quant"
	"github.com/spf13/pflag"
)

// likeOptions are the flags that take weights over from an earlier quantization.
type likeOptions struct{ result, source string }

func (o *likeOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.result, "like", "", "an earlier quantized FILE: weights that did not change since are taken from it, for small updates")
	f.StringVar(&o.source, "like-source", "", "the file that --like was made of")
}

// check refuses what would choose widths: --like has them.
func (o *likeOptions) check(q *quantizeOptions) error {
	switch {
	case (o.result == "") != (o.source == ""):
		return &fault.Usage{What: "--like QUANTIZED.dsk and --like-source ITS-SOURCE.dsk go together"}
	case o.result != "" && (q.bits != "auto" || q.strategy != "" || q.targetSize != "" || q.targetRatio != 0 || q.targetBPW != 0 || q.maxLatency != "" || q.plan || q.resume):
		return &fault.Usage{What: "--like has its widths from the earlier file: leave out --weight-bits, --strategy, targets, --plan and --resume"}
	}
	return nil
}

// applyQuantization quantizes a model, like an earlier one if that is asked for. The files that it opens must live as long as the result.
func (a *app) applyQuantization(ctx context.Context, m *model.Model, o *likeOptions, qo quant.Options) (*model.Model, *quant.Report, func() error, error) {
	none := func() error { return nil }
	if o.result == "" {
		out, r, err := quant.Apply(ctx, m, qo)
		return out, r, none, err
	}
	source, sm, err := a.openModel(ctx, o.source, true)
	if err != nil {
		return nil, nil, none, err
	}
	result, rm, err := a.openModel(ctx, o.result, true)
	if err != nil {
		return nil, nil, none, errors.Join(err, source.Close())
	}
	out, r, err := quant.ApplyLike(ctx, m, quant.Earlier{Source: sm, Result: rm}, qo)
	return out, r, func() error { return errors.Join(source.Close(), result.Close()) }, err
}
