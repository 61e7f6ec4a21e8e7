package distill

import (
	"context"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/runtime/vision"
	"github.com/dsk-toolkit/dsk/tensor"
)

// logitsOf returns the name of a graph's first output, or of what a Softmax at its end makes it of.
func logitsOf(g *model.Graph) string {
	name := g.Outputs[0].Name
	for _, n := range g.Nodes {
		if n.Is("", "Softmax") && n.Outputs[0] == name {
			return n.In(0)
		}
	}
	return name
}

// classesOf returns the number of a model's classes: of its vocabulary, or of what its output scores.
func classesOf(m *model.Model) (int, error) {
	if m.Meta.LM != nil {
		return m.Meta.LM.VocabSize, nil
	}
	if len(m.Graph.Outputs) > 0 {
		if shape := m.Graph.Outputs[0].Type.Shape; len(shape) > 1 && shape[len(shape)-1].IsKnown() {
			return shape[len(shape)-1].N, nil
		}
	}
	return 0, &fault.Usage{What: fmt.Sprintf("%s has no output with a known number of classes", m.Meta.Name)}
}

// teacher runs a model over batches.
type teacher struct {
	session *runtime.Session
	fixed   map[string]*tensor.Tensor // inputs besides the batch's
	in      map[string]*tensor.Tensor
	outputs int // the features come after so many
	classes int
	pool    *kernels.Pool
	logits  []float32
	room    []float32
	soft    Soft
	k       int
	t       float32
}

// newTeacher prepares a model to label batches of size samples with rows rows each: with the k likeliest classes at a
// temperature. The teacher's values of features are wanted too.
func newTeacher(m *model.Model, size, rows int, k int, temperature float64, features []pair, o *Options) (*teacher, error) {
	classes, err := classesOf(m)
	if err != nil {
		return nil, err
	}
	t := &teacher{fixed: map[string]*tensor.Tensor{}, in: map[string]*tensor.Tensor{}, outputs: len(m.Graph.Outputs), classes: classes, pool: o.pool,
		k: min(k, classes), t: float32(temperature)}
	ro := runtime.Options{Threads: o.pool.Threads()}
	if m.Meta.LM != nil {
		ro.Sequences, ro.Context = size, rows
		t.fixed["past_len"] = tensor.New(tensor.I64, size)
		index := tensor.New(tensor.I64, rows)
		for i := range index.I64() {
			index.I64()[i] = int64(i)
		}
		t.fixed["logits_index"] = index
	}
	if len(features) > 0 {
		c := *m
		c.Graph = m.Graph.Clone()
		for _, p := range features {
			c.Graph.Outputs = append(c.Graph.Outputs, model.Value{Name: p.teacher})
		}
		if err := c.Graph.Infer(); err != nil {
			return nil, &fault.Usage{What: fmt.Sprintf("the teacher's features: %v", err)}
		}
		m = &c
	}
	if t.session, err = runtime.NewSession(m, ro); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	n := size * rows
	t.logits, t.room = make([]float32, n*classes), make([]float32, o.pool.Threads()*classes)
	t.soft = Soft{K: t.k, Class: make([]int32, n*t.k), P: make([]float32, n*t.k)}
	return t, nil
}

func (t *teacher) close() { t.session.Close() }

// label returns the soft labels of a batch, valid until the next, and the features that are wanted.
func (t *teacher) label(ctx context.Context, b *batch) (*Soft, []*tensor.Tensor, error) {
	for name, v := range b.teacher {
		t.in[name] = v
	}
	for name, v := range t.fixed {
		t.in[name] = v
	}
	out, err := t.session.Run(ctx, t.in)
	if err != nil {
		return nil, nil, fmt.Errorf("teacher: %w", err)
	}
	scores := out[0].F32()
	if len(scores) != len(t.logits) {
		return nil, nil, fmt.Errorf("the teacher's output is %v for %d rows of %d classes", out[0], len(t.logits)/t.classes, t.classes)
	}
	copy(t.logits, scores)
	if vision.AreProbabilities(t.logits[:t.classes]) {
		for i, p := range t.logits {
			t.logits[i] = float32(math.Log(max(float64(p), smallest)))
		}
	}
	rows := len(t.logits) / t.classes
	t.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(rows, 1, part, parts)
		for r := lo; r < hi; r++ {
			softRow(t.soft.Class[r*t.k:(r+1)*t.k], t.soft.P[r*t.k:(r+1)*t.k], t.logits[r*t.classes:(r+1)*t.classes],
				t.room[part*t.classes:(part+1)*t.classes], t.t)
		}
	}))
	return &t.soft, out[t.outputs:], nil
}
