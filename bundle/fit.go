package bundle

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// RunnerMemory is what the runner takes beside its file and the model: stacks, heap and the system's tables, rounded up from what was
// seen on small models.
const RunnerMemory = 16 << 20

// Efficiency is the part of a platform's limits that the kernels are taken to reach in predictions.
const Efficiency = 0.4

// Fit is what a model needs beside what a platform has, in bytes, and how fast it should run there.
type Fit struct {
	Weights int64 `json:"weights_bytes"`
	Caches  int64 `json:"caches_bytes"`
	Arena   int64 `json:"arena_bytes"`  // intermediate values
	Runner  int64 `json:"runner_bytes"` // its file and its own memory
	Memory  int64 `json:"memory_bytes,omitempty"`
	System  int64 `json:"system_bytes,omitempty"` // of memory, for the operating system
	// PredictedMS is a prediction from the platform's figures, not a measurement: milliseconds for a run, or for a token of a language model.
	PredictedMS float64 `json:"predicted_ms,omitempty"`
	MACs        int64   `json:"macs,omitempty"` // multiply-adds of a run or a token
}

// Needs is the sum of all parts.
func (f *Fit) Needs() int64 { return f.Weights + f.Caches + f.Arena + f.Runner }

// Left is what the platform leaves for weights, caches and intermediate values; 0: unknown.
func (p *Platform) Left(memory, runner int64) int64 {
	if memory == 0 {
		return 0
	}
	return max(1, memory-p.System-runner-RunnerMemory)
}

// Check returns a *fault.Resource with all numbers if the model does not fit.
func (f *Fit) Check(p *Platform) error {
	if f.Memory == 0 || f.Needs()+f.System <= f.Memory {
		return nil
	}
	return &fault.Resource{What: fmt.Sprintf("%s (%s) has %s of memory, of which the system keeps %s: weights %s, caches %s, intermediate values %s and the runner %s need %s; quantize to fewer bits, or give --memory for a board with more",
		p.Name, p.Title, mebibytes(f.Memory), mebibytes(f.System), mebibytes(f.Weights), mebibytes(f.Caches), mebibytes(f.Arena), mebibytes(f.Runner), mebibytes(f.Needs()))}
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/mib) }

// Predict fills in how long a run, or a token, should take: the longer of computing at a part of the cores' peak and of reading the
// weights from memory. Nothing is predicted for platforms without figures.
func (f *Fit) Predict(m *model.Model, p *Platform) {
	f.MACs = countMACs(m)
	peak := 0.0
	if len(p.Cores) > 0 {
		c := p.Cores[0]
		peak = float64(c.Count) * float64(c.MHz) * 1e6 * float64(c.MACs)
	}
	if f.MACs == 0 || peak == 0 || p.Bandwidth == 0 {
		return
	}
	compute := float64(f.MACs) / (peak * Efficiency)
	read := 0.0
	if cache := p.L2 + p.L3; f.Weights > cache {
		read = float64(f.Weights) / (p.Bandwidth * 1e9)
	}
	f.PredictedMS = 1e3 * max(compute, read)
}

// countMACs counts the multiply-adds of the products and convolutions with constant weights in one run with a batch of 1, or of one
// token; 0 if the graph's shapes are not known.
func countMACs(m *model.Model) int64 {
	g := m.Graph.Clone()
	if m.Meta.Task == model.TaskLM || m.Meta.Task == model.TaskSeq2Seq || m.Meta.Task == model.TaskEmbed || m.Meta.Task == model.TaskTextClassify {
		return m.Meta.Parameters
	}
	if g.Infer() != nil {
		return 0
	}
	total := int64(0)
	for _, n := range g.Nodes {
		if (n.Op != "Conv" && n.Op != "Linear") || len(n.Inputs) < 2 || len(n.Outputs) < 1 {
			continue
		}
		w := g.Init[n.Inputs[1]]
		shape := g.Types[n.Outputs[0]].Shape
		if w == nil || len(w.Shape) < 2 || shape == nil {
			continue
		}
		outputs := int64(1)
		for i, d := range shape {
			switch {
			case d.IsKnown():
				outputs *= int64(d.N)
			case i > 0:
				return 0
			}
		}
		size, err := tensor.NumElements(w.Shape[1:])
		if err != nil {
			return 0
		}
		total += outputs * int64(size)
	}
	return total
}
