package runtime

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func f32Value(name string, shape ...int) model.Value {
	return model.Value{Name: name, Type: model.Type{DType: tensor.F32, Shape: model.Dims(shape...)}}
}

func apply(op, in, out string) *model.Node {
	return &model.Node{Op: op, Name: op, Inputs: strings.Fields(in), Outputs: strings.Fields(out)}
}

// TestBrokenGraphs: what is wrong with a model is said by the class of the error.
func TestBrokenGraphs(t *testing.T) {
	huge := model.Type{DType: tensor.F32, Shape: model.Dims(1<<30, 1<<20)}
	long := apply("ConstantOfShape", "size", "y")
	tests := []struct {
		name string
		g    *model.Graph
		want error
		says string
	}{
		{"cycle", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{f32Value("y", 2)},
			Nodes: []*model.Node{apply("Add", "x z", "y"), apply("Relu", "y", "z")}}, &fault.Format{}, `input "z" is not defined before its use`},
		{"unknown operator", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{f32Value("y", 2)},
			Nodes: []*model.Node{apply("Levitate", "x", "y")}}, &fault.Unsupported{}, "Levitate"},
		{"operands do not fit", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{f32Value("y", 2)},
			Nodes: []*model.Node{apply("Add", "x w", "y")}, Init: map[string]*tensor.Tensor{"w": tensor.New(tensor.F32, 3)}}, &fault.Format{}, "cannot broadcast"},
		{"huge state", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{f32Value("y", 2)},
			Nodes:  []*model.Node{apply("Relu", "x", "y"), apply("Identity", "s", "t")},
			States: []model.State{{Input: model.Value{Name: "s", Type: huge}, Output: "t"}}}, &fault.Resource{}, "MiB are available"},
		{"huge value", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{{Name: "y", Type: model.Type{DType: tensor.F32}}},
			Nodes: []*model.Node{long}, Init: map[string]*tensor.Tensor{"size": tensor.FromSlice([]int64{1 << 45}, 1)}}, &fault.Resource{}, "MiB are available"},
		{"overflow", &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{{Name: "y", Type: model.Type{DType: tensor.F32}}},
			Nodes: []*model.Node{long}, Init: map[string]*tensor.Tensor{"size": tensor.FromSlice([]int64{math.MaxInt64}, 1)}}, &fault.Format{}, "too many elements"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewSession(&model.Model{Graph: c.g}, Options{Threads: 1})
			if err == nil {
				defer s.Close()
				_, err = s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 2)})
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
			ok := false
			switch c.want.(type) {
			case *fault.Format:
				var e *fault.Format
				ok = errors.As(err, &e)
			case *fault.Unsupported:
				var e *fault.Unsupported
				ok = errors.As(err, &e)
			case *fault.Resource:
				var e *fault.Resource
				ok = errors.As(err, &e)
			}
			if !ok {
				t.Errorf("%T (%v), want %T", err, err, c.want)
			}
		})
	}
}

// TestEndlessLoop: a Loop without an end ends with its context, or when its stacked outputs fill the memory.
func TestEndlessLoop(t *testing.T) {
	body := &model.Graph{Name: "body",
		Inputs:  []model.Value{{Name: "i", Type: model.Type{DType: tensor.I64, Shape: model.Dims()}}, {Name: "c", Type: model.Type{DType: tensor.BOOL, Shape: model.Dims()}}, f32Value("v", 1)},
		Outputs: []model.Value{{Name: "c2", Type: model.Type{DType: tensor.BOOL, Shape: model.Dims()}}, f32Value("v2", 1)},
		Nodes:   []*model.Node{apply("Identity", "c", "c2"), apply("Relu", "v", "v2")}}
	loop := &model.Node{Op: "Loop", Inputs: []string{"", "", "x"}, Outputs: []string{"y"}, Attrs: model.Attrs{"body": {Kind: model.AttrGraph, Graph: body}}}
	g := &model.Graph{Inputs: []model.Value{f32Value("x", 1)}, Outputs: []model.Value{f32Value("y", 1)}, Nodes: []*model.Node{loop}}
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Run(ctx, map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline's error", err)
	}
	defer LimitMemory(100 << 20)()
	body.Outputs = append(body.Outputs, f32Value("v3", 1<<20))
	body.Nodes = append(body.Nodes, apply("Expand", "v wide", "v3"))
	loop.Outputs = append(loop.Outputs, "stack")
	g.Init = map[string]*tensor.Tensor{"wide": tensor.FromSlice([]int64{1 << 20}, 1)}
	s, err = NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var resource *fault.Resource
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 1)}); !errors.As(err, &resource) {
		t.Errorf("got %v, want too little memory", err)
	}
}

// TestPanicBecomesError: a mistake in a kernel is an error of the session.
func TestPanicBecomesError(t *testing.T) {
	err := guard(func() error { panic("index out of range") })
	if err == nil || !strings.Contains(err.Error(), "internal error: index out of range") {
		t.Error(err)
	}
}

