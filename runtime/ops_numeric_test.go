package runtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// broadcastTo lists t's elements as they lie in an output of the given shape.
func broadcastTo(t *tensor.Tensor, shape []int) []float64 {
	var out []float64
	st := strides(t.Shape)
	pad := len(shape) - len(t.Shape)
	each(shape, func(idx []int) {
		off := 0
		for a, d := range t.Shape {
			if d != 1 {
				off += idx[pad+a] * st[a]
			}
		}
		out = append(out, float64(t.F32()[off]))
	})
	return out
}

func TestBroadcastAnyShape(t *testing.T) {
	ops := map[string]func(x, y float64) float64{
		"Add": func(x, y float64) float64 { return x + y },
		"Sub": func(x, y float64) float64 { return x - y },
		"Mul": func(x, y float64) float64 { return x * y },
		"Div": func(x, y float64) float64 { return x / y },
		"Max": math.Max,
	}
	r := rand.New(rand.NewPCG(4, 1))
	for n := range 200 {
		rank := 1 + r.IntN(5)
		out := randShape(r, rank, 6)
		shapes := [2][]int{}
		for i := range shapes {
			s := slices.Clone(out)
			for a := range s {
				if r.IntN(3) == 0 {
					s[a] = 1
				}
			}
			shapes[i] = s
		}
		for a := range out {
			out[a] = max(shapes[0][a], shapes[1][a])
		}
		drop := r.IntN(rank)
		for i := 0; i < drop && shapes[1][0] == 1; i++ {
			shapes[1] = shapes[1][1:]
		}
		x, y := randF32(uint64(n), shapes[0]...), randF32(uint64(n)+1000, shapes[1]...)
		for op, f := range ops {
			for _, threads := range []int{1, 3} {
				got := emptyF32(out...)
				(&testOp{op: op, in: []*tensor.Tensor{x, y}, out: []*tensor.Tensor{got}, threads: threads}).run(t)
				a, b := broadcastTo(x, out), broadcastTo(y, out)
				for i := range a {
					a[i] = f(a[i], b[i])
				}
				nearF32(t, fmt.Sprint(op, shapes), got.F32(), a, 1e-5)
			}
		}
	}
}

func TestPoolGivesTheSameBits(t *testing.T) {
	x, y := randF32(1, 64, 33, 40), randF32(2, 33, 1)
	one := func(op string, in []*tensor.Tensor, attrs model.Attrs, shape ...int) {
		var want []float32
		for _, threads := range []int{1, 2, 5} {
			out := emptyF32(shape...)
			o := testOp{op: op, in: in, attrs: attrs, out: []*tensor.Tensor{out}, threads: threads}
			for i := 1; i < len(in); i++ {
				if in[i].DType == tensor.I64 {
					o.constant = append(o.constant, i)
				}
			}
			o.run(t)
			if want == nil {
				want = out.F32()
			} else if !slices.Equal(want, out.F32()) {
				t.Errorf("%s: %d threads give other bits than one", op, threads)
			}
		}
	}
	one("Mul", []*tensor.Tensor{x, y}, nil, 64, 33, 40)
	one("Exp", []*tensor.Tensor{x}, nil, 64, 33, 40)
	one("Softmax", []*tensor.Tensor{x}, nil, 64, 33, 40)
	one("Softmax", []*tensor.Tensor{x}, model.Attrs{"axis": model.IntAttr(1)}, 64, 33, 40)
	one("ReduceMean", []*tensor.Tensor{x, ints(1)}, nil, 64, 1, 40)
	one("ReduceSum", []*tensor.Tensor{x, ints(0, 2)}, nil, 1, 33, 1)
	one("ReduceLogSumExp", []*tensor.Tensor{x, ints(2)}, nil, 64, 33, 1)
	one("Transpose", []*tensor.Tensor{x}, nil, 40, 33, 64)
}

