package runtime

import (
	"errors"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// TestPlanAccount holds a plan's account against what a run takes. The chain's values lie in one place, one after the other.
func TestPlanAccount(t *testing.T) {
	any4 := model.Type{DType: tensor.F32, Shape: []model.Dim{model.Sym("batch"), model.Known(64)}}
	g := &model.Graph{
		Inputs:  []model.Value{{Name: "x", Type: any4}, {Name: "z", Type: any4}},
		Outputs: []model.Value{{Name: "e", Type: any4}},
		Init:    map[string]*tensor.Tensor{"w": tensor.New(tensor.F32, 64, 64)},
	}
	for i, out := range []string{"b", "c", "d"} {
		in := []string{"a", "b", "c"}[i]
		g.Nodes = append(g.Nodes, &model.Node{Op: "Softmax", Name: out, Inputs: []string{in}, Outputs: []string{out}, Attrs: model.Attrs{}})
	}
	g.Nodes = append([]*model.Node{{Op: "MatMul", Name: "a", Inputs: []string{"x", "w"}, Outputs: []string{"a"}, Attrs: model.Attrs{}}}, g.Nodes...)
	g.Nodes = append(g.Nodes, &model.Node{Op: "Add", Name: "e", Inputs: []string{"d", "z"}, Outputs: []string{"e"}, Attrs: model.Attrs{}})
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	small, err := s.Plan(nil)
	if err != nil {
		t.Fatal(err)
	}
	large, err := s.Plan(map[string][]int{"x": {10, 64}})
	if err != nil {
		t.Fatal(err)
	}
	if small.Weights != 64*64*4 || small.Caches != 0 || small.Total != small.Weights+small.Arena {
		t.Errorf("%+v", small)
	}
	if large.Inputs["z"][0] != 10 || small.Inputs["z"][0] != 1 {
		t.Errorf("shapes %v and %v", small.Inputs, large.Inputs)
	}
	const value = 10 * 64 * 4
	if large.Values < value || large.Arena > 2*value || large.Arena < value {
		t.Errorf("%+v, want room for one value and not for two", large)
	}
	in := map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 10, 64), "z": tensor.New(tensor.F32, 10, 64)}
	if _, err := s.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if got := s.Memory().ArenaBytes; got != large.Arena {
		t.Errorf("the run took %d bytes, planned were %d", got, large.Arena)
	}
	var usage *fault.Usage
	for _, bad := range []map[string][]int{{"y": {1}}, {"x": {1}}, {"x": {1, 63}}, {"x": {-1, 64}}} {
		if _, err := s.Plan(bad); !errors.As(err, &usage) {
			t.Errorf("%v: %v, want an error of usage", bad, err)
		}
	}
}
