package prune

import (
	"context"
	"fmt"
	"maps"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// repairRows bounds the rows that a product is fitted on, repairMemory the bytes of what the products of before made of them.
	repairRows   = 8192
	repairMemory = 1 << 30
)

// rows are what a product reads, a row for each place of its output that is looked at, and what a convolution adds there. Each row
// ends with what its bias is multiplied with, and is of an image or text.
type rows struct {
	x, z []float32
	unit []int
}

// rowsFor is how many rows of each product of a graph are kept at most.
func rowsFor(g *model.Graph) int {
	floats := 1
	for _, n := range g.Nodes {
		if fitted(g, n) {
			outs, _ := tensor.Matrix(g.Init[n.In(1)].Shape)
			floats += outs
		}
	}
	return max(1, min(repairRows, repairMemory/4/floats))
}

// momentsBytes is what the second moments take of all that the products of a graph read.
func momentsBytes(g *model.Graph) (bytes int) {
	for _, n := range g.Nodes {
		if fitted(g, n) {
			_, k := tensor.Matrix(g.Init[n.In(1)].Shape)
			bytes += 8 * (k + 1) * (k + 1)
		}
	}
	return bytes
}

// fitted reports whether a product can be fitted: dense, with weights that do not change.
func fitted(g *model.Graph, n *model.Node) bool {
	return makes(n) && n.Int("group", 1) == 1 && g.Init[n.In(1)] != nil
}

// repairer fits what is left of a model to what it computed before.
type repairer struct {
	o       *Options
	before  *model.Model
	readers map[string]int // of the values of before
	probe   *eval.Probe
	fitter  *fitter
	want    map[string][]float32 // by a product's first output: what those of before made, less the activation
	damping map[string]float64   // likewise: the best of a fit's; infinite if none is good for anything
	repairs int
	most    int                      // rows of a product
	moments map[string]*mat.SymDense // likewise: of the rows that those of the present model read; nil if they are not kept
}

func newRepairer(ctx context.Context, before *model.Model, probe *eval.Probe, o *Options) (*repairer, error) {
	r := &repairer{o: o, before: before, probe: probe, damping: map[string]float64{}, want: map[string][]float32{}, readers: map[string]int{}}
	if o.NoRepair {
		return r, nil
	}
	r.most = rowsFor(before.Graph)
	if o.Importance == Fit && momentsBytes(before.Graph) <= momentsMemory {
		r.moments = map[string]*mat.SymDense{}
	}
	r.fitter = &fitter{pool: kernels.NewPool(o.Threads)}
	for _, n := range before.Graph.Nodes {
		for _, in := range n.Inputs {
			r.readers[in]++
		}
	}
	err := r.eachGroup(ctx, before, func(n *model.Node, have *rows) error {
		w, err := r.weights(before.Graph, n)
		if err != nil {
			return err
		}
		r.want[n.Outputs[0]] = r.fitter.product(have, w)
		if r.moments != nil {
			r.moments[n.Outputs[0]] = r.fitter.moments(have, w.Shape[1], nil, 0).xx
		}
		return nil
	})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *repairer) close() {
	if r.fitter != nil {
		r.fitter.pool.Close()
	}
}

// repair returns the smaller model with its products fitted, by least squares over calibration data, to what those of the model of before
// computed on what they read, and its loss. It is left as it is where the fit does harm.
func (r *repairer) repair(ctx context.Context, small *model.Model, from origin, loss float64, last bool) (*model.Model, float64, error) {
	if r.o.NoRepair {
		return small, loss, nil
	}
	if r.repairs++; last || r.repairs&(r.repairs-1) == 0 {
		clear(r.damping) // they change slowly
	}
	next, err := r.fitAll(ctx, small, from)
	if err != nil {
		return nil, 0, err
	}
	d, err := r.probe.Compare(ctx, next)
	if err != nil || !(d.Loss() < loss) {
		return small, loss, err
	}
	return next, d.Loss(), nil
}

// fitAll fits the products in the order in which they run, each to what it reads after those before it are fitted.
func (r *repairer) fitAll(ctx context.Context, small *model.Model, from origin) (*model.Model, error) {
	out := *small
	out.Graph = small.Graph.Clone()
	out.Graph.Init = maps.Clone(small.Graph.Init)
	err := r.eachGroup(ctx, &out, func(n *model.Node, have *rows) error {
		if err := r.fit(out.Graph, n, have, from); err != nil {
			return fmt.Errorf("fitting %s: %w", n.Name, err)
		}
		return nil
	})
	return &out, err
}

// eachGroup calls f with the products of a model that can be fitted and rows of what they read over calibration data: the same places for each model that
// a cut leaves. Products that read the same value follow each other. f may change the product's weights: later ones read what these make.
func (r *repairer) eachGroup(ctx context.Context, m *model.Model, f func(n *model.Node, have *rows) error) error {
	g := m.Graph
	walk := r.probe.Walk(r.before)
	perInput := max(1, r.most/max(1, walk.Inputs()))
	done := map[*model.Node]bool{}
	for at, first := range g.Nodes {
		if done[first] || !r.fits(g, first) {
			continue
		}
		group := []*model.Node{first}
		for _, n := range g.Nodes[at+1:] {
			if first.In(3) == "" && n.In(3) == "" && n.In(0) == first.In(0) && r.fits(g, n) {
				group = append(group, n)
			}
		}
		have := make([]rows, len(group))
		err := walk.At(ctx, m, at, func(unit int, in []*tensor.Tensor) {
			for i, n := range group {
				have[i].add(g, n, unit, in, r.ownBias(n), perInput, walk.Inputs())
			}
		})
		if err != nil {
			return err
		}
		for i, n := range group {
			done[n] = true
			if err := f(n, &have[i]); err != nil {
				return err
			}
		}
		if err := model.PackWeights(g); err != nil {
			return err
		}
	}
	return nil
}

