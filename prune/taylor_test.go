package prune

import (
	"context"
	"maps"
	"testing"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
)

// The importance by derivatives is the change of the outputs, squared, that a small part of a unit's going makes, for its whole.
func TestTaylor(t *testing.T) {
	ctx := context.Background()
	s := digits(t)
	o := &Options{EvalOptions: eval.Options{Limit: 32}, Threads: 2, Calib: s.d}
	probe, err := eval.NewProbe(ctx, s.m, s.d, o.evalOptions())
	if err != nil {
		t.Fatal(err)
	}
	tr := trace(s.m.Graph)
	score, err := tr.taylor(ctx, s.m, probe, o)
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := inputsOf(ctx, s.m, probe, 32)
	if err != nil || len(inputs) != 32 {
		t.Fatalf("%d inputs, %v", len(inputs), err)
	}
	outputs := func(g *model.Graph) (all []float32) {
		session, err := runtime.NewSession(withGraph(s.m, g), runtime.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		for _, in := range inputs {
			out, err := session.Run(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, out[0].F32()...)
		}
		return all
	}
	before := outputs(s.m.Graph)
	checked := 0
	for _, f := range tr.families() {
		estimate, want := 0.0, 0.0
		for i, u := range f.units {
			if i%4 != 0 {
				continue
			}
			const part = 0.01
			var change float64
			for j, v := range outputs(lessened(t, tr, f, u, part)) {
				d := float64(v-before[j]) / part
				change += d * d
			}
			want += change
			estimate += score[u] / taylorDraws
			checked++
		}
		if !(estimate > want/1.6 && estimate < want*1.6) {
			t.Errorf("%s: %g, differences say %g", f.name, estimate, want)
		}
	}
	if checked < 10 {
		t.Errorf("%d units", checked)
	}
}

// lessened returns a graph in which products read a unit without a part of it.
func lessened(t *testing.T, tr *tracer, f *family, u int32, part float32) *model.Graph {
	t.Helper()
	g := tr.g.Clone()
	g.Init = maps.Clone(tr.g.Init)
	groups := map[string]int64{}
	for _, n := range g.Nodes {
		groups[n.In(1)] = n.Int("group", 1)
	}
	for _, p := range f.slices[u] {
		old := g.Init[p.weight]
		last := len(old.Shape) - 1
		depthwise := old.Shape[last] == 1 && groups[p.weight] > 1
		if p.axis != last && !(depthwise && p.axis == 0) || last == 0 {
			continue
		}
		w, err := grad.Widen(old)
		if err != nil {
			t.Fatal(err)
		}
		inner := 1
		for _, d := range w.Shape[p.axis+1:] {
			inner *= d
		}
		for i := range w.F32() {
			if i/inner%w.Shape[p.axis] == p.at {
				w.F32()[i] *= 1 - part
			}
		}
		g.Init[p.weight] = w
	}
	if err := model.PackWeights(g); err != nil {
		t.Fatal(err)
	}
	return g
}

// A search by derivatives cuts pictures' and text's models.
func TestTaylorSearch(t *testing.T) {
	for name, s := range map[string]subject{"digits": digits(t), "language": language(t)} {
		o := Options{Method: Channel, Ratio: 0.02, Importance: Taylor, Calib: s.d, EvalOptions: eval.Options{Limit: 4, Context: 32}, Threads: 2, NoRepair: true}
		if name == "digits" {
			o.Round = 4
		}
		small, r, err := Apply(context.Background(), s.m, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.After.MACs >= r.Before.MACs || small.Meta.Steps[len(small.Meta.Steps)-1].Options["importance"] != "taylor" {
			t.Errorf("%s: %+v of %+v, %v", name, r.After, r.Before, small.Meta.Steps)
		}
	}
}