// TestHugeAxes: an axis of any length takes no table of that length, though the tensor is empty.
func TestHugeAxes(t *testing.T) {
	pad := apply("Pad", "x pads", "y")
	g := &model.Graph{Inputs: []model.Value{f32Value("x", 0, 2)}, Outputs: []model.Value{{Name: "y", Type: model.Type{DType: tensor.F32}}},
		Nodes: []*model.Node{pad}, Init: map[string]*tensor.Tensor{"pads": tensor.FromSlice([]int64{0, 0, 0, 1 << 40}, 4)}}
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var resource *fault.Resource
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 0, 2)}); !errors.As(err, &resource) {
		t.Errorf("got %v, want too little memory", err)
	}
}

// TestSplitSizesOverflow: sizes that add up only where integers wrap around.
func TestSplitSizesOverflow(t *testing.T) {
	for _, sizes := range [][]int64{{1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {2, 3}} {
		g := &model.Graph{Inputs: []model.Value{{Name: "x", Type: model.Type{DType: tensor.I64, Shape: model.Dims(4)}}},
			Outputs: []model.Value{{Name: "a", Type: model.Type{DType: tensor.I64}}, {Name: "b", Type: model.Type{DType: tensor.I64}}},
			Nodes:   []*model.Node{apply("Split", "c sizes", "a b")},
			Init:    map[string]*tensor.Tensor{"sizes": tensor.FromSlice(sizes, 2), "c": tensor.New(tensor.I64, 4)}}
		s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		var format *fault.Format
		if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.I64, 4)}); !errors.As(err, &format) {
			t.Errorf("%v: got %v, want an error of form", sizes, err)
		}
		s.Close()
	}
}

// TestInputTypesAreCheckedEveryTime: a plan for a shape serves no other element type of the same shape.
func TestInputTypesAreCheckedEveryTime(t *testing.T) {
	g := &model.Graph{Inputs: []model.Value{f32Value("x", 2)}, Outputs: []model.Value{f32Value("y", 2)}, Nodes: []*model.Node{apply("Relu", "x", "y")}}
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 2)}); err != nil {
		t.Fatal(err)
	}
	var usage *fault.Usage
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F16, 2)}); !errors.As(err, &usage) {
		t.Errorf("F16 for F32: got %v", err)
	}
}

// TestLanguageModelInputs: a graph with other inputs than a language model's is refused.
func TestLanguageModelInputs(t *testing.T) {
	input := func(name string, dt tensor.DType) model.Value {
		return model.Value{Name: name, Type: model.Type{DType: dt, Shape: []model.Dim{model.Unknown}}}
	}
	good := []model.Value{input(inputIDs, tensor.I64), input(pastLen, tensor.I64), input(logitsIndex, tensor.I64)}
	for name, inputs := range map[string][]model.Value{
		"missing":    good[:2],
		"extra":      append(append([]model.Value{}, good...), input("mask", tensor.I64)),
		"wrong type": {good[0], input(pastLen, tensor.I32), good[2]},
	} {
		m := &model.Model{Graph: &model.Graph{Inputs: inputs, Outputs: []model.Value{{Name: inputIDs}}}, Meta: model.Meta{Task: model.TaskLM, LM: &model.LMInfo{VocabSize: 2, ContextLength: 4}}}
		var format *fault.Format
		if _, err := NewLM(m, Options{Threads: 1}); !errors.As(err, &format) {
			t.Errorf("%s: got %v, want an error of form", name, err)
		}
	}
}

// TestTripCountType: a Loop's trip count is an I64.
func TestTripCountType(t *testing.T) {
	body := &model.Graph{Name: "body",
		Inputs:  []model.Value{{Name: "i", Type: model.Type{DType: tensor.I64, Shape: model.Dims()}}, {Name: "c", Type: model.Type{DType: tensor.BOOL, Shape: model.Dims()}}, f32Value("v", 1)},
		Outputs: []model.Value{{Name: "c2", Type: model.Type{DType: tensor.BOOL, Shape: model.Dims()}}, f32Value("v2", 1)},
		Nodes:   []*model.Node{apply("Identity", "c", "c2"), apply("Relu", "v", "v2")}}
	loop := &model.Node{Op: "Loop", Inputs: []string{"x", "", "x"}, Outputs: []string{"y"}, Attrs: model.Attrs{"body": {Kind: model.AttrGraph, Graph: body}}}
	g := &model.Graph{Inputs: []model.Value{f32Value("x", 1)}, Outputs: []model.Value{f32Value("y", 1)}, Nodes: []*model.Node{loop}}
	s, err := NewSession(&model.Model{Graph: g}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var format *fault.Format
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.F32, 1)}); !errors.As(err, &format) {
		t.Errorf("got %v, want an error of form", err)
	}
}