func TestReduceAnyAxes(t *testing.T) {
	ops := map[string]func(v []float64) float64{
		"ReduceSum": func(v []float64) float64 { return fold(v, 0, func(a, x float64) float64 { return a + x }) },
		"ReduceMean": func(v []float64) float64 {
			return fold(v, 0, func(a, x float64) float64 { return a + x }) / float64(len(v))
		},
		"ReduceProd": func(v []float64) float64 { return fold(v, 1, func(a, x float64) float64 { return a * x }) },
		"ReduceMax":  slices.Max[[]float64],
		"ReduceMin":  slices.Min[[]float64],
		"ReduceL1":   func(v []float64) float64 { return fold(v, 0, func(a, x float64) float64 { return a + math.Abs(x) }) },
		"ReduceL2":   func(v []float64) float64 { return math.Sqrt(fold(v, 0, func(a, x float64) float64 { return a + x*x })) },
		"ReduceLogSumExp": func(v []float64) float64 {
			return math.Log(fold(v, 0, func(a, x float64) float64 { return a + math.Exp(x) }))
		},
	}
	r := rand.New(rand.NewPCG(5, 1))
	for n := range 60 {
		rank := 1 + r.IntN(4)
		shape := randShape(r, rank, 6)
		x := randF32(uint64(n), shape...)
		var axes []int
		kept := slices.Clone(shape)
		for a := range shape {
			if r.IntN(2) == 0 {
				axes = append(axes, a-rank*r.IntN(2))
				kept[a] = 1
			}
		}
		if axes == nil {
			continue
		}
		groups := map[int][]float64{}
		st := strides(kept)
		i := 0
		each(shape, func(idx []int) {
			off := 0
			for a := range idx {
				if kept[a] != 1 {
					off += idx[a] * st[a]
				}
			}
			groups[off] = append(groups[off], float64(x.F32()[i]))
			i++
		})
		for op, f := range ops {
			want := make([]float64, product(kept))
			for k, v := range groups {
				want[k] = f(v)
			}
			out := emptyF32(kept...)
			(&testOp{op: op, in: []*tensor.Tensor{x, ints(axes...)}, constant: []int{1}, out: []*tensor.Tensor{out}}).run(t)
			nearF32(t, fmt.Sprint(op, shape, axes), out.F32(), want, 1e-5)
		}
	}
}

func fold(v []float64, a float64, f func(a, x float64) float64) float64 {
	for _, x := range v {
		a = f(a, x)
	}
	return a
}

func TestIntegerDivision(t *testing.T) {
	x := tensor.FromSlice([]int32{7, -7, 7, -7, math.MinInt32, 5}, 6)
	y := tensor.FromSlice([]int32{2, 2, -2, -2, -1, 0}, 6)
	for _, c := range []struct {
		op    string
		attrs model.Attrs
		want  []int32
	}{
		{"Div", nil, []int32{3, -3, -3, 3, math.MinInt32, 0}},
		{"Mod", nil, []int32{1, 1, -1, -1, 0, 0}},
		{"Mod", model.Attrs{"fmod": model.IntAttr(1)}, []int32{1, -1, 1, -1, 0, 0}},
	} {
		out := &tensor.Tensor{DType: tensor.I32, Shape: []int{6}}
		(&testOp{op: c.op, attrs: c.attrs, in: []*tensor.Tensor{x, y}, out: []*tensor.Tensor{out}}).run(t)
		if got := tensor.View[int32](out); !slices.Equal(got, c.want) {
			t.Errorf("%s %v: got %v, want %v", c.op, c.attrs, got, c.want)
		}
	}
}

func TestCastEdges(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := tensor.FromSlice([]float32{1.9, -1.9, 300, -1, nan, inf, -inf, 3e9}, 8)
	want := map[tensor.DType][]float64{
		tensor.I32:  {1, -1, 300, -1, math.MinInt32, math.MinInt32, math.MinInt32, math.MinInt32},
		tensor.U8:   {1, 255, 44, 255, 0, 0, 0, 0},
		tensor.I64:  {1, -1, 300, -1, math.MinInt64, math.MinInt64, math.MinInt64, 3e9},
		tensor.BOOL: {1, 1, 1, 1, 1, 1, 1, 1},
		tensor.F64:  {float64(float32(1.9)), -float64(float32(1.9)), 300, -1, math.NaN(), math.Inf(1), math.Inf(-1), 3e9},
	}
	for dt, w := range want {
		out := &tensor.Tensor{DType: dt, Shape: []int{8}}
		(&testOp{op: "Cast", in: []*tensor.Tensor{x}, out: []*tensor.Tensor{out}}).run(t)
		for i, v := range w {
			got := float64(0)
			if dt == tensor.BOOL {
				got = float64(out.Data[i])
			} else {
				got = loaderOf(dt)(out, i)
			}
			if got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
				t.Errorf("%v of %v: got %v, want %v", dt, x.F32()[i], got, v)
			}
		}
	}
}

// TestHalfRoundsOnce casts doubles that lie just beside the middle of two 16-bit floats.
func TestHalfRoundsOnce(t *testing.T) {
	tie := 1 + 1.0/2048 // between 1 and the next binary16
	x := tensor.FromSlice([]float64{tie, tie * (1 + 1e-12), tie * (1 - 1e-12)}, 3)
	out := &tensor.Tensor{DType: tensor.F16, Shape: []int{3}}
	(&testOp{op: "Cast", in: []*tensor.Tensor{x}, out: []*tensor.Tensor{out}}).run(t)
	if got := tensor.View[uint16](out); !slices.Equal(got, []uint16{0x3c00, 0x3c01, 0x3c00}) {
		t.Errorf("got %x", got)
	}
}

