package distill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// AssetReport is the asset in which a trained model has the report of its training, as JSON.
const AssetReport = "distill.json"

// job is what the runs of a training have in common.
type job struct {
	o       Options
	corpus  corpus
	use     []int // the samples that are trained on
	batch   *batch
	classes int
	teacher *teacher
	reader  *reader
	match   matcher
	pairs   []pair // the values that are compared
	total   int    // steps of a run
	tries   []Try
}

func newJob(ctx context.Context, m *model.Model, o Options) (*job, error) {
	o.pool = kernels.NewPool(o.Threads)
	j := &job{o: o}
	if err := j.open(ctx, m); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

func (j *job) open(ctx context.Context, m *model.Model) error {
	o := &j.o
	var err error
	if o.Labels != nil {
		if o.Teacher != nil {
			return &fault.Usage{What: "there is both a teacher and labels: one of them is enough"}
		}
		if o.Augment != (Augment{}) && o.Augment != o.Labels.Info.Augment {
			return &fault.Usage{What: "the labels are of pictures that were changed in another way: leave the flags out, or record labels with the same ones"}
		}
		o.Augment = o.Labels.Info.Augment
		if m.Meta.LM != nil && o.Labels.Info.Rows != o.Context {
			return &fault.Usage{What: fmt.Sprintf("the labels are of windows of %d tokens, these are of %d: use --ctx %d", o.Labels.Info.Rows, o.Context, o.Labels.Info.Rows)}
		}
	}
	if j.classes, err = classesOf(m); err != nil {
		return err
	}
	if j.corpus, err = openCorpus(ctx, o.Data, m, o.Teacher, o); err != nil {
		return err
	}
	if o.Labels != nil {
		if err := o.Labels.fits(j.corpus, j.classes, m); err != nil {
			return err
		}
	}
	if o.Teacher != nil {
		if n, err := classesOf(o.Teacher); err != nil || n != j.classes {
			return &fault.Usage{What: fmt.Sprintf("the teacher has %d classes, the student has %d", n, j.classes)}
		}
		if err := sameTokens(m.Assets, o.Teacher.Assets); err != nil {
			return err
		}
		if lm := o.Teacher.Meta.LM; lm != nil && o.Context > lm.ContextLength {
			return &fault.Usage{What: fmt.Sprintf("windows of %d tokens do not fit the teacher's context of %d: use --ctx %d", o.Context, lm.ContextLength, lm.ContextLength)}
		}
	}
	if !o.taught() {
		o.Alpha = 0
	} else if o.Alpha == 0 {
		return &fault.Usage{What: "alpha is 0, so the teacher would have no part in the loss"}
	}
	if !j.corpus.labelled() && (o.Alpha != 1 && o.Alpha != Auto || o.Control) {
		return &fault.Usage{What: fmt.Sprintf("%s has no labels: give a teacher and --alpha 1, and no --control", o.Data.Name())}
	}
	n := j.corpus.samples()
	o.Batch = min(o.Batch, n)
	for i := range n {
		j.use = append(j.use, i)
	}
	j.batch = j.corpus.batch(o.Batch)
	return nil
}

// begin makes ready what needs the loss's temperature, and counts the steps.
func (j *job) begin(m *model.Model) error {
	o := &j.o
	j.closeTeacher()
	var err error
	if o.Labels != nil {
		if j.reader, err = o.Labels.newReader(o.Batch, o.Temperature); err != nil {
			return err
		}
	}
	if o.Teacher != nil {
		if o.Feature != "" {
			if j.pairs, j.match, err = features(o, m); err != nil {
				return err
			}
		}
		if j.teacher, err = newTeacher(o.Teacher, o.Batch, j.corpus.rows(), o.TopK, o.Temperature, j.pairs, o); err != nil {
			return err
		}
	} else if o.Feature != "" {
		return &fault.Usage{What: "features need the teacher itself, not labels alone"}
	}
	j.total = o.Steps
	if j.total == 0 && o.Time == 0 {
		j.total = max(int(math.Round(o.Epochs*float64(j.perEpoch()))), 1)
	}
	return nil
}

// features finds the values that are compared, and how.
func features(o *Options, student *model.Model) ([]pair, matcher, error) {
	last := func(g *model.Graph) string {
		for _, n := range g.Nodes {
			if n.Outputs[0] == logitsOf(g) {
				return n.In(0)
			}
		}
		return ""
	}
	switch o.Feature {
	case Kept:
		list, err := keptPairs(o.Teacher.Graph, student)
		return list, &imitation{pool: o.pool}, err
	case "auto":
		return []pair{{teacher: last(o.Teacher.Graph), student: last(student.Graph)}}, newRelation(o.Batch), nil
	}
	of, with, found := strings.Cut(o.Feature, "=")
	if !found || of == "" || with == "" {
		return nil, nil, &fault.Usage{What: fmt.Sprintf("features %q: want auto, kept, or TEACHER=STUDENT with the names of two values", o.Feature)}
	}
	return []pair{{teacher: of, student: with}}, newRelation(o.Batch), nil
}

func (j *job) closeTeacher() {
	if j.teacher != nil {
		j.teacher.close()
		j.teacher = nil
	}
}

func (j *job) close() {
	j.closeTeacher()
	j.o.pool.Close()
}

func (j *job) perEpoch() int { return max(len(j.use)/j.o.Batch, 1) }

// run is one training.
type run struct {
	*job
	model   *model.Model
	trainer *Trainer
	seed    uint64
	control bool
	order   []int
	epoch   int
	state   state
	target  []*tensor.Tensor // the teacher's features of the batch
	room    []float32        // for the channels of one that the student kept
}

// newRun binds a student.
func (j *job) newRun(m *model.Model, seed uint64, control bool) (*run, error) {
	o := &j.o
	shapes, fixed := map[string][]int{}, map[string]*tensor.Tensor{}
	if m.Meta.LM != nil {
		var err error
		if shapes, fixed, err = grad.Sequence(m.Graph, o.Batch, o.Context); err != nil {
			return nil, err
		}
	} else {
		for name, t := range j.batch.student {
			shapes[name] = t.Shape
		}
	}
	r := &run{job: j, model: m, seed: seed, control: control, epoch: -1}
	out := logitsOf(m.Graph)
	outputs := []string{out}
	matched := j.match != nil && !control
	if matched {
		for _, p := range j.pairs {
			outputs = append(outputs, p.student)
		}
	}
	tape, err := grad.New(m.Graph, grad.Options{Shapes: shapes, Fixed: fixed, Outputs: outputs, BatchStats: !o.Frozen, Eval: runtime.Eval, Pool: o.pool,
		GradsWritten: true})
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	if len(tape.Params()) == 0 {
		return nil, &fault.Usage{What: "the student has no weights that could be trained"}
	}
	loss := NewLoss(o.Batch*j.corpus.rows(), j.classes, o.pool)
	loss.Alpha, loss.Temperature, loss.Smoothing = float32(o.Alpha), float32(o.Temperature), float32(o.Smoothing)
	if control {
		loss.Alpha = 0
	}
	r.trainer = &Trainer{Tape: tape, Loss: loss, Clip: max(o.Clip, 0), Output: out}
	if decay := max(o.Decay, 0); o.Optimizer == "adamw" {
		r.trainer.Optimizer = NewAdamW(tape.Params(), 0.99, decay)
	} else {
		r.trainer.Optimizer = NewSGD(tape.Params(), 0.9, decay, true)
	}
	if o.Quantized != nil {
		if r.trainer.Rounding, err = NewRounding(tape.Params(), o.Quantized, o.pool); err != nil {
			return nil, err
		}
	}
	if matched {
		for _, p := range j.pairs {
			if tape.OutputGrad(p.student) == nil {
				return nil, &fault.Usage{What: fmt.Sprintf("no weight has a part in the student's value %q", p.student)}
			}
		}
		r.trainer.Extra = func() (float64, error) {
			var sum float64
			for i := range j.pairs {
				p := &j.pairs[i]
				s := tape.Output(p.student).F32()
				r.room = slices.Grow(r.room[:0], len(s))[:len(s)]
				sum += j.match.gradient(tape.OutputGrad(p.student), s, p.pick(o.pool, r.room, r.target[i].F32()), o.FeatureWeight)
			}
			return sum, nil
		}
	}
	return r, nil
}

// fill puts the samples of the next step into the batch.
func (r *run) fill() error {
	o := &r.o
	step := r.trainer.Steps()
	epoch, at := step/r.perEpoch(), step%r.perEpoch()
	if epoch != r.epoch {
		r.epoch, r.order = epoch, Order(r.seed, epoch, len(r.use))
	}
	samples := r.order[at*o.Batch : (at+1)*o.Batch]
	failed := make([]error, o.Batch)
	o.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(o.Batch, 1, part, parts)
		for i := lo; i < hi; i++ {
			_, picks := o.view(r.seed, epoch, r.use[samples[i]])
			failed[i] = r.corpus.read(r.batch, i, r.use[samples[i]], picks)
		}
	}))
	if r.reader != nil && !r.control {
		for i, s := range samples {
			view, _ := o.view(r.seed, epoch, r.use[s])
			r.reader.read(i, r.use[s], view)
		}
	}
	return errors.Join(failed...)
}

