package runtime

import (
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// poolCase is a pool over two spatial axes.
type poolCase struct {
	h, w, kh, kw       int
	sh, sw             int
	top, left, bot, rt int
	dh, dw             int
	ceil               bool
}

func (c poolCase) out() (oh, ow int) {
	extent := func(n, k, s, d, pads int) int {
		span := n + pads - (k-1)*d - 1
		if c.ceil {
			span += s - 1
		}
		return span/s + 1
	}
	return extent(c.h, c.kh, c.sh, c.dh, c.top+c.bot), extent(c.w, c.kw, c.sw, c.dw, c.left+c.rt)
}

func (c poolCase) attrs() model.Attrs {
	a := model.Attrs{"kernel_shape": model.IntsAttr(int64(c.kh), int64(c.kw)), "strides": model.IntsAttr(int64(c.sh), int64(c.sw)),
		"pads": model.IntsAttr(int64(c.top), int64(c.left), int64(c.bot), int64(c.rt)), "dilations": model.IntsAttr(int64(c.dh), int64(c.dw))}
	if c.ceil {
		a["ceil_mode"] = model.IntAttr(1)
	}
	return a
}

// windows calls f for each output of a plane with the window's places inside the input and the number of its
// places in the padded input.
func (c poolCase) windows(f func(o int, inside []int, padded int)) {
	oh, ow := c.out()
	for o := range oh * ow {
		var inside []int
		padded := 0
		for i := range c.kh {
			for j := range c.kw {
				y, x := o/ow*c.sh-c.top+i*c.dh, o%ow*c.sw-c.left+j*c.dw
				if y < c.h+c.bot && x < c.w+c.rt {
					padded++
				}
				if y >= 0 && y < c.h && x >= 0 && x < c.w {
					inside = append(inside, y*c.w+x)
				}
			}
		}
		f(o, inside, padded)
	}
}

var poolCases = []poolCase{
	{h: 9, w: 8, kh: 3, kw: 3, sh: 2, sw: 2, dh: 1, dw: 1},
	{h: 9, w: 8, kh: 3, kw: 2, sh: 2, sw: 3, top: 1, left: 1, bot: 0, rt: 1, dh: 1, dw: 1},
	{h: 10, w: 7, kh: 3, kw: 3, sh: 2, sw: 2, top: 1, left: 0, bot: 1, rt: 0, dh: 1, dw: 1, ceil: true},
	{h: 12, w: 11, kh: 2, kw: 3, sh: 1, sw: 1, top: 2, left: 2, bot: 2, rt: 2, dh: 3, dw: 2},
	{h: 1, w: 40, kh: 1, kw: 5, sh: 1, sw: 1, left: 2, rt: 2, dh: 1, dw: 1},
}

func TestPools(t *testing.T) {
	for i, c := range poolCases {
		oh, ow := c.out()
		const batch, channels = 2, 3
		x := randF32(uint64(i), batch, channels, c.h, c.w)
		var largest, mean, meanPadded, norm []float64
		var places []int64
		for p := range batch * channels {
			plane := x.F32()[p*c.h*c.w:]
			c.windows(func(o int, inside []int, padded int) {
				best, at, sum, squares := math.Inf(-1), -1, 0.0, 0.0
				for _, s := range inside {
					v := float64(plane[s])
					if v > best {
						best, at = v, s
					}
					sum += v
					squares += v * v
				}
				largest, places = append(largest, best), append(places, int64(p*c.h*c.w+at))
				mean, meanPadded = append(mean, sum/float64(len(inside))), append(meanPadded, sum/float64(padded))
				norm = append(norm, math.Sqrt(squares))
			})
		}
		run := func(op string, extra string, outputs int) []*tensor.Tensor {
			out := []*tensor.Tensor{emptyF32(batch, channels, oh, ow)}
			if outputs > 1 {
				out = append(out, &tensor.Tensor{DType: tensor.I64, Shape: out[0].Shape})
			}
			a := c.attrs()
			if extra != "" {
				a[extra] = model.IntAttr(1)
			}
			o := testOp{op: op, in: []*tensor.Tensor{x}, out: out, attrs: a, threads: 2}
			o.run(t)
			if n := o.allocs(t); n != 0 {
				t.Errorf("%s: %v allocations", op, n)
			}
			return out
		}
		nearF32(t, "MaxPool", run("MaxPool", "", 1)[0].F32(), largest, 0)
		both := run("MaxPool", "", 2)
		nearF32(t, "MaxPool with Indices", both[0].F32(), largest, 0)
		byColumn := run("MaxPool", "storage_order", 2)[1].I64()
		for j, want := range places {
			if got := both[1].I64()[j]; got != want {
				t.Fatalf("case %d: index %d is %d, want %d", i, j, got, want)
			}
			in := want % int64(c.h*c.w)
			if got := byColumn[j]; got != want-in+in%int64(c.w)*int64(c.h)+in/int64(c.w) {
				t.Fatalf("case %d: by columns, index %d is %d", i, j, got)
			}
		}
		nearF32(t, "AveragePool", run("AveragePool", "", 1)[0].F32(), mean, 1e-6)
		nearF32(t, "AveragePool with pads", run("AveragePool", "count_include_pad", 1)[0].F32(), meanPadded, 1e-6)
		nearF32(t, "LpPool", run("LpPool", "", 1)[0].F32(), norm, 1e-6)
	}
}

func TestMaxPoolBytes(t *testing.T) {
	x := tensor.FromSlice([]int8{-9, -8, -7, -6, -5, -4, -3, -2, -128}, 1, 1, 9)
	y := &tensor.Tensor{DType: tensor.I8, Shape: []int{1, 1, 3}}
	(&testOp{op: "MaxPool", in: []*tensor.Tensor{x}, out: []*tensor.Tensor{y},
		attrs: model.Attrs{"kernel_shape": model.IntsAttr(3), "strides": model.IntsAttr(3)}}).run(t)
	if got := tensor.View[int8](y); got[0] != -7 || got[1] != -4 || got[2] != -2 {
		t.Errorf("got %v", got)
	}
}

func TestNorms(t *testing.T) {
	x := randF32(1, 2, 6, 3, 5)
	scale, bias := randF32(2, 6), randF32(3, 6)
	mean, variance := randF32(4, 6), randF32(5, 6)
	for i, v := range variance.F32() {
		variance.F32()[i] = v*v + 0.1
	}
	run := func(op string, in []*tensor.Tensor, attrs model.Attrs) []float32 {
		y := emptyF32(x.Shape...)
		o := testOp{op: op, in: in, out: []*tensor.Tensor{y}, attrs: attrs, threads: 2}
		o.run(t)
		if n := o.allocs(t); n != 0 {
			t.Errorf("%s: %v allocations", op, n)
		}
		return y.F32()
	}
	var want []float64
	for i, v := range x.F32() {
		c := i / 15 % 6
		want = append(want, (float64(v)-float64(mean.F32()[c]))/math.Sqrt(float64(variance.F32()[c])+1e-5)*float64(scale.F32()[c])+float64(bias.F32()[c]))
	}
	nearF32(t, "BatchNormalization", run("BatchNormalization", []*tensor.Tensor{x, scale, bias, mean, variance}, nil), want, 1e-5)

	// normalized is x less the mean of each run of n elements, over the root of its variance.
	normalized := func(n int, center bool) []float64 {
		out := make([]float64, x.Len())
		for at := 0; at < x.Len(); at += n {
			var m, s float64
			for _, v := range x.F32()[at : at+n] {
				m += float64(v) / float64(n)
			}
			if !center {
				m = 0
			}
			for _, v := range x.F32()[at : at+n] {
				s += (float64(v) - m) * (float64(v) - m) / float64(n)
			}
			for j := at; j < at+n; j++ {
				out[j] = (float64(x.F32()[j]) - m) / math.Sqrt(s+1e-5)
			}
		}
		return out
	}
	affine := func(v []float64) []float64 {
		for i := range v {
			c := i / 15 % 6
			v[i] = v[i]*float64(scale.F32()[c]) + float64(bias.F32()[c])
		}
		return v
	}
	params := []*tensor.Tensor{x, scale, bias}
	nearF32(t, "InstanceNormalization", run("InstanceNormalization", params, nil), affine(normalized(15, true)), 1e-5)
	nearF32(t, "GroupNormalization", run("GroupNormalization", params, model.Attrs{"num_groups": model.IntAttr(3)}), affine(normalized(30, true)), 1e-5)

	s, b := randF32(6, 3, 5), randF32(7, 3, 5)
	axis := model.Attrs{"axis": model.IntAttr(2)}
	layer, rms := normalized(15, true), normalized(15, false)
	for i := range layer {
		layer[i] = layer[i]*float64(s.F32()[i%15]) + float64(b.F32()[i%15])
		rms[i] *= float64(s.F32()[i%15])
	}
	nearF32(t, "LayerNormalization", run("LayerNormalization", []*tensor.Tensor{x, s, b}, axis), layer, 1e-5)
	nearF32(t, "RMSNormalization", run("RMSNormalization", []*tensor.Tensor{x, s}, axis), rms, 1e-5)
	for _, c := range []testOp{
		{op: "LayerNormalization", in: []*tensor.Tensor{x, s}, attrs: model.Attrs{"axis": model.IntAttr(3)}},
		{op: "LayerNormalization", in: []*tensor.Tensor{x, s}, attrs: model.Attrs{"axis": model.IntAttr(4)}},
		{op: "RMSNormalization", in: []*tensor.Tensor{x, scale}, attrs: axis},
		{op: "BatchNormalization", in: []*tensor.Tensor{x, s, bias, mean, variance}},
		{op: "BatchNormalization", in: []*tensor.Tensor{x, scale, bias}},
		{op: "GroupNormalization", in: params, attrs: model.Attrs{"num_groups": model.IntAttr(4)}},
		{op: "LpNormalization", in: []*tensor.Tensor{x}, attrs: model.Attrs{"p": model.IntAttr(3)}},
	} {
		c.out = []*tensor.Tensor{emptyF32(x.Shape...)}
		if _, _, err := c.bind(t); err == nil {
			t.Errorf("%s of %v is accepted", c.op, c.in)
		}
	}
}
