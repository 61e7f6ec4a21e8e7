package runtime

import (
	"fmt"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

func logistic(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// naiveRecurrent runs one of the three operators in double precision over sequences of the given lengths,
// with layout 0. It returns Y, Y_h and Y_c.
func naiveRecurrent(op string, dirs int, reverse, linear, coupled bool, x, w, r, bias, h0, c0, p []float32, lens []int32, seq, batch, input, hidden int) (y, yh, yc []float64) {
	gates := map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}[op]
	y = make([]float64, seq*dirs*batch*hidden)
	yh, yc = make([]float64, dirs*batch*hidden), make([]float64, dirs*batch*hidden)
	g := gates * hidden
	for d := range dirs {
		for e := range batch {
			h, c := make([]float64, hidden), make([]float64, hidden)
			for i := range hidden {
				h[i], c[i] = float64(h0[(d*batch+e)*hidden+i]), float64(c0[(d*batch+e)*hidden+i])
			}
			for step := range int(lens[e]) {
				t := step
				if reverse || d == 1 {
					t = int(lens[e]) - 1 - step
				}
				wx := func(gate, i int) float64 {
					row := d*g + gate*hidden + i
					sum := float64(bias[2*d*g+gate*hidden+i])
					for k := range input {
						sum += float64(w[row*input+k]) * float64(x[(t*batch+e)*input+k])
					}
					return sum
				}
				rh := func(gate, i int, state []float64) float64 {
					row := d*g + gate*hidden + i
					sum := float64(bias[2*d*g+g+gate*hidden+i])
					for k := range hidden {
						sum += float64(r[row*hidden+k]) * state[k]
					}
					return sum
				}
				next := make([]float64, hidden)
				reset := make([]float64, hidden)
				for i := range hidden {
					if op == "GRU" {
						reset[i] = logistic(wx(1, i) + rh(1, i, h))
					}
				}
				for i := range hidden {
					switch op {
					case "RNN":
						next[i] = math.Tanh(wx(0, i) + rh(0, i, h))
					case "GRU":
						z := logistic(wx(0, i) + rh(0, i, h))
						var cand float64
						if linear {
							cand = math.Tanh(wx(2, i) + reset[i]*rh(2, i, h))
						} else {
							gated := make([]float64, hidden)
							for k := range gated {
								gated[k] = reset[k] * h[k]
							}
							cand = math.Tanh(wx(2, i) + rh(2, i, gated))
						}
						next[i] = (1-z)*cand + z*h[i]
					case "LSTM":
						peep := func(k int) float64 { return float64(p[d*3*hidden+k*hidden+i]) }
						in := logistic(wx(0, i) + rh(0, i, h) + peep(0)*c[i])
						forget := logistic(wx(2, i) + rh(2, i, h) + peep(2)*c[i])
						if coupled {
							forget = 1 - in
						}
						c[i] = forget*c[i] + in*math.Tanh(wx(3, i)+rh(3, i, h))
						next[i] = logistic(wx(1, i)+rh(1, i, h)+peep(1)*c[i]) * math.Tanh(c[i])
					}
				}
				h = next
				copy(y[((t*dirs+d)*batch+e)*hidden:], h)
			}
			copy(yh[(d*batch+e)*hidden:], h)
			copy(yc[(d*batch+e)*hidden:], c)
		}
	}
	return y, yh, yc
}

// swapAxes turns [a][b][rest] into [b][a][rest].
func swapAxes(x *tensor.Tensor) *tensor.Tensor {
	a, b, rest := x.Shape[0], x.Shape[1], product(x.Shape[2:])
	y := tensor.New(x.DType, append([]int{b, a}, x.Shape[2:]...)...)
	for i := range a {
		for j := range b {
			copy(y.F32()[(j*a+i)*rest:(j*a+i+1)*rest], x.F32()[(i*b+j)*rest:])
		}
	}
	return y
}

func TestRecurrent(t *testing.T) {
	const seq, batch, input, hidden = 5, 3, 7, 6
	lens := []int32{5, 2, 0}
	for _, op := range []string{"RNN", "GRU", "LSTM"} {
		gates := map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4}[op]
		for variant := range 16 {
			direction := []string{"forward", "reverse", "bidirectional"}[variant%3]
			dirs := 1 + variant%3/2
			flag, layout, consts := variant&4 != 0, variant&8 != 0, []int{1, 2, 3}
			if variant&1 != 0 {
				consts = nil
			}
			x := randF32(1, seq, batch, input)
			w, r := randF32(2, dirs, gates*hidden, input), randF32(3, dirs, gates*hidden, hidden)
			bias, p := randF32(4, dirs, 2*gates*hidden), randF32(5, dirs, 3*hidden)
			h0, c0 := randF32(6, dirs, batch, hidden), randF32(7, dirs, batch, hidden)
			y, yh, yc := naiveRecurrent(op, dirs, direction == "reverse", flag, flag, x.F32(), w.F32(), r.F32(),
				bias.F32(), h0.F32(), c0.F32(), p.F32(), lens, seq, batch, input, hidden)
			in := []*tensor.Tensor{x, w, r, bias, tensor.FromSlice(lens, batch), h0}
			out := []*tensor.Tensor{emptyF32(seq, dirs, batch, hidden), emptyF32(dirs, batch, hidden)}
			if op == "LSTM" {
				in, out = append(in, c0, p), append(out, emptyF32(dirs, batch, hidden))
			}
			if layout {
				in[0], in[5] = swapAxes(x), swapAxes(h0)
				out[0].Shape = []int{batch, seq, dirs, hidden}
				for i := range out[1:] {
					out[1+i].Shape = []int{batch, dirs, hidden}
				}
				if op == "LSTM" {
					in[6] = swapAxes(c0)
				}
			}
			o := testOp{op: op, in: in, out: out, constant: consts, threads: 2, attrs: model.Attrs{
				"hidden_size": model.IntAttr(hidden), "direction": model.StringAttr(direction)}}
			if flag {
				o.attrs["linear_before_reset"], o.attrs["input_forget"] = model.IntAttr(1), model.IntAttr(1)
			}
			if layout {
				o.attrs["layout"] = model.IntAttr(1)
			}
			o.run(t)
			what := fmt.Sprintf("%s %s, flag %v, layout %v", op, direction, flag, layout)
			got, gotH := out[0], out[1]
			if layout {
				gotH = swapAxes(gotH)
				// [batch][seq][dirs*hidden] to [seq][batch][dirs*hidden], then dirs before the batch.
				got = swapAxes(got.Reshaped(batch, seq, dirs*hidden))
				byDir := tensor.New(tensor.F32, seq, dirs, batch, hidden)
				for i := range seq {
					step := swapAxes(tensor.FromSlice(got.F32()[i*batch*dirs*hidden:(i+1)*batch*dirs*hidden], batch, dirs, hidden))
					copy(byDir.F32()[i*batch*dirs*hidden:], step.F32())
				}
				got = byDir
			}
			nearF32(t, what, got.F32(), y, 1e-5)
			nearF32(t, what+": Y_h", gotH.F32(), yh, 1e-5)
			if op == "LSTM" {
				gotC := out[2]
				if layout {
					gotC = swapAxes(gotC)
				}
				nearF32(t, what+": Y_c", gotC.F32(), yc, 1e-5)
			}
			if n := o.allocs(t); n != 0 {
				t.Errorf("%s: %v allocations", what, n)
			}
		}
	}
}

