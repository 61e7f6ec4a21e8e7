package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

// built is a graph under construction in a test.
type built struct {
	*Graph
	rng *rand.Rand
}

func build(inputs ...Value) *built {
	return &built{&Graph{Name: "test", Inputs: inputs, Init: map[string]*tensor.Tensor{}}, rand.New(rand.NewPCG(1, 2))}
}

func in(name string, shape ...int) Value { return Value{name, Type{tensor.F32, Dims(shape...)}} }

// weight adds a random constant.
func (b *built) weight(name string, shape ...int) string {
	t := tensor.New(tensor.F32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(b.rng.NormFloat64())
	}
	b.Init[name] = t
	return name
}

// positive adds a random constant between 1/2 and 3/2.
func (b *built) positive(name string, shape ...int) string {
	b.weight(name, shape...)
	for i := range b.Init[name].F32() {
		b.Init[name].F32()[i] = 0.5 + b.rng.Float32()
	}
	return name
}

// scalar adds a constant without axes.
func (b *built) scalar(name string, v float32) string {
	b.Init[name] = tensor.FromSlice([]float32{v})
	return name
}

func (b *built) ints(name string, v ...int64) string {
	b.Init[name] = tensor.FromSlice(v, len(v))
	return name
}

// node adds a node; its one output has its name.
func (b *built) node(out, op string, attrs Attrs, inputs ...string) string {
	b.Nodes = append(b.Nodes, &Node{Op: op, Name: out, Inputs: inputs, Outputs: []string{out}, Attrs: attrs})
	return out
}

func (b *built) output(names ...string) *built {
	for _, n := range names {
		b.Outputs = append(b.Outputs, Value{Name: n})
	}
	return b
}

// ops returns the operators of a graph in order.
func ops(g *Graph) []string {
	var out []string
	for _, n := range g.Nodes {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		out = append(out, op)
	}
	return out
}

// same rewrites the graph, checks that these operators are left and that the outputs
// agree with those of the graph as it was, and returns the rewritten graph.
func (b *built) same(t *testing.T, want ...string) *Graph {
	t.Helper()
	return b.sameWith(t, RewriteOptions{Eval: evalNaive}, want...)
}

func (b *built) sameWith(t *testing.T, o RewriteOptions, want ...string) *Graph {
	t.Helper()
	before := b.Graph.Clone()
	if err := before.Infer(); err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*naive{}
	for _, v := range b.Inputs {
		shape, ok := v.Type.Static()
		if !ok {
			t.Fatalf("input %v has no fixed shape", v)
		}
		x := newNaive(shape...)
		for i := range x.v {
			x.v[i] = float64(float32(b.rng.NormFloat64()))
		}
		feeds[v.Name] = x
	}
	after := b.Graph.Clone()
	if _, err := Rewrite(after, o); err != nil {
		t.Fatal(err)
	}
	if err := after.Check(); err != nil {
		t.Fatalf("after the rewrite: %v", err)
	}
	if got := ops(after); want != nil && !slices.Equal(got, want) {
		t.Fatalf("operators %v, want %v", got, want)
	}
	x, y := runNaive(t, before, feeds), runNaive(t, after, feeds)
	for i, out := range before.Outputs {
		if after.Outputs[i].Name != out.Name || after.Outputs[i].Type.DType != out.Type.DType {
			t.Errorf("output %v became %v", out, after.Outputs[i])
		}
		p, q := x[i], y[i]
		if !slices.Equal(p.shape, q.shape) {
			t.Fatalf("output %s has shape %v, had %v", out.Name, q.shape, p.shape)
		}
		for j := range p.v {
			if d := math.Abs(p.v[j] - q.v[j]); !(d <= 1e-5*(1+math.Abs(p.v[j]))) {
				t.Fatalf("output %s[%d] is %v, was %v", out.Name, j, q.v[j], p.v[j])
			}
		}
	}
	return after
}

func TestRewriteDeterministic(t *testing.T) {
	make := func() *Graph {
		b := build(in("x", 2, 4))
		b.node("a", "MatMul", nil, "x", b.weight("w", 4, 6))
		b.node("b", "Add", nil, "a", b.weight("c", 6))
		b.node("y", "Relu", nil, "b")
		b.output("y")
		if _, err := Rewrite(b.Graph, RewriteOptions{Eval: evalNaive}); err != nil {
			t.Fatal(err)
		}
		return b.Graph
	}
	p, q := make(), make()
	if len(p.Nodes) != len(q.Nodes) || !slices.Equal(sortedKeys(p.Init), sortedKeys(q.Init)) {
		t.Fatalf("two rewrites differ: %v %v, %v %v", ops(p), sortedKeys(p.Init), ops(q), sortedKeys(q.Init))
	}
	for name, a := range p.Init {
		x, err := a.Loaded()
		if err != nil {
			t.Fatal(err)
		}
		y, err := q.Init[name].Loaded()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.Data, y.Data) {
			t.Errorf("initializer %s differs", name)
		}
	}
}

func TestRewriteNoFuse(t *testing.T) {
	b := build(in("x", 2, 4))
	b.node("i", "Identity", nil, "x")
	b.node("a", "MatMul", nil, "i", b.weight("w", 4, 6))
	b.node("y", "Relu", nil, "a")
	b.output("y").sameWith(t, RewriteOptions{Eval: evalNaive, NoFuse: true}, "MatMul", "Relu")
}
