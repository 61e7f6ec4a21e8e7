package kernels

import (
	"slices"
	"testing"
)

func TestRunQuantized(t *testing.T) {
	for _, f := range []Format{D8, D4, D3, D2} {
		const n, k, rows = 37, 96, 9
		w, x := make([]float32, n*k), make([]float32, rows*k)
		for i := range w {
			w[i] = float32(i*7919%211)/105 - 1
		}
		for i := range x {
			x[i] = float32(i*104729%223)/111 - 1
		}
		clear(x[GroupLen : 2*GroupLen])
		data := make([]byte, f.Bytes(n, k))
		if err := Quantize(data, f, DefaultLevels(f), w, n, k, nil, nil); err != nil {
			t.Fatal(err)
		}
		m := NewMatMul(nil, Weights{Kind: KindD8 + Kind(f-D8), N: n, K: k, Data: data, Levels: DefaultLevels(f)}, nil, Activation{Kind: ActRelu})
		scratch := make([]byte, m.ScratchBytes(rows))
		want, got := make([]float32, rows*n), make([]float32, rows*n)
		m.Run(want, n, x, k, rows, scratch)
		acts := make([]byte, rows*Groups(k)*ActBytes)
		for i := range rows {
			QuantizeRow(acts[i*Groups(k)*ActBytes:], x[i*k:(i+1)*k])
		}
		for _, b := range acts[ActBytes : 2*ActBytes] {
			if b != 0 {
				t.Errorf("%v: a group of zeros is not all zero bytes", f)
				break
			}
		}
		m.RunQuantized(got, n, acts, rows, scratch)
		if !slices.Equal(got, want) {
			t.Errorf("%v: the results differ", f)
		}
	}
}