func TestRecurrentFunctions(t *testing.T) {
	// One step from zero with identity weights shows the function itself.
	for _, c := range []struct {
		name        string
		alpha, beta []float32
		f           func(v float64) float64
	}{
		{"Relu", nil, nil, func(v float64) float64 { return max(v, 0) }},
		{"LeakyRelu", []float32{0.5}, nil, func(v float64) float64 { return max(v, v/2) }},
		{"ThresholdedRelu", nil, nil, func(v float64) float64 {
			if v > 1 {
				return v
			}
			return 0
		}},
		{"Elu", []float32{2}, nil, func(v float64) float64 {
			if v > 0 {
				return v
			}
			return 2 * (math.Exp(v) - 1)
		}},
		{"Affine", []float32{2}, []float32{3}, func(v float64) float64 { return 2*v + 3 }},
		{"ScaledTanh", []float32{2}, []float32{0.5}, func(v float64) float64 { return 2 * math.Tanh(v/2) }},
		{"HardSigmoid", nil, nil, func(v float64) float64 { return max(0, min(1, v/5+0.5)) }},
		{"Softsign", nil, nil, func(v float64) float64 { return v / (1 + math.Abs(v)) }},
		{"Softplus", nil, nil, func(v float64) float64 { return math.Log(1 + math.Exp(v)) }},
	} {
		x := tensor.FromSlice([]float32{-9, -1, -0.25, 0, 0.25, 1.5, 9}, 1, 7, 1)
		y := emptyF32(1, 1, 7, 1)
		op := testOp{op: "RNN", in: []*tensor.Tensor{x, tensor.FromSlice([]float32{1}, 1, 1, 1), tensor.FromSlice([]float32{1}, 1, 1, 1)},
			out: []*tensor.Tensor{y}, attrs: model.Attrs{"hidden_size": model.IntAttr(1), "clip": model.FloatAttr(8),
				"activations": {Kind: model.AttrStrings, Strs: []string{c.name}}}}
		if c.alpha != nil {
			op.attrs["activation_alpha"] = model.FloatsAttr(c.alpha...)
		}
		if c.beta != nil {
			op.attrs["activation_beta"] = model.FloatsAttr(c.beta...)
		}
		op.run(t)
		var want []float64
		for _, v := range x.F32() {
			want = append(want, c.f(min(max(float64(v), -8), 8)))
		}
		nearF32(t, c.name, y.F32(), want, 1e-6)
	}
}

