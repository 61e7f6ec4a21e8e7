package runtime

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// attnCase is one use of Attention.
type attnCase struct {
	name                string
	batch, q, k         int // heads
	queries, keys, past int
	dim, dimV           int
	four                bool // operands of four axes
	mask                []int
	boolMask            bool
	causal, window      int
	softcap             float32
	lengths             []int64
}

// naive computes the output as [batch][head][query][dimV].
func (c *attnCase) naive(q, k, v func(b, h, t, d int) float64, mask func(b, h, t, s int) float64) []float64 {
	var out []float64
	total := c.past + c.keys
	for b := range c.batch {
		offset, visible := c.past, total
		if c.lengths != nil {
			visible = int(c.lengths[b])
			if c.past == 0 {
				offset = visible - c.queries
			}
		}
		for h := range c.q {
			kv := h / (c.q / c.k)
			for t := range c.queries {
				weights, sum := make([]float64, total), 0.0
				for s := range total {
					if s >= visible || c.causal != 0 && s > t+offset || c.window > 0 && s <= t+offset-c.window {
						continue
					}
					var dot float64
					for d := range c.dim {
						dot += q(b, h, t, d) * k(b, kv, s, d)
					}
					dot /= math.Sqrt(float64(c.dim))
					if c.softcap > 0 {
						dot = float64(c.softcap) * math.Tanh(dot/float64(c.softcap))
					}
					weights[s] = math.Exp(dot + mask(b, h, t, s))
					sum += weights[s]
				}
				for d := range c.dimV {
					var y float64
					for s, w := range weights {
						if w > 0 {
							y += w / sum * v(b, kv, s, d)
						}
					}
					out = append(out, y)
				}
			}
		}
	}
	return out
}

// operand makes a tensor of heads and its reader.
func (c *attnCase) operand(seed uint64, heads, tokens, dim int) (*tensor.Tensor, func(b, h, t, d int) float64) {
	if c.four {
		x := randF32(seed, c.batch, heads, tokens, dim)
		return x, func(b, h, t, d int) float64 { return float64(x.F32()[((b*heads+h)*tokens+t)*dim+d]) }
	}
	x := randF32(seed, c.batch, tokens, heads*dim)
	return x, func(b, h, t, d int) float64 { return float64(x.F32()[((b*tokens+t)*heads+h)*dim+d]) }
}

var attnCases = []attnCase{
	{name: "plain", batch: 2, q: 3, k: 3, queries: 5, keys: 7, dim: 8, dimV: 8},
	{name: "grouped, four axes", batch: 2, q: 6, k: 2, queries: 5, keys: 7, dim: 8, dimV: 5, four: true, causal: 1},
	{name: "long", batch: 1, q: 4, k: 2, queries: 150, keys: 150, dim: 16, dimV: 16, causal: 1},
	{name: "decode", batch: 2, q: 8, k: 2, queries: 1, keys: 300, dim: 16, dimV: 16, causal: 1, lengths: []int64{271, 3}},
	{name: "prefill", batch: 2, q: 4, k: 2, queries: 9, keys: 64, dim: 8, dimV: 8, causal: 1, lengths: []int64{40, 9}},
	{name: "window", batch: 1, q: 4, k: 4, queries: 70, keys: 200, dim: 8, dimV: 8, causal: 1, window: 13, lengths: []int64{190}},
	{name: "queries that see nothing", batch: 1, q: 2, k: 2, queries: 6, keys: 20, dim: 4, dimV: 4, causal: 1, lengths: []int64{2}},
	{name: "no keys", batch: 2, q: 2, k: 2, queries: 2, keys: 20, dim: 4, dimV: 4, lengths: []int64{0, 7}},
	{name: "mask and softcap", batch: 2, q: 4, k: 2, queries: 5, keys: 9, dim: 8, dimV: 8, mask: []int{2, 1, 5, 9}, softcap: 0.7},
	{name: "mask per head", batch: 2, q: 4, k: 2, queries: 1, keys: 9, dim: 8, dimV: 8, mask: []int{4, 1, 9}},
	{name: "short mask", batch: 1, q: 2, k: 2, queries: 5, keys: 9, dim: 8, dimV: 8, mask: []int{5, 6}},
	{name: "Boolean mask", batch: 2, q: 2, k: 2, queries: 5, keys: 9, dim: 8, dimV: 8, mask: []int{2, 1, 1, 9}, boolMask: true},
	{name: "past", batch: 2, q: 4, k: 2, queries: 3, keys: 3, past: 6, dim: 8, dimV: 4, causal: 1},
	{name: "past, four axes", batch: 2, q: 4, k: 2, queries: 3, keys: 3, past: 6, dim: 8, dimV: 4, causal: 1, four: true, mask: []int{3, 9}},
}

