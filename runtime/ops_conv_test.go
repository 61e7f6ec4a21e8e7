package runtime

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// convCase is a convolution in up to three dimensions.
type convCase struct {
	name                     string
	batch, c, m, groups      int
	in, kernel               []int
	strides, pads, dilations []int64
	z                        bool
	activation               string
}

func (c *convCase) attrs() model.Attrs {
	a := model.Attrs{"group": model.IntAttr(int64(c.groups))}
	for name, v := range map[string][]int64{"strides": c.strides, "pads": c.pads, "dilations": c.dilations} {
		if v != nil {
			a[name] = model.IntsAttr(v...)
		}
	}
	if c.activation != "" {
		a["activation"] = model.StringAttr(c.activation)
	}
	return a
}

func at(v []int64, i, def int) int {
	if v == nil {
		return def
	}
	return int(v[i])
}

// outShape is the output's spatial shape.
func (c *convCase) outShape() []int {
	var out []int
	for i, n := range c.in {
		r := len(c.in)
		span := n + at(c.pads, i, 0) + at(c.pads, r+i, 0) - (c.kernel[i]-1)*at(c.dilations, i, 1) - 1
		out = append(out, span/at(c.strides, i, 1)+1)
	}
	return out
}

// naive computes the convolution of OHWI weights in double precision.
func (c *convCase) naive(x, w, bias, z []float32) []float64 {
	out := c.outShape()
	cg, mg := c.c/c.groups, c.m/c.groups
	nOut, nIn, nWin := product(out), product(c.in), product(c.kernel)
	y := make([]float64, c.batch*c.m*nOut)
	for i := range y {
		o, m, b := i%nOut, i/nOut%c.m, i/nOut/c.m
		sum := float64(bias[m])
		for k := range nWin {
			src, inside, ro, rk, scale := 0, true, o, k, nIn
			oStep, kStep := nOut, nWin
			for a := range c.in {
				oStep, kStep, scale = oStep/out[a], kStep/c.kernel[a], scale/c.in[a]
				p := ro/oStep*at(c.strides, a, 1) - at(c.pads, a, 0) + rk/kStep*at(c.dilations, a, 1)
				ro, rk = ro%oStep, rk%kStep
				inside = inside && p >= 0 && p < c.in[a]
				src += p * scale
			}
			if !inside {
				continue
			}
			for ch := range cg {
				sum += float64(x[(b*c.c+m/mg*cg+ch)*nIn+src]) * float64(w[(m*nWin+k)*cg+ch])
			}
		}
		if z != nil {
			sum += float64(z[i])
		}
		if c.activation == "Relu" {
			sum = max(sum, 0)
		}
		y[i] = sum
	}
	return y
}

