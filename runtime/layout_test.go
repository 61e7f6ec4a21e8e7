package runtime

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// images builds a graph over images; each value knows its shape.
type images struct {
	*model.Graph
	rng    *rand.Rand
	shapes map[string][]int
	n      int
}

func newImages(seed uint64, shape ...int) *images {
	return &images{rng: rand.New(rand.NewPCG(seed, 7)), shapes: map[string][]int{"x": shape}, Graph: &model.Graph{
		Inputs: []model.Value{{Name: "x", Type: model.Type{DType: tensor.F32, Shape: append([]model.Dim{model.Sym("batch")}, model.Dims(shape[1:]...)...)}}},
		Init:   map[string]*tensor.Tensor{},
	}}
}

func (g *images) node(op string, attrs model.Attrs, shape []int, in ...string) string {
	g.n++
	out := fmt.Sprint("v", g.n)
	g.Nodes = append(g.Nodes, &model.Node{Op: op, Name: out, Inputs: in, Outputs: []string{out}, Attrs: attrs})
	g.shapes[out] = shape
	return out
}

func (g *images) weight(shape ...int) string {
	g.n++
	name := fmt.Sprint("w", g.n)
	g.Init[name] = randF32(uint64(g.n), shape...)
	return name
}

func (g *images) ints(v ...int64) string {
	g.n++
	name := fmt.Sprint("i", g.n)
	g.Init[name] = tensor.FromSlice(v, len(v))
	return name
}

func (g *images) conv(x string, m, k, stride, group int) string {
	s := g.shapes[x]
	p := int64(k / 2)
	at := func(n int) int { return (n+2*int(p)-k)/stride + 1 }
	attrs := model.Attrs{"group": model.IntAttr(int64(group)), "pads": model.IntsAttr(p, p, p, p), "strides": model.IntsAttr(int64(stride), int64(stride))}
	return g.node("Conv", attrs, []int{s[0], m, at(s[2]), at(s[3])}, x, g.weight(m, s[1]/group, k, k), g.weight(m))
}

// shuffle is the channel shuffle of two groups.
func (g *images) shuffle(x string) string {
	s := g.shapes[x]
	c := int64(s[1] / 2)
	x = g.node("Reshape", nil, nil, x, g.ints(0, 2, c, int64(s[2]), int64(s[3])))
	x = g.node("Transpose", model.Attrs{"perm": model.IntsAttr(0, 2, 1, 3, 4)}, nil, x)
	return g.node("Reshape", nil, s, x, g.ints(0, 2*c, int64(s[2]), int64(s[3])))
}

