package distill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options are the settings of Train and RecordLabels. The zero value of a field stands for what its comment says.
type Options struct {
	// The teacher: a model that labels every batch as it comes, or labels that were recorded. Without both, labels of the data alone.
	Teacher     *model.Model
	TeacherHash string // SHA-256 of the teacher's file, for the history
	Labels      *Labels

	Data        *dataset.Data
	Eval        *dataset.Data // measured now and then, and at the end; never used to choose anything; nil: none
	EvalOptions eval.Options
	Evals       int // how often a run is measured; 0: 4 times
	Limit       int // samples of Data; 0: all

	// How long: the first of these that is not 0; Epochs is 10 without.
	Steps  int
	Time   time.Duration // the steps that fit, by a trial; the report says how many
	Epochs float64

	Batch   int // samples a step; 64 pictures or 8 windows of text
	Context int // tokens in a window of text; the student's context

	// The loss; see Loss. Auto tries some values on a part of the data.
	Alpha       float64 // Auto, or 0 to 1
	Temperature float64 // Auto, or above 0
	Smoothing   float64
	TopK        int // classes of a teacher's labels, besides the tail; 0: 64
	// Feature matching: the values to compare, "" for none; "auto" for what the last product reads, or TEACHER=STUDENT, see relation; Kept
	// for all that the student kept of the teacher, see imitation. And the factor of that loss.
	Feature       string
	FeatureWeight float64 // 0: 1000, and 10 for Kept

	// Mix trains on random mixtures of two pictures in place of half of the pictures; the teacher labels them as they come, Alpha must be 1.
	Mix bool
	// Photos are images of anything, parts of which are shown in place of half of the pictures; the teacher labels them too, Alpha must be 1.
	Photos *dataset.Data

	Optimizer string  // sgd (Nesterov's momentum .9) or adamw; "": adamw for language models, else sgd
	Rate      float64 // the highest learning rate; 0: .05 for sgd, .003 for adamw
	Decay     float64 // of weights; below 0: none; 0: 5e-4 for sgd, .01 for adamw
	Warmup    float64 // part of the steps in which the rate rises; 0: .05
	Clip      float64 // largest norm of the gradient; 0: 1 for language models, else 5; below 0: none
	Frozen    bool    // BatchNormalization keeps its statistics

	Augment Augment
	Views   int // random forms of each picture; 0: a new one each epoch
	Seed    uint64
	Seeds   int  // runs, with seeds from Seed on; 0: one
	Control bool // a run on hard labels alone beside each

	// Quantized has for weights their quantized tensors: they are trained for their formats (see Rounding).
	Quantized map[string]*tensor.Tensor

	// Checkpoints are kept in this folder while a run goes on, and found there by Resume; "": none.
	Checkpoints string
	Every       time.Duration // between checkpoints; 0: a minute
	Resume      bool

	Threads  int // 0: all cores; results do not depend on it
	Version  string
	Progress func(stage string, done, total int64)

	pool *kernels.Pool
}

// Auto is an Alpha or a Temperature that Train chooses.
const Auto = -1

