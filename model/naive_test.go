package model

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

// naive is a value of the interpreter that the rewrite tests hold graphs against: numbers in
// row-major order. It is slow and follows the specification's formulas.
type naive struct {
	shape []int
	v     []float64
	ints  bool
}

func newNaive(shape ...int) *naive {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return &naive{shape: append([]int{}, shape...), v: make([]float64, n)}
}

// at returns the element at an index that broadcasts: axes of length 1 stay at 0.
func (a *naive) at(index []int) float64 {
	off := len(index) - len(a.shape)
	p := 0
	for i, d := range a.shape {
		j := index[off+i]
		if d == 1 {
			j = 0
		}
		p = p*d + j
	}
	return a.v[p]
}

// each calls f for every index of a shape, in order.
func each(shape []int, f func(i int, index []int)) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	index := make([]int, len(shape))
	for i := range n {
		f(i, index)
		for a := len(shape) - 1; a >= 0; a-- {
			if index[a]++; index[a] < shape[a] {
				break
			}
			index[a] = 0
		}
	}
}

func naiveOf(t *tensor.Tensor) (*naive, error) {
	l, err := tensor.Unpack(t).Loaded()
	if err != nil {
		return nil, err
	}
	out := newNaive(t.Shape...)
	if f, ok := floatsOf(l); ok {
		copy(out.v, f)
		return out, nil
	}
	out.ints = true
	for i, x := range convertInts(l) {
		out.v[i] = float64(x)
	}
	return out, nil
}

func (a *naive) tensor(dt tensor.DType) *tensor.Tensor {
	t := tensor.New(dt, a.shape...)
	for i, x := range a.v {
		switch dt {
		case tensor.F32:
			t.F32()[i] = float32(x)
		case tensor.I64:
			t.I64()[i] = int64(x)
		default:
			panic("no " + dt.String())
		}
	}
	return t
}

// evalNaive is RewriteOptions.Eval.
func evalNaive(n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	c := &Inference{Node: n, In: make([]Type, len(in)), Val: in, Sym: make([][]Dim, len(in))}
	args := make([]*naive, len(in))
	for i, t := range in {
		if t == nil {
			continue
		}
		c.In[i] = TypeOf(t)
		var err error
		if args[i], err = naiveOf(t); err != nil {
			return nil, err
		}
	}
	if err := InferNode(c); err != nil {
		return nil, err
	}
	shape, _ := c.Out[0].Static()
	out, err := applyNaive(n, args, shape)
	if err != nil {
		return nil, err
	}
	return []*tensor.Tensor{out.tensor(c.Out[0].DType)}, nil
}

func runNaive(t *testing.T, g *Graph, feeds map[string]*naive) []*naive {
	t.Helper()
	vals := map[string]*naive{}
	for k, v := range feeds {
		vals[k] = v
	}
	for name, x := range g.Init {
		v, err := naiveOf(x)
		if err != nil {
			t.Fatal(err)
		}
		vals[name] = v
	}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		args := make([]*naive, len(n.Inputs))
		for i, name := range n.Inputs {
			args[i] = vals[name]
		}
		shape, ok := g.Types[n.Outputs[0]].Static()
		if !ok {
			t.Fatalf("%v has no fixed shape", n)
		}
		out, err := applyNaive(n, args, shape)
		if err != nil {
			t.Fatal(err)
		}
		vals[n.Outputs[0]] = out
	}
	out := make([]*naive, len(g.Outputs))
	for i, o := range g.Outputs {
		out[i] = vals[o.Name]
	}
	return out
}

var naiveUnary = map[string]func(float64) float64{
	"Relu": func(x float64) float64 { return max(x, 0) }, "Sqrt": math.Sqrt, "Erf": math.Erf, "Tanh": math.Tanh,
	"Sigmoid": sigmoid, "Reciprocal": func(x float64) float64 { return 1 / x },
	"HardSwish": func(x float64) float64 { return x * max(0, min(1, x/6+0.5)) },
	"Mish":      func(x float64) float64 { return x * math.Tanh(math.Log1p(math.Exp(x))) },
	"Softplus":  func(x float64) float64 { return math.Log1p(math.Exp(x)) },
	"Identity":  func(x float64) float64 { return x },
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func gelu(x float64, tanh bool) float64 {
	if tanh {
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
	return x / 2 * (1 + math.Erf(x/math.Sqrt2))
}

var naiveBinary = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b }, "Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b }, "Div": func(a, b float64) float64 { return a / b },
	"Pow": math.Pow,
}