// step appends a random operator to x.
func (g *images) step(x string, others []string) string {
	s := g.shapes[x]
	n, c, h, w := s[0], s[1], s[2], s[3]
	window := model.Attrs{"kernel_shape": model.IntsAttr(3, 3), "pads": model.IntsAttr(1, 1, 1, 1), "strides": model.IntsAttr(2, 1)}
	pooled := []int{n, c, (h-1)/2 + 1, w}
	switch g.rng.IntN(18) {
	case 0:
		return g.conv(x, 3+g.rng.IntN(30), 1, 1, 1)
	case 1:
		return g.conv(x, 3+g.rng.IntN(30), 3, 1+g.rng.IntN(2), 1)
	case 2:
		return g.conv(x, c, 3, 1, c)
	case 3:
		return g.node("LeakyRelu", nil, s, x)
	case 4:
		return g.node("Mul", nil, s, x, g.weight(c, 1, 1))
	case 5:
		return g.node("MaxPool", window, pooled, x)
	case 6:
		return g.node("AveragePool", window, pooled, x)
	case 7:
		if c%2 == 0 {
			return g.shuffle(x)
		}
		return g.node("Mul", nil, s, x, g.node("Sigmoid", nil, nil, g.node("GlobalAveragePool", nil, nil, x)))
	case 8:
		return g.node("Slice", nil, []int{n, (c + 1) / 2, h, w}, x, g.ints(0), g.ints(int64(c)), g.ints(1), g.ints(2))
	case 9:
		return g.node("Pad", nil, []int{n, c, h + 1, w + 2}, x, g.ints(0, 0, 1, 0, 0, 0, 0, 2))
	case 10:
		return g.node("Softmax", model.Attrs{"axis": model.IntAttr(1)}, s, x)
	case 11:
		f := g.Graph.Init
		name := g.weight(4)
		f[name] = tensor.FromSlice([]float32{1, 1, 2, 1}, 4)
		return g.node("Resize", model.Attrs{"mode": model.StringAttr("linear")}, []int{n, c, 2 * h, w}, x, "", name)
	case 12:
		return g.node("Sub", nil, s, x, g.node("ReduceMean", nil, nil, x, g.ints(1)))
	case 13:
		return g.node("BatchNormalization", nil, s, x, g.weight(c), g.weight(c), g.weight(c), g.positive(c))
	case 14:
		shape := g.node("Shape", nil, nil, x)
		y := g.node("Tanh", nil, nil, g.node("Transpose", model.Attrs{"perm": model.IntsAttr(2, 0, 3, 1)}, nil, x))
		y = g.node("Transpose", model.Attrs{"perm": model.IntsAttr(1, 3, 0, 2)}, s, y)
		return g.node("Reshape", nil, s, y, shape)
	case 15:
		y := g.node("Reshape", nil, nil, x, g.ints(0, int64(c), -1))
		y = g.node("Softmax", model.Attrs{"axis": model.IntAttr(-1)}, nil, y)
		return g.node("Reshape", nil, s, y, g.ints(0, int64(c), int64(h), int64(w)))
	}
	for _, o := range others {
		if t := g.shapes[o]; o != x && len(t) == 4 && t[2] == h && t[3] == w {
			if t[1] == c {
				return g.node("Add", nil, s, x, o)
			}
			return g.node("Concat", model.Attrs{"axis": model.IntAttr(-3)}, []int{n, c + t[1], h, w}, o, x)
		}
	}
	return g.node("Concat", model.Attrs{"axis": model.IntAttr(1)}, []int{n, 2 * c, h, w}, x, x)
}

func (g *images) positive(n int) string {
	name := g.weight(n)
	for i, v := range g.Init[name].F32() {
		g.Init[name].F32()[i] = v*v + 0.5
	}
	return name
}