// fits reports whether a product of g is fitted: one of before that alone reads its weights.
func (r *repairer) fits(g *model.Graph, n *model.Node) bool {
	return fitted(g, n) && r.readers[n.In(1)] == 1 && r.before.Graph.Init[n.In(1)] != nil
}

// ownBias reports whether a product has a bias that no other node reads.
func (r *repairer) ownBias(n *model.Node) bool {
	return r.readers[n.In(2)] == 1 && r.before.Graph.Init[n.In(2)] != nil
}

// add adds up to limit rows, spread evenly, of one of so many inputs.
func (have *rows) add(g *model.Graph, n *model.Node, unit int, in []*tensor.Tensor, bias bool, limit, inputs int) {
	if in[0] == nil || in[0].DType != tensor.F32 {
		return
	}
	shape := g.Init[n.In(1)].Shape
	_, k := tensor.Matrix(shape)
	var x []float32
	if n.Op == "Conv" {
		x = eval.ReceptiveFields(n, in[0], shape, limit)
		if len(in) > 3 && in[3] != nil {
			have.z = append(have.z, eval.Places(n, in[3], limit)...)
		}
	} else {
		x = spread(in[0].F32(), k, limit)
	}
	if have.x == nil {
		have.x = make([]float32, 0, len(x)/k*(k+1)*inputs)
	}
	one := float32(0)
	if bias {
		one = 1
	}
	for ; len(x) >= k; x = x[k:] {
		have.x, have.unit = append(append(have.x, x[:k]...), one), append(have.unit, unit)
	}
}

// spread returns up to limit of the rows of x.
func spread(x []float32, k, limit int) []float32 {
	n := len(x) / k
	count := min(n, limit)
	out := make([]float32, 0, count*k)
	for i := range count {
		out = append(out, x[i*n/count*k:][:k]...)
	}
	return out
}

// weights returns the rows of a product's weights, each with its bias at the end, or 0 if it has none of its own.
func (r *repairer) weights(g *model.Graph, n *model.Node) (*tensor.Tensor, error) {
	w, err := grad.Widen(g.Init[n.In(1)])
	if err != nil {
		return nil, err
	}
	outs, k := tensor.Matrix(w.Shape)
	wide := tensor.New(tensor.F32, outs, k+1)
	for i := range outs {
		copy(wide.F32()[i*(k+1):], w.F32()[i*k:(i+1)*k])
	}
	if !r.ownBias(n) || g.Init[n.In(2)] == nil {
		return wide, nil
	}
	b, err := grad.Widen(g.Init[n.In(2)])
	if err != nil {
		return nil, err
	}
	for i, v := range b.F32() {
		wide.F32()[i*(k+1)+k] = v
	}
	return wide, nil
}

// fit replaces the weights of a product in g, and its bias if it is its own, by those that make of the rows what the product of before made of its.
func (r *repairer) fit(g *model.Graph, n *model.Node, have *rows, from origin) error {
	w, err := r.weights(g, n)
	if err != nil {
		return err
	}
	outs, wide := w.Shape[0], w.Shape[1]
	outs0, _ := tensor.Matrix(r.before.Graph.Init[n.In(1)].Shape)
	left := everyPlace(outs0)
	if cut := from[n.In(1)]; cut != nil {
		left = cut[0]
	}
	if len(left) != outs {
		return fmt.Errorf("%d outputs of %d", outs, len(left))
	}
	count := len(have.x) / wide
	want := r.want[n.Outputs[0]]
	if count == 0 || count != len(want)/outs0 {
		return nil // no data, or other places
	}
	miss := r.fitter.product(have, w)
	for i := range count {
		for j, v := range miss[i*outs : (i+1)*outs] {
			miss[i*outs+j] = want[i*outs0+left[j]] - v
		}
	}
	all, held, allMiss, heldMiss := have.split(wide, miss, outs)
	fit := r.fitter.moments(all, wide, allMiss, outs)
	if len(held.x) > 0 {
		other := r.fitter.moments(held, wide, heldMiss, outs)
		if _, known := r.damping[n.Outputs[0]]; !known {
			r.damping[n.Outputs[0]] = fit.damping(other)
		}
		fit.add(other)
	}
	if r.moments != nil {
		r.moments[n.Outputs[0]] = fit.xx
	}
	if d := r.dampingOf(n); !math.IsInf(d, 1) && fit.correct(w, d) {
		r.part(g, n, w, g.Init)
	}
	return nil
}

// dampingOf returns the damping of a product's fit.
func (r *repairer) dampingOf(n *model.Node) float64 {
	if d, known := r.damping[n.Outputs[0]]; known {
		return d
	}
	return fitDamping
}

// part writes what weights gives, the weights and the bias of a product, to init.
func (r *repairer) part(g *model.Graph, n *model.Node, w *tensor.Tensor, init map[string]*tensor.Tensor) {
	outs, wide := w.Shape[0], w.Shape[1]
	k := wide - 1
	fit := tensor.New(tensor.F32, g.Init[n.In(1)].Shape...)
	bias := tensor.New(tensor.F32, outs)
	for i := range outs {
		copy(fit.F32()[i*k:(i+1)*k], w.F32()[i*wide:])
		bias.F32()[i] = w.F32()[i*wide+k]
	}
	init[n.In(1)] = fit
	if r.ownBias(n) {
		init[n.In(2)] = bias
	}
}
