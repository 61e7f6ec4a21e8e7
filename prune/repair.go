package prune

import (
	"context"
	"fmt"
	"maps"

	"gonum.org/v1/gonum/mat"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// repairAgain is how many times the loss after the last repair calls for another.
	repairAgain = 1.1
	// repairRows bounds the rows that a product is fitted on, repairMemory the bytes of those of all products.
	repairRows   = 8192
	repairMemory = 1 << 30
	// repairDamping is added to the diagonal of the rows' second moment, as a part of its mean: a fit on few rows stays near the
	// weights that are there.
	repairDamping = 0.05
)

// rows are what a product reads, a row for each place of its output, and what a convolution adds there.
type rows struct{ x, z []float32 }

// rowsOf are the rows of products, by their first output.
type rowsOf map[string]*rows

// capture runs a model over calibration data and keeps rows of what its dense products read, spread evenly, the same ones for each model
// whose values have the same places: most of a product. With of, only products that read that value count.
func capture(ctx context.Context, m *model.Model, o *Options, of string, most int) (rowsOf, error) {
	found := rowsOf{}
	eo := o.evalOptions()
	perSample := max(1, most/max(1, eo.Limit))
	eo.Observe = func(n *model.Node, in []*tensor.Tensor) {
		if !fitted(m.Graph, n) || in[0].DType != tensor.F32 || of != "" && n.In(0) != of {
			return
		}
		_, k := tensor.Matrix(in[1].Shape)
		have := found[n.Outputs[0]]
		if have == nil {
			have = &rows{}
			found[n.Outputs[0]] = have
		}
		if limit := min(perSample, most-len(have.x)/k); n.Op == "Conv" {
			have.x = append(have.x, eval.ReceptiveFields(n, in[0], in[1].Shape, limit)...)
			if len(in) > 3 && in[3] != nil {
				have.z = append(have.z, eval.Places(n, in[3], limit)...)
			}
		} else {
			have.x = append(have.x, spread(in[0].F32(), k, limit)...)
		}
	}
	_, err := eval.NewProbe(ctx, m, o.Calib, eo)
	return found, err
}

