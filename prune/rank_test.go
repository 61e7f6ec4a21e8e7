package prune

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A channel that is twice another one costs nothing to leave out, however much energy it brings: the product that reads both makes it good.
func TestFitFindsWhatIsDouble(t *testing.T) {
	ctx := context.Background()
	s := digits(t)
	m := *s.m
	m.Graph = s.m.Graph.Clone()
	m.Graph.Init = maps.Clone(s.m.Graph.Init)
	for _, n := range m.Graph.Nodes {
		if !makes(n) {
			continue
		}
		for _, name := range []string{n.In(1), n.In(2)} {
			w, err := grad.Widen(m.Graph.Init[name])
			if err != nil {
				t.Fatal(err)
			}
			row := w.Len() / w.Shape[0]
			for i := range row {
				w.F32()[3*row+i] = 2 * w.F32()[5*row+i]
			}
			m.Graph.Init[name] = w
		}
		break
	}
	if err := model.PackWeights(m.Graph); err != nil {
		t.Fatal(err)
	}
	first := func(importance Importance) float64 {
		_, r, err := Apply(ctx, &m, Options{Method: Channel, Ratio: 0.01, Round: 1, Importance: importance, Calib: s.d, EvalOptions: eval.Options{Limit: 32}, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		return r.Moves[0].Loss
	}
	if fit, other := first(Fit), first(Activation); !(fit < 1e-4) || !(fit < other) {
		t.Errorf("loss %g by fits, %g by activations", fit, other)
	}
}

// The damping of a fit is small where the rows tell what is missed, and infinite where they do not.
func TestDamping(t *testing.T) {
	const wide, outs, count, units = 12, 5, 160, 16
	r := rand.New(rand.NewPCG(1, 2))
	have := &rows{}
	for i := range count {
		for range wide {
			have.x = append(have.x, float32(r.NormFloat64()))
		}
		have.unit = append(have.unit, i/(count/units))
	}
	truth := tensor.New(tensor.F32, outs, wide)
	for i := range truth.F32() {
		truth.F32()[i] = float32(r.NormFloat64())
	}
	f := &fitter{pool: kernels.NewPool(2)}
	defer f.pool.Close()
	told := f.product(have, truth)
	noise := make([]float32, len(told))
	for i := range noise {
		noise[i] = float32(r.NormFloat64())
	}
	for name, c := range map[string]struct {
		miss []float32
		want float64
	}{"told": {told, dampings[0]}, "noise": {noise, math.Inf(1)}} {
		most, held, mostMiss, heldMiss := have.split(wide, c.miss, outs)
		if len(held.x) != count/fitHeld*wide || len(most.x)+len(held.x) != len(have.x) {
			t.Fatalf("%d and %d elements of %d", len(most.x), len(held.x), len(have.x))
		}
		fit, other := f.moments(most, wide, mostMiss, outs), f.moments(held, wide, heldMiss, outs)
		if got := fit.damping(other); got != c.want {
			t.Errorf("%s: damping %g, want %g", name, got, c.want)
		}
		fit.add(other)
		w := tensor.New(tensor.F32, outs, wide)
		if !fit.correct(w, 1e-9) {
			t.Fatal("no fit")
		}
		for i, v := range w.F32() {
			if name == "told" && math.Abs(float64(v-truth.F32()[i])) > 1e-4 {
				t.Fatalf("weight %d is %g, want %g", i, v, truth.F32()[i])
			}
		}
	}
}