// TestNoAllocation checks that runs of fixed shapes leave no garbage.
func TestNoAllocation(t *testing.T) {
	x, row, idx := randF32(1, 8, 16, 24), randF32(2, 24), ints(0, 5, -1)
	flags := tensor.New(tensor.BOOL, 8, 16, 24)
	scale := tensor.FromSlice([]float32{0.1})
	scale.Shape = []int{}
	byteTensor := func(shape ...int) *tensor.Tensor { return &tensor.Tensor{DType: tensor.U8, Shape: shape} }
	like := func() []*tensor.Tensor { return []*tensor.Tensor{emptyF32(8, 16, 24)} }
	half := tensor.New(tensor.F16, 8, 16, 24)
	axis := func(n int64) model.Attrs { return model.Attrs{"axis": model.IntAttr(n)} }
	for _, o := range []testOp{
		{op: "Add", in: []*tensor.Tensor{x, row}, out: like()},
		{op: "Pow", in: []*tensor.Tensor{x, x}, out: like()},
		{op: "Sum", in: []*tensor.Tensor{x, x, row}, out: like()},
		{op: "Relu", in: []*tensor.Tensor{x}, out: like()},
		{op: "Erf", in: []*tensor.Tensor{x}, out: like()},
		{op: "Sigmoid", in: []*tensor.Tensor{half}, out: []*tensor.Tensor{{DType: tensor.F16, Shape: half.Shape}}},
		{op: "Cast", in: []*tensor.Tensor{half}, out: like()},
		{op: "Where", in: []*tensor.Tensor{flags, x, row}, out: like()},
		{op: "Greater", in: []*tensor.Tensor{x, row}, out: []*tensor.Tensor{{DType: tensor.BOOL, Shape: x.Shape}}},
		{op: "Transpose", in: []*tensor.Tensor{x}, out: []*tensor.Tensor{emptyF32(24, 16, 8)}},
		{op: "Concat", attrs: axis(1), in: []*tensor.Tensor{x, x}, out: []*tensor.Tensor{emptyF32(8, 32, 24)}},
		{op: "Gather", attrs: axis(1), in: []*tensor.Tensor{x, idx}, out: []*tensor.Tensor{emptyF32(8, 3, 24)}},
		{op: "Softmax", in: []*tensor.Tensor{x}, out: like()},
		{op: "Softmax", attrs: axis(1), in: []*tensor.Tensor{x}, out: like()},
		{op: "ReduceMean", in: []*tensor.Tensor{x, ints(-1)}, constant: []int{1}, out: []*tensor.Tensor{emptyF32(8, 16, 1)}},
		{op: "ReduceMax", in: []*tensor.Tensor{x, ints(1)}, constant: []int{1}, out: []*tensor.Tensor{emptyF32(8, 1, 24)}},
		{op: "ArgMax", in: []*tensor.Tensor{x}, out: []*tensor.Tensor{{DType: tensor.I64, Shape: []int{1, 16, 24}}}},
		{op: "TopK", in: []*tensor.Tensor{x, ints(5)}, out: []*tensor.Tensor{emptyF32(8, 16, 5), {DType: tensor.I64, Shape: []int{8, 16, 5}}}},
		{op: "CumSum", in: []*tensor.Tensor{x, ints(1)}, constant: []int{1}, out: like()},
		{op: "Pad", in: []*tensor.Tensor{x, ints(0, 1, 1, 0, 1, 1)}, constant: []int{1}, out: []*tensor.Tensor{emptyF32(8, 18, 26)}},
		{op: "QuantizeLinear", in: []*tensor.Tensor{x, scale}, constant: []int{1}, out: []*tensor.Tensor{byteTensor(8, 16, 24)}},
		{op: "Resize", attrs: model.Attrs{"mode": model.StringAttr("linear")}, constant: []int{3},
			in: []*tensor.Tensor{x, nil, nil, ints(8, 20, 30)}, out: []*tensor.Tensor{emptyF32(8, 20, 30)}},
		{op: "Clip", in: []*tensor.Tensor{x, nil, scale}, out: like()},
		{op: "ScatterND", in: []*tensor.Tensor{x, ints(1, 3).Reshaped(2, 1), randF32(3, 2, 16, 24)}, out: like()},
	} {
		for _, o.threads = range []int{1, 2} {
			if n := o.allocs(t); n != 0 {
				t.Errorf("%s with %d threads: %v allocations", o.op, o.threads, n)
			}
		}
	}
}