// rowsFor is how many rows of each product of a graph are kept at most.
func rowsFor(g *model.Graph) int {
	floats := 1
	for _, n := range g.Nodes {
		if !fitted(g, n) {
			continue
		}
		outs, k := tensor.Matrix(g.Init[n.In(1)].Shape)
		if floats += k; n.In(3) != "" {
			floats += outs
		}
	}
	return max(1, min(repairRows, repairMemory/4/floats))
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

// fitted reports whether a product can be fitted: dense, and alone in reading its weights.
func fitted(g *model.Graph, n *model.Node) bool {
	return makes(n) && n.Int("group", 1) == 1 && g.Init[n.In(1)] != nil
}

// repairer fits what is left of a model to what it computed before.
type repairer struct {
	o      *Options
	before *model.Model
	probe  *eval.Probe
	want   rowsOf  // of the model of before
	most   int     // rows of a product
	last   float64 // loss after the last repair
}

func newRepairer(ctx context.Context, before *model.Model, probe *eval.Probe, o *Options) (*repairer, error) {
	r := &repairer{o: o, before: before, probe: probe}
	if o.NoRepair {
		return r, nil
	}
	var err error
	r.most = rowsFor(before.Graph)
	r.want, err = capture(ctx, before, o, "", r.most)
	return r, err
}

// repair returns the smaller model with its products fitted, by least squares over calibration data, to what those of the model of before
// computed on what they read, and its loss. It is left as it is while little has changed since the last repair, unless this is the last
// chance, and where the fit does harm.
func (r *repairer) repair(ctx context.Context, small *model.Model, from origin, loss float64, last bool) (*model.Model, float64, error) {
	if r.o.NoRepair || !last && loss < repairAgain*r.last {
		return small, loss, nil
	}
	r.last = loss
	next, err := r.fitAll(ctx, small, from)
	if err != nil {
		return nil, 0, err
	}
	d, err := r.probe.Compare(ctx, next)
	if err != nil || !(d.Loss() < loss) {
		return small, loss, err
	}
	r.last = d.Loss()
	return next, r.last, nil
}

// fitAll fits the products in the order in which they run, each to what it reads after those before it are fitted.
func (r *repairer) fitAll(ctx context.Context, small *model.Model, from origin) (*model.Model, error) {
	out := *small
	out.Graph = small.Graph.Clone()
	out.Graph.Init = maps.Clone(small.Graph.Init)
	readers := map[string]int{}
	for _, n := range out.Graph.Nodes {
		for _, in := range n.Inputs {
			readers[in]++
		}
	}
	var have rowsOf
	read := ""
	for _, n := range out.Graph.Nodes {
		if !fitted(out.Graph, n) || readers[n.In(1)] > 1 || r.before.Graph.Init[n.In(1)] == nil {
			continue // shared, or made while the graph was rewritten
		}
		if read != n.In(0) {
			read = n.In(0)
			if err := model.PackWeights(out.Graph); err != nil {
				return nil, err
			}
			var err error
			if have, err = capture(ctx, &out, r.o, read, r.most); err != nil {
				return nil, err
			}
		}
		before, now := r.want[n.Outputs[0]], have[n.Outputs[0]]
		if before == nil || now == nil {
			continue // the data did not come here
		}
		if err := fit(r.before.Graph, out.Graph, n, readers[n.In(2)] == 1, before, now, from); err != nil {
			return nil, fmt.Errorf("fitting %s: %w", n.Name, err)
		}
	}
	return &out, model.PackWeights(out.Graph)
}

// fit replaces the weights W (and the bias b, if there is one that is the product's own) of a product in g. With rows X that it reads, Z that it adds, and Y0 = X0 W0^T + b0 + Z0
// of the product of before, it adds D to [W b] that minimises |[X 1] D^T - (Y0 - X W^T - b - Z)|^2 + damping |D|^2.
func fit(before, g *model.Graph, n *model.Node, ownBias bool, want, have *rows, from origin) error {
	w0, w, err := widened(before, g, n.In(1))
	if err != nil {
		return err
	}
	outs0, k0 := tensor.Matrix(w0.Shape)
	outs, k := tensor.Matrix(w.Shape)
	count := len(have.x) / k
	if count == 0 || count != len(want.x)/k0 {
		return nil // no data, or other places
	}
	left := everyPlace(outs0)
	if cut := from[n.In(1)]; cut != nil {
		left = cut[0]
	}
	if len(left) != outs {
		return fmt.Errorf("%d outputs of %d", outs, len(left))
	}
	var b0, b *tensor.Tensor
	wide := k
	if name := n.In(2); ownBias && g.Init[name] != nil && before.Init[name] != nil {
		if b0, b, err = widened(before, g, name); err != nil {
			return err
		}
		wide++
	}
	x0 := mat.NewDense(count, k0, widen(want.x))
	x := mat.NewDense(count, wide, nil)
	for i := range count {
		for j := range k {
			x.Set(i, j, float64(have.x[i*k+j]))
		}
		if wide > k {
			x.Set(i, k, 1)
		}
	}
	now := mat.NewDense(outs, wide, nil)
	past := mat.NewDense(outs, k0, nil)
	for r := range outs {
		for j, v := range w.F32()[r*k : (r+1)*k] {
			now.Set(r, j, float64(v))
		}
		if wide > k {
			now.Set(r, k, float64(b.F32()[r]))
		}
		for j, v := range w0.F32()[left[r]*k0 : (left[r]+1)*k0] {
			past.Set(r, j, float64(v))
		}
	}
	var miss, is mat.Dense
	miss.Mul(x0, past.T())
	if wide > k {
		bias := b0.F32()
		miss.Apply(func(_, r int, v float64) float64 { return v + float64(bias[left[r]]) }, &miss)
	}
	is.Mul(x, now.T())
	miss.Sub(&miss, &is)
	if len(have.z) == count*outs && len(want.z) == count*outs0 {
		miss.Apply(func(i, r int, v float64) float64 {
			return v + float64(want.z[i*outs0+left[r]]) - float64(have.z[i*outs+r])
		}, &miss)
	}
	var moment mat.SymDense
	moment.SymOuterK(1, x.T())
	mean := mat.Trace(&moment) / float64(wide)
	for i := range wide {
		moment.SetSym(i, i, moment.At(i, i)+repairDamping*mean)
	}
	var toward, step mat.Dense
	toward.Mul(x.T(), &miss)
	var factors mat.Cholesky
	if !factors.Factorize(&moment) || factors.SolveTo(&step, &toward) != nil {
		return nil // all rows are zero: there is nothing to go by
	}
	for r := range outs {
		for j := range k {
			w.F32()[r*k+j] += float32(step.At(j, r))
		}
		if wide > k {
			b.F32()[r] += float32(step.At(k, r))
		}
	}
	g.Init[n.In(1)] = w
	if wide > k {
		g.Init[n.In(2)] = b
	}
	return nil
}

// widened returns a weight of before and what is left of it, as copies in F32.
func widened(before, g *model.Graph, name string) (w0, w *tensor.Tensor, err error) {
	if w0, err = grad.Widen(before.Init[name]); err != nil {
		return nil, nil, err
	}
	w, err = grad.Widen(g.Init[name])
	return w0, w, err
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
