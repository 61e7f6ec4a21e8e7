package distill

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/dsk-toolkit/dsk/model"
)

// Report is what a training did. Without the fields Timing it is the same for the same input and settings.
type Report struct {
	Student     string  `json:"student"`
	Parameters  int64   `json:"parameters"`
	Teacher     string  `json:"teacher,omitempty"`
	TeacherHash string  `json:"teacher_sha256,omitempty"`
	Data        string  `json:"data"`
	Samples     int     `json:"samples"`
	EvalData    string  `json:"eval_data,omitempty"`
	Steps       int     `json:"steps"` // of each run
	Batch       int     `json:"batch"`
	Context     int     `json:"context,omitempty"` // tokens in a window of text, which is a sample
	Epochs      float64 `json:"epochs"`
	Alpha       float64 `json:"alpha"`
	Temperature float64 `json:"temperature"`
	TopK        int     `json:"top_k,omitempty"`
	Feature     string  `json:"feature,omitempty"`
	// FeatureWeight is the factor of that loss.
	FeatureWeight float64 `json:"feature_weight,omitempty"`
	Smoothing     float64 `json:"smoothing,omitempty"`
	Augment       Augment `json:"augment"`
	Mix           bool    `json:"mix,omitempty"`
	Photos        string  `json:"photos,omitempty"`
	Views         int     `json:"views,omitempty"`
	Optimizer     string  `json:"optimizer"`
	Rate          float64 `json:"rate"`
	Decay         float64 `json:"decay"`
	Warmup        float64 `json:"warmup"`         // part of the steps
	Clip          float64 `json:"clip,omitempty"` // largest norm of the gradient
	Quantized     int     `json:"quantized_tensors,omitempty"`
	Tries         []Try   `json:"tries,omitempty"`

	Metrics map[string]float64 `json:"metrics,omitempty"` // of the model that was made: the first run's
	Control map[string]float64 `json:"control,omitempty"` // of the run on hard labels alone with the same seed
	Curve   []Point            `json:"curve"`             // of the model that was made
	Runs    []RunReport        `json:"runs"`
	// Comparison of the runs of all seeds, if there are several and controls.
	Comparison *Comparison `json:"comparison,omitempty"`
}

// RunReport is one run.
type RunReport struct {
	Seed    uint64             `json:"seed"`
	Control bool               `json:"control"`
	Steps   int                `json:"steps"`
	Loss    float64            `json:"loss"` // mean over the last part of the curve
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Curve   []Point            `json:"curve"`
	Timing  *Timing            `json:"timing,omitempty"`
}

// Timing is how fast a run was, since it began or was resumed, with its measurements in between.
type Timing struct {
	Seconds          float64 `json:"seconds"`
	SamplesPerSecond float64 `json:"samples_per_second"`
}

// Point is a place of a curve.
type Point struct {
	Step int                `json:"step"`
	Loss float64            `json:"loss"` // mean since the point before
	Rate float64            `json:"rate"`
	Eval map[string]float64 `json:"eval,omitempty"`
}

// Comparison is Student's paired t-test of the runs with a teacher against those without, by seed.
type Comparison struct {
	Metric     string  `json:"metric"`
	Seeds      int     `json:"seeds"`
	Distilled  float64 `json:"distilled"` // means
	Control    float64 `json:"control"`
	Difference float64 `json:"difference"` // distilled - control
	// The interval that holds the difference with 95 % confidence.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// P is the probability of a difference as large if there were none, two-sided; 1 if it is the same for all seeds, which have then changed
	// nothing that could be counted.
	P float64 `json:"p"`
}

func (j *job) newReport(m *model.Model) *Report {
	o := &j.o
	r := &Report{Student: m.Meta.Name, Parameters: m.Meta.Parameters, Data: o.Data.Name(), Samples: j.corpus.samples(), Batch: o.Batch,
		Alpha: o.Alpha, Temperature: o.Temperature, Smoothing: o.Smoothing, Augment: o.Augment, Mix: o.Mix, Views: o.Views, Optimizer: o.Optimizer,
		Rate: o.Rate, Decay: max(o.Decay, 0), Warmup: o.Warmup, Clip: max(o.Clip, 0), Quantized: len(o.Quantized), Feature: o.Feature, Tries: j.tries, TeacherHash: o.TeacherHash}
	if o.Eval != nil {
		r.EvalData = o.Eval.Name()
	}
	if o.Photos != nil {
		r.Photos = o.Photos.Name()
	}
	if o.Feature != "" {
		r.FeatureWeight = o.FeatureWeight
	}
	if m.Meta.LM != nil {
		r.Context = o.Context
	}
	switch {
	case o.Teacher != nil:
		r.Teacher, r.TopK = o.Teacher.Meta.Name, min(o.TopK, j.classes)
	case o.Labels != nil:
		n := &o.Labels.Info
		r.Teacher, r.TeacherHash, r.TopK, r.Views = n.Teacher, n.TeacherHash, n.K, n.Views
	}
	return r
}

// conclude fills in what is known when all runs have ended.
func (r *Report) conclude() {
	first := &r.Runs[0]
	r.Metrics, r.Curve, r.Steps = first.Metrics, first.Curve, first.Steps
	r.Epochs = float64(r.Steps*r.Batch) / float64(r.Samples)
	if len(r.Runs) > 1 && r.Runs[1].Control {
		r.Control = r.Runs[1].Metrics
	}
	metric := ""
	for _, name := range []string{"bits_per_byte", "top1"} { // of texts and of pictures
		if _, ok := r.Metrics[name]; ok && metric == "" {
			metric = name
		}
	}
	if metric == "" || r.Control == nil {
		return
	}
	var a, b []float64
	for _, run := range r.Runs {
		if run.Control {
			b = append(b, run.Metrics[metric])
		} else {
			a = append(a, run.Metrics[metric])
		}
	}
	if len(a) > 1 {
		r.Comparison = compare(metric, a, b)
	}
}

// compare does the paired t-test of a against b.
func compare(metric string, a, b []float64) *Comparison {
	n := len(a)
	d := make([]float64, n)
	for i := range d {
		d[i] = a[i] - b[i]
	}
	mean, deviation := stat.MeanStdDev(d, nil)
	c := &Comparison{Metric: metric, Seeds: n, Distilled: stat.Mean(a, nil), Control: stat.Mean(b, nil), Difference: mean}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}
	each := deviation / math.Sqrt(float64(n))
	half := t.Quantile(0.975) * each
	c.Low, c.High = mean-half, mean+half
	// Differences of equal numbers may differ in their last bits.
	if c.P = 1; each > 1e-9*math.Abs(mean) {
		c.P = 2 * t.CDF(-math.Abs(mean)/each)
	}
	return c
}

// untimed returns the report without what differs from run to run.
func (r *Report) untimed() *Report {
	c := *r
	c.Runs = slices.Clone(r.Runs)
	for i := range c.Runs {
		c.Runs[i].Timing = nil
	}
	return &c
}