func TestAttention(t *testing.T) {
	for _, c := range attnCases {
		q, readQ := c.operand(1, c.q, c.queries, c.dim)
		k, readK := c.operand(2, c.k, c.keys, c.dim)
		v, readV := c.operand(3, c.k, c.keys, c.dimV)
		in := []*tensor.Tensor{q, k, v, nil, nil, nil, nil}
		mask := func(b, h, t, s int) float64 { return 0 }
		if c.mask != nil {
			m := randF32(4, c.mask...)
			shape := append(make([]int, 0, 4), []int{1, 1, 1, 1}[:4-len(c.mask)]...)
			shape = append(shape, c.mask...)
			values := make([]float64, m.Len())
			for i, f := range m.F32() {
				values[i] = float64(f)
			}
			in[3] = m
			if c.boolMask {
				in[3] = tensor.New(tensor.BOOL, c.mask...)
				for i, f := range m.F32() {
					in[3].Data[i] = 1
					if values[i] = 0; f < 0 {
						in[3].Data[i], values[i] = 0, math.Inf(-1)
					}
				}
			}
			mask = func(b, h, t, s int) float64 {
				if s >= shape[3] {
					return math.Inf(-1)
				}
				return values[((b%shape[0]*shape[1]+h%shape[1])*shape[2]+t%shape[2])*shape[3]+s]
			}
		}
		if c.past > 0 {
			four := c
			four.four = true
			pk, readPK := four.operand(5, c.k, c.past, c.dim)
			pv, readPV := four.operand(6, c.k, c.past, c.dimV)
			in[4], in[5] = pk, pv
			join := func(past, now func(b, h, t, d int) float64) func(b, h, t, d int) float64 {
				return func(b, h, t, d int) float64 {
					if t < c.past {
						return past(b, h, t, d)
					}
					return now(b, h, t-c.past, d)
				}
			}
			readK, readV = join(readPK, readK), join(readPV, readV)
		}
		attrs := model.Attrs{"is_causal": model.IntAttr(int64(c.causal)), "softcap": model.FloatAttr(c.softcap),
			"local_window_size": model.IntAttr(int64(c.window))}
		shape := []int{c.batch, c.q, c.queries, c.dimV}
		if !c.four {
			attrs["q_num_heads"], attrs["kv_num_heads"] = model.IntAttr(int64(c.q)), model.IntAttr(int64(c.k))
			shape = []int{c.batch, c.queries, c.q * c.dimV}
		}
		if c.lengths != nil {
			in[6] = tensor.FromSlice(c.lengths, c.batch)
		}
		want := c.naive(readQ, readK, readV, mask)
		for _, threads := range []int{1, 3} {
			y := emptyF32(shape...)
			scores := emptyF32(c.batch, c.q, c.queries, c.past+c.keys)
			op := testOp{op: "Attention", attrs: attrs, in: in, threads: threads, out: []*tensor.Tensor{y, nil, nil, scores}}
			attrs["qk_matmul_output_mode"] = model.IntAttr(3)
			op.run(t)
			got := make([]float32, 0, y.Len())
			for i := range c.batch * c.q * c.queries {
				b, h, tok := i/(c.q*c.queries), i/c.queries%c.q, i%c.queries
				from := i * c.dimV
				if !c.four {
					from = ((b*c.queries+tok)*c.q + h) * c.dimV
				}
				got = append(got, y.F32()[from:from+c.dimV]...)
			}
			nearF32(t, c.name, got, want, 1e-5)
			// The scores after softmax give the output again.
			var again []float64
			total := c.past + c.keys
			for r := range c.batch * c.q * c.queries {
				b, h := r/(c.q*c.queries), r/c.queries%c.q
				for d := range c.dimV {
					var sum float64
					for s := range total {
						sum += float64(scores.F32()[r*total+s]) * readV(b, h/(c.q/c.k), s, d)
					}
					again = append(again, sum)
				}
			}
			nearF32(t, c.name+": scores", got, again, 1e-5)
			if n := op.allocs(t); n != 0 {
				t.Errorf("%s, %d threads: %v allocations", c.name, threads, n)
			}
		}
	}
}

