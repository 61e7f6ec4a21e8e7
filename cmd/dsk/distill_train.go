package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/prune"
	"github.com/dsk-toolkit/dsk/quant"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/spf13/cobra"
)

type distillTrainOptions struct {
	student, teacher, labels, data, eval, evalSplit string
	output, report, alpha, temperature, targetSize  string
	photos                                          string
	qat                                             string
	evalLimit                                       int
	force, experimental                             bool
	part                                            dataFlags
	augment                                         augmentFlags
	o                                               distill.Options
}

func (a *app) distillTrainCommand() *cobra.Command {
	var o distillTrainOptions
	cmd := &cobra.Command{
		Use:   "train --student S.dsk|SPEC|auto --data PATH -o OUT.dsk",
		Short: "Train a student",
		Long: `Train a student: with a teacher, with labels that a teacher has recorded, or with the labels of
the data alone.

  dsk distill train --student "conv 8,16,32 x2" --teacher t.dsk --data mnist --split train -o s.dsk
  dsk distill train --student auto --target-size 300KB --teacher t.dsk --data cifar10 --split train --alpha 1 -o s.dsk
  dsk distill train --student "llama hidden=128 layers=4" --teacher lm.dsk --data novels.txt --time 10m -o s.dsk
  dsk distill train --student s.dsk --teacher t.dsk --data mnist --split train --qat 2 -o s2.dsk

The student is a .dsk file that is trained further, or an untrained one:
  conv 16,32,64 x2 [res]             stages of 3x3 convolutions with so many channels, two in each
  dense 32,16 [pool=2]               products with so many outputs, of pixels or the averages of squares
  llama hidden=128 layers=4 [heads=4 kv=2 inner=384 ctx=256]
  auto                               --teacher without what it needs least, its weights as f32 within --target-size;
                                     with --labels alone, the largest untrained one of the teacher's kind

The loss is alpha T^2 KL(teacher || student) + (1-alpha) CE(label): --alpha, --temperature; auto
tries some values on a part of the data, a part of which is held out. --eval is only measured.

--control trains once more on the labels of the data alone, with the same weights to begin with,
the same samples in the same order and as many steps; with --seeds N both are done N times, and
compared on --eval data by a paired t-test. The file that is written is the first seed's student.

Ctrl-C saves a checkpoint in OUT.dsk.checkpoints, as does every minute; the same command with
--resume goes on and ends with the same bytes.

EXIT STATUS
  2 if student, teacher, labels and data do not fit each other; 3 if nothing fits --target-size;
  4 with all gaps listed if the student has an operator that cannot be trained; 130 after Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.runDistillTrain(cmd.Context(), &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.student, "student", "", "a .dsk file, a description, or auto")
	f.StringVar(&o.targetSize, "target-size", "", "with --student auto, largest weights: 300KB, 1MB or bytes")
	f.StringVar(&o.teacher, "teacher", "", "the model to learn from")
	f.StringVar(&o.labels, "labels", "", "a folder of dsk distill labels, in place of the teacher")
	f.StringVar(&o.data, "data", "", "text or images to train on")
	f.StringVar(&o.eval, "eval", "", "data that is measured, and never learned from")
	f.StringVar(&o.evalSplit, "eval-split", "", "part of the --eval data: train, test or valid")
	f.IntVar(&o.evalLimit, "eval-limit", 0, "images or windows of text that are measured (0 = all)")
	f.IntVar(&o.o.Evals, "evals", 0, "how often a run is measured (0 = 4 times)")
	f.StringVarP(&o.output, "output", "o", "", "file to write")
	f.StringVar(&o.report, "report", "", "write the report with its curves as HTML")
	f.BoolVar(&o.force, "force", false, "replace an existing file")
	f.StringVar(&o.alpha, "alpha", "0.9", "the teacher's part of the loss, 0..1, or auto")
	f.StringVar(&o.temperature, "temperature", "4", "of the teacher's and the student's probabilities, or auto")
	f.IntVar(&o.o.TopK, "top-k", 0, "classes of the teacher that count one by one (0 = 64)")
	f.StringVar(&o.o.Feature, "features", "", "compare inner values too: auto, kept (all that a student still has of the teacher out of which dsk prune cut it), or TEACHER=STUDENT with the names of two")
	f.Float64Var(&o.o.FeatureWeight, "feature-weight", 0, "of their part of the loss (0 = 1000, 10 for kept)")
	f.StringVar(&o.photos, "photos", "", "a folder of images of anything: random parts of them replace half of the pictures, and the teacher labels them (--alpha 1)")
	f.BoolVar(&o.o.Mix, "mix", false, "replace half of the pictures by mixtures of two, which the teacher labels (--alpha 1)")
	f.Float64Var(&o.o.Smoothing, "smoothing", 0, "of the labels")
	f.BoolVar(&o.o.Control, "control", false, "train without the teacher too, and compare")
	f.IntVar(&o.o.Seeds, "seeds", 1, "trainings, each with its own seed")
	f.Uint64Var(&o.o.Seed, "seed", 1, "of the weights, the order and the random forms of samples")
	f.Float64Var(&o.o.Epochs, "epochs", 0, "how often each sample is used (0 = 10)")
	f.IntVar(&o.o.Steps, "steps", 0, "length in steps, in place of --epochs")
	f.DurationVar(&o.o.Time, "time", 0, "length of each training in time, in place of --epochs: 10m")
	f.IntVar(&o.o.Batch, "batch", 0, "samples in a step (0 = 64 pictures or 8 windows of text)")
	f.IntVar(&o.o.Context, "ctx", 0, "tokens in a window of text (0 = the student's context length)")
	f.StringVar(&o.o.Optimizer, "optimizer", "", "sgd or adamw (default: adamw for language models)")
	f.Float64Var(&o.o.Rate, "rate", 0, "highest learning rate (0 = 0.05 with sgd, 0.003 with adamw)")
	f.Float64Var(&o.o.Decay, "decay", 0, "of weights (0 = 5e-4 with sgd, 0.01 with adamw; below 0: none)")
	f.Float64Var(&o.o.Warmup, "warmup", 0, "part of the steps in which the rate rises (0 = 0.05)")
	f.Float64Var(&o.o.Clip, "clip", 0, "largest norm of the gradient (0 = 5, 1 for language models; below 0: none)")
	f.StringVar(&o.qat, "qat", "", "train a .dsk student for weights of 2, 3 or 4 bits, in which it is written; with --experimental also 1 (two values a group) and ternary, in blocks of 2 bits")
	f.BoolVar(&o.experimental, "experimental", false, "allow what may change or go")
	f.DurationVar(&o.o.Every, "checkpoint-every", 0, "time between checkpoints (0 = 1m)")
	f.BoolVar(&o.o.Resume, "resume", false, "go on with a training that was cut off")
	o.augment.add(f)
	o.part.add(f)
	return cmd
}

func (a *app) runDistillTrain(ctx context.Context, o *distillTrainOptions) error {
	if err := needOutput(o.output, o.force); err != nil {
		return err
	}
	if err := needFolder(o.report); err != nil {
		return err
	}
	do, closeAll, err := a.distillOptions(ctx, o)
	defer closeAll()
	if err != nil {
		return err
	}
	student, closeStudent, err := a.distillStudent(ctx, o, do)
	defer closeStudent()
	if err != nil {
		return err
	}
	p := a.newProgress()
	defer p.finish()
	unit, each, untold := "pictures", int64(1), student
	student = func(seed uint64) (*model.Model, error) {
		m, err := untold(seed)
		if err == nil && m.Meta.LM != nil {
			unit, each = "tokens", int64(cmp.Or(do.Context, m.Meta.LM.ContextLength))
		}
		return m, err
	}
	do.Progress = func(stage string, done, total int64) {
		if strings.HasPrefix(stage, "seed ") {
			p.reportIn(unit, stage, done*each, total*each)
		} else {
			p.report(stage, done, total)
		}
	}
	out, r, err := a.train(ctx, student, *do, p, "--resume")
	if err != nil {
		return err
	}
	size, err := a.saveModel(ctx, o.output, out, o.force)
	if err != nil {
		return err
	}
	if do.Checkpoints != "" {
		if err := distill.RemoveCheckpoints(do.Checkpoints); err != nil {
			return err
		}
	}
	if o.report != "" {
		if err := saveFile(o.report, func(w io.Writer) error { return r.WriteHTML(w) }); err != nil {
			return err
		}
	}
	if a.json {
		a.printJSON("distill train", struct {
			Output string `json:"output"`
			Bytes  int64  `json:"bytes"`
			*distill.Report
		}{o.output, size, r})
		return nil
	}
	a.printDistilled(o.output, size, r)
	return nil
}

// train runs a training on all threads and ends its progress. One that is cut off says what goes on with it.
func (a *app) train(ctx context.Context, student func(uint64) (*model.Model, error), do distill.Options, p *progress, again string) (out *model.Model, r *distill.Report, err error) {
	err = a.withBLAS(func() error {
		var err error
		out, r, err = distill.Train(ctx, student, do)
		return err
	})
	p.finish()
	if _, missing := os.Stat(do.Checkpoints); errors.Is(err, context.Canceled) && missing == nil {
		fmt.Fprintf(a.stderr, "dsk: %v; %s goes on with it\n", err, again)
	}
	return out, r, err
}

// distillOptions opens what the flags name. What the function returns closes it all, also after an error.
func (a *app) distillOptions(ctx context.Context, o *distillTrainOptions) (*distill.Options, func(), error) {
	do := &o.o
	closeAll := func() {}
	do.Augment, do.Views, do.Limit, do.Threads, do.Version = o.augment.Augment, o.augment.views, o.part.limit, a.threads, version
	var err error
	if do.Alpha, err = autoNumber("alpha", o.alpha); err != nil {
		return nil, closeAll, err
	}
	if do.Temperature, err = autoNumber("temperature", o.temperature); err != nil {
		return nil, closeAll, err
	}
	if do.Data, err = o.part.open(o.data); err != nil {
		return nil, closeAll, err
	}
	if o.eval != "" {
		if sameFile(o.eval, o.data) && (o.evalSplit == o.part.split || o.evalSplit == "" || o.part.split == "") {
			a.warn("--eval %s is what is trained on: its figures say nothing of other data", o.eval)
		}
		part := o.part
		part.split, part.seed = o.evalSplit, 0
		if do.Eval, err = part.open(o.eval); err != nil {
			return nil, closeAll, err
		}
		do.EvalOptions.Limit, do.EvalOptions.Context = o.evalLimit, do.Context
	}
	if o.photos != "" {
		part := o.part
		part.split, part.seed = "", 0
		if do.Photos, err = part.open(o.photos); err != nil {
			return nil, closeAll, err
		}
	}
	if o.output != "-" {
		do.Checkpoints = o.output + ".checkpoints"
	}
	if o.labels != "" {
		if do.Labels, err = distill.OpenLabels(o.labels); err != nil {
			return nil, closeAll, err
		}
	}
	if o.teacher != "" {
		f, m, err := a.openModel(ctx, o.teacher, true)
		if err != nil {
			return nil, closeAll, err
		}
		closeAll = func() { f.Close() }
		do.Teacher = m
		if do.TeacherHash, err = fileHash(o.teacher); err != nil {
			return nil, closeAll, err
		}
	}
	return do, closeAll, nil
}

// distillStudent returns what makes the student of a seed, and what closes its file.
func (a *app) distillStudent(ctx context.Context, o *distillTrainOptions, do *distill.Options) (func(uint64) (*model.Model, error), func(), error) {
	if _, err := os.Stat(o.student); err == nil || strings.HasSuffix(o.student, ".dsk") {
		f, m, err := a.openModel(ctx, o.student, true)
		if err != nil {
			return nil, func() {}, err
		}
		if o.qat == "" && isQuantized(m) {
			a.warn("%s has quantized weights, which are trained and written as float32; --qat keeps few bits", o.student)
		}
		if o.qat != "" {
			if do.Quantized, err = a.trainedFormats(ctx, o, m); err != nil {
				return nil, func() { f.Close() }, err
			}
		}
		return func(uint64) (*model.Model, error) { return m, nil }, func() { f.Close() }, nil
	}
	if o.qat != "" {
		return nil, func() {}, &fault.Usage{What: "--qat needs a student that is trained: give its .dsk file"}
	}
	spec := o.student
	var bytes int64
	if spec == "auto" {
		var err error
		if bytes, err = parseSize(o.targetSize); err != nil {
			return nil, func() {}, err
		}
		if do.Teacher != nil {
			m, err := a.shrunkTeacher(ctx, do, bytes/4)
			return func(uint64) (*model.Model, error) { return m, nil }, func() {}, err
		}
	}
	pattern, err := distillPattern(do)
	if err != nil {
		return nil, func() {}, err
	}
	if spec == "auto" {
		if spec, err = pattern.Fitting(bytes, 32); err != nil {
			return nil, func() {}, err
		}
	}
	return func(seed uint64) (*model.Model, error) { return pattern.Student(spec, seed) }, func() {}, nil
}

func isQuantized(m *model.Model) bool {
	for _, t := range m.Graph.Init {
		if t.DType.IsQuantized() {
			return true
		}
	}
	return false
}

// trainedFormats returns the weights of m in the blocks that --qat names.
func (a *app) trainedFormats(ctx context.Context, o *distillTrainOptions, m *model.Model) (map[string]*tensor.Tensor, error) {
	bits, levels := 2, map[string]*kernels.Levels{"1": distill.Binary, "ternary": distill.Ternary}[o.qat]
	switch {
	case levels != nil && !o.experimental:
		return nil, &fault.Usage{What: fmt.Sprintf("--qat %s needs --experimental", o.qat)}
	case levels == nil:
		var err error
		if bits, err = strconv.Atoi(o.qat); err != nil || bits < 2 || bits > 4 {
			return nil, &fault.Usage{What: fmt.Sprintf("--qat %q: the widths are 2, 3 and 4, with --experimental 1 and ternary", o.qat)}
		}
	}
	q, _, err := quant.Apply(ctx, m, quant.Options{Strategy: quant.Uniform, Bits: bits, ActBits: 8, Threads: a.threads, Version: version})
	if err != nil {
		return nil, err
	}
	formats := map[string]*tensor.Tensor{}
	for name, t := range q.Graph.Init {
		if !t.DType.IsQuantized() {
			continue
		}
		if formats[name] = t; levels != nil {
			t.Levels = levels
		}
	}
	return formats, nil
}

// shrunkTeacher leaves of the teacher what needs so many parameters, chosen on the data that it is going to learn from.
func (a *app) shrunkTeacher(ctx context.Context, do *distill.Options, parameters int64) (*model.Model, error) {
	if have := do.Teacher.Meta.Parameters; have <= parameters {
		return nil, usagef("--student auto leaves nothing out: the teacher's %d weights take %d bytes as float32, and --target-size has room for %d", have, 4*have, 4*parameters)
	}
	p := a.newProgress()
	defer p.finish()
	samples := prune.CalibSamples
	if do.Limit > 0 {
		samples = min(samples, do.Limit)
	}
	m, _, err := prune.Apply(ctx, do.Teacher, prune.Options{Method: prune.Structured, Parameters: max(parameters, 1), Calib: do.Data,
		EvalOptions: eval.Options{Context: do.Context, Limit: samples}, Threads: a.threads, Version: version, Progress: p.report})
	return m, err
}

// distillPattern is what an untrained student is made after.
func distillPattern(do *distill.Options) (*distill.Pattern, error) {
	switch {
	case do.Teacher != nil:
		return distill.PatternOfModel(do.Teacher)
	case do.Labels != nil:
		return do.Labels.Pattern()
	}
	return distill.PatternOfData(do.Data)
}

func (a *app) printDistilled(path string, size int64, r *distill.Report) {
	a.print("%s: %s, %d parameters, %s", path, r.Student, r.Parameters, megabytes(size))
	from := "the labels of the data"
	if r.Teacher != "" {
		from = fmt.Sprintf("%s (alpha %g, temperature %g)", r.Teacher, r.Alpha, r.Temperature)
	}
	a.print("learned from %s: %d steps of %d samples of %s, %.1f epochs", from, r.Steps, r.Batch, r.Data, r.Epochs)
	for _, run := range r.Runs {
		kind := "student"
		if run.Control {
			kind = "control"
		}
		line := fmt.Sprintf("  seed %d %s: loss %.4g", run.Seed, kind, run.Loss)
		for _, name := range []string{"top1", "perplexity", "bits_per_byte"} {
			if v, ok := run.Metrics[name]; ok {
				line += fmt.Sprintf(", %s %.5g", name, v)
			}
		}
		if t := run.Timing; t != nil {
			unit, each := "pictures", 1
			if r.Context > 0 {
				unit, each = "tokens", r.Context
			}
			line += fmt.Sprintf(" (%v, %.0f %s/s)", time.Duration(t.Seconds*float64(time.Second)).Round(time.Second), t.SamplesPerSecond*float64(each), unit)
		}
		a.print("%s", line)
	}
	if c := r.Comparison; c != nil {
		sure := fmt.Sprintf("95 %% interval %+.4g to %+.4g, p %.2g, %d seeds", c.Low, c.High, c.P, c.Seeds)
		if c.P == 1 {
			sure = fmt.Sprintf("the same for %d seeds, so nothing can be said of others", c.Seeds)
		}
		a.print("%s: distilled %.5g, control %.5g, difference %+.4g (%s)", c.Metric, c.Distilled, c.Control, c.Difference, sure)
	}
}
