package eval

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/convert"
	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestWalk: a walk shows what a watched run does, in the same order.
func TestWalk(t *testing.T) {
	for name, c := range map[string]struct {
		m     *model.Model
		d     *dataset.Data
		op    string
		nodes int
	}{
		"images": {digits(t), data(t, "models/digits-cnn/images"), "Conv", 2},
		"text":   {open(t, "models/gutenberg-1M", convert.Options{}), data(t, "text/text.txt"), "Linear", 20},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			p, err := NewProbe(ctx, c.m, c.d, Options{Context: 32, Limit: 3, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]float32{} // what a node reads, of all inputs
			err = p.Watch(ctx, c.m, func(_ int, n *model.Node, in []*tensor.Tensor) bool {
				if n.Is(model.DomainDsk, c.op) {
					want[n.Outputs[0]] = append(want[n.Outputs[0]], in[0].F32()...)
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			w := p.Walk(c.m)
			nodes := 0
			for i, n := range c.m.Graph.Nodes {
				if !n.Is(model.DomainDsk, c.op) {
					continue
				}
				nodes++
				var got []float32
				inputs := 0
				if err := w.At(ctx, c.m, i, func(_ int, in []*tensor.Tensor) {
					inputs++
					got = append(got, in[0].F32()...)
				}); err != nil {
					t.Fatal(err)
				}
				if inputs != w.Inputs() || !slices.Equal(got, want[n.Outputs[0]]) {
					t.Errorf("%s: %d inputs with %d elements, want %d with %d", n.Name, inputs, len(got), w.Inputs(), len(want[n.Outputs[0]]))
				}
			}
			if nodes < c.nodes {
				t.Errorf("%d nodes", nodes)
			}
			if err := w.At(ctx, c.m, 0, func(int, []*tensor.Tensor) {}); name == "images" && err == nil {
				t.Error("it went back")
			}
		})
	}
}

// TestWalkOfChanges: weights that are set on the way are those that later nodes see the effect of.
func TestWalkOfChanges(t *testing.T) {
	ctx := context.Background()
	m := *digits(t)
	p, err := NewProbe(ctx, &m, data(t, "models/digits-cnn/images"), Options{Limit: 2, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	m.Graph = m.Graph.Clone()
	m.Graph.Init = maps.Clone(m.Graph.Init)
	w := p.Walk(&m)
	var before *model.Node
	for i, n := range m.Graph.Nodes {
		if !n.Is(model.DomainDsk, "Conv") {
			continue
		}
		if err := w.At(ctx, &m, i, func(_ int, in []*tensor.Tensor) {
			for _, v := range in[0].F32() {
				if before != nil && v != 0 {
					t.Fatalf("%s reads %g after %s was set to zero", n.Name, v, before.Name)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		if before != nil {
			return
		}
		before = n
		for _, name := range []string{n.In(1), n.In(2)} {
			m.Graph.Init[name] = tensor.New(tensor.F32, m.Graph.Init[name].Shape...)
		}
		if err := model.PackWeights(m.Graph); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no second convolution")
}
