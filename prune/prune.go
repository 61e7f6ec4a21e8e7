// Package prune makes models smaller by leaving out parts of them. Structured pruning leaves out channels, heads and residual branches, so that
// the model gets faster on any machine; masks set single weights to zero, which saves bytes only where something packs zeros.
//
// units.go and rules*.go find what can only go together, importance.go tells what is worth least, search.go tries what costs least, cut.go and
// blocks.go make the smaller graph, experts.go leaves out experts, repair.go fits the weights that are left to what the model computed before, mask.go makes zeros.
package prune

import (
	"context"
	"fmt"
	"strconv"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// Method says what is left out.
type Method string

// The methods.
const (
	Channel    Method = "channel"    // channels of convolutions, neurons, heads
	Layer      Method = "layer"      // residual branches
	Structured Method = "structured" // both, whichever costs less
	Experts    Method = "experts"    // whole experts of mixtures
	Magnitude  Method = "magnitude"  // the smallest weights of each matrix become zero
	Wanda      Method = "wanda"      // the weights of each output that bring least, by |w| times the norm of what it is multiplied with
	SparseGPT  Method = "sparsegpt"  // the weights that cost least once the others have made good what they can, which they do
)

// TwoOfFour is the pattern of masks that leave out two of each four neighbouring weights.
const TwoOfFour = "2:4"

// Importance ranks channels.
type Importance string

// The rankings.
const (
	Fit        Importance = "fit"        // by what is lost when the products that read them make good what they can
	Taylor     Importance = "taylor"     // by how much the outputs change, to first order
	Activation Importance = "activation" // by the energy that they bring to the products that read them
	Weights    Importance = "magnitude"  // by their weights alone
)

// Options are the settings of Apply.
type Options struct {
	Method     Method
	Pattern    string        // of a mask: TwoOfFour, or "" for none
	Ratio      float64       // part of the multiplications, of the weights, or of the experts of each mixture, that goes
	Parameters int64         // of Channel, Layer and Structured, in place of Ratio: at most so many are left
	Importance Importance    // "" = Fit, without a repair Activation
	Round      int           // channels are left in multiples of so many; 0 = 16, the rows of a panel
	NoRepair   bool          // leave the remaining weights as they are
	Calib      *dataset.Data // chooses and repairs
	Eval       *dataset.Data // measures the result; never used to choose anything
	// EvalOptions are those of runs over both. Limit counts what is used of Calib; 0 is CalibSamples, and for masks of a language model windows
	// from all over the text.
	EvalOptions eval.Options
	Threads     int
	Version     string // of dsk, for the history
	Progress    func(stage string, done, total int64)
}

// CalibSamples is how many images, or windows of text, a search runs on.
const CalibSamples = 128

// Size is what a model takes.
type Size struct {
	MACs       int64 `json:"macs"` // of the products, for one example or token
	Parameters int64 `json:"parameters"`
	Zeros      int64 `json:"zeros,omitempty"` // of the weights of products
}

// Move is one step of the search.
type Move struct {
	Kind  string `json:"kind"` // block, channels or heads
	Name  string `json:"name"` // of the value that ends the block, or of a weight that makes the channels
	Units int    `json:"units"`
	MACs  int64  `json:"macs"` // that are left after it
	// Loss is the divergence from the model of before, on calibration data; Repaired that after a fit of the weights that are left.
	Loss     float64  `json:"loss"`
	Repaired *float64 `json:"loss_repaired,omitempty"`
}

// Report is what Apply did.
type Report struct {
	Method       Method  `json:"method"`
	Ratio        float64 `json:"ratio"`
	Calibration  string  `json:"calibration"` // "none" or the data's name
	Before       Size    `json:"before"`
	After        Size    `json:"after"`
	Moves        []Move  `json:"moves,omitempty"`
	Measurements int     `json:"measurements"`
	// Loss is the divergence of the result from the model of before, on calibration data.
	Loss float64 `json:"loss"`
	// Faster says whether the result is faster on any machine; masks are not, and with fewer experts each token still chooses as many.
	Faster    bool         `json:"faster"`
	Metrics   *eval.Report `json:"evaluation,omitempty"` // of the result
	Reference *eval.Report `json:"reference,omitempty"`  // of the input model
}

// Apply returns a smaller model; m is not changed. Errors: *fault.Usage for options that do not go together or a model that cannot be
// pruned, *fault.Gate if so much cannot be left out.
func Apply(ctx context.Context, m *model.Model, o Options) (*model.Model, *Report, error) {
	if err := o.check(m); err != nil {
		return nil, nil, err
	}
	if o.Round == 0 {
		o.Round = 16
	}
	if o.Importance == "" {
		if o.Importance = Fit; o.NoRepair {
			o.Importance = Activation
		}
	}
	if o.EvalOptions.Limit == 0 && !(o.masks() && m.Meta.LM != nil) {
		o.EvalOptions.Limit = CalibSamples
	}
	in := *m
	in.Graph = m.Graph.Clone()
	if err := in.Graph.Infer(); err != nil {
		return nil, nil, err
	}
	if o.Parameters >= parameters(in.Graph) {
		return nil, nil, &fault.Usage{What: fmt.Sprintf("%s has %d parameters and is to be left %d: nothing goes", m.Meta.Name, parameters(in.Graph), o.Parameters)}
	}
	r := &Report{Method: o.Method, Ratio: o.Ratio, Calibration: "none", Before: sizeOf(in.Graph), Faster: o.shrinks()}
	out, err := o.apply(ctx, &in, r)
	if err != nil {
		return nil, nil, err
	}
	r.After = sizeOf(out.Graph)
	out.Meta.Parameters = m.Meta.Parameters - r.Before.Parameters + r.After.Parameters
	out.Meta.Steps = append(append([]model.Step(nil), m.Meta.Steps...), model.Step{Verb: "prune", Version: o.Version, Options: o.history()})
	if o.Eval == nil {
		return out, r, nil
	}
	eo := o.EvalOptions
	eo.Limit, eo.Threads = 0, o.Threads
	eo.Progress = func(done, total int64) { o.progress("eval", done, total) }
	if r.Metrics, err = eval.Run(ctx, out, o.Eval, m, eo); err != nil {
		return nil, nil, err
	}
	r.Reference, r.Metrics.Reference = r.Metrics.Reference, nil
	return out, r, nil
}

func (o *Options) apply(ctx context.Context, m *model.Model, r *Report) (*model.Model, error) {
	if o.Calib == nil {
		return mask(ctx, m, nil, o)
	}
	r.Calibration = o.Calib.Name()
	probe, err := eval.NewProbe(ctx, m, o.Calib, o.evalOptions())
	if err != nil {
		return nil, err
	}
	if !o.shrinks() {
		var out *model.Model
		if o.Method == Experts {
			out, err = dropExperts(ctx, m, o)
		} else {
			out, err = mask(ctx, m, probe, o)
		}
		if err != nil {
			return nil, err
		}
		d, err := probe.Compare(ctx, out)
		if err != nil {
			return nil, err
		}
		r.Loss = d.Loss()
		return out, nil
	}
	return shrink(ctx, m, probe, o, r)
}

func (o *Options) masks() bool {
	return o.Method == Magnitude || o.Method == Wanda || o.Method == SparseGPT
}

// shrinks reports whether there is less to multiply.
func (o *Options) shrinks() bool { return o.has(Channel) || o.has(Layer) }

// has reports whether a kind of move is tried.
func (o *Options) has(kind Method) bool { return o.Method == kind || o.Method == Structured }

func (o *Options) check(m *model.Model) error {
	switch o.Method {
	case Channel, Layer, Structured, Experts, Magnitude, Wanda, SparseGPT:
	default:
		return &fault.Usage{What: fmt.Sprintf("unknown method %q; the methods are channel, layer, structured, experts, magnitude, wanda and sparsegpt", o.Method)}
	}
	if o.Pattern != "" && (o.Pattern != TwoOfFour || !o.masks()) {
		return &fault.Usage{What: fmt.Sprintf("pattern %q: it is 2:4, of magnitude, wanda or sparsegpt", o.Pattern)}
	}
	switch o.Importance {
	case "", Activation, Taylor, Weights:
	case Fit:
		if o.NoRepair {
			return &fault.Usage{What: "importance by fits needs the repair"}
		}
	default:
		return &fault.Usage{What: fmt.Sprintf("unknown importance %q; it is fit, taylor, activation or magnitude", o.Importance)}
	}
	switch {
	case o.Parameters < 0 || o.Parameters > 0 && (o.Ratio != 0 || !o.shrinks()):
		return &fault.Usage{What: "a number of parameters is for methods that leave out channels or layers, and in place of a ratio"}
	case o.Pattern != TwoOfFour && o.Parameters == 0 && !(o.Ratio > 0 && o.Ratio < 1):
		return &fault.Usage{What: fmt.Sprintf("--ratio %g: must be between 0 and 1", o.Ratio)}
	case o.Pattern == TwoOfFour && o.Ratio != 0 && o.Ratio != 0.5:
		return &fault.Usage{What: "2:4 leaves half of the weights: --ratio can only be 0.5"}
	case o.Calib == nil && o.Method != Magnitude:
		return &fault.Usage{What: fmt.Sprintf("--method %s is chosen on data: give --calib", o.Method)}
	case o.Round < 0:
		return &fault.Usage{What: fmt.Sprintf("--round %d: must be positive", o.Round)}
	}
	for _, w := range m.Graph.Init {
		if w.DType.IsQuantized() {
			return &fault.Usage{What: "the model is quantized: prune the model of before, then quantize the result"}
		}
	}
	return nil
}

// history gives the settings that determine the output's bytes.
func (o *Options) history() map[string]string {
	h := map[string]string{"method": string(o.Method), "calibration": "none"}
	if o.Pattern != "" {
		h["pattern"] = o.Pattern
	}
	if o.Parameters > 0 {
		h["parameters"] = strconv.FormatInt(o.Parameters, 10)
	}
	if o.Ratio > 0 {
		h["ratio"] = strconv.FormatFloat(o.Ratio, 'g', -1, 64)
	}
	if o.Calib != nil {
		h["calibration"] = o.Calib.Name()
	}
	if o.shrinks() {
		h["importance"], h["round"] = string(o.Importance), strconv.Itoa(o.Round)
		if o.NoRepair {
			h["repair"] = "none"
		}
	}
	return h
}

func (o *Options) evalOptions() eval.Options {
	e := o.EvalOptions
	e.Threads, e.Apart = o.Threads, o.shrinks()
	return e
}

func (o *Options) progress(stage string, done, total int64) {
	if o.Progress != nil {
		o.Progress(stage, done, total)
	}
}

func sizeOf(g *model.Graph) Size {
	return Size{MACs: cost(g), Parameters: parameters(g), Zeros: zeros(g)}
}
