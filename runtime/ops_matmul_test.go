package runtime

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// naiveLinear is x w^T + bias in double precision.
func naiveLinear(x, w, bias []float32, rows, n, k int) []float64 {
	out := make([]float64, rows*n)
	for i := range rows {
		for j := range n {
			var sum float64
			for l := range k {
				sum += float64(x[i*k+l]) * float64(w[j*k+l])
			}
			if bias != nil {
				sum += float64(bias[j])
			}
			out[i*n+j] = sum
		}
	}
	return out
}

// quantized encodes a matrix and returns it with the weights that it stands for.
func quantized(t testing.TB, w *tensor.Tensor, dt tensor.DType) (*tensor.Tensor, *tensor.Tensor) {
	t.Helper()
	n, k := tensor.Matrix(w.Shape)
	f := dt.Format()
	q := &tensor.Tensor{DType: dt, Shape: w.Shape, Layout: tensor.Panel16, Levels: kernels.DefaultLevels(f)}
	q.Data = tensor.AlignedBytes(q.Bytes())
	if err := kernels.Quantize(q.Data, f, q.Levels, w.F32(), n, k, nil, nil); err != nil {
		t.Fatal(err)
	}
	d := tensor.New(tensor.F32, w.Shape...)
	for r := range n {
		kernels.DequantizeRow(d.F32()[r*k:(r+1)*k], q.Data, f, q.Levels, r, k)
	}
	return q, d
}

func TestLinear(t *testing.T) {
	half := tensor.New(tensor.F16, 37, 65)
	kernels.NarrowF16(tensor.View[uint16](half), randF32(2, 37, 65).F32())
	halfValues := tensor.New(tensor.F32, 37, 65)
	loadF32(halfValues.F32(), half)
	w := randF32(2, 37, 65)
	type form struct {
		name   string
		w      *tensor.Tensor
		values *tensor.Tensor
		consts []int
		tol    float64
		attrs  model.Attrs
	}
	forms := []form{
		{"row", w, w, []int{1, 2}, 1e-5, nil},
		{"row, computed bias", w, w, []int{1}, 1e-5, nil},
		{"panels", tensor.Pack(w), w, []int{1, 2}, 1e-5, nil},
		{"computed", w, w, nil, 1e-5, nil},
		{"F16", half, halfValues, []int{1, 2}, 1e-5, nil},
		{"F16 panels", tensor.Pack(half), halfValues, []int{1, 2}, 1e-5, nil},
	}
	for _, dt := range []tensor.DType{tensor.D8, tensor.D4, tensor.D3, tensor.D2} {
		q, d := quantized(t, w, dt)
		forms = append(forms, form{dt.String(), q, d, []int{1, 2}, 0.05, nil},
			form{dt.String() + ", act_bits 32", q, d, []int{1, 2}, 1e-5, model.Attrs{"act_bits": model.IntAttr(32)}})
	}
	for _, f := range forms {
		if err := f.w.Load(); err != nil {
			t.Fatal(err)
		}
		for _, rows := range []int{1, 6, 67} {
			var first []byte
			for _, threads := range []int{1, 3} {
				x, bias := randF32(3, 1, rows, 65), randF32(4, 37)
				y := emptyF32(1, rows, 37)
				op := testOp{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{x, f.w, bias},
					constant: f.consts, out: []*tensor.Tensor{y}, threads: threads, attrs: f.attrs}
				op.run(t)
				want := naiveLinear(x.F32(), f.values.F32(), bias.F32(), rows, 37, 65)
				nearF32(t, fmt.Sprintf("%s, %d rows", f.name, rows), y.F32(), want, f.tol)
				if first == nil {
					first = bytes.Clone(y.Data)
				} else if !bytes.Equal(first, y.Data) {
					t.Errorf("%s, %d rows: the result depends on the number of threads", f.name, rows)
				}
				if n := op.allocs(t); n != 0 && f.name != "F16" {
					t.Errorf("%s, %d rows, %d threads: %v allocations", f.name, rows, threads, n)
				}
			}
		}
	}
}