// applyNaive computes a node whose output has the given shape.
func applyNaive(n *Node, in []*naive, shape []int) (*naive, error) {
	out := newNaive(shape...)
	if f := naiveUnary[n.Op]; f != nil {
		for i, x := range in[0].v {
			out.v[i] = f(x)
		}
		return out, nil
	}
	if f := naiveBinary[n.Op]; f != nil {
		each(shape, func(i int, x []int) { out.v[i] = f(in[0].at(x), in[1].at(x)) })
		return out, nil
	}
	arg := func(i int) *naive {
		if i < len(in) {
			return in[i]
		}
		return nil
	}
	switch n.Op {
	case "LeakyRelu", "Swish", "Gelu", "Clip", "HardSigmoid":
		for i, x := range in[0].v {
			out.v[i] = naiveActivation(n, arg, x)
		}
	case "Expand":
		each(shape, func(i int, x []int) { out.v[i] = in[0].at(x) })
	case "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		copy(out.v, in[0].v)
	case "Transpose":
		perm := n.Ints("perm")
		each(shape, func(i int, x []int) {
			src := make([]int, len(x))
			for a, p := range perm {
				src[p] = x[a]
			}
			out.v[i] = in[0].at(src)
		})
	case "Concat":
		axis, _ := axisOf(n.Int("axis", 0), len(shape))
		each(shape, func(i int, x []int) {
			src := slices.Clone(x)
			for _, a := range in {
				if src[axis] < a.shape[axis] {
					out.v[i] = a.at(src)
					return
				}
				src[axis] -= a.shape[axis]
			}
		})
	case "MatMul", "Gemm", "Linear":
		naiveProduct(n, in, out)
	case "Conv", "AveragePool", "MaxPool":
		return out, naiveWindow(n, in, out)
	case "BatchNormalization":
		each(shape, func(i int, x []int) {
			c := x[1]
			out.v[i] = (in[0].v[i]-in[3].v[c])/math.Sqrt(in[4].v[c]+float64(n.Float("epsilon", 1e-5)))*in[1].v[c] + in[2].v[c]
		})
	case "Pad":
		r := len(shape)
		each(shape, func(i int, x []int) {
			src := make([]int, r)
			for a := range src {
				if src[a] = x[a] - int(in[1].v[a]); src[a] < 0 || src[a] >= in[0].shape[a] {
					if p := arg(2); p != nil {
						out.v[i] = p.v[0]
					}
					return
				}
			}
			out.v[i] = in[0].at(src)
		})
	case "ReduceMean", "Softmax", "LayerNormalization", "RMSNormalization":
		naiveRows(n, in, out)
	case "Attention":
		naiveAttention(n, in, out)
	default:
		return nil, fmt.Errorf("the naive interpreter has no %v", n)
	}
	return out, nil
}

func naiveActivation(n *Node, arg func(int) *naive, x float64) float64 {
	switch n.Op {
	case "LeakyRelu":
		return max(x, 0) + float64(n.Float("alpha", 0.01))*min(x, 0)
	case "Swish":
		return x * sigmoid(float64(n.Float("alpha", 1))*x)
	case "Gelu":
		return gelu(x, n.Str("approximate", "none") == "tanh")
	case "HardSigmoid":
		return max(0, min(1, float64(n.Float("alpha", 0.2))*x+float64(n.Float("beta", 0.5))))
	}
	if lo := arg(1); lo != nil {
		x = max(x, lo.v[0])
	}
	if hi := arg(2); hi != nil {
		x = min(x, hi.v[0])
	}
	return x
}

