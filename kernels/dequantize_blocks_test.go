package kernels

import (
	"math"
	"testing"
)

// TestBlocks: codes times scales are the weights, bit for bit, in all formats, with odd numbers of rows and columns.
func TestBlocks(t *testing.T) {
	const n, k = 19, 77
	src := make([]float32, n*k)
	x := uint32(1)
	for i := range src {
		x = x*1664525 + 1013904223
		src[i] = float32(int32(x)>>8) / (1 << 20)
	}
	for _, f := range []Format{D8, D4, D3, D2} {
		lv := DefaultLevels(f)
		data := make([]byte, f.Bytes(n, k))
		if err := Quantize(data, f, lv, src, n, k, nil, nil); err != nil {
			t.Fatal(err)
		}
		want, codes, scales := make([]float32, k), make([]byte, k), make([]byte, 4*Groups(k))
		for r := range n {
			DequantizeRow(want, data, f, lv, r, k)
			BlockCodes(codes, data, f, lv, r, k)
			BlockScales(scales, data, f, r, k)
			for i, w := range want {
				got := float32(int8(codes[i])) * getFloat32(scales[i/GroupLen*4:])
				if math.Float32bits(got) != math.Float32bits(w) {
					t.Fatalf("%v: weight [%d,%d] is %v, want %v", f, r, i, got, w)
				}
			}
		}
	}
}