// step trains on the next batch.
func (r *run) step(ctx context.Context) (StepReport, error) {
	if err := r.fill(); err != nil {
		return StepReport{}, err
	}
	var soft *Soft
	switch {
	case r.control:
	case r.reader != nil:
		soft = &r.reader.soft
	case r.teacher != nil:
		var err error
		if soft, r.target, err = r.teacher.label(ctx, r.batch); err != nil {
			return StepReport{}, err
		}
	}
	labels := r.batch.labels
	if r.trainer.Loss.Alpha == 1 && soft != nil {
		// Rows without a label are left out of a loss, but here the teacher's are all.
		for i, l := range labels {
			labels[i] = max(l, 0)
		}
	}
	return r.trainer.Step(r.batch.student, labels, soft)
}

// train is one run, from its checkpoint on if there is one.
func (j *job) train(ctx context.Context, m *model.Model, seed uint64, control bool) (*model.Model, *RunReport, error) {
	r, err := j.newRun(m, seed, control)
	if err != nil {
		return nil, nil, err
	}
	if err := r.load(); err != nil {
		return nil, nil, err
	}
	if r.state.Total == 0 {
		if r.state.Total = j.total; j.total == 0 {
			if r.state.Total, err = r.fitting(ctx); err != nil {
				return nil, nil, err
			}
		}
	}
	// All runs take as many steps as the first.
	j.total = r.state.Total
	total := j.total
	r.trainer.Schedule = j.schedule(total)
	stage := fmt.Sprintf("seed %d", seed)
	if control {
		stage += " control"
	}
	began, saved, steps := time.Now(), time.Now(), 0
	if err := r.point(ctx); err != nil { // that the training was cut off at
		if ctx.Err() != nil {
			err = r.interrupted(err)
		}
		return nil, nil, err
	}
	for r.trainer.Steps() < total {
		if err := ctx.Err(); err != nil {
			return nil, nil, r.interrupted(err)
		}
		s, err := r.step(ctx)
		if err != nil {
			if ctx.Err() != nil {
				err = r.interrupted(err)
			}
			return nil, nil, err
		}
		steps++
		if err := r.note(ctx, s); err != nil {
			if ctx.Err() != nil {
				err = r.interrupted(err)
			}
			return nil, nil, err
		}
		if j.o.Progress != nil {
			j.o.Progress(stage, int64(s.Step*j.o.Batch), int64(total*j.o.Batch))
		}
		if now := time.Now(); now.Sub(saved) >= j.o.Every && s.Step < total {
			if err := r.save(); err != nil {
				return nil, nil, err
			}
			saved = now
		}
	}
	seconds := time.Since(began).Seconds()
	if err := r.save(); err != nil {
		return nil, nil, err
	}
	out, err := r.finish()
	if err != nil {
		return nil, nil, err
	}
	report := &RunReport{Seed: seed, Control: control, Steps: total, Curve: r.state.Curve}
	if n := len(r.state.Curve); n > 0 {
		report.Loss, report.Metrics = r.state.Curve[n-1].Loss, r.state.Curve[n-1].Eval
	}
	if steps > 0 {
		report.Timing = &Timing{Seconds: seconds, SamplesPerSecond: float64(steps*j.o.Batch) / seconds}
	}
	return out, report, nil
}

