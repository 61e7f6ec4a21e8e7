package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/quant"
	"github.com/spf13/cobra"
)

type quantizeOptions struct {
	output, bits, strategy, device string
	actBits                        int
	noFeedback                     bool
	targetSize                     string
	targetRatio, targetBPW         float64
	maxKL, minAgreement            float64
	calib, eval, evalSplit, report string
	maxLatency                     string
	plan, force, resume            bool
	data                           dataFlags
	windows                        windowFlags
	like                           likeOptions
}

func (a *app) quantizeCommand() *cobra.Command {
	var o quantizeOptions
	cmd := &cobra.Command{
		Use:   "quantize IN.dsk -o OUT.dsk",
		Short: "Store the weights in 8, 4, 3 or 2 bits and measure what that costs",
		Long: `Store the weights in 8, 4, 3 or 2 bits and measure what that costs.

  dsk quantize m.dsk -o m4.dsk --weight-bits 4 --eval valid.txt
  dsk quantize m.dsk -o m.dsk-small --target-bpw 3.5 --calib train.txt --eval valid.txt
  dsk quantize m.dsk --plan --calib train.txt
  dsk quantize m2.dsk -o m2-4.dsk --like m4.dsk --like-source m.dsk

Without --calib the quantization is data-free, and the report says so. Figures of
quality are measured on --eval data only, which is never used to choose anything.

EXIT STATUS
  3 if the target or a gate (--max-kl, --min-agreement, --max-latency) cannot be met; the best found is
  said, and no file is left then.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runQuantize(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "file to write")
	f.StringVar(&o.bits, "weight-bits", "auto", "auto, 2, 3, 4 or 8; with --strategy adaptive, what all widths together may take")
	f.IntVar(&o.actBits, "act-bits", 8, "bits of activations in quantized products: 8 or 32")
	f.BoolVar(&o.noFeedback, "no-feedback", false, "search scales only, without error feedback: for comparison")
	f.StringVar(&o.strategy, "strategy", "", "adaptive or uniform (default: uniform if --weight-bits is given)")
	f.StringVar(&o.device, "target-device", "", "device that the model is meant for: a platform, or a table that dsk bench kernels --json made there; the report says how long a run takes")
	f.StringVar(&o.maxLatency, "max-latency", "", "MS@DEVICE: longest predicted run, or token of a language model, there")
	f.StringVar(&o.targetSize, "target-size", "", "largest file: 3.2MB, 800KB, 3MiB or bytes")
	f.Float64Var(&o.targetRatio, "target-ratio", 0, "4 x parameters / bytes of the file")
	f.Float64Var(&o.targetBPW, "target-bpw", 0, "bits per weight, the whole file counted")
	f.Float64Var(&o.maxKL, "max-kl", 0, "gate: largest mean KL divergence on --eval")
	f.Float64Var(&o.minAgreement, "min-agreement", 0, "gate: least top-1 agreement on --eval, 0..1")
	f.StringVar(&o.calib, "calib", "", "calibration data: text, .jsonl, images, .npy, .npz")
	f.StringVar(&o.eval, "eval", "", "evaluation data; must not be the calibration data")
	f.StringVar(&o.evalSplit, "eval-split", "", "part of the --eval data: train, test or valid")
	f.BoolVar(&o.plan, "plan", false, "print size against predicted loss, write nothing")
	f.StringVar(&o.report, "report", "", "write the report as HTML")
	f.BoolVar(&o.force, "force", false, "replace an existing file")
	f.BoolVar(&o.resume, "resume", false, "keep work in OUT.dsk.work until it is done, and go on from it after an interruption")
	o.windows.add(f)
	o.like.add(f)
	o.data.add(f)
	return cmd
}

func (a *app) runQuantize(ctx context.Context, path string, o *quantizeOptions) error {
	qo, err := o.settings(a)
	if err == nil {
		err = o.like.check(o)
	}
	if err != nil {
		return err
	}
	if !o.plan {
		if err := needOutput(o.output, o.force); err != nil {
			return err
		}
	}
	if o.resume && (o.plan || o.output == "-") {
		return &fault.Usage{What: "--resume keeps its work beside the output file: it needs -o FILE.dsk"}
	}
	f, m, err := a.openModel(ctx, path, true)
	if err != nil {
		return err
	}
	p := a.newProgress()
	qo.Progress = func(stage string, done, total int64) {
		if ctx.Err() == nil {
			p.report(stage, done, total)
		}
	}
	f.Release() // what was read to be checked
	qo.Release = f.Release
	if !o.plan && o.output != "-" {
		qo.Work = quant.NewWork(o.output+".work", buildID(), o.resume)
	}
	err = a.quantize(ctx, m, o, qo, p)
	if errors.Is(err, errLeft) {
		// What computes still reads the files, until the program ends.
		qo.Work.Abandon()
		return ctx.Err()
	}
	return errors.Join(err, qo.Work.Close(err == nil), f.Close())
}

// patience is how long an interrupted computation may take to end by itself.
const patience = 300 * time.Millisecond

// errLeft says that work goes on although its caller does not wait any more.
var errLeft = errors.New("left")

// promptly runs work, which cannot be stopped at every moment: if it does not end soon after an interruption it is left to the end of the
// program, and errLeft is returned.
func promptly(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return errLeft
	}
}

// buildID tells programs apart: the hash of the one that runs.
func buildID() string {
	path, err := os.Executable()
	if err != nil {
		return version
	}
	f, err := os.Open(path)
	if err != nil {
		return version
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return version
	}
	return hex.EncodeToString(h.Sum(nil))
}

// quantize does what was asked for.
func (a *app) quantize(ctx context.Context, m *model.Model, o *quantizeOptions, qo quant.Options, p *progress) error {
	if o.plan {
		var points []quant.Point
		err := promptly(ctx, func() (err error) {
			points, err = quant.Plan(ctx, m, qo)
			return err
		})
		p.finish()
		if err != nil {
			return err
		}
		a.printPlan(points)
		if o.report != "" {
			return saveFile(o.report, func(w io.Writer) error { return quant.WritePlanHTML(w, m, points, qo.Calib != nil) })
		}
		return nil
	}
	var out *model.Model
	var r *quant.Report
	free := func() error { return nil }
	err := promptly(ctx, func() (err error) {
		out, r, free, err = a.applyQuantization(ctx, m, &o.like, qo)
		return err
	})
	p.finish()
	if errors.Is(err, errLeft) {
		return err
	}
	defer func() { _ = free() }() // of files that were read only
	var gate *fault.Gate
	if err != nil && !(errors.As(err, &gate) && r != nil) {
		return err
	}
	if err == nil {
		if err := a.writeQuantized(ctx, out, o, r); err != nil {
			return err
		}
	}
	if a.json {
		a.printJSON("quantize", r)
	} else {
		a.printQuantized(m, r)
	}
	return err
}

func (a *app) writeQuantized(ctx context.Context, out *model.Model, o *quantizeOptions, r *quant.Report) error {
	if _, err := a.saveModel(ctx, o.output, out, o.force); err != nil {
		return err
	}
	if o.report == "" {
		return nil
	}
	return saveFile(o.report, func(w io.Writer) error { return r.WriteHTML(w, out) })
}

// settings turns flags into the verb's options.
func (o *quantizeOptions) settings(a *app) (quant.Options, error) {
	q := quant.Options{Strategy: quant.Strategy(o.strategy), ActBits: o.actBits, NoFeedback: o.noFeedback, TargetRatio: o.targetRatio, TargetBPW: o.targetBPW,
		MaxKL: o.maxKL, MinAgreement: o.minAgreement, Threads: a.threads, Version: version}
	if o.bits != "auto" {
		n, err := strconv.Atoi(o.bits)
		if err != nil {
			return q, &fault.Usage{What: fmt.Sprintf("--weight-bits %q: must be auto, 2, 3, 4 or 8", o.bits)}
		}
		q.Bits = n
	}
	if q.Strategy == "" {
		q.Strategy = quant.Adaptive
		if q.Bits != 0 {
			q.Strategy = quant.Uniform
		}
	}
	err := o.setDevice(&q)
	if err != nil {
		return q, err
	}
	if o.targetSize != "" {
		if q.TargetBytes, err = parseSize(o.targetSize); err != nil {
			return q, err
		}
	}
	if o.calib != "" {
		if q.Calib, err = o.data.open(o.calib); err != nil {
			return q, err
		}
	}
	if o.eval != "" {
		if q.Eval, err = o.data.openEval(o.eval, o.evalSplit, o.calib); err != nil {
			return q, err
		}
	}
	q.EvalOptions.Limit, q.EvalOptions.Context, q.EvalOptions.ScoreFrom = o.data.limit, o.windows.ctx, o.windows.scoreFrom
	return q, q.Check()
}

var sizePattern = regexp.MustCompile(`^([0-9.]+) *(|B|[KMG]i?B)$`)

// parseSize reads 3.2MB, 800KiB or 12345.
func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	bad := &fault.Usage{What: fmt.Sprintf("--target-size %q: give bytes, or a number with B, KB, MB, GB, KiB, MiB or GiB", s)}
	if m == nil {
		return 0, bad
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil || v <= 0 {
		return 0, bad
	}
	base := 1000.0
	if strings.HasSuffix(m[2], "iB") {
		base = 1024
	}
	for range strings.Index("BKMG", (m[2] + "B")[:1]) {
		v *= base
	}
	return int64(v), nil
}

func (a *app) printQuantized(m *model.Model, r *quant.Report) {
	a.print("%s: %s, %.3f bits per weight, %.2fx smaller than f32", m.Meta.Name, megabytes(r.Bytes), r.BitsPerW, r.RatioVsF32)
	a.print("strategy %s, calibration %s", r.Strategy, r.Calibration)
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "tensor\tshape\tbits\tbytes\tSQNR\tweighted\twhy")
	for _, t := range r.Tensors {
		fmt.Fprintf(w, "%s\t%v\t%d\t%d\t%s\t%s\t%s\n", t.Name, t.Shape, t.Bits, t.Bytes, decibels(t.SQNR), decibels(t.Weighted), t.Why)
	}
	w.Flush()
	if r.Latency != nil {
		a.print("%s", r.Latency.Answer)
	}
	if r.Metrics == nil {
		a.print("quality: not measured; give --eval DATA")
		return
	}
	a.printMetrics(r.Metrics)
}

// decibels writes a signal-to-noise ratio.
func decibels(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f dB", *v)
}

func (a *app) printPlan(points []quant.Point) {
	if a.json {
		a.printJSON("quantize", struct {
			Plan []quant.Point `json:"plan"`
		}{points})
		return
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "bytes\tbits per weight\tratio vs f32\tpredicted loss\tpredicted ms\t")
	for _, p := range points {
		ms := "-"
		if p.PredictedMS > 0 {
			ms = fmt.Sprintf("%.4g", p.PredictedMS)
		}
		fmt.Fprintf(w, "%d\t%.3f\t%.2f\t%.4g\t%s\t\n", p.Bytes, p.BitsPerW, p.RatioVsF32, p.PredictedLoss, ms)
	}
	w.Flush()
}