var convCases = []convCase{
	{name: "3x3", batch: 2, c: 5, m: 19, groups: 1, in: []int{11, 13}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}},
	{name: "3x3 asymmetric, strided", batch: 1, c: 3, m: 8, groups: 1, in: []int{12, 9}, kernel: []int{3, 2}, pads: []int64{0, 1, 2, 0}, strides: []int64{2, 3}},
	{name: "pointwise", batch: 3, c: 33, m: 20, groups: 1, in: []int{7, 9}, kernel: []int{1, 1}, activation: "Relu"},
	{name: "pointwise, strided", batch: 1, c: 16, m: 16, groups: 1, in: []int{8, 8}, kernel: []int{1, 1}, strides: []int64{2, 2}},
	{name: "residual", batch: 2, c: 8, m: 17, groups: 1, in: []int{30, 31}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}, z: true, activation: "Relu"},
	{name: "dilated", batch: 1, c: 4, m: 6, groups: 1, in: []int{16, 15}, kernel: []int{3, 3}, dilations: []int64{2, 3}, pads: []int64{2, 3, 2, 3}},
	{name: "grouped", batch: 2, c: 8, m: 12, groups: 4, in: []int{9, 9}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}},
	{name: "grouped by panels", batch: 1, c: 8, m: 32, groups: 2, in: []int{20, 20}, kernel: []int{3, 3}},
	{name: "depthwise", batch: 2, c: 7, m: 7, groups: 7, in: []int{13, 14}, kernel: []int{3, 3}, strides: []int64{2, 2}, pads: []int64{1, 1, 1, 1}, activation: "Relu"},
	{name: "depthwise, two filters each", batch: 1, c: 5, m: 10, groups: 5, in: []int{9, 8}, kernel: []int{5, 5}, pads: []int64{2, 2, 2, 2}, z: true},
	{name: "1-D", batch: 2, c: 6, m: 10, groups: 1, in: []int{50}, kernel: []int{7}, strides: []int64{3}, pads: []int64{6, 0}},
	{name: "1-D depthwise", batch: 1, c: 6, m: 6, groups: 6, in: []int{40}, kernel: []int{4}, pads: []int64{3, 0}},
	{name: "3-D", batch: 1, c: 3, m: 5, groups: 1, in: []int{5, 6, 7}, kernel: []int{3, 2, 3}, pads: []int64{1, 0, 1, 1, 1, 1}, strides: []int64{1, 2, 1}},
	{name: "3-D depthwise", batch: 1, c: 3, m: 3, groups: 3, in: []int{5, 6, 7}, kernel: []int{3, 3, 3}},
	{name: "many rows", batch: 1, c: 4, m: 33, groups: 1, in: []int{40, 41}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}},
	{name: "channels in whole groups", batch: 2, c: 64, m: 40, groups: 1, in: []int{17, 9}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}, strides: []int64{2, 1}},
	{name: "groups of whole groups", batch: 1, c: 64, m: 32, groups: 2, in: []int{12, 13}, kernel: []int{3, 3}, pads: []int64{1, 1, 1, 1}, dilations: []int64{2, 1}},
	{name: "window far apart", batch: 1, c: 32, m: 16, groups: 1, in: []int{4, 5}, kernel: []int{3, 3}, dilations: []int64{1 << 29, 1 << 29}, pads: []int64{1 << 29, 1 << 29, 1 << 29, 1 << 29}},
	{name: "lines far apart", batch: 1, c: 16, m: 16, groups: 1, in: []int{4, 5}, kernel: []int{3, 3}, dilations: []int64{1 << 29, 1}, pads: []int64{1 << 29, 1, 1 << 29, 1}},
	{name: "window larger than the input", batch: 1, c: 2, m: 3, groups: 1, in: []int{2, 3}, kernel: []int{5, 5}, pads: []int64{4, 4, 4, 4}},
}

func TestDskConv(t *testing.T) {
	for _, c := range convCases {
		out := append([]int{c.batch, c.m}, c.outShape()...)
		x := randF32(1, append([]int{c.batch, c.c}, c.in...)...)
		w := randF32(2, append(append([]int{c.m}, c.kernel...), c.c/c.groups)...)
		bias := randF32(3, c.m)
		in := []*tensor.Tensor{x, w, bias}
		var z []float32
		if c.z {
			in = append(in, randF32(4, out...))
			z = in[3].F32()
		}
		packed := tensor.Pack(w)
		if err := packed.Load(); err != nil {
			t.Fatal(err)
		}
		coded, values := quantized(t, w, tensor.D8)
		narrow, narrowValues := quantized(t, w, tensor.D3)
		half, halfValues := halves(t, w)
		for _, form := range []struct {
			name   string
			w      *tensor.Tensor
			values *tensor.Tensor
			consts []int
			tol    float64
		}{{"row", w, w, []int{1, 2}, 2e-5}, {"panels", packed, w, []int{1, 2}, 2e-5}, {"computed", w, w, nil, 2e-5},
			{"F16", half, halfValues, []int{1, 2}, 2e-5}, {"computed bias", w, w, []int{1}, 2e-5}, {"D8", coded, values, []int{1, 2}, 0.008 * math.Sqrt(float64(product(w.Shape[1:])))},
			{"D8, act_bits 32", coded, values, []int{1, 2}, 2e-5}, {"D3, act_bits 32", narrow, narrowValues, []int{1, 2}, 2e-5}} {
			attrs := c.attrs()
			if strings.HasSuffix(form.name, "act_bits 32") {
				attrs["act_bits"] = model.IntAttr(32)
			}
			want := c.naive(x.F32(), form.values.F32(), bias.F32(), z)
			in[1] = form.w
			for _, layout := range []string{"", model.LayoutNHWC, model.LayoutNCHW} {
				name := c.name + ", " + form.name + " " + layout
				operands, shape := in, out
				if layout != "" { // of X; Z and Y have their channels last
					attrs["layout"], attrs["input_layout"] = model.StringAttr(model.LayoutNHWC), model.StringAttr(layout)
					operands = append([]*tensor.Tensor(nil), in...)
					if layout == model.LayoutNHWC {
						operands[0] = toLast(t, x)
					}
					if z != nil {
						operands[3] = toLast(t, in[3])
					}
					shape = append(append([]int{c.batch}, out[2:]...), c.m)
				}
				var first []byte
				for _, threads := range []int{1, 2, 5} {
					y := emptyF32(shape...)
					op := testOp{domain: model.DomainDsk, op: "Conv", attrs: attrs, in: operands, constant: form.consts,
						out: []*tensor.Tensor{y}, threads: threads}
					op.run(t)
					if layout == "" {
						nearF32(t, name, y.F32(), want, form.tol)
					} else {
						nearF32(t, name, toSecond(t, y).F32(), want, form.tol)
					}
					if first == nil {
						first = bytes.Clone(y.Data)
					} else if !bytes.Equal(first, y.Data) {
						t.Errorf("%s: the result depends on the number of threads", name)
					}
					if n := op.allocs(t); n != 0 {
						t.Errorf("%s, %d threads: %v allocations", name, threads, n)
					}
				}
			}
		}
	}
}

