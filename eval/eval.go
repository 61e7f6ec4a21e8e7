// Package eval measures a model on data: perplexity and divergence of language models, top-1 and
// top-5 of classifiers, mAP of detectors, and how far any model's outputs are from those of a reference.
// It changes nothing and keeps no state.
package eval

import (
	"context"
	"fmt"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Options are the settings of an evaluation.
type Options struct {
	Task      model.Task // "" = the model's own, or what the data suggests
	Context   int        // tokens a window; 0 = the model's context length, at most DefaultContext
	ScoreFrom int        // first position of a window that is scored; 0 = 1, the first that has a past
	Limit     int        // windows or images; 0 = all
	Threads   int
	Cache     runtime.CacheType // of a language model's session; its reference keeps F32
	Progress  func(done, total int64)
	// Observe is handed to the sessions that run the model (runtime.Options.Observe).
	Observe func(n *model.Node, in []*tensor.Tensor)
	// Observed is how many of a probe's inputs Observe has seen in an earlier run: they are not shown again. Seen is called after each
	// other input with the number of inputs seen.
	Observed int
	Seen     func(seen, all int) error
	// Apart makes a probe compare on every fourth image and its views, and watch and walk the others, so that what is fitted on these is judged
	// on those. Images that have no views are all for both; text is kept apart anyway.
	Apart bool
}

// DefaultContext bounds the window length when none is given: long enough for stable figures.
const DefaultContext = 2048

// Report is the outcome. Its keys are those of docs/cli.md; accuracies and agreements are fractions.
type Report struct {
	Task    model.Task         `json:"task"`
	Data    string             `json:"data"`
	Metrics map[string]float64 `json:"metrics"`
	// Samples counts what was scored: predicted tokens or images.
	Samples int `json:"samples"`
	Windows int `json:"windows,omitempty"`
	// Intervals are those of Metrics, by name; Changes say, for metrics that the reference has too, how far they are from its.
	Intervals map[string]*Interval `json:"intervals_95,omitempty"`
	Changes   map[string]*Change   `json:"changes,omitempty"`
	// Reference is the same evaluation of the reference model.
	Reference *Report `json:"reference,omitempty"`
}

// Run evaluates m on data. With a reference model it also measures mean_kl (nats; of the reference's
// distribution from m's) and top1_agreement.
func Run(ctx context.Context, m *model.Model, d *dataset.Data, ref *model.Model, o Options) (*Report, error) {
	task, err := chooseTask(m, d, o.Task)
	if err != nil {
		return nil, err
	}
	switch task {
	case model.TaskLM:
		return runLM(ctx, m, d, ref, o)
	case model.TaskClassify:
		return runClassify(ctx, m, d, ref, o)
	case model.TaskDetect:
		return runDetect(ctx, m, d, ref, o)
	}
	return runGraph(ctx, m, d, ref, o)
}

func chooseTask(m *model.Model, d *dataset.Data, asked model.Task) (model.Task, error) {
	task := asked
	if task == "" {
		task = m.Meta.Task
		if d.Kind() == dataset.Detection {
			task = model.TaskDetect
		}
	}
	needs := map[model.Task][]dataset.Kind{
		model.TaskLM:       {dataset.Text},
		model.TaskClassify: {dataset.Images},
		model.TaskDetect:   {dataset.Detection},
		model.TaskGraph:    {dataset.Arrays, dataset.Images},
	}
	kinds, ok := needs[task]
	if !ok {
		return "", &fault.Usage{What: fmt.Sprintf("unknown task %q; the tasks are lm, classify and detect", task)}
	}
	for _, k := range kinds {
		if d.Kind() == k {
			return task, nil
		}
	}
	name := string(task)
	if task == model.TaskGraph {
		name = "tensor"
	}
	return "", &fault.Usage{What: fmt.Sprintf("%s holds %v, which a %s model cannot be measured on", d.Name(), d.Kind(), name)}
}

func (o *Options) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(int64(done), int64(total))
	}
}