// interrupted saves the run, and says so.
func (r *run) interrupted(err error) error {
	if r.o.Checkpoints == "" {
		return err
	}
	if failed := r.save(); failed != nil {
		return failed
	}
	return fmt.Errorf("%w; step %d of %d is saved in %s", err, r.trainer.Steps(), r.state.Total, r.o.Checkpoints)
}

// trialTime is the part of Options.Time in which a trial finds out how many steps fit.
const trialTime = 0.02

// fitting returns how many steps fit the time, by taking some and undoing them.
func (r *run) fitting(ctx context.Context) (int, error) {
	var before bytes.Buffer
	if err := r.trainer.Save(&before); err != nil {
		return 0, err
	}
	r.trainer.Schedule = Schedule{Peak: 0, Floor: 0, Warmup: 0, Total: 1}
	if _, err := r.step(ctx); err != nil {
		return 0, err
	}
	began, steps := time.Now(), 0
	limit := time.Duration(float64(r.o.Time) * trialTime)
	for steps == 0 || time.Since(began) < limit {
		if _, err := r.step(ctx); err != nil {
			return 0, err
		}
		steps++
	}
	each := time.Since(began).Seconds() / float64(steps)
	r.epoch = -1
	if err := r.trainer.Restore(&before); err != nil {
		return 0, err
	}
	return max(int(r.o.Time.Seconds()*(1-trialTime)/each), 1), nil
}