// defaults fills in what was left out, for a student.
func (o *Options) defaults(m *model.Model) error {
	lm := m.Meta.LM != nil
	set := func(at *int, pictures, texts int) {
		if *at == 0 && lm {
			*at = texts
		} else if *at == 0 {
			*at = pictures
		}
	}
	number := func(at *float64, v float64) {
		if *at == 0 {
			*at = v
		}
	}
	set(&o.Batch, 64, 8)
	set(&o.TopK, 64, 64)
	set(&o.Seeds, 1, 1)
	set(&o.Evals, 4, 4)
	if lm {
		set(&o.Context, 0, m.Meta.LM.ContextLength)
		if o.Context < 1 || o.Context > m.Meta.LM.ContextLength {
			return &fault.Usage{What: fmt.Sprintf("windows of %d tokens do not fit the model's context of %d", o.Context, m.Meta.LM.ContextLength)}
		}
	}
	if o.Optimizer == "" {
		o.Optimizer = "sgd"
		if lm {
			o.Optimizer = "adamw"
		}
	}
	if o.Optimizer != "sgd" && o.Optimizer != "adamw" {
		return &fault.Usage{What: fmt.Sprintf("no optimizer %q: there are sgd and adamw", o.Optimizer)}
	}
	if o.Optimizer == "sgd" {
		number(&o.Rate, 0.05)
		number(&o.Decay, 5e-4)
	} else {
		number(&o.Rate, 3e-3)
		number(&o.Decay, 0.01)
	}
	number(&o.Warmup, 0.05)
	if o.Feature == Kept {
		number(&o.FeatureWeight, 10)
	}
	number(&o.FeatureWeight, 1000)
	number(&o.Temperature, 1)
	if lm {
		number(&o.Clip, 1)
	} else {
		number(&o.Clip, 5)
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Steps == 0 && o.Time == 0 && o.Epochs == 0 {
		o.Epochs = 10
	}
	return o.check()
}

// check refuses settings that mean nothing.
func (o *Options) check() error {
	for _, v := range []struct {
		name     string
		v        float64
		low, top float64
	}{{"alpha", o.Alpha, Auto, 1}, {"temperature", o.Temperature, Auto, 100}, {"smoothing", o.Smoothing, 0, 0.99}, {"rate", o.Rate, 0, 100},
		{"warm-up", o.Warmup, 0, 1}, {"batch", float64(o.Batch), 1, 1 << 20}, {"top-k", float64(o.TopK), 1, 1 << 30},
		{"epochs", o.Epochs, 0, 1e6}, {"steps", float64(o.Steps), 0, 1e9}, {"seeds", float64(o.Seeds), 1, 1000},
		{"views", float64(o.Views), 0, 1 << 20}, {"shift", float64(o.Augment.Shift), 0, 1 << 16}, {"cutout", float64(o.Augment.Cutout), 0, 1 << 16},
		{"zoom", o.Augment.Zoom, 0, 1}} {
		if !(v.v >= v.low && v.v <= v.top) {
			return &fault.Usage{What: fmt.Sprintf("%s is %g, which is not from %g to %g", v.name, v.v, v.low, v.top)}
		}
	}
	if o.Temperature != Auto && o.Temperature <= 0 {
		return &fault.Usage{What: fmt.Sprintf("temperature is %g, which is not above 0", o.Temperature)}
	}
	if (o.Mix || o.Photos != nil) && (o.Teacher == nil || o.Alpha != 1 || o.Control) {
		return &fault.Usage{What: "mixtures of pictures and parts of photographs have no label but the teacher's: --mix and --photos need a teacher and --alpha 1, and no --control"}
	}
	return nil
}

// taught reports whether there is a teacher.
func (o *Options) taught() bool { return o.Teacher != nil || o.Labels != nil }

// picks returns the random numbers of a sample in a view; nil if samples are labelled as they are.
func (n *LabelInfo) picks(view, sample int) *rand.Rand {
	if n.Views == 0 {
		return nil
	}
	return Picks(n.Seed, view, sample)
}

// view returns which form of a sample an epoch uses, and its random numbers; nil: as it is.
func (o *Options) view(seed uint64, epoch, sample int) (int, *rand.Rand) {
	if o.Labels != nil {
		view := 0
		if n := o.Labels.Info.Views; n > 0 {
			view = epoch % n
		}
		return view, o.Labels.Info.picks(view, sample)
	}
	if o.Augment == (Augment{}) && !o.Mix && o.Photos == nil {
		return 0, nil
	}
	if o.Views > 0 {
		epoch %= o.Views
	}
	return epoch, Picks(seed, epoch, sample)
}

// Train trains students and returns the first of them, with a report that is also stored in it (AssetReport). student makes
// an untrained student, or returns a trained one to go on with; it is called for each seed. The model that it returns is not
// changed.
//
//	out, report, err := distill.Train(ctx, func(uint64) (*model.Model, error) { return small, nil },
//		distill.Options{Teacher: large, Data: pictures, Alpha: .9, Temperature: 4, Epochs: 5})
//
// Matrix products go through gonum's blas32; kernels/blas.Use gives it dsk's.
//
// If ctx ends and there is a folder for checkpoints, the state of the running training is saved there first. The checkpoints of
// a training that has ended stay until RemoveCheckpoints.
func Train(ctx context.Context, student func(seed uint64) (*model.Model, error), o Options) (*model.Model, *Report, error) {
	if o.Data == nil {
		return nil, nil, &fault.Usage{What: "there is no data to train on"}
	}
	first, err := student(o.Seed)
	if err != nil {
		return nil, nil, err
	}
	if err := o.defaults(first); err != nil {
		return nil, nil, err
	}
	j, err := newJob(ctx, first, o)
	if err != nil {
		return nil, nil, err
	}
	defer j.close()
	if err := j.tune(ctx, first); err != nil {
		return nil, nil, err
	}
	r := j.newReport(first)
	var out *model.Model
	for i := range j.o.Seeds {
		seed := j.o.Seed + uint64(i)
		m := first
		if i > 0 {
			if m, err = student(seed); err != nil {
				return nil, nil, err
			}
		}
		trained, run, err := j.train(ctx, m, seed, false)
		if err != nil {
			return nil, nil, err
		}
		r.Runs = append(r.Runs, *run)
		if i == 0 {
			out = trained
		}
		if j.o.Control {
			_, run, err := j.train(ctx, m, seed, true)
			if err != nil {
				return nil, nil, err
			}
			r.Runs = append(r.Runs, *run)
		}
	}
	r.conclude()
	if err := j.sign(out, first, r); err != nil {
		return nil, nil, err
	}
	return out, r, nil
}
