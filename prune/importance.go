package prune

import (
	"context"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// The importance of a unit is the part of the energy of the products reading it that it brings: the sum over the weights W that
// read it of |W_u|^2 E[x_u^2] / |W|^2 E[x^2], with the mean squares E of calibration data. It is what Wanda (Sun et al. 2023) scores single
// weights by, summed over a slice, and made comparable between layers.

// energies are the mean squares of the channels that products read, by the product's first output.
type energies map[string][]float64

// measure runs a model over the inputs of calibration data that the search compares on.
func measure(ctx context.Context, m *model.Model, probe *eval.Probe, o *Options) (energies, error) {
	sums := energies{}
	err := probe.Watch(ctx, m, func(i int, n *model.Node, in []*tensor.Tensor) bool {
		if i >= o.EvalOptions.Limit {
			return false // a view of an image
		}
		if !makes(n) || in[0].DType != tensor.F32 {
			return true
		}
		x := in[0]
		axis := len(x.Shape) - 1
		if n.Op == "Conv" {
			if last, _, err := model.ChannelsLast(n); err != nil || !last {
				axis = 1
			}
		}
		s := sums[n.Outputs[0]]
		if s == nil {
			s = make([]float64, x.Shape[axis])
			sums[n.Outputs[0]] = s
		}
		inner := 1
		for _, d := range x.Shape[axis+1:] {
			inner *= d
		}
		addSquares(s, x.F32(), inner)
		return true
	})
	return sums, err
}

// addSquares adds to s the squares of the elements of its channels, inner of which lie together.
func addSquares(s []float64, x []float32, inner int) {
	if inner == 1 {
		for ; len(x) >= len(s); x = x[len(s):] {
			for c, v := range x[:len(s)] {
				s[c] += float64(v) * float64(v)
			}
		}
		return
	}
	for ; inner > 0 && len(x) >= inner*len(s); x = x[inner*len(s):] {
		for c := range s {
			for _, v := range x[c*inner:][:inner] {
				s[c] += float64(v) * float64(v)
			}
		}
	}
}

// score returns the importance of every unit, alone.
func (t *tracer) score(ctx context.Context, m *model.Model, probe *eval.Probe, o *Options) ([]float64, error) {
	switch o.Importance {
	case Taylor:
		return t.taylor(ctx, m, probe, o)
	case Weights:
		return t.importances(nil)
	}
	e, err := measure(ctx, m, probe, o)
	if err != nil {
		return nil, err
	}
	return t.importances(e)
}

// importances returns the importance of every unit. Without energies all channels count alike.
func (t *tracer) importances(e energies) ([]float64, error) {
	score := make([]float64, len(t.parent))
	for _, n := range t.g.Nodes {
		if !makes(n) || t.g.Init[n.In(1)] == nil {
			continue
		}
		shape := t.g.Init[n.In(1)].Shape
		groups, last := int(n.Int("group", 1)), len(shape)-1
		cg := shape[last]
		units := t.weights[n.In(1)][last]
		whole := cg == 1 && groups > 1 // groups are the units, and rows their slices
		if whole {
			units = t.weights[n.In(1)][0]
		}
		if units == nil {
			continue
		}
		w, err := grad.Widen(t.g.Init[n.In(1)])
		if err != nil {
			return nil, err
		}
		part := make([]float64, len(units))
		total := 0.0
		rows, k := tensor.Matrix(shape)
		squares := e[n.Outputs[0]]
		for i, v := range w.F32() {
			row, at := i/k, i%cg
			s := float64(v) * float64(v)
			if len(squares) > 0 {
				s = float64(s * squares[row/(rows/groups)*cg+at])
			}
			if whole {
				at = row
			}
			part[at] += s
			total += s
		}
		if total == 0 {
			continue
		}
		for i, k := range units {
			score[t.unit(k)] += part[i] / total
		}
	}
	return score, nil
}

// cost counts the multiplications and additions of a run of one example, or of one token: products only, as is usual. Of experts, which are all of a
// size, those count that are chosen for a token.
func cost(g *model.Graph) (macs int64) {
	chosen := map[string]int64{} // by where the rows of each expert end
	for _, n := range g.Nodes {
		if n.Is(model.DomainDsk, "Dispatch") {
			if s := g.Types[n.In(1)].Shape; len(s) > 0 {
				chosen[n.Outputs[1]] = int64(max(0, s[len(s)-1].N))
			}
		}
		if w := g.Init[n.In(model.ExpertWeights)]; n.Is(model.DomainDsk, "Experts") && w != nil {
			macs += chosen[n.In(1)] * int64(w.Len())
		}
		if !makes(n) || g.Init[n.In(1)] == nil {
			continue
		}
		places := int64(1)
		shape := g.Types[n.Outputs[0]].Shape
		channel := len(shape) - 1
		if n.Op == "Conv" {
			if _, last, err := model.ChannelsLast(n); err == nil && !last {
				channel = 1
			}
		}
		for i, d := range shape {
			if i != channel && i > 0 && d.N > 0 {
				places *= int64(d.N)
			}
		}
		macs += places * int64(g.Init[n.In(1)].Len())
	}
	return macs
}

// parameters counts the elements of the weights.
func parameters(g *model.Graph) (count int64) {
	for _, w := range g.Init {
		if w.DType.IsFloat() {
			count += int64(w.Len())
		}
	}
	return count
}