func (j *job) schedule(total int) Schedule {
	return Schedule{Peak: j.o.Rate, Floor: j.o.Rate / 100, Warmup: int(j.o.Warmup * float64(total)), Total: total}
}

// curvePoints is about how many points a curve has.
const curvePoints = 100

// note adds a step to the curve.
func (r *run) note(ctx context.Context, s StepReport) error {
	t := &r.state
	t.Sum += s.Loss
	t.Count++
	due := func(points int) bool { return s.Step*points/t.Total > (s.Step-1)*points/t.Total }
	measure := r.o.Eval != nil && (due(r.o.Evals) || s.Step == t.Total)
	if measure || due(curvePoints) || s.Step == t.Total {
		t.Due, t.Measured = &s, measure
	}
	return r.point(ctx)
}

// point adds the point that is due to the curve.
func (r *run) point(ctx context.Context) error {
	t := &r.state
	if t.Due == nil {
		return nil
	}
	p := Point{Step: t.Due.Step, Loss: t.Sum / float64(t.Count), Rate: t.Due.Rate}
	if t.Measured {
		m, err := r.finish()
		if err != nil {
			return err
		}
		eo := r.o.EvalOptions
		eo.Threads = r.o.Threads
		e, err := eval.Run(ctx, m, r.o.Eval, nil, eo)
		if err != nil {
			return err
		}
		for name, v := range e.Metrics {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("after step %d %s is %g on %s: the training has diverged, use a smaller learning rate", p.Step, name, v, r.o.Eval.Name())
			}
		}
		p.Eval = e.Metrics
	}
	t.Curve = append(t.Curve, p)
	t.Sum, t.Count, t.Due = 0, 0, nil
	return nil
}

// finish returns the student as it is now, in the form of a file.
func (r *run) finish() (*model.Model, error) {
	out := r.trainer.Tape.Trained(r.model)
	out.Assets = map[string][]byte{}
	for name, b := range r.model.Assets {
		out.Assets[name] = b
	}
	if r.trainer.Rounding != nil {
		if err := r.trainer.Rounding.Store(out); err != nil {
			return nil, err
		}
	}
	if _, err := model.Rewrite(out.Graph, model.RewriteOptions{Eval: runtime.Eval}); err != nil {
		return nil, err
	}
	return out, nil
}

// sign puts the history and the report into the model.
func (j *job) sign(out, student *model.Model, r *Report) error {
	options := map[string]string{"data": j.o.Data.Name(), "steps": strconv.Itoa(j.total), "batch": strconv.Itoa(j.o.Batch),
		"seed": strconv.FormatUint(j.o.Seed, 10), "rate": short(j.o.Rate), "optimizer": j.o.Optimizer}
	if j.o.taught() {
		options["teacher"], options["alpha"], options["temperature"] = r.Teacher, short(j.o.Alpha), short(j.o.Temperature)
		if r.TeacherHash != "" {
			options["teacher_sha256"] = r.TeacherHash
		}
	}
	if j.o.Feature != "" {
		options["features"] = j.o.Feature
	}
	if j.o.Mix {
		options["mix"] = "half"
	}
	if j.o.Photos != nil {
		options["photos"] = j.o.Photos.Name()
	}
	if j.o.Augment.Zoom > 0 {
		options["zoom"] = short(j.o.Augment.Zoom)
	}
	out.Meta.Steps = append(slices.Clone(student.Meta.Steps), model.Step{Verb: "distill", Version: j.o.Version, Options: options})
	b, err := json.Marshal(r.untimed())
	if err != nil {
		return err
	}
	out.Assets[AssetReport] = b
	return nil
}