// halves returns w as F16 in panels, and the values that it then has.
func halves(t *testing.T, w *tensor.Tensor) (packed, values *tensor.Tensor) {
	half, values := tensor.New(tensor.F16, w.Shape...), tensor.New(tensor.F32, w.Shape...)
	kernels.NarrowF16(tensor.View[uint16](half), w.F32())
	kernels.ExpandF16(values.F32(), tensor.View[uint16](half))
	packed = tensor.Pack(half)
	if err := packed.Load(); err != nil {
		t.Fatal(err)
	}
	return packed, values
}

// toLast moves the second axis to the end, toSecond moves it back.
func toLast(t *testing.T, x *tensor.Tensor) *tensor.Tensor {
	perm := []int{0}
	for a := 2; a < len(x.Shape); a++ {
		perm = append(perm, a)
	}
	return permuted(t, x, append(perm, 1))
}

func toSecond(t *testing.T, x *tensor.Tensor) *tensor.Tensor {
	perm := []int{0, len(x.Shape) - 1}
	for a := 1; a < len(x.Shape)-1; a++ {
		perm = append(perm, a)
	}
	return permuted(t, x, perm)
}

func permuted(t *testing.T, x *tensor.Tensor, perm []int) *tensor.Tensor {
	t.Helper()
	y, err := tensor.Permuted(x, perm...)
	if err != nil {
		t.Fatal(err)
	}
	if err := y.Load(); err != nil {
		t.Fatal(err)
	}
	return y
}

func TestConv(t *testing.T) {
	for _, c := range convCases {
		if c.z || c.activation != "" {
			continue
		}
		x := randF32(1, append([]int{c.batch, c.c}, c.in...)...)
		w := randF32(2, append([]int{c.m, c.c / c.groups}, c.kernel...)...)
		bias := randF32(3, c.m)
		last := make([]float32, w.Len())
		k, win := c.c/c.groups, product(c.kernel)
		for i, v := range w.F32() {
			last[(i/(k*win)*win+i%win)*k+i/win%k] = v
		}
		want := c.naive(x.F32(), last, bias.F32(), nil)
		for _, consts := range [][]int{nil, {1, 2}, {0, 1, 2}} {
			y := emptyF32(append([]int{c.batch, c.m}, c.outShape()...)...)
			(&testOp{op: "Conv", attrs: c.attrs(), in: []*tensor.Tensor{x, w, bias}, constant: consts,
				out: []*tensor.Tensor{y}, threads: 2}).run(t)
			nearF32(t, fmt.Sprint(c.name, consts), y.F32(), want, 2e-5)
		}
	}
}