func TestAttentionPresent(t *testing.T) {
	k, v := randF32(1, 1, 2, 6), randF32(2, 1, 2, 4)
	pk, pv := randF32(3, 1, 2, 3, 3), randF32(4, 1, 2, 3, 2)
	out := []*tensor.Tensor{emptyF32(1, 2, 4), emptyF32(1, 2, 5, 3), emptyF32(1, 2, 5, 2)}
	(&testOp{op: "Attention", in: []*tensor.Tensor{randF32(5, 1, 2, 6), k, v, nil, pk, pv}, out: out,
		attrs: model.Attrs{"q_num_heads": model.IntAttr(2), "kv_num_heads": model.IntAttr(2)}}).run(t)
	for h := range 2 {
		for s := range 5 {
			for d := range 3 {
				want := float32(0)
				if s < 3 {
					want = pk.F32()[(h*3+s)*3+d]
				} else {
					want = k.F32()[(s-3)*6+h*3+d]
				}
				if got := out[1].F32()[(h*5+s)*3+d]; got != want {
					t.Fatalf("present key of head %d, token %d, element %d is %v, want %v", h, s, d, got, want)
				}
			}
		}
	}
}

func TestAttentionRejects(t *testing.T) {
	f := func(shape ...int) *tensor.Tensor { return randF32(1, shape...) }
	heads := func(q, k int64) model.Attrs {
		return model.Attrs{"q_num_heads": model.IntAttr(q), "kv_num_heads": model.IntAttr(k)}
	}
	y := []*tensor.Tensor{emptyF32(1, 2, 8)}
	for i, c := range []testOp{
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8)}, out: y},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8)}, out: y, attrs: heads(3, 3)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 4, 8)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 4), f(1, 3, 8)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(2, 3, 8), f(2, 3, 8)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8), f(2, 4)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8), f(3)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8), nil, f(1, 2, 3, 4)}, out: y, attrs: heads(2, 2)},
		{in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8), nil, nil, nil, f(1)}, out: y, attrs: heads(2, 2)},
	} {
		c.op = "Attention"
		if _, _, err := c.bind(t); err == nil {
			t.Errorf("case %d is accepted", i)
		}
	}
	for _, n := range []int64{-1, 4} {
		c := testOp{op: "Attention", in: []*tensor.Tensor{f(1, 2, 8), f(1, 3, 8), f(1, 3, 8), nil, nil, nil, tensor.FromSlice([]int64{n}, 1)},
			out: y, attrs: heads(2, 2)}
		_, run, err := c.bind(t)
		if err != nil {
			t.Fatal(err)
		}
		if run() == nil {
			t.Errorf("a length of %d for 3 keys is accepted", n)
		}
	}
}

