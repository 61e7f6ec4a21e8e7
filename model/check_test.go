package model

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(b *built)
		want string
	}{
		{"sound", func(b *built) { b.node("y", "Relu", nil, "x") }, ""},
		{"written twice", func(b *built) { b.node("y", "Relu", nil, "x"); b.node("y", "Relu", nil, "x") }, `value "y" is written twice`},
		{"input written", func(b *built) { b.node("x", "Relu", nil, "x"); b.node("y", "Relu", nil, "x") }, `value "x" is written twice`},
		{"order", func(b *built) { b.node("y", "Relu", nil, "a"); b.node("a", "Relu", nil, "x") }, `input "a" is not defined before its use`},
		{"output", func(b *built) { b.node("z", "Relu", nil, "x") }, `output "y" is not defined`},
		{"subgraph", func(b *built) {
			sub := func(out string) Attr {
				return Attr{Kind: AttrGraph, Graph: &Graph{Name: "s", Outputs: []Value{{Name: out}},
					Nodes: []*Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{out}}}}}
			}
			b.node("y", "If", Attrs{"then_branch": sub("t"), "else_branch": sub("t")}, "x")
		}, `value "t" is written twice`},
		{"inner value used outside", func(b *built) {
			sub := Attr{Kind: AttrGraph, Graph: &Graph{Name: "s", Outputs: []Value{{Name: "t"}},
				Nodes: []*Node{{Op: "Relu", Inputs: []string{"x"}, Outputs: []string{"t"}}}}}
			b.node("i", "If", Attrs{"then_branch": sub}, "x")
			b.node("y", "Relu", nil, "t")
		}, `input "t" is not defined`},
	} {
		b := build(in("x", 2))
		c.make(b)
		b.output("y")
		err := b.Graph.Check()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var f *fault.Format
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a format error with %q", c.name, err, c.want)
		}
	}
}

func TestCheckListsUnknownOperators(t *testing.T) {
	b := build(in("x", 2))
	b.node("a", "Foo", nil, "x")
	b.Nodes = append(b.Nodes, &Node{Domain: "com.example", Op: "Bar", Name: "bar", Inputs: []string{"missing"}, Outputs: []string{"y"}})
	var u *fault.Unsupported
	if err := b.output("y").Graph.Check(); !errors.As(err, &u) || len(u.Items) != 2 || u.Items[1].What != "com.example.Bar" {
		t.Errorf("error %v", err)
	}
}

func TestSort(t *testing.T) {
	b := build(in("x", 2))
	b.node("d", "Add", nil, "b", "c")
	b.node("z", "Relu", nil, "x")
	b.node("c", "Relu", nil, "a")
	b.node("b", "Relu", nil, "a")
	b.node("a", "Relu", nil, "x")
	if err := b.Sort(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range b.Nodes {
		got = append(got, n.Name)
	}
	if !slices.Equal(got, []string{"z", "a", "c", "b", "d"}) {
		t.Errorf("order %v", got)
	}
	b.node("p", "Relu", nil, "q")
	b.node("q", "Relu", nil, "p")
	if err := b.Sort(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a cycle: %v", err)
	}
}

// A node waits for what its subgraphs capture.
func TestSortCaptures(t *testing.T) {
	b := build(Value{"c", Type{tensor.BOOL, Dims()}}, in("x", 2))
	sub := Attr{Kind: AttrGraph, Graph: &Graph{Name: "s", Outputs: []Value{{Name: "t"}},
		Nodes: []*Node{{Op: "Relu", Inputs: []string{"late"}, Outputs: []string{"t"}}}}}
	b.node("y", "If", Attrs{"then_branch": sub}, "c")
	b.node("late", "Relu", nil, "x")
	if err := b.Sort(); err != nil {
		t.Fatal(err)
	}
	if b.Nodes[0].Name != "late" {
		t.Errorf("order %v", ops(b.Graph))
	}
	if got := b.Nodes[1].Subgraphs()[0].Captures(); !slices.Equal(got, []string{"late"}) {
		t.Errorf("captures %v", got)
	}
}
