package runtime

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func node(op string, in []string, out []string, attrs model.Attrs) *model.Node {
	return &model.Node{Op: op, Inputs: in, Outputs: out, Attrs: attrs}
}

func val(name string, dt tensor.DType, dims ...model.Dim) model.Value {
	return model.Value{Name: name, Type: model.Type{DType: dt, Shape: append([]model.Dim{}, dims...)}}
}

func scalar[T tensor.Element](v T) *tensor.Tensor {
	t := tensor.FromSlice([]T{v}, 1)
	t.Shape = []int{}
	return t
}

// runModel runs a graph twice in one session, so that memory is used again, and
// returns copies of the second run's outputs.
func runModel(t *testing.T, g *model.Graph, in map[string]*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []*tensor.Tensor
	for range 2 {
		if out, err = s.Run(context.Background(), in); err != nil {
			t.Fatal(err)
		}
	}
	for i := range out {
		out[i] = out[i].Clone()
	}
	return out
}

func TestIfCapturesOuterValues(t *testing.T) {
	branch := func(op string) *model.Graph {
		return &model.Graph{Name: op, Nodes: []*model.Node{node(op, []string{"y", "x"}, []string{"r" + op}, nil)},
			Outputs: []model.Value{val("r"+op, tensor.F32, model.Known(2))}}
	}
	g := &model.Graph{
		Inputs: []model.Value{val("x", tensor.F32, model.Known(2)), val("c", tensor.BOOL)},
		Nodes: []*model.Node{
			node("Neg", []string{"x"}, []string{"y"}, nil),
			node("If", []string{"c"}, []string{"z"}, model.Attrs{
				"then_branch": {Kind: model.AttrGraph, Graph: branch("Add")},
				"else_branch": {Kind: model.AttrGraph, Graph: branch("Sub")},
			}),
			node("Identity", []string{"z"}, []string{"out"}, nil),
		},
		Outputs: []model.Value{val("out", tensor.F32, model.Known(2))},
	}
	x := tensor.FromSlice([]float32{1, 2}, 2)
	for _, c := range []struct {
		cond bool
		want []float32
	}{{true, []float32{0, 0}}, {false, []float32{-2, -4}}} {
		out := runModel(t, g, map[string]*tensor.Tensor{"x": x, "c": scalar(c.cond)})
		if got := out[0].F32(); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.cond, got, c.want)
		}
	}
}

// TestLoopSums adds the turn's number to a carried value until it reaches a limit.
func TestLoopSums(t *testing.T) {
	body := &model.Graph{
		Name:   "body",
		Inputs: []model.Value{val("i", tensor.I64), val("go", tensor.BOOL), val("a", tensor.I64)},
		Nodes: []*model.Node{
			node("Add", []string{"a", "i"}, []string{"b"}, nil),
			node("Less", []string{"b", "limit"}, []string{"again"}, nil),
			node("Identity", []string{"b"}, []string{"row"}, nil),
		},
		Outputs: []model.Value{val("again", tensor.BOOL), val("b", tensor.I64), val("row", tensor.I64)},
	}
	g := &model.Graph{
		Inputs: []model.Value{val("n", tensor.I64), val("limit", tensor.I64)},
		Init:   map[string]*tensor.Tensor{"start": scalar(int64(0)), "yes": scalar(true)},
		Nodes: []*model.Node{node("Loop", []string{"n", "yes", "start"}, []string{"sum", "rows"},
			model.Attrs{"body": {Kind: model.AttrGraph, Graph: body}})},
		Outputs: []model.Value{val("sum", tensor.I64), val("rows", tensor.I64, model.Unknown)},
	}
	for _, c := range []struct {
		n, limit, sum int64
		rows          []int64
	}{
		{5, 100, 10, []int64{0, 1, 3, 6, 10}},
		{5, 3, 3, []int64{0, 1, 3}},
		{0, 100, 0, nil},
	} {
		out := runModel(t, g, map[string]*tensor.Tensor{"n": scalar(c.n), "limit": scalar(c.limit)})
		if got := out[0].I64(); got[0] != c.sum {
			t.Errorf("%+v: sum %d", c, got[0])
		}
		if got := out[1]; !slices.Equal(got.I64(), c.rows) || !tensor.SameShape(got.Shape, []int{len(c.rows)}) {
			t.Errorf("%+v: rows %v of shape %v", c, got.I64(), got.Shape)
		}
	}
}

