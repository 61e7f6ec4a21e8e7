package main

import (
	"context"

	"github.com/dsk-toolkit/dsk/check"
	"github.com/spf13/cobra"
)

type checkOptions struct {
	rtol, atol float64
	noFuse     bool
}

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Hold models against recorded results",
		Long: `Hold models against recorded results: ONNX backend-test folders (model.onnx and
test_data_set_*/{input,output}_K.pb) and Hugging Face folders with a golden.json, at or
below each DIR. One line a test: PASS, FAIL or UNSUPPORTED, then totals.

Tolerance: |got - want| <= atol + rtol |want|. For networks of more than 10 nodes or
200 weights atol is 1e-4 unless it is given. golden.json: 1e-4 x output_std, and equal greedy tokens.

EXIT STATUS
  3 if a test fails, 4 if none fails and some are unsupported.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("atol") {
				o.atol = -1
			}
			return a.runCheck(cmd.Context(), args, &o)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.rtol, "rtol", check.DefaultRTol, "relative tolerance")
	f.Float64Var(&o.atol, "atol", check.DefaultATol, "absolute tolerance")
	f.BoolVar(&o.noFuse, "no-fuse", false, "run the graphs without rewrites")
	return cmd
}

func (a *app) runCheck(ctx context.Context, dirs []string, o *checkOptions) error {
	p := a.newProgress()
	r, err := check.Run(ctx, dirs, check.Options{RTol: o.rtol, ATol: o.atol, NoFuse: o.noFuse, Threads: a.threads, Progress: p.stageFunc("check")},
		func(res check.Result) {
			if !a.json {
				p.finish()
				a.print("%-11s %s: %s", res.Status, res.Name, res.Detail)
			}
		})
	p.finish()
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("check", r)
	} else {
		a.print("%d tests: %d pass, %d fail, %d unsupported", r.Total, r.Pass, r.Fail, r.Unsupported)
	}
	return r.Err()
}
