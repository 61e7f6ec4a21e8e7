package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// randomGraph builds a graph of n nodes over values of shape [batch, 6]: elementwise operators that may run in place,
// views, and operators that read several values, each value used any number of times.
func randomGraph(rng *rand.Rand, n int) *model.Graph {
	g := &model.Graph{
		Name:   "random",
		Inputs: []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Known(6)}}}},
		Init: map[string]*tensor.Tensor{
			"c":    tensor.FromSlice([]float32{1, -2, 3, -4, 5, -6}, 6),
			"flat": tensor.FromSlice([]int64{-1, 6}, 2),
		},
	}
	names := []string{"x", "c"}
	pick := func() string { return names[rng.IntN(len(names))] }
	for i := range n {
		out := fmt.Sprint("v", i)
		add := func(op string, in ...string) {
			g.Nodes = append(g.Nodes, &model.Node{Op: op, Name: out, Inputs: in, Outputs: []string{out}})
		}
		switch rng.IntN(7) {
		case 0:
			add("Tanh", pick())
		case 1:
			add("Add", pick(), pick())
		case 2:
			add("Mul", pick(), pick())
		case 3:
			add("Identity", pick())
		case 4:
			add("Relu", pick())
		case 5:
			add("Reshape", pick(), "flat")
		default:
			add("Sub", pick(), "c")
		}
		names = append(names, out)
	}
	for _, name := range []string{names[len(names)-1], names[len(names)/2], names[len(names)-2]} {
		g.Outputs = append(g.Outputs, model.Value{Name: name, Type: model.Type{DType: tensor.F32}})
	}
	return g
}

// TestPlanMatchesEager runs random graphs planned, with arena and in-place buffers, and node by node on memory of their
// own. A wrong lifetime shows as a wrong value.
func TestPlanMatchesEager(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := range 200 {
		g := randomGraph(rng, 3+rng.IntN(40))
		s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1 + trial%2})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			x := tensor.New(tensor.F32, 1+rng.IntN(5), 6)
			for i := range x.F32() {
				x.F32()[i] = rng.Float32()*2 - 1
			}
			got, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": x})
			if err != nil {
				t.Fatal(err)
			}
			pool := kernels.NewPool(1)
			want, err := (&scope{}).run(g, []*tensor.Tensor{x}, pool)
			pool.Close()
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !tensor.SameShape(got[i].Shape, want[i].Shape) {
					t.Fatalf("trial %d: output %d has shape %v, want %v", trial, i, got[i].Shape, want[i].Shape)
				}
				for j, w := range want[i].F32() {
					if v := got[i].F32()[j]; v != w && (v == v || w == w) {
						t.Fatalf("trial %d: output %d[%d] = %g, want %g", trial, i, j, v, w)
					}
				}
			}
		}
		s.Close()
	}
}

// TestArenaReusesMemory: a chain of operators needs two buffers, or one in place, however long it is.
func TestArenaReusesMemory(t *testing.T) {
	g := &model.Graph{Inputs: []model.Value{{Name: "v0", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1024)}}}}
	for i := range 50 {
		g.Nodes = append(g.Nodes, &model.Node{Op: "Tanh", Inputs: []string{fmt.Sprint("v", i)}, Outputs: []string{fmt.Sprint("v", i+1)}})
	}
	g.Outputs = []model.Value{{Name: "v50"}}
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"v0": tensor.New(tensor.F32, 1024)}); err != nil {
		t.Fatal(err)
	}
	if got := s.Memory().ArenaBytes; got > 2*4096 {
		t.Errorf("a chain of 50 operators over 4096 bytes takes an arena of %d", got)
	}
}

// TestStateIsKept: a state is updated between runs, whether the operator that writes it can do so in place or not.
func TestStateIsKept(t *testing.T) {
	for _, op := range []string{"Add", "TensorScatter"} {
		g := &model.Graph{
			Inputs: []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: model.Dims(1, 1, 2)}},
				{Name: "at", Type: model.Type{DType: tensor.I64, Shape: model.Dims(1)}}},
			States: []model.State{{Input: model.Value{Name: "cache", Type: model.Type{DType: tensor.F32,
				Shape: []model.Dim{model.Sym("batch"), model.Sym("ctx"), model.Known(2)}}}, Output: "new"}},
			Outputs: []model.Value{{Name: "y"}},
		}
		if op == "Add" {
			g.Nodes = append(g.Nodes, &model.Node{Op: "Add", Inputs: []string{"cache", "x"}, Outputs: []string{"new"}})
		} else {
			g.Nodes = append(g.Nodes, &model.Node{Op: "TensorScatter", Inputs: []string{"cache", "x", "at"}, Outputs: []string{"new"}})
		}
		g.Nodes = append(g.Nodes, &model.Node{Op: "Neg", Inputs: []string{"new"}, Outputs: []string{"y"}})
		s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1, Context: 3})
		if err != nil {
			t.Fatal(err)
		}
		var out []*tensor.Tensor
		for i := range 3 {
			out, err = s.Run(context.Background(), map[string]*tensor.Tensor{
				"x":  tensor.FromSlice([]float32{float32(i + 1), 1}, 1, 1, 2),
				"at": tensor.FromSlice([]int64{int64(i)}, 1),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		want := map[string][]float32{"Add": {-6, -3, -6, -3, -6, -3}, "TensorScatter": {-1, -1, -2, -1, -3, -1}}[op]
		for i, w := range want {
			if got := out[0].F32()[i]; got != w {
				t.Errorf("%s: y[%d] = %g, want %g", op, i, got, w)
			}
		}
		s.Close()
	}
}

// TestSessionInputs: what does not fit the graph is an error that says so, never a panic.
func TestSessionInputs(t *testing.T) {
	g := randomGraph(rand.New(rand.NewPCG(3, 4)), 4)
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, in := range map[string]map[string]*tensor.Tensor{
		"missing":      {},
		"unknown":      {"x": tensor.New(tensor.F32, 2, 6), "z": tensor.New(tensor.F32, 1)},
		"element type": {"x": tensor.New(tensor.F64, 2, 6)},
		"rank":         {"x": tensor.New(tensor.F32, 6)},
		"dimension":    {"x": tensor.New(tensor.F32, 2, 5)},
	} {
		if _, err := s.Run(context.Background(), in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
