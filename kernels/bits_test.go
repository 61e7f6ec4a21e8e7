package kernels

import (
	"hash/crc32"
	"testing"
)

// exactBits are checksums of results that all implementations in assembly share, on amd64 and arm64: whoever evaluates a
// model on both sees the same figures.
var exactBits = map[string]uint32{
	"Dot, SumRow":     0x02e22163,
	"Gemm":            0xbc641d32,
	"float panels":    0xeca09bd8,
	"quantized":       0x80580196,
	"SoftmaxRow":      0xbae013a6,
	"RMSNormRow":      0x20716a3e,
	"activations":     0x500dfd8a,
	"DepthwiseConv2D": 0xc31ce272,
	"Attention":       0x4692e7e2,
}

// plainF32 returns n numbers in [-1, 1) that need no function of math, whose forms differ.
func plainF32(n, seed int) []float32 {
	x := make([]float32, n)
	u := uint32(seed)*2654435761 + 12345
	for i := range x {
		u = u*1664525 + 1013904223
		x[i] = float32(int32(u)>>8) / (1 << 23)
	}
	return x
}

func TestBitsAcrossArchitectures(t *testing.T) {
	defer Reset()
	for _, name := range List()[1:] {
		if err := Select(name); err != nil {
			t.Fatal(err)
		}
		got := exactResults()
		for what, want := range exactBits {
			if sum := crc32.ChecksumIEEE(bytesOf(got[what])); sum != want {
				t.Errorf("%s: %s has checksum %#08x, want %#08x", name, what, sum, want)
			}
		}
	}
}

// exactResults computes what exactBits has the checksums of.
func exactResults() map[string][]float32 {
	out := map[string][]float32{}
	x, y := plainF32(4000, 1), plainF32(20000, 2)
	for n := range 200 {
		out["Dot, SumRow"] = append(out["Dot, SumRow"], Dot(x[:n], y[:n]), SumRow(x[:n]))
	}
	for _, trans := range []bool{false, true} {
		const m, n, k = 13, 37, 65
		dst := make([]float32, m*n)
		ldb := n
		if trans {
			ldb = k
		}
		Gemm(dst, n, x, k, y, ldb, trans, m, n, k, make([]byte, GemmScratchBytes(n, k)))
		out["Gemm"] = append(out["Gemm"], dst...)
	}
	for _, rows := range []int{1, 7} {
		const n, k = 75, 130
		run := func(m *MatMul) []float32 {
			dst := make([]float32, rows*n)
			m.Run(dst, n, x, k, rows, make([]byte, m.ScratchBytes(rows)))
			return dst
		}
		for _, kind := range []Kind{KindF32, KindF16, KindBF16} {
			w := Weights{Kind: kind, N: n, K: k}
			panels := make([]float32, Panels(n)*PanelRows*k)
			PackPanel16(panels, y, n, k, k, 1)
			half := make([]uint16, len(panels))
			switch kind {
			case KindF32:
				w.Data = bytesOf(panels)
			case KindF16:
				NarrowF16(half, panels)
			case KindBF16:
				NarrowBF16(half, panels)
			}
			if kind != KindF32 {
				w.Data = make([]byte, 2*len(half))
				copy(halvesOf(w.Data), half)
			}
			out["float panels"] = append(out["float panels"], run(NewMatMul(nil, w, nil, Activation{}))...)
		}
		for _, f := range formats {
			w := Weights{Kind: quantized(f), N: n, K: k, Data: make([]byte, f.Bytes(n, k)), Levels: DefaultLevels(f)}
			if err := Quantize(w.Data, f, w.Levels, y[:n*k], n, k, nil, nil); err != nil {
				panic(err)
			}
			out["quantized"] = append(out["quantized"], run(NewMatMul(nil, w, nil, Activation{}))...)
		}
	}
	for _, n := range []int{5, 64, 333} {
		row := make([]float32, n)
		SoftmaxRow(row, x[:n])
		out["SoftmaxRow"] = append(out["SoftmaxRow"], row...)
		RMSNormRow(row, x[:n], y[:n], 1e-5)
		out["RMSNormRow"] = append(out["RMSNormRow"], row...)
		for _, a := range activations {
			Activate(row, y[:n], a)
			out["activations"] = append(out["activations"], row...)
		}
	}
	for _, g := range []Window{window(14, 15, 3, 3, 1, 1, 1), window(21, 20, 5, 5, 2, 1, 2)} {
		dst := make([]float32, g.OH*g.OW)
		DepthwiseConv2D(dst, y[:g.H*g.W], x[:g.KH*g.KW], 0.25, &g)
		out["DepthwiseConv2D"] = append(out["DepthwiseConv2D"], dst...)
	}
	for _, queries := range []int{1, 20} {
		a := Attention{Heads: 2, Queries: queries, Keys: 150, Dim: 20, DimV: 24, QueryHead: 20, DstHead: 24, Scale: 0.3, Causal: true, Offset: 150 - queries}
		dst := make([]float32, queries*2*24)
		a.Run(dst, 2*24, x, 2*20, FloatRows(y, 20), FloatRows(y[5000:], 24), AttentionMask{}, make([]byte, a.ScratchBytes()))
		out["Attention"] = append(out["Attention"], dst...)
	}
	return out
}