// fused applies the activation attributes of a dsk operator.
func fused(n *Node, x float64) float64 {
	p := n.Floats("activation_params")
	switch a := n.Str("activation", ""); a {
	case ActNone:
		return x
	case ActLeakyRelu:
		return max(x, 0) + float64(p[0])*min(x, 0)
	case ActClip:
		return min(max(x, float64(p[0])), float64(p[1]))
	case ActGelu, ActGeluTanh:
		return gelu(x, a == ActGeluTanh)
	case ActSwish:
		return x * sigmoid(x)
	default:
		return naiveUnary[a](x)
	}
}

func naiveProduct(n *Node, in []*naive, out *naive) {
	a, b := in[0], in[1]
	ra, rb := len(a.shape), len(b.shape)
	transA, transB := n.Int("transA", 0) != 0, n.Int("transB", 0) != 0 || n.Op == "Linear"
	k := a.shape[ra-1]
	if transA {
		k = a.shape[0]
	}
	each(out.shape, func(i int, x []int) {
		row, col := x[len(x)-2], x[len(x)-1]
		lead := x[:len(x)-2]
		s := 0.0
		for j := range k {
			p := append(append([]int{}, lead...), row, j)
			q := append(append([]int{}, lead...), j, col)
			if transA {
				p = []int{j, row}
			}
			if transB {
				q = []int{col, j}
			}
			s += a.at(p[len(p)-ra:]) * b.at(q[len(q)-rb:])
		}
		s *= float64(n.Float("alpha", 1))
		if len(in) > 2 && in[2] != nil {
			s += in[2].at(x) * float64(n.Float("beta", 1))
		}
		out.v[i] = fused(n, s)
	})
}

// naiveLayout returns x with the axes of an image in the order perm.
func naiveLayout(x *naive, perm ...int) *naive {
	shape, from := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i] = x.shape[p]
	}
	y := newNaive(shape...)
	each(shape, func(i int, at []int) {
		for a, p := range perm {
			from[p] = at[a]
		}
		y.v[i] = x.at(from)
	})
	return y
}

// naiveWindow computes 2-D Conv (both forms), AveragePool and MaxPool, in both layouts.
func naiveWindow(n *Node, in []*naive, out *naive) error {
	xLast, yLast, err := ChannelsLast(n)
	if err != nil {
		return err
	}
	if n.Domain == DomainDsk && n.Op != "Conv" {
		xLast, yLast = true, true
	}
	in = slices.Clone(in)
	if xLast {
		in[0] = naiveLayout(in[0], 0, 3, 1, 2)
	}
	if !yLast {
		return naivePlanes(n, in, out)
	}
	if len(in) > 3 && in[3] != nil {
		in[3] = naiveLayout(in[3], 0, 3, 1, 2)
	}
	s := out.shape
	planes := newNaive(s[0], s[3], s[1], s[2])
	if err := naivePlanes(n, in, planes); err != nil {
		return err
	}
	copy(out.v, naiveLayout(planes, 0, 2, 3, 1).v)
	return nil
}

