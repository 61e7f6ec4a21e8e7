// Package quant turns a model's weights into blocks of 8, 4, 3 or 2 bits. Every weight matrix is
// a candidate; what stays wider, and why, stands in the report. Steps, in the order of the
// data: vocabulary.go cuts tables of tokens, candidates.go finds the matrices, calibrate.go reads activations, sensitivity.go
// measures what each width costs, allocate.go spends the budget, encode.go makes the blocks.
package quant

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Strategy says how widths are chosen.
type Strategy string

// The strategies.
const (
	Uniform  Strategy = "uniform"  // one width for all candidates
	Adaptive Strategy = "adaptive" // measured per tensor, under a budget
)

// Options are the settings of Apply.
type Options struct {
	Strategy Strategy
	// Bits is 2, 3, 4 or 8, or 0 ("auto"). With Uniform every tensor has that width; with Adaptive it is the budget: no more bytes than that width
	// for every tensor would take.
	Bits int
	// At most one of the budgets is set; they count the whole file.
	TargetBytes int64
	TargetRatio float64 // 4 x parameters / bytes
	TargetBPW   float64 // 8 x bytes / parameters
	// MaxKL and MinAgreement are gates on the evaluation data; 0 = none.
	MaxKL        float64
	MinAgreement float64
	// ActBits is 8 (activations are quantized as a product reads them) or 32 (products of quantized
	// weights run in float: slower, without the activations' rounding).
	ActBits      int
	NoFeedback   bool          // scales are searched by the columns' importance alone: what error feedback is measured against
	TargetDevice string        // the name of the device that the model is for: recorded in the history, and nothing else; its effects are those of Device
	Device       *Device       // how fast it is: the report answers how long a run takes there; nil = not known
	MaxLatency   float64       // milliseconds a run, or a token, takes on Device at most, as predicted; 0 = no limit
	Calib        *dataset.Data // activations for importance and sensitivity; nil = data-free
	Eval         *dataset.Data // measures the result; never used to choose anything
	EvalOptions  eval.Options
	Work         *Work  // keeps what is measured; nil = in memory only
	Release      func() // called where weights that are mapped from a file may leave memory; nil = nothing to do
	Threads      int
	Version      string // of dsk, for the history
	Progress     func(stage string, done, total int64)
}

// Report is what Apply did. Sizes count the whole .dsk file.
type Report struct {
	Strategy    Strategy `json:"strategy"`
	Calibration string   `json:"calibration"` // "none (data-free)" or the data's name
	Bytes       int64    `json:"bytes"`
	Parameters  int64    `json:"parameters"`
	BitsPerW    float64  `json:"bits_per_weight"`
	RatioVsF32  float64  `json:"ratio_vs_f32"`
	MeanKL      *float64 `json:"mean_kl,omitempty"`
	Agreement   *float64 `json:"top1_agreement,omitempty"`
	// KLInterval and AgreementInterval are 95 % intervals over windows of text or images.
	KLInterval        *eval.Interval `json:"mean_kl_interval_95,omitempty"`
	AgreementInterval *eval.Interval `json:"top1_agreement_interval_95,omitempty"`
	Metrics           *eval.Report   `json:"evaluation,omitempty"` // of the quantized model
	Reference         *eval.Report   `json:"reference,omitempty"`  // of the input model
	Latency           *Latency       `json:"latency,omitempty"`
	Curve             []Point        `json:"curve,omitempty"` // what other budgets would buy, as predicted; of the adaptive strategy
	Tensors           []TensorReport `json:"tensors"`
	Measurements      int            `json:"measurements"` // models run to measure sensitivity
}