func TestRotaryEmbedding(t *testing.T) {
	const batch, tokens, n, dim, half = 2, 3, 4, 10, 3
	cos, sin := randF32(1, 20, half), randF32(2, 20, half)
	ids := []int64{0, 5, 19, 7, 7, 1}
	for _, interleaved := range []int64{0, 1} {
		x := randF32(3, batch, tokens, n*dim)
		var want []float64
		for i, v := range x.F32() {
			t, d := i/(n*dim), i%dim
			pair, first := d, d < half
			if interleaved != 0 {
				pair, first = d/2, d%2 == 0
			} else if !first {
				pair = d - half
			}
			if d >= 2*half {
				want = append(want, float64(v))
				continue
			}
			c, s := float64(cos.F32()[int(ids[t])*half+pair]), float64(sin.F32()[int(ids[t])*half+pair])
			other := map[bool]int{true: half, false: -half}[first]
			if interleaved != 0 {
				other = map[bool]int{true: 1, false: -1}[first]
			}
			o := float64(x.F32()[i+other])
			if first {
				want = append(want, float64(v)*c-o*s)
			} else {
				want = append(want, o*s+float64(v)*c)
			}
		}
		y := emptyF32(batch, tokens, n*dim)
		op := testOp{op: "RotaryEmbedding", in: []*tensor.Tensor{x, cos, sin, tensor.FromSlice(ids, batch, tokens)}, out: []*tensor.Tensor{y},
			attrs: model.Attrs{"num_heads": model.IntAttr(n), "rotary_embedding_dim": model.IntAttr(2 * half), "interleaved": model.IntAttr(interleaved)}}
		op.run(t)
		nearF32(t, fmt.Sprint("interleaved ", interleaved), y.F32(), want, 1e-6)
		op.in[3] = tensor.FromSlice([]int64{0, 1, 2, 3, 4, 20}, batch, tokens)
		_, run, err := op.bind(t)
		if err != nil {
			t.Fatal(err)
		}
		if run() == nil {
			t.Error("a position beyond the caches is accepted")
		}
	}
}

func TestTensorScatter(t *testing.T) {
	for _, state := range []bool{false, true} {
		for _, c := range []struct {
			mode string
			at   []int64
			ok   bool
		}{{"linear", []int64{0, 3}, true}, {"linear", []int64{4, 0}, false}, {"linear", []int64{-1, 0}, false},
			{"circular", []int64{4, 3}, true}, {"circular", []int64{5, 0}, false}} {
			cache, update := randF32(1, 2, 3, 5, 4), randF32(2, 2, 3, 2, 4)
			want := bytes.Clone(cache.Data)
			for b := range 2 {
				for h := range 3 {
					for r := range 2 {
						to := ((b*3+h)*5 + (int(c.at[b])+r+5)%5) * 16
						copy(want[to:to+16], update.Data[((b*3+h)*2+r)*16:])
					}
				}
			}
			op := testOp{op: "TensorScatter", in: []*tensor.Tensor{cache, update, tensor.FromSlice(c.at, 2)},
				out: []*tensor.Tensor{emptyF32(2, 3, 5, 4)}, attrs: model.Attrs{"mode": model.StringAttr(c.mode)}}
			if state {
				op.state = []int{0}
			}
			before := bytes.Clone(cache.Data)
			_, run, err := op.bind(t)
			if err != nil {
				t.Fatal(err)
			}
			err = run()
			switch {
			case !c.ok && err == nil:
				t.Errorf("%s from %v is accepted", c.mode, c.at)
			case c.ok && err != nil:
				t.Error(err)
			case c.ok && !bytes.Equal(op.out[0].Data, want):
				t.Errorf("%s from %v: wrong result", c.mode, c.at)
			}
			if !(state && c.ok) && !bytes.Equal(cache.Data, before) {
				t.Errorf("%s from %v: the cache has changed", c.mode, c.at)
			}
		}
	}
}