func TestLinearActivations(t *testing.T) {
	x, w := randF32(1, 5, 8), randF32(2, 7, 8)
	for _, c := range []struct {
		name   string
		params []float32
		f      func(float64) float64
	}{
		{"Relu", nil, func(v float64) float64 { return max(v, 0) }},
		{"LeakyRelu", []float32{0.25}, func(v float64) float64 { return max(v, v/4) }},
		{"Clip", []float32{-0.5, 0.25}, func(v float64) float64 { return min(max(v, -0.5), 0.25) }},
		{"Sigmoid", nil, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }},
		{"Tanh", nil, math.Tanh},
		{"Swish", nil, func(v float64) float64 { return v / (1 + math.Exp(-v)) }},
		{"HardSwish", nil, func(v float64) float64 { return v * max(0, min(1, v/6+0.5)) }},
		{"Gelu", nil, func(v float64) float64 { return v / 2 * (1 + math.Erf(v/math.Sqrt2)) }},
	} {
		for _, consts := range [][]int{nil, {1}} {
			y := emptyF32(5, 7)
			op := testOp{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{x, w}, constant: consts,
				out: []*tensor.Tensor{y}, attrs: model.Attrs{"activation": model.StringAttr(c.name)}}
			if c.params != nil {
				op.attrs["activation_params"] = model.FloatsAttr(c.params...)
			}
			op.run(t)
			want := naiveLinear(x.F32(), w.F32(), nil, 5, 7, 8)
			for i := range want {
				want[i] = c.f(want[i])
			}
			nearF32(t, c.name, y.F32(), want, 1e-5)
		}
	}
}

func TestMatMul(t *testing.T) {
	for _, c := range []struct{ a, b, y []int }{
		{[]int{3}, []int{3}, []int{}},
		{[]int{2, 3}, []int{3}, []int{2}},
		{[]int{3}, []int{3, 5}, []int{5}},
		{[]int{4, 1, 7, 3}, []int{2, 3, 70}, []int{4, 2, 7, 70}},
		{[]int{70, 33}, []int{33, 17}, []int{70, 17}},
		{[]int{2, 3, 9, 5}, []int{5, 300}, []int{2, 3, 9, 300}},
		{[]int{9, 5}, []int{4, 5, 6}, []int{4, 9, 6}},
		{[]int{2, 3, 5}, []int{5}, []int{2, 3}},
		{[]int{2, 0}, []int{0, 3}, []int{2, 3}},
		{[]int{0, 2}, []int{2, 3}, []int{0, 3}},
	} {
		for _, consts := range [][]int{nil, {1}} {
			x, w, y := randF32(1, c.a...), randF32(2, c.b...), emptyF32(c.y...)
			(&testOp{op: "MatMul", in: []*tensor.Tensor{x, w}, constant: consts, out: []*tensor.Tensor{y}, threads: 2}).run(t)
			b := &Bind{Node: &model.Node{}}
			s, err := newMatMulShape(b, c.a, c.b, c.y)
			if err != nil {
				t.Fatal(err)
			}
			var want []float64
			for i := range s.offA {
				for r := range s.m {
					for j := range s.n {
						var sum float64
						for k := range s.k {
							sum += float64(x.F32()[s.offA[i]+r*s.k+k]) * float64(w.F32()[s.offB[i]+k*s.n+j])
						}
						want = append(want, sum)
					}
				}
			}
			nearF32(t, fmt.Sprint(c.a, c.b), y.F32(), want, 1e-5)
		}
	}
	ints := tensor.FromSlice([]int64{1, 2, 3, 4, 5, 6}, 2, 3)
	y := &tensor.Tensor{DType: tensor.I64, Shape: []int{2}}
	(&testOp{op: "MatMul", in: []*tensor.Tensor{ints, tensor.FromSlice([]int64{1 << 40, -1, 7}, 3)}, out: []*tensor.Tensor{y}}).run(t)
	if got := y.I64(); got[0] != 1<<40+19 || got[1] != 4<<40+37 {
		t.Errorf("int64 product: %v", got)
	}
}

func TestGemm(t *testing.T) {
	for i := range 16 {
		transA, transB := int64(i&1), int64(i>>1&1)
		const m, n, k = 19, 35, 21
		as, bs := []int{m, k}, []int{k, n}
		if transA != 0 {
			as = []int{k, m}
		}
		if transB != 0 {
			bs = []int{n, k}
		}
		x, w := randF32(1, as...), randF32(2, bs...)
		cs := [][]int{{m, n}, {n}, {m, 1}, {}}[i>>2]
		c := randF32(3, cs...)
		var want []float64
		rowC, colC := gemmStrides(cs)
		for r := range m {
			for j := range n {
				var sum float64
				for l := range k {
					a, b := x.F32(), w.F32()
					av, bv := a[(r*k+l)%len(a)], b[(l*n+j)%len(b)]
					if transA != 0 {
						av = a[l*m+r]
					}
					if transB != 0 {
						bv = b[j*k+l]
					}
					sum += float64(av) * float64(bv)
				}
				want = append(want, 0.5*sum-2*float64(c.F32()[r*rowC+j*colC]))
			}
		}
		for _, consts := range [][]int{nil, {1}, {0, 1, 2}} {
			y := emptyF32(m, n)
			(&testOp{op: "Gemm", in: []*tensor.Tensor{x, w, c}, constant: consts, out: []*tensor.Tensor{y}, threads: 2,
				attrs: model.Attrs{"transA": model.IntAttr(transA), "transB": model.IntAttr(transB),
					"alpha": model.FloatAttr(0.5), "beta": model.FloatAttr(-2)}}).run(t)
			nearF32(t, fmt.Sprintf("transA %d transB %d C %v", transA, transB, cs), y.F32(), want, 1e-5)
		}
	}
}