// TestConvTranspose holds the operator to its definition: it is the transpose of Conv.
func TestConvTranspose(t *testing.T) {
	for _, c := range convCases {
		if c.z || c.activation != "" || c.m%c.groups != 0 {
			continue
		}
		// Conv maps c channels of extent in to m of extent out; the transpose goes back, where the strides
		// reach every input.
		out := c.outShape()
		extra := make([]int64, len(out))
		for i := range out {
			full := (out[i]-1)*at(c.strides, i, 1) + (c.kernel[i]-1)*at(c.dilations, i, 1) + 1 - at(c.pads, i, 0) - at(c.pads, len(out)+i, 0)
			extra[i] = int64(c.in[i] - full)
		}
		x := randF32(1, append([]int{c.batch, c.m}, out...)...)
		w := randF32(2, append([]int{c.m, c.c / c.groups}, c.kernel...)...)
		attrs := c.attrs()
		attrs["output_padding"] = model.IntsAttr(extra...)
		y := emptyF32(append([]int{c.batch, c.c}, c.in...)...)
		(&testOp{op: "ConvTranspose", attrs: attrs, in: []*tensor.Tensor{x, w}, constant: []int{1},
			out: []*tensor.Tensor{y}, threads: 2}).run(t)
		// <x, Conv(v)> = <ConvTranspose(x), v> for a v of ones and one of random numbers.
		k, win := c.c/c.groups, product(c.kernel)
		last := make([]float32, w.Len())
		for i, f := range w.F32() {
			last[(i/(k*win)*win+i%win)*k+i/win%k] = f
		}
		for seed := range uint64(3) {
			v := randF32(seed, y.Shape...)
			var forth, back float64
			for i, f := range c.naive(v.F32(), last, make([]float32, c.m), nil) {
				forth += f * float64(x.F32()[i])
			}
			for i, f := range y.F32() {
				back += float64(f) * float64(v.F32()[i])
			}
			if d := forth - back; d > 1e-3 || d < -1e-3 {
				t.Errorf("%s: the products differ: %v and %v", c.name, forth, back)
			}
		}
	}
}

func TestConvRejects(t *testing.T) {
	f := func(shape ...int) *tensor.Tensor { return randF32(1, shape...) }
	ints := func(name string, v ...int64) model.Attrs { return model.Attrs{name: model.IntsAttr(v...)} }
	for _, c := range []testOp{
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 2, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 8, 8)}},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3), f(5)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}, attrs: ints("strides", 0, 1)},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}, attrs: ints("pads", 1)},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}, attrs: ints("kernel_shape", 3)},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}, attrs: model.Attrs{"group": model.IntAttr(0)}},
		{op: "Conv", in: []*tensor.Tensor{f(1, 3, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}},
		{op: "Conv", in: []*tensor.Tensor{f(3, 8), f(4, 3)}, out: []*tensor.Tensor{emptyF32(4, 6)}},
		{domain: model.DomainDsk, op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3), nil, f(1, 4, 5, 6)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}},
		{domain: model.DomainDsk, op: "Conv", in: []*tensor.Tensor{f(1, 3, 8, 8), f(4, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 4, 6, 6)}, attrs: model.Attrs{"activation": model.StringAttr("Wiggle")}},
		{op: "ConvTranspose", in: []*tensor.Tensor{f(1, 3, 4, 4), f(2, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 3, 6, 6)}},
		{op: "ConvTranspose", in: []*tensor.Tensor{f(1, 3, 4, 4), f(3, 3, 3, 3)}, out: []*tensor.Tensor{emptyF32(1, 3, 7, 6)}},
		{op: "MaxPool", in: []*tensor.Tensor{f(1, 3, 8, 8)}, out: []*tensor.Tensor{emptyF32(1, 3, 4, 4)}},
		{op: "MaxPool", in: []*tensor.Tensor{f(1, 3, 8, 8)}, out: []*tensor.Tensor{emptyF32(1, 3, 4, 4)}, attrs: ints("kernel_shape", 2, 2)},
		{op: "LRN", in: []*tensor.Tensor{f(1, 3, 8, 8)}, out: []*tensor.Tensor{emptyF32(1, 3, 8, 8)}},
	} {
		if _, _, err := c.bind(t); err == nil {
			t.Errorf("%s of %v, %v is accepted", c.op, c.in, c.attrs)
		}
	}
}
