package prune

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// taylorDraws is how many random signs of the outputs an input is differentiated with, taylorInputs how many inputs are.
	taylorDraws  = 2
	taylorInputs = 64
	taylorSeed   = 1
)

// taylor returns the importance of every unit to first order: the squared change of the outputs y if the unit's elements x_u went to zero along
// their derivatives,
//
//	E[ |dy/dx_u x_u|^2 ] = E[ (v . dy/dx_u x_u)^2 ]
//
// with random signs v in place of one derivative for each output (Hutchinson 1990), over calibration data. It is the criterion of Molchanov et al. ("Importance
// estimation for neural network pruning", 2019) without a loss: that of a model that is compared with itself has no first derivative. The sum of x_u times
// its derivative is that of the weights that read it times theirs.
func (t *tracer) taylor(ctx context.Context, m *model.Model, probe *eval.Probe, o *Options) ([]float64, error) {
	inputs, err := inputsOf(ctx, m, probe, min(taylorInputs, o.EvalOptions.Limit))
	if err != nil {
		return nil, err
	}
	pool := kernels.NewPool(o.Threads)
	defer pool.Close()
	score := make([]float64, len(t.parent))
	signs := rand.New(rand.NewPCG(taylorSeed, 0))
	tapes := map[string]*grad.Tape{}
	out := t.g.Outputs[0].Name
	for _, in := range inputs {
		key := fmt.Sprint(slices.Sorted(maps.Keys(in)), in[inputName(t.g)].Shape)
		tape := tapes[key]
		if tape == nil {
			if tape, err = t.tape(in, pool); err != nil {
				return nil, err
			}
			tapes[key] = tape
		}
		for range taylorDraws {
			if err := tape.Forward(in); err != nil {
				return nil, err
			}
			seed := tape.OutputGrad(out)
			if seed == nil {
				return nil, &fault.Usage{What: fmt.Sprintf("no weight has a part in the output %q: there is no importance by derivatives", out)}
			}
			for i := range seed {
				seed[i] = float32(2*signs.IntN(2) - 1)
			}
			tape.ZeroGrads()
			tape.Backward()
			t.addTaylor(score, tape)
		}
	}
	return score, nil
}

// inputName is the input that data comes in by.
func inputName(g *model.Graph) string { return g.Inputs[0].Name }

// inputsOf returns what the first input is for some of the data.
func inputsOf(ctx context.Context, m *model.Model, probe *eval.Probe, limit int) ([]map[string]*tensor.Tensor, error) {
	name := inputName(m.Graph)
	var list []map[string]*tensor.Tensor
	err := probe.Watch(ctx, m, func(i int, n *model.Node, in []*tensor.Tensor) bool {
		at := slices.Index(n.Inputs, name)
		if at < 0 || len(list) >= limit {
			return len(list) < limit
		}
		list = append(list, map[string]*tensor.Tensor{name: in[at].Clone()})
		return false
	})
	return list, err
}

// tape makes the graph ready to be differentiated by the weights of its products, for inputs of such a shape.
func (t *tracer) tape(in map[string]*tensor.Tensor, pool *kernels.Pool) (*grad.Tape, error) {
	shapes, fixed := map[string][]int{}, map[string]*tensor.Tensor{}
	for name, v := range in {
		shapes[name] = v.Shape
	}
	if ids := in["input_ids"]; ids != nil && len(ids.Shape) == 2 {
		var err error
		if shapes, fixed, err = grad.Sequence(t.g, ids.Shape[0], ids.Shape[1]); err != nil {
			return nil, err
		}
	}
	read := map[string]bool{}
	for _, n := range t.g.Nodes {
		if makes(n) {
			read[n.In(1)] = true
		}
	}
	tape, err := grad.New(t.g, grad.Options{Shapes: shapes, Fixed: fixed, Outputs: []string{t.g.Outputs[0].Name}, Eval: runtime.Eval, Pool: pool,
		Trainable: func(name string) bool { return read[name] }, GradsWritten: true})
	if err != nil {
		return nil, fmt.Errorf("importance by derivatives: %w", err)
	}
	return tape, nil
}

// addTaylor adds the square of each unit's first-order part in the derivatives that a tape has.
func (t *tracer) addTaylor(score []float64, tape *grad.Tape) {
	params := map[string]grad.Param{}
	for _, p := range tape.Params() {
		params[p.Name] = p
	}
	part := make([]float64, len(score))
	done := map[string]bool{}
	for _, n := range t.g.Nodes {
		p, trained := params[n.In(1)]
		if !makes(n) || !trained || done[n.In(1)] {
			continue
		}
		done[n.In(1)] = true // of two readers of one weight the gradients are added up already
		last := len(p.Shape) - 1
		axis, stride := last, 1
		if p.Shape[last] == 1 && n.Int("group", 1) > 1 { // groups are the units, and rows their slices
			axis, stride = 0, len(p.Value)/p.Shape[0]
		}
		units := t.weights[n.In(1)][axis]
		if units == nil {
			continue
		}
		for i, v := range p.Value {
			part[t.unit(units[i/stride%p.Shape[axis]])] += float64(v) * float64(p.Grad[i])
		}
	}
	for u, v := range part {
		score[u] += v * v
	}
}