func TestRecurrentRejects(t *testing.T) {
	f := func(shape ...int) *tensor.Tensor { return randF32(1, shape...) }
	for i, c := range []testOp{
		{op: "LSTM", in: []*tensor.Tensor{f(2, 3, 4), f(1, 20, 4), f(1, 20, 6)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 5)}},
		{op: "LSTM", in: []*tensor.Tensor{f(2, 3, 4), f(1, 20, 4), f(1, 20, 5), f(1, 20)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 5)}},
		{op: "GRU", in: []*tensor.Tensor{f(2, 3, 4), f(2, 15, 4), f(2, 15, 5)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 5)}},
		{op: "RNN", in: []*tensor.Tensor{f(2, 4), f(1, 5, 4), f(1, 5, 5)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 5)}},
		{op: "RNN", in: []*tensor.Tensor{f(2, 3, 4), f(1, 5, 4), f(1, 5, 5)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 6)}},
		{op: "RNN", in: []*tensor.Tensor{f(2, 3, 4), f(1, 5, 4), f(1, 5, 5), nil, f(3)}, out: []*tensor.Tensor{emptyF32(2, 1, 3, 5)}},
	} {
		if _, _, err := c.bind(t); err == nil {
			t.Errorf("case %d is accepted", i)
		}
	}
	long := testOp{op: "RNN", in: []*tensor.Tensor{f(2, 1, 4), f(1, 5, 4), f(1, 5, 5), nil, tensor.FromSlice([]int32{3}, 1)}, out: []*tensor.Tensor{emptyF32(2, 1, 1, 5)}}
	_, run, err := long.bind(t)
	if err != nil {
		t.Fatal(err)
	}
	if run() == nil {
		t.Error("a sequence of 3 of 2 steps is accepted")
	}
}