// TensorReport is one weight's entry.
type TensorReport struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	Bits  int    `json:"bits"`
	Bytes int64  `json:"bytes"`
	// RelError is the mean square of the product's error over that of the product, as far as its inputs
	// are known: measured, estimated, or taken for white noise.
	RelError float64 `json:"relative_error"`
	// SQNR and Weighted are those of TensorProof.
	SQNR     *float64 `json:"sqnr_db,omitempty"`
	Weighted *float64 `json:"sqnr_weighted_db,omitempty"`
	// ActBits is how many bits the activations have that a product of the weights reads: 8 or 32; 0 for a table of rows.
	ActBits int    `json:"activation_bits,omitempty"`
	Why     string `json:"why"`
}

// Apply returns a copy of m with quantized weights. m is not changed; the new weights are
// made when they are written or loaded.
func Apply(ctx context.Context, m *model.Model, o Options) (*model.Model, *Report, error) {
	if err := o.Check(); err != nil {
		return nil, nil, err
	}
	q := &quantizer{o: o, m: m}
	if err := q.prepare(); err != nil {
		return nil, nil, err
	}
	if err := q.begin(ctx); err != nil {
		return nil, nil, err
	}
	if err := q.calibrate(ctx); err != nil {
		return nil, nil, err
	}
	if err := q.choose(ctx); err != nil {
		return nil, nil, err
	}
	out := q.encode()
	if len(q.cut) > 0 {
		if err := out.Graph.Infer(); err != nil {
			return nil, nil, err
		}
	}
	if err := q.makeStatic(ctx, out); err != nil {
		return nil, nil, err
	}
	out.Meta.Steps = append(out.Meta.Steps, model.Step{Verb: "quantize", Version: o.Version, Options: o.history()})
	r, err := q.report(ctx, out)
	q.noteStatic(r, out)
	return out, r, err
}

// prepare finds what can be quantized.
func (q *quantizer) prepare() error {
	if err := q.cutVocabulary(); err != nil {
		return err
	}
	q.findCandidates()
	if len(q.candidates) == 0 {
		return &fault.Usage{What: "the model has no weight matrix to quantize (was it converted with --no-fuse?)"}
	}
	q.findParts()
	q.findBiases()
	return nil
}

// Check returns a *fault.Usage if the options do not go together.
func (o *Options) Check() error {
	for name, v := range map[string]float64{"size": float64(o.TargetBytes), "ratio": o.TargetRatio, "bpw": o.TargetBPW} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return &fault.Usage{What: fmt.Sprintf("--target-%s %g: must be positive", name, v)}
		}
	}
	if !(o.MaxKL >= 0) || !(o.MinAgreement >= 0) {
		return &fault.Usage{What: "--max-kl and --min-agreement must be positive"}
	}
	budgets := 0
	for _, set := range []bool{o.TargetBytes > 0, o.TargetRatio > 0, o.TargetBPW > 0} {
		if set {
			budgets++
		}
	}
	switch {
	case budgets > 1:
		return &fault.Usage{What: "give one of --target-size, --target-ratio and --target-bpw"}
	case o.Bits != 0 && budgets > 0:
		return &fault.Usage{What: "a target chooses the widths: leave --weight-bits at auto"}
	case o.Strategy == Uniform && o.Bits == 0:
		return &fault.Usage{What: "--strategy uniform needs --weight-bits 2, 3, 4 or 8"}
	case (o.MaxKL > 0 || o.MinAgreement > 0) && o.Eval == nil:
		return &fault.Usage{What: "--max-kl and --min-agreement are measured on --eval data, which is missing"}
	}
	switch {
	case !(o.MaxLatency >= 0):
		return &fault.Usage{What: "--max-latency must be positive"}
	case o.MaxLatency > 0 && o.Device == nil:
		return &fault.Usage{What: "--max-latency needs a device: give MS@DEVICE"}
	case o.MaxLatency > 0 && o.Strategy == Uniform:
		return &fault.Usage{What: "--max-latency chooses the widths: leave --weight-bits at auto"}
	}
	if o.Strategy != Uniform && o.Strategy != Adaptive {
		return &fault.Usage{What: fmt.Sprintf("unknown strategy %q; the strategies are adaptive and uniform", o.Strategy)}
	}
	if o.ActBits != 0 && o.ActBits != 8 && o.ActBits != 32 {
		return &fault.Usage{What: fmt.Sprintf("--act-bits %d: must be 8 or 32", o.ActBits)}
	}
	switch o.Bits {
	case 0, 2, 3, 4, 8:
		return nil
	}
	return &fault.Usage{What: fmt.Sprintf("--weight-bits %d: the widths are 2, 3, 4 and 8", o.Bits)}
}

