package runtime

import (
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A deformable convolution without offsets is a convolution, and whole offsets shift its input.
func TestDeformConv(t *testing.T) {
	x, w, bias := randF32(1, 2, 4, 7, 8), randF32(2, 6, 2, 3, 3), randF32(3, 6)
	attrs := model.Attrs{"group": model.IntAttr(2), "pads": model.IntsAttr(1, 1, 1, 1), "strides": model.IntsAttr(2, 1)}
	want := emptyF32(2, 6, 4, 8)
	(&testOp{op: "Conv", attrs: attrs, in: []*tensor.Tensor{x, w, bias}, out: []*tensor.Tensor{want}}).run(t)
	offset := tensor.New(tensor.F32, 2, 2*9*2, 4, 8)
	mask := tensor.New(tensor.F32, 2, 2*9, 4, 8)
	for i := range mask.F32() {
		mask.F32()[i] = 1
	}
	attrs["offset_group"] = model.IntAttr(2)
	y := emptyF32(2, 6, 4, 8)
	op := testOp{op: "DeformConv", attrs: attrs, in: []*tensor.Tensor{x, w, offset, bias, mask}, out: []*tensor.Tensor{y}, threads: 2}
	op.run(t)
	asFloat64 := func(v []float32) (out []float64) {
		for _, f := range v {
			out = append(out, float64(f))
		}
		return out
	}
	nearF32(t, "no offsets", y.F32(), asFloat64(want.F32()), 1e-5)

	// Half way between two elements along x is their mean.
	for i := range offset.F32() {
		if i/32%2 == 1 {
			offset.F32()[i] = 0.5
		}
	}
	mean := tensor.New(tensor.F32, x.Shape...)
	for i, v := range x.F32() {
		mean.F32()[i] = v / 2
		if i%8 < 7 {
			mean.F32()[i] += x.F32()[i+1] / 2
		}
	}
	// The mean's own left padding differs from half the first element, so the first column is left out.
	(&testOp{op: "Conv", attrs: attrs, in: []*tensor.Tensor{mean, w, bias}, out: []*tensor.Tensor{want}}).run(t)
	op.run(t)
	for i, v := range want.F32() {
		if d := y.F32()[i] - v; i%8 > 0 && (d > 1e-5 || d < -1e-5) {
			t.Fatalf("half offsets: element %d is %v, want %v", i, y.F32()[i], v)
		}
	}
}

func TestMaxUnpool(t *testing.T) {
	x := randF32(1, 2, 3, 6, 8)
	attrs := model.Attrs{"kernel_shape": model.IntsAttr(2, 2), "strides": model.IntsAttr(2, 2)}
	top, places := emptyF32(2, 3, 3, 4), &tensor.Tensor{DType: tensor.I64, Shape: []int{2, 3, 3, 4}}
	(&testOp{op: "MaxPool", attrs: attrs, in: []*tensor.Tensor{x}, out: []*tensor.Tensor{top, places}}).run(t)
	y := emptyF32(2, 3, 6, 8)
	op := testOp{op: "MaxUnpool", attrs: attrs, in: []*tensor.Tensor{top, places}, out: []*tensor.Tensor{y}}
	op.run(t)
	kept := 0
	for i, v := range y.F32() {
		if v != 0 {
			kept++
			if v != x.F32()[i] {
				t.Fatalf("element %d is %v, want %v", i, v, x.F32()[i])
			}
		}
	}
	if kept != top.Len() {
		t.Errorf("%d values, want %d", kept, top.Len())
	}
	places.I64()[5] = int64(y.Len())
	_, run, err := op.bind(t)
	if err != nil {
		t.Fatal(err)
	}
	if run() == nil {
		t.Error("an index beyond the output is accepted")
	}
}

// A sequence cut in two, with the state handed on, gives what the whole gives.
func TestCausalConv(t *testing.T) {
	x, w, bias := randF32(1, 2, 3, 9), randF32(2, 3, 1, 4), randF32(3, 3)
	run := func(x, past *tensor.Tensor) (y, state *tensor.Tensor) {
		y, state = emptyF32(x.Shape...), emptyF32(2, 3, 3)
		(&testOp{op: "CausalConvWithState", in: []*tensor.Tensor{x, w, bias, past}, out: []*tensor.Tensor{y, state},
			attrs: model.Attrs{"activation": model.StringAttr("silu")}}).run(t)
		return y, state
	}
	cut := func(lo, hi int) *tensor.Tensor {
		out := tensor.New(tensor.F32, 2, 3, hi-lo)
		for r := range 6 {
			copy(out.F32()[r*(hi-lo):(r+1)*(hi-lo)], x.F32()[r*9+lo:])
		}
		return out
	}
	var want []float64
	for i := range x.F32() {
		r, at := i/9, i%9
		sum := float64(bias.F32()[r%3])
		for k := range 4 {
			if s := at + k - 3; s >= 0 {
				sum += float64(w.F32()[r%3*4+k]) * float64(x.F32()[r*9+s])
			}
		}
		want = append(want, sum*logistic(sum))
	}
	whole, _ := run(x, nil)
	nearF32(t, "whole", whole.F32(), want, 1e-6)
	_, state := run(cut(0, 2), nil)
	tail, _ := run(cut(2, 9), state)
	for i, v := range tail.F32() {
		if w := whole.F32()[i/7*9+2+i%7]; v != w {
			t.Errorf("element %d of the second piece is %v, of the whole %v", i, v, w)
		}
	}
}

func TestLinearAttention(t *testing.T) {
	const batch, tokens, nq, nkv, dk, dv = 2, 5, 4, 2, 3, 6
	q, k, v := randF32(1, batch, tokens, nq*dk), randF32(2, batch, tokens, nkv*dk), randF32(3, batch, tokens, nkv*dv)
	past, beta := randF32(4, batch, nkv, dk, dv), randF32(5, batch, tokens, nkv)
	for _, c := range []struct {
		rule   string
		decays int
	}{{"linear", 0}, {"gated", nkv}, {"gated", nkv * dk}, {"delta", 0}, {"gated_delta", nkv * dk}} {
		in := []*tensor.Tensor{q, k, v, past, nil, nil}
		if c.decays > 0 {
			in[4] = randF32(6, batch, tokens, c.decays)
		}
		delta := c.rule == "delta" || c.rule == "gated_delta"
		if delta {
			in[5] = beta
		}
		want, states := make([]float64, batch*tokens*nq*dv), []float64(nil)
		for b := range batch {
			for h := range nkv {
				var s [dk][dv]float64
				for i := range dk * dv {
					s[i/dv][i%dv] = float64(past.F32()[(b*nkv+h)*dk*dv+i])
				}
				for t := range tokens {
					row := b*tokens + t
					key := func(d int) float64 { return float64(k.F32()[(row*nkv+h)*dk+d]) }
					for d := range dk {
						for m := range dv {
							switch c.decays {
							case nkv:
								s[d][m] *= math.Exp(float64(in[4].F32()[row*nkv+h]))
							case nkv * dk:
								s[d][m] *= math.Exp(float64(in[4].F32()[(row*nkv+h)*dk+d]))
							}
						}
					}
					for m := range dv {
						value := float64(v.F32()[(row*nkv+h)*dv+m])
						if delta {
							for d := range dk {
								value -= s[d][m] * key(d)
							}
							value *= float64(beta.F32()[row*nkv+h])
						}
						for d := range dk {
							s[d][m] += key(d) * value
						}
						for g := h * nq / nkv; g < (h+1)*nq/nkv; g++ {
							for d := range dk {
								want[(row*nq+g)*dv+m] += s[d][m] * float64(q.F32()[(row*nq+g)*dk+d]) / math.Sqrt(dk)
							}
						}
					}
				}
				for i := range dk * dv {
					states = append(states, s[i/dv][i%dv])
				}
			}
		}
		y, state := emptyF32(batch, tokens, nq*dv), emptyF32(batch, nkv, dk, dv)
		op := testOp{op: "LinearAttention", in: in, out: []*tensor.Tensor{y, state}, threads: 2, attrs: model.Attrs{
			"q_num_heads": model.IntAttr(nq), "kv_num_heads": model.IntAttr(nkv), "update_rule": model.StringAttr(c.rule)}}
		op.run(t)
		nearF32(t, c.rule, y.F32(), want, 1e-5)
		nearF32(t, c.rule+": state", state.F32(), states, 1e-5)
		if n := op.allocs(t); n != 0 {
			t.Errorf("%s: %v allocations", c.rule, n)
		}
	}
}
