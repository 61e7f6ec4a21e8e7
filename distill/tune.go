package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// What tuning tries, with a part of the samples held out and a part of the steps for each.
var (
	triedTemperatures = []float64{1, 2, 4, 8}
	triedAlphas       = []float64{0.5, 0.9, 1}
)

const (
	heldOut   = 8  // a sample in so many is held out
	tuneShare = 10 // a try takes a run's steps divided by this
	mostHeld  = 64 // batches that are measured
)

// Try is one value that tuning tried.
type Try struct {
	Alpha       float64 `json:"alpha"`
	Temperature float64 `json:"temperature"`
	// HeldOut is the mean cross-entropy in nats against the labels of samples that were not trained on, or against the teacher's
	// first choice where there are none.
	HeldOut float64 `json:"held_out_loss"`
}

// tune chooses what is Auto by short trainings on a part of the data, first the temperature, then alpha, and makes the job ready. What was
// tried before a training was cut off is not tried again: where the time decides the steps, it might end in another choice.
func (j *job) tune(ctx context.Context, m *model.Model) error {
	o := &j.o
	var list []Try
	before, err := j.loadTries(m)
	if err != nil {
		return err
	}
	try := func(alpha, temperature float64) error {
		at := slices.IndexFunc(before.Tries, func(t Try) bool { return t.Alpha == alpha && t.Temperature == temperature })
		if at >= 0 {
			list = append(list, before.Tries[at])
			return nil
		}
		o.Alpha, o.Temperature = alpha, temperature
		loss, err := j.try(ctx, m)
		if err != nil {
			return err
		}
		list = append(list, Try{alpha, temperature, loss})
		before.Tries = append(before.Tries, list[len(list)-1])
		return j.writeCheckpoint(j.triesPath(), before, nil)
	}
	best := func() Try {
		b := list[0]
		for _, t := range list[1:] {
			if t.HeldOut < b.HeldOut {
				b = t
			}
		}
		return b
	}
	alpha, temperature := o.Alpha, o.Temperature
	if temperature == Auto {
		first := alpha
		if first == Auto {
			first = 0.9
			if !j.corpus.labelled() {
				first = 1
			}
		}
		for _, t := range triedTemperatures {
			if o.Labels != nil && o.Labels.Info.K < o.Labels.Info.Classes && t != o.Labels.Info.Temperature {
				continue
			}
			if err := try(first, t); err != nil {
				return err
			}
		}
		if list == nil {
			temperature = o.Labels.Info.Temperature
		} else {
			temperature = best().Temperature
		}
	}
	if alpha == Auto {
		alpha = 1
		if j.corpus.labelled() {
			for _, a := range triedAlphas {
				if err := try(a, temperature); err != nil {
					return err
				}
			}
			alpha = best().Alpha
		}
	}
	o.Alpha, o.Temperature = alpha, temperature
	j.tries = list
	return j.begin(m)
}

// tries are what the file of tries holds.
type tries struct {
	Settings string `json:"settings"` // a hash of what they depend on
	Tries    []Try  `json:"tries"`
}

func (j *job) triesPath() string { return filepath.Join(j.o.Checkpoints, "tries.ckpt") }

// loadTries finds what was tried before the training was cut off, if anything is Auto.
func (j *job) loadTries(m *model.Model) (tries, error) {
	if j.o.Alpha != Auto && j.o.Temperature != Auto {
		return tries{}, nil
	}
	h := sha256.New()
	j.describe(h)
	fmt.Fprintln(h, j.o.Seed)
	for _, name := range slices.Sorted(maps.Keys(m.Graph.Init)) {
		fmt.Fprintln(h, name, sha256.Sum256(m.Graph.Init[name].Data))
	}
	now := tries{Settings: hex.EncodeToString(h.Sum(nil))}
	var before tries
	found, err := j.readCheckpoint(j.triesPath(), &before)
	if err != nil || found == nil {
		return now, err
	}
	if before.Settings != now.Settings {
		return now, otherSettings(j.triesPath())
	}
	return before, nil
}

// try trains shortly on a part of the samples and measures on the others.
func (j *job) try(ctx context.Context, m *model.Model) (float64, error) {
	whole := *j
	defer func() { j.use, j.total = whole.use, whole.total }()
	var held []int
	j.use = nil
	for i, s := range Order(j.o.Seed, -1, len(whole.use)) {
		if i%heldOut == 0 {
			held = append(held, whole.use[s])
		} else {
			j.use = append(j.use, whole.use[s])
		}
	}
	if len(j.use) < j.o.Batch {
		return 0, &fault.Usage{What: fmt.Sprintf("auto holds out an eighth of the %d samples, which leaves none for a step of %d: use a smaller --batch, or give alpha and temperature",
			len(whole.use), j.o.Batch)}
	}
	if err := j.begin(m); err != nil {
		return 0, err
	}
	r, err := j.newRun(m, j.o.Seed, false)
	if err != nil {
		return 0, err
	}
	total := j.total / tuneShare
	if j.total == 0 {
		if total, err = r.fitting(ctx); err != nil {
			return 0, err
		}
		total /= tuneShare
	}
	total = max(total, 1)
	r.trainer.Schedule = j.schedule(total)
	for r.trainer.Steps() < total {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		s, err := r.step(ctx)
		if err != nil {
			return 0, err
		}
		if j.o.Progress != nil {
			j.o.Progress("trying alpha "+short(j.o.Alpha)+", temperature "+short(j.o.Temperature), int64(s.Step), int64(total))
		}
	}
	return r.measure(ctx, held)
}

// measure returns the mean cross-entropy over samples, as they are.
func (r *run) measure(ctx context.Context, samples []int) (float64, error) {
	out, err := r.finish()
	if err != nil {
		return 0, err
	}
	size := r.o.Batch
	student, err := newTeacher(out, size, r.corpus.rows(), r.classes, 1, nil, &r.o)
	if err != nil {
		return 0, err
	}
	defer student.close()
	b := r.corpus.batch(size)
	own := *b
	own.teacher = b.student
	var sum float64
	var count int
	list := make([]int, size)
	for lo := 0; lo < len(samples) && lo < mostHeld*size; lo += size {
		hi := min(lo+size, len(samples))
		for i := range list { // a batch that is not full repeats its last sample
			list[i] = samples[min(lo+i, hi-1)]
			if err := r.corpus.read(b, i, list[i], nil); err != nil {
				return 0, err
			}
		}
		labels := b.labels
		if !r.corpus.labelled() {
			if err := r.firstChoices(ctx, b, labels, list); err != nil {
				return 0, err
			}
		}
		soft, _, err := student.label(ctx, &own)
		if err != nil {
			return 0, err
		}
		for i, l := range labels[:(hi-lo)*r.corpus.rows()] {
			sum -= math.Log(max(float64(soft.P[i*r.classes+int(l)]), smallest))
			count++
		}
	}
	return sum / float64(max(count, 1)), nil
}

// firstChoices writes the teacher's likeliest class of each row.
func (r *run) firstChoices(ctx context.Context, b *batch, labels []int32, samples []int) error {
	soft := &Soft{}
	if r.reader != nil {
		for i, s := range samples {
			r.reader.read(i, s, 0)
		}
		soft = &r.reader.soft
	} else {
		var err error
		if soft, _, err = r.teacher.label(ctx, b); err != nil {
			return err
		}
	}
	for i := range labels {
		best := 0
		for k := range soft.K {
			if soft.P[i*soft.K+k] > soft.P[i*soft.K+best] {
				best = k
			}
		}
		labels[i] = soft.Class[i*soft.K+best]
	}
	return nil
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