// history gives the settings that determine the output's bytes.
func (o *Options) history() map[string]string {
	h := map[string]string{"strategy": string(o.Strategy), "calibration": "none"}
	if o.Bits != 0 {
		h["weight_bits"] = strconv.Itoa(o.Bits)
	}
	float := func(key string, v float64) {
		if v > 0 {
			h[key] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	float("target_bytes", float64(o.TargetBytes))
	float("target_ratio", o.TargetRatio)
	float("target_bpw", o.TargetBPW)
	float("max_kl", o.MaxKL)
	float("min_agreement", o.MinAgreement)
	float("max_latency_ms", o.MaxLatency)
	if o.Calib != nil {
		h["calibration"] = o.Calib.Name()
	}
	if o.NoFeedback {
		h["error_feedback"] = "none"
	}
	if o.ActBits != 0 {
		h["act_bits"] = strconv.Itoa(o.ActBits)
	}
	if o.TargetDevice != "" {
		h["target_device"] = o.TargetDevice
	}
	return h
}

func (o *Options) progress(stage string, done, total int) {
	if o.Release != nil {
		o.Release()
	}
	if o.Progress != nil {
		o.Progress(stage, int64(done), int64(total))
	}
}

// quantizer is one Apply under way.
type quantizer struct {
	o          Options
	m          *model.Model  // the input model, with the tables cut that can be
	whole      *model.Model  // the input model
	cut        []*vocabulary // those tables
	candidates []*candidate
	probe      *eval.Probe // on the calibration data; nil if data-free
	measured   int
	halves     *[]string         // names of the constants that narrow stores in 16 bits
	kept       int64             // bytes of blocks in the candidates
	spilled    int               // blocks in the folder of work
	made       map[string]int    // encodings so far, by candidate and width
	integer    map[string]string // weights of convolutions that static activations concern: how they compute
	grids      map[string]string // by such a weight: the name of what takes its place
	margin     int64             // bytes of the budget that are not spent
	filterBits int               // of the mantissas of grouped convolutions' filters in a packed file; 0: filterMantissa
}

// report measures the result and holds it against the gates. The report is complete
// even when a gate fails.
func (q *quantizer) report(ctx context.Context, out *model.Model) (*Report, error) {
	r := &Report{
		Strategy: q.o.Strategy, Calibration: q.calibrationName(), Parameters: q.m.Meta.Parameters, Measurements: q.measured,
	}
	for _, c := range q.candidates {
		t := TensorReport{
			Name: c.name, Shape: c.t.Shape, Bits: storedBits(c.choice.bits), Bytes: c.choice.bytes,
			RelError: c.choice.err, ActBits: q.activations(c), Why: c.reason(),
		}
		t.findSignals(c)
		r.Tensors = append(r.Tensors, t)
	}
	r.Tensors = append(q.joinRows(r.Tensors), q.wide()...)
	slices.SortStableFunc(r.Tensors, func(a, b TensorReport) int { return byNumber(a.Name, b.Name) })
	if q.o.Eval != nil {
		if err := q.measure(ctx, out, r); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(q.candidates, func(c *candidate) bool { return len(c.options) == 0 }) {
		var err error
		if r.Curve, err = q.curve(); err != nil {
			return nil, err
		}
	}
	if err := r.proof().attach(out, q.budget()); err != nil {
		return nil, err
	}
	var err error
	if q.o.Device != nil {
		if r.Latency, err = q.latency(); err != nil {
			return nil, err
		}
	}
	if r.Bytes, err = dskfile.Size(out); err != nil {
		return nil, err
	}
	if r.Parameters > 0 {
		r.BitsPerW = 8 * float64(r.Bytes) / float64(r.Parameters)
		r.RatioVsF32 = 4 * float64(r.Parameters) / float64(r.Bytes)
	}
	return r, r.gate(&q.o)
}

// dataFree reports whether no calibration data were used.
func (r *Report) dataFree() bool { return r.Calibration == dataFree }

const dataFree = "none (data-free)"

// calibrationName says what the calibration was.
func (q *quantizer) calibrationName() string {
	if q.o.Calib == nil {
		return dataFree
	}
	return q.o.Calib.Name()
}

// reason says why the candidate has its width, and what its blocks go by; of one that stays wide, what 8 bit would have cost.
func (c *candidate) reason() string {
	why := c.why
	if c.choice.bits == halfBits {
		for _, o := range c.options {
			if o.bits == 8 && c.sens > 0 {
				why += fmt.Sprintf("; stays 16 bit, with float activations: 8 bit would add a predicted loss of %.3g and save %d bytes", c.sens*(o.err-c.choice.err), c.choice.bytes-o.bytes)
			}
		}
	}
	if c.choice.bits >= evenBits {
		why += "; " + widthName(c.choice.bits)
	}
	if c.basis == "" {
		return why
	}
	return why + "; " + c.basis
}

// activations returns the bits of the activations that products read beside a candidate, 0 if none does.
func (q *quantizer) activations(c *candidate) int {
	bits := 0
	for _, n := range q.m.Graph.Nodes {
		if n.Domain == model.DomainDsk && slices.Contains(n.Inputs, c.name) {
			bits = 8
		}
	}
	if bits == 8 && (c.choice.bits == halfBits || q.o.ActBits == 32) {
		return 32
	}
	return bits
}

// measure evaluates the quantized model against the input model on the evaluation data.
func (q *quantizer) measure(ctx context.Context, out *model.Model, r *Report) error {
	o := q.o.EvalOptions
	o.Threads = q.o.Threads
	o.Progress = func(done, total int64) { q.o.progress("evaluate", int(done), int(total)) }
	var err error
	if r.Metrics, err = eval.Run(ctx, out, q.o.Eval, q.m, o); err != nil {
		return err
	}
	if kl, ok := r.Metrics.Metrics["mean_kl"]; ok {
		r.MeanKL = &kl
	}
	if a, ok := r.Metrics.Metrics["top1_agreement"]; ok {
		r.Agreement = &a
	}
	r.KLInterval, r.AgreementInterval = r.Metrics.Intervals["mean_kl"], r.Metrics.Intervals["top1_agreement"]
	r.Reference = r.Metrics.Reference
	return nil
}

func (r *Report) gate(o *Options) error {
	if o.MaxKL > 0 && (r.MeanKL == nil || *r.MeanKL > o.MaxKL) {
		return &fault.Gate{What: fmt.Sprintf("mean KL %s is above --max-kl %g: the best found, with %d bytes; allow more bytes or calibrate with --calib", number(r.MeanKL), o.MaxKL, r.Bytes)}
	}
	if o.MinAgreement > 0 && (r.Agreement == nil || *r.Agreement < o.MinAgreement) {
		return &fault.Gate{What: fmt.Sprintf("top-1 agreement %s is below --min-agreement %g: the best found, with %d bytes; allow more bytes or calibrate with --calib", number(r.Agreement), o.MinAgreement, r.Bytes)}
	}
	return nil
}

func number(v *float64) string {
	if v == nil {
		return "(not measured for this task)"
	}
	return strconv.FormatFloat(*v, 'g', 4, 64)
}

// dtypeOf returns the element type of a width.
func dtypeOf(bits int) tensor.DType {
	switch storedBits(bits) {
	case halfBits:
		return tensor.F16
	case 8:
		return tensor.D8
	case 4:
		return tensor.D4
	case 3:
		return tensor.D3
	}
	return tensor.D2
}