func TestEinsum(t *testing.T) {
	for _, c := range []struct {
		eq     string
		shapes [][]int
		out    []int
	}{
		{"bhid,bhjd->bhij", [][]int{{2, 3, 5, 4}, {2, 3, 6, 4}}, []int{2, 3, 5, 6}},
		{"bhij,bhjd->bihd", [][]int{{2, 3, 5, 4}, {2, 3, 4, 6}}, []int{2, 5, 3, 6}},
		{"...ij,...jk->...ik", [][]int{{2, 1, 3, 4}, {5, 4, 2}}, []int{2, 5, 3, 2}},
		{"ij,j", [][]int{{3, 4}, {4}}, []int{3}},
		{"ii->i", [][]int{{4, 4}}, []int{4}},
		{"ij->", [][]int{{3, 4}}, []int{}},
		{"ba,cb,dc->ad", [][]int{{2, 3}, {4, 2}, {5, 4}}, []int{3, 5}},
		{"ij,kl->ijkl", [][]int{{2, 3}, {4, 5}}, []int{2, 3, 4, 5}},
		{"ab,cb->ca", [][]int{{2, 30}, {4, 30}}, []int{4, 2}},
	} {
		op := testOp{op: "Einsum", attrs: model.Attrs{"equation": model.StringAttr(c.eq)}, out: []*tensor.Tensor{emptyF32(c.out...)}, threads: 2}
		for i, s := range c.shapes {
			op.in = append(op.in, randF32(uint64(i), s...))
		}
		b, run, err := op.bind(t)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(); err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(b.Out[0].Data)
		e, err := newEinsum(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := einsumLoop[float32](b, e)(); err != nil {
			t.Fatal(err)
		}
		var want []float64
		for _, v := range b.Out[0].F32() {
			want = append(want, float64(v))
		}
		nearF32(t, c.eq, viewF32(got), want, 1e-5)
	}
	// The plain loop by itself, against a hand-written contraction.
	x, w := randF32(1, 2, 3), randF32(2, 3, 4)
	y := emptyF32(4, 2)
	(&testOp{op: "Einsum", attrs: model.Attrs{"equation": model.StringAttr("ij,jk->ki")}, in: []*tensor.Tensor{x, w}, out: []*tensor.Tensor{y}}).run(t)
	var want []float64
	for k := range 4 {
		for i := range 2 {
			var sum float64
			for j := range 3 {
				sum += float64(x.F32()[i*3+j]) * float64(w.F32()[j*4+k])
			}
			want = append(want, sum)
		}
	}
	nearF32(t, "ij,jk->ki", y.F32(), want, 1e-6)
}

func TestMatMulRejects(t *testing.T) {
	f := func(shape ...int) *tensor.Tensor { return randF32(1, shape...) }
	for _, c := range []testOp{
		{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{f(2, 3), f(4, 5)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{f(2, 3), f(4, 3), f(5)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{f(2, 3), f(4, 3)}, out: []*tensor.Tensor{emptyF32(2, 5)}},
		{domain: model.DomainDsk, op: "Linear", in: []*tensor.Tensor{f(2, 3)}, out: []*tensor.Tensor{emptyF32(2, 5)}},
		{op: "MatMul", in: []*tensor.Tensor{f(2, 3), f(4, 5)}, out: []*tensor.Tensor{emptyF32(2, 5)}},
		{op: "MatMul", in: []*tensor.Tensor{f(), f(4)}, out: []*tensor.Tensor{emptyF32()}},
		{op: "MatMul", in: []*tensor.Tensor{f(2, 3, 4), f(3, 4, 5)}, out: []*tensor.Tensor{emptyF32(2, 3, 5)}},
		{op: "Gemm", in: []*tensor.Tensor{f(2, 3), f(3, 4), f(3)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{op: "Gemm", in: []*tensor.Tensor{f(2, 3), f(4)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
		{op: "Einsum", in: []*tensor.Tensor{f(2, 3)}, out: []*tensor.Tensor{emptyF32(2)}, attrs: model.Attrs{"equation": model.StringAttr("ijk->i")}},
		{op: "Einsum", in: []*tensor.Tensor{f(2, 3)}, out: []*tensor.Tensor{emptyF32(2)}, attrs: model.Attrs{"equation": model.StringAttr("ij->k")}},
		{op: "MatMulInteger", in: []*tensor.Tensor{f(2, 3), f(3, 4)}, out: []*tensor.Tensor{emptyF32(2, 4)}},
	} {
		if _, _, err := c.bind(t); err == nil {
			t.Errorf("%s of %v is accepted", c.op, c.in)
		}
	}
}