// sameWhenRewritten runs the graph as it is and rewritten, on images of two batch sizes, and returns the rewritten one.
func (g *images) sameWhenRewritten(t *testing.T, out ...string) *model.Graph {
	t.Helper()
	for _, o := range out {
		g.Outputs = append(g.Outputs, model.Value{Name: o, Type: model.Type{DType: tensor.F32}})
	}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	after := g.Clone()
	if _, err := model.Rewrite(after, model.RewriteOptions{Eval: Eval}); err != nil {
		t.Fatal(err)
	}
	for batch := 1; batch <= 2; batch++ {
		shape := append([]int{batch}, g.shapes["x"][1:]...)
		x := map[string]*tensor.Tensor{"x": randF32(uint64(batch), shape...)}
		var got [2][]*tensor.Tensor
		for i, m := range []*model.Graph{g.Graph, after} {
			s, err := NewSession(&model.Model{Graph: m}, Options{Threads: batch + i})
			if err != nil {
				t.Fatal(err)
			}
			y, err := s.Run(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range y {
				got[i] = append(got[i], &tensor.Tensor{DType: o.DType, Shape: o.Shape, Data: append([]byte(nil), o.Data...)})
			}
			s.Close()
		}
		for i, want := range got[0] {
			y := got[1][i]
			if !tensor.SameShape(want.Shape, y.Shape) {
				t.Fatalf("output %s has shape %v, had %v", out[i], y.Shape, want.Shape)
			}
			var size float64 = 1
			for _, v := range want.F32() {
				size = max(size, math.Abs(float64(v)))
			}
			for k, v := range want.F32() {
				if d := math.Abs(float64(v - y.F32()[k])); !(d <= 2e-5*size) {
					t.Fatalf("output %s[%d] is %v, was %v", out[i], k, y.F32()[k], v)
				}
			}
		}
	}
	return after
}

func count(g *model.Graph, op string) (n int) {
	for _, m := range g.Nodes {
		if m.Op == op {
			n++
		}
	}
	return n
}

// TestLayoutOfRandomGraphs holds rewritten image graphs to what they were.
func TestLayoutOfRandomGraphs(t *testing.T) {
	last := 0
	for seed := range uint64(150) {
		g := newImages(seed, 1, 1+int(seed%5), 9, 8)
		names := []string{"x"}
		for range 12 {
			names = append(names, g.step(names[len(names)-1], names))
		}
		out := []string{names[len(names)-1]}
		if seed%3 == 0 {
			out = append(out, names[5])
		}
		for _, n := range g.sameWhenRewritten(t, out...).Nodes {
			if n.Str("layout", "") == model.LayoutNHWC {
				last++
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if last < 100 {
		t.Errorf("%d convolutions have their channels last", last)
	}
}

func TestLayoutOfNetworks(t *testing.T) {
	t.Run("classifier", func(t *testing.T) {
		g := newImages(1, 1, 3, 16, 16)
		x := g.node("Relu", nil, nil, "x")
		g.shapes[x] = g.shapes["x"]
		x = g.conv(g.conv(x, 16, 3, 2, 1), 24, 1, 1, 1)
		x = g.node("Relu", nil, g.shapes[x], g.conv(x, 24, 3, 1, 24))
		x = g.node("Flatten", nil, nil, g.node("GlobalAveragePool", nil, nil, x))
		after := g.sameWhenRewritten(t, g.node("MatMul", nil, nil, x, g.weight(24, 10)))
		// The one that is left moves a pixel's worth.
		if n := count(after, "Transpose"); n != 1 {
			t.Errorf("%d transpositions", n)
		}
	})
	t.Run("shuffled units", func(t *testing.T) {
		g := newImages(2, 1, 3, 12, 12)
		x := g.conv("x", 8, 3, 1, 1)
		for range 3 {
			s := g.shapes[x]
			half := []int{s[0], s[1] / 2, s[2], s[3]}
			a, b := g.node("Slice", nil, half, x, g.ints(0), g.ints(4), g.ints(1)), g.node("Slice", nil, half, x, g.ints(4), g.ints(8), g.ints(1))
			b = g.conv(g.conv(b, 4, 1, 1, 1), 4, 3, 1, 4)
			x = g.shuffle(g.node("Concat", model.Attrs{"axis": model.IntAttr(1)}, s, a, b))
		}
		after := g.sameWhenRewritten(t, x)
		if n := count(after, "Transpose"); n != 4 { // three shuffles and the output
			t.Errorf("%d transpositions", n)
		}
	})
	t.Run("detector's head", func(t *testing.T) {
		g := newImages(3, 1, 3, 8, 8)
		x := g.conv(g.conv("x", 16, 3, 1, 1), 30, 1, 1, 1)
		x = g.node("Reshape", nil, nil, x, g.ints(0, 3, 10, 8, 8))
		x = g.node("Transpose", model.Attrs{"perm": model.IntsAttr(0, 1, 3, 4, 2)}, nil, x)
		x = g.node("Add", nil, nil, g.node("Sigmoid", nil, nil, x), g.weight(1, 3, 8, 8, 10))
		after := g.sameWhenRewritten(t, g.node("Reshape", nil, nil, x, g.ints(0, 192, 10)))
		if n := count(after, "Transpose"); n != 1 {
			t.Errorf("%d transpositions", n)
		}
	})
}