// naivePlanes is naiveWindow with the channels before the planes.
func naivePlanes(n *Node, in []*naive, out *naive) error {
	x := in[0]
	dsk := n.Domain == DomainDsk
	var kernel []Dim
	if n.Op == "Conv" {
		kernel = Dims(in[1].shape[2:]...)
		if dsk {
			kernel = Dims(in[1].shape[1:3]...)
		}
	}
	w, err := WindowOf(n, Dims(x.shape[2:]...), kernel)
	if err != nil {
		return err
	}
	each(out.shape, func(i int, o []int) {
		sum, best, count := 0.0, math.Inf(-1), 0
		group := int(n.Int("group", 1))
		for ky := range w.Kernel[0] {
			for kx := range w.Kernel[1] {
				y := o[2]*w.Stride[0] + ky*w.Dilation[0] - w.Before[0]
				z := o[3]*w.Stride[1] + kx*w.Dilation[1] - w.Before[1]
				inside := y >= 0 && z >= 0 && y < x.shape[2] && z < x.shape[3]
				if n.Op != "Conv" {
					if inside {
						v := x.at([]int{o[0], o[1], y, z})
						sum, best = sum+v, max(best, v)
					}
					if inside || n.Int("count_include_pad", 0) != 0 {
						count++
					}
					continue
				}
				per := x.shape[1] / group
				first := o[1] / (out.shape[1] / group) * per
				for c := 0; c < per && inside; c++ {
					at := []int{o[1], c, ky, kx}
					if dsk {
						at = []int{o[1], ky, kx, c}
					}
					sum += x.at([]int{o[0], first + c, y, z}) * in[1].at(at)
				}
			}
		}
		switch n.Op {
		case "AveragePool":
			sum /= float64(count)
		case "MaxPool":
			sum = best
		default:
			if len(in) > 2 && in[2] != nil {
				sum += in[2].v[o[1]]
			}
			if len(in) > 3 && in[3] != nil {
				sum += in[3].v[i]
			}
			sum = fused(n, sum)
		}
		out.v[i] = sum
	})
	return nil
}

// naiveRows computes what works on the last axes of its input.
func naiveRows(n *Node, in []*naive, out *naive) {
	x := in[0]
	axis, _ := axisOf(n.Int("axis", -1), len(x.shape))
	if n.Op == "ReduceMean" {
		axis, _ = axisOf(int64(slices.Min(in[1].v)), len(x.shape))
	}
	size := 1
	for _, d := range x.shape[axis:] {
		size *= d
	}
	for r := range len(x.v) / size {
		row, dst := x.v[r*size:(r+1)*size], []float64(nil)
		if len(out.v) == len(x.v) {
			dst = out.v[r*size:]
		}
		mean, square, expSum := 0.0, 0.0, 0.0
		for _, v := range row {
			mean += v / float64(size)
			square += v * v / float64(size)
			expSum += math.Exp(v)
		}
		eps := float64(n.Float("epsilon", 1e-5))
		for i, v := range row {
			switch n.Op {
			case "ReduceMean":
				out.v[r] = mean
			case "Softmax":
				dst[i] = math.Exp(v) / expSum
			case "RMSNormalization":
				dst[i] = v / math.Sqrt(square+eps) * in[1].v[i]
			default:
				dst[i] = (v - mean) / math.Sqrt(square-mean*mean+eps) * in[1].v[i]
				if len(in) > 2 {
					dst[i] += in[2].v[i]
				}
			}
		}
	}
}

// heads views [batch, seq, heads*size] as [batch, heads, seq, size].
func (a *naive) heads(n int) *naive {
	if len(a.shape) == 4 {
		return a
	}
	out := newNaive(a.shape[0], n, a.shape[1], a.shape[2]/n)
	each(out.shape, func(i int, x []int) { out.v[i] = a.at([]int{x[0], x[2], x[1]*out.shape[3] + x[3]}) })
	return out
}

func naiveAttention(n *Node, in []*naive, out *naive) {
	q := in[0].heads(int(n.Int("q_num_heads", 1)))
	k, v := in[1].heads(int(n.Int("kv_num_heads", 1))), in[2].heads(int(n.Int("kv_num_heads", 1)))
	each([]int{q.shape[0], q.shape[1], q.shape[2], v.shape[3]}, func(i int, x []int) {
		var sum, norm float64
		for t := range k.shape[2] {
			s := 0.0
			for d := range q.shape[3] {
				s += q.at([]int{x[0], x[1], x[2], d}) * k.at([]int{x[0], x[1], t, d})
			}
			s *= float64(n.Float("scale", 0))
			if len(in) > 3 {
				s += in[3].at([]int{x[0], x[1], x[2], t})
			}
			e := math.Exp(s)
			norm += e
			sum += e * v.at([]int{x[0], x[1], t, x[3]})
		}
		if len(out.shape) == 3 {
			i = (x[0]*q.shape[2]+x[2])*out.shape[2] + x[1]*v.shape[3] + x[3]
		}
		out.v[i] = sum / norm
	})
}
