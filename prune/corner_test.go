package prune

import (
	"errors"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func floats(dims ...int) *tensor.Tensor { return filled(1, dims...) }

func filled(v float32, dims ...int) *tensor.Tensor {
	t := tensor.New(tensor.F32, dims...)
	for i := range t.F32() {
		t.F32()[i] = v
	}
	return t
}

// What a later run reads from a state is needed, too.
func TestSweepStates(t *testing.T) {
	g := &model.Graph{
		Inputs:  []model.Value{{Name: "x"}},
		Outputs: []model.Value{{Name: "y"}},
		States:  []model.State{{Input: model.Value{Name: "s"}, Output: "s2"}, {Input: model.Value{Name: "d"}, Output: "d2"}},
		Nodes: []*model.Node{
			{Op: "Add", Inputs: []string{"s", "x"}, Outputs: []string{"y"}},
			{Op: "Mul", Inputs: []string{"x", "w"}, Outputs: []string{"s2"}},
			{Op: "Add", Inputs: []string{"d", "v"}, Outputs: []string{"d2"}},
		},
		Init: map[string]*tensor.Tensor{"w": floats(1), "v": floats(1)},
	}
	sweep(g)
	if len(g.Nodes) != 2 || len(g.States) != 1 || g.States[0].Output != "s2" || g.Init["w"] == nil || g.Init["v"] != nil {
		t.Errorf("%d nodes, states %v, weights %v", len(g.Nodes), g.States, g.Init)
	}
}

// Where each channel of a convolution has two outputs, both count with the energy of their channel; where channels are in two groups, each
// has that of its own group.
func TestImportanceOfGroups(t *testing.T) {
	conv := func(name, x, w string, group int64) *model.Node {
		return &model.Node{Domain: model.DomainDsk, Op: "Conv", Name: name, Inputs: []string{x, w}, Outputs: []string{name}, Attrs: model.Attrs{"group": model.IntAttr(group)}}
	}
	for name, c := range map[string]struct {
		in, second, third *tensor.Tensor
		groups            int64
		squares           []float64
		want              []float64 // of the channels of the first product
	}{
		"a multiple": {floats(2, 1, 1, 1), floats(4, 1, 1, 1), floats(1, 1, 1, 4), 2, []float64{1, 3}, []float64{0.25 + 0.5, 0.75 + 0.5}},
		"two groups": {floats(4, 1, 1, 1), floats(2, 1, 1, 2), floats(1, 1, 1, 2), 2, []float64{1, 3, 1, 3}, []float64{0.125, 0.375, 0.125, 0.375}},
	} {
		g := &model.Graph{
			Inputs:  []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Known(1), model.Known(1), model.Known(2), model.Known(2)}}}},
			Outputs: []model.Value{{Name: "c"}},
			Nodes:   []*model.Node{conv("a", "x", "wa", 1), conv("b", "a", "wb", c.groups), conv("c", "b", "wc", 1)},
			Init:    map[string]*tensor.Tensor{"wa": c.in, "wb": c.second, "wc": c.third},
		}
		if err := g.Infer(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tr := trace(g)
		score, err := tr.importances(energies{"b": c.squares})
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range tr.weights["wa"][0] {
			// Channels of two groups that go together have their sum.
			want := 0.0
			for j, other := range tr.weights["wa"][0] {
				if tr.unit(other) == tr.unit(k) {
					want += c.want[j]
				}
			}
			if got := score[tr.unit(k)]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%s, channel %d: %g, want %g", name, i, got, want)
			}
		}
	}
}

// Where a split would have a part without channels, the cut is refused and the move has no price; the other part can lose its channels.
func TestSplitKeepsParts(t *testing.T) {
	conv := func(name, x, w string) *model.Node {
		return &model.Node{Domain: model.DomainDsk, Op: "Conv", Name: name, Inputs: []string{x, w}, Outputs: []string{name}, Attrs: model.Attrs{}}
	}
	dims := []model.Dim{model.Known(1), model.Known(1), model.Known(2), model.Known(2)}
	g := &model.Graph{
		Inputs:  []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: dims}}},
		Outputs: []model.Value{{Name: "b"}, {Name: "c"}},
		Nodes: []*model.Node{conv("a", "x", "wa"),
			{Op: "Split", Name: "s", Inputs: []string{"a", "sizes"}, Outputs: []string{"p", "q"}, Attrs: model.Attrs{"axis": model.IntAttr(1)}},
			conv("b", "p", "wb"), conv("c", "q", "wc")},
		Init: map[string]*tensor.Tensor{"wa": floats(6, 1, 1, 1), "wb": floats(1, 1, 1, 2), "wc": floats(1, 1, 1, 4),
			"sizes": tensor.FromSlice([]int64{2, 4}, 2)},
	}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	tr := trace(g)
	gone := func(from, to int) map[int32]bool {
		m := map[int32]bool{}
		for _, k := range tr.weights["wa"][0][from:to] {
			if tr.unit(k) == 0 {
				t.Fatal("a channel that must stay")
			}
			m[tr.unit(k)] = true
		}
		return m
	}
	if _, _, err := tr.cut(gone(0, 2)); !errors.Is(err, errEmpty) {
		t.Errorf("all of a part: %v", err)
	}
	v := move{apply: func() (*model.Graph, origin, error) { return tr.cut(gone(0, 2)) }}
	if err := v.measure(t.Context(), nil, &model.Model{Graph: g}, 0, 100, &goal{"multiplications", cost, 100, 50}); err != nil || !math.IsInf(v.price, 1) {
		t.Errorf("price %g, %v", v.price, err)
	}
	small, _, err := tr.cut(gone(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	if p, q := small.Types["p"].Shape[1].N, small.Types["q"].Shape[1].N; p != 1 || q != 2 {
		t.Errorf("parts of %d and %d channels are left, want 1 and 2", p, q)
	}
}