// TestScanBackwards gives running sums from the end, and stacks them in order.
func TestScanBackwards(t *testing.T) {
	body := &model.Graph{
		Name:   "body",
		Inputs: []model.Value{val("s", tensor.F32, model.Known(2)), val("e", tensor.F32, model.Known(2))},
		Nodes: []*model.Node{
			node("Add", []string{"s", "e"}, []string{"t"}, nil),
			node("Identity", []string{"t"}, []string{"u"}, nil),
		},
		Outputs: []model.Value{val("t", tensor.F32, model.Known(2)), val("u", tensor.F32, model.Known(2))},
	}
	g := &model.Graph{
		Inputs: []model.Value{val("x", tensor.F32, model.Known(2), model.Known(3))},
		Init:   map[string]*tensor.Tensor{"zero": tensor.New(tensor.F32, 2)},
		Nodes: []*model.Node{node("Scan", []string{"zero", "x"}, []string{"last", "all"}, model.Attrs{
			"body": {Kind: model.AttrGraph, Graph: body}, "num_scan_inputs": model.IntAttr(1),
			"scan_input_axes": model.IntsAttr(1), "scan_input_directions": model.IntsAttr(1),
			"scan_output_axes": model.IntsAttr(-1), "scan_output_directions": model.IntsAttr(1),
		})},
		Outputs: []model.Value{val("last", tensor.F32, model.Known(2)), val("all", tensor.F32, model.Known(2), model.Known(3))},
	}
	out := runModel(t, g, map[string]*tensor.Tensor{"x": tensor.FromSlice([]float32{1, 2, 3, 10, 20, 30}, 2, 3)})
	if got, want := fmt.Sprint(out[0].F32(), out[1].F32()), "[6 60] [6 5 3 60 50 30]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLateViewsKeepTheirMemory reshapes a planned value to a shape that only data tells; what is
// computed afterwards must not overwrite it.
func TestLateViewsKeepTheirMemory(t *testing.T) {
	g := &model.Graph{
		Inputs: []model.Value{val("x", tensor.F32, model.Known(4)), val("shape", tensor.I64, model.Known(2))},
		Nodes: []*model.Node{
			node("Exp", []string{"x"}, []string{"y"}, nil),
			node("Reshape", []string{"y", "shape"}, []string{"view"}, nil),
			node("Neg", []string{"x"}, []string{"a"}, nil),
			node("Neg", []string{"a"}, []string{"b"}, nil),
			node("Neg", []string{"b"}, []string{"c"}, nil),
		},
		Outputs: []model.Value{val("view", tensor.F32, model.Unknown, model.Unknown), val("c", tensor.F32, model.Known(4))},
	}
	out := runModel(t, g, map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 4), "shape": ints(2, 2)})
	if got := fmt.Sprint(out[0], out[0].F32()); got != "F32[2,2] [1 1 1 1]" {
		t.Errorf("got %s", got)
	}
}

// TestDataDependentShapes runs the operators whose outputs' shapes only their data tell.
func TestDataDependentShapes(t *testing.T) {
	g := &model.Graph{
		Inputs: []model.Value{val("x", tensor.F32, model.Known(2), model.Known(3)), val("keep", tensor.BOOL, model.Known(3))},
		Nodes: []*model.Node{
			node("NonZero", []string{"x"}, []string{"where"}, nil),
			node("Compress", []string{"x", "keep"}, []string{"kept"}, model.Attrs{"axis": model.IntAttr(1)}),
			node("Unique", []string{"x"}, []string{"set", "", "", "count"}, nil),
			node("Relu", []string{"kept"}, []string{"positive"}, nil),
		},
		Outputs: []model.Value{val("where", tensor.I64, model.Known(2), model.Unknown),
			val("positive", tensor.F32, model.Known(2), model.Unknown),
			val("set", tensor.F32, model.Unknown), val("count", tensor.I64, model.Unknown)},
	}
	out := runModel(t, g, map[string]*tensor.Tensor{
		"x":    tensor.FromSlice([]float32{0, 5, -1, 5, 0, 0}, 2, 3),
		"keep": tensor.FromSlice([]bool{true, false, true}, 3),
	})
	got := fmt.Sprint(out[0], out[0].I64(), out[1], out[1].F32(), out[2].F32(), out[3].I64())
	if want := "I64[2,3] [0 0 1 1 2 0] F32[2,2] [0 0 5 0] [-1 0 5] [1 3 2]"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
