package kernels

import (
	"fmt"
	"math"
	randv1 "math/rand"
	"math/rand/v2"
	"testing"
)

// blockCases are convolutions by quantized filters: channels in halves of groups and not, strides, gaps, sources of every kind.
func blockCases() []convCase {
	relu, clip, leaky := Activation{Kind: ActRelu}, Activation{Kind: ActClip, Alpha: -1, Beta: 2}, Activation{Kind: ActLeakyRelu, Alpha: 0.1}
	swish := Activation{Kind: ActSwish}
	gaps := Window{H: 9, W: 13, OH: 4, OW: 5, KH: 3, KW: 3, StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 2, PadTop: 1, PadLeft: 1}
	asym := Window{H: 6, W: 9, OH: 5, OW: 7, KH: 2, KW: 3, StrideH: 1, StrideW: 2, DilationH: 2, DilationW: 1, PadTop: 1, PadLeft: 4}
	tall := Window{H: 14, W: 6, OH: 4, OW: 4, KH: 2, KW: 3, StrideH: 4, StrideW: 1, DilationH: 1, DilationW: 1}
	cropped := Window{H: 9, W: 9, OH: 5, OW: 5, KH: 3, KW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: -1, PadLeft: -1}
	return []convCase{
		{window(12, 25, 3, 3, 1, 1, 1), 16, 16, false, relu, true}, {window(16, 16, 3, 3, 1, 1, 1), 32, 48, false, clip, true},
		{window(9, 8, 3, 3, 1, 1, 1), 64, 20, false, leaky, false}, {window(9, 8, 3, 3, 1, 1, 1), 48, 16, false, Activation{}, true},
		{window(12, 13, 3, 3, 2, 1, 1), 16, 33, false, swish, true}, {window(16, 20, 3, 3, 2, 1, 1), 3, 24, true, relu, false},
		{window(8, 9, 1, 1, 2, 1, 0), 16, 33, false, clip, false}, {window(9, 11, 1, 1, 3, 1, 1), 24, 35, false, relu, true},
		{window(9, 10, 1, 1, 1, 1, 0), 96, 40, false, relu, true}, {window(7, 7, 1, 1, 1, 1, 0), 58, 58, false, swish, true},
		{window(6, 7, 3, 3, 1, 1, 0), 16, 17, false, relu, false}, {window(6, 6, 2, 2, 1, 1, 0), 20, 17, false, relu, false},
		{window(5, 6, 3, 3, 1, 1, 0), 32, 16, true, relu, false}, {window(1, 1, 3, 3, 1, 1, 1), 16, 8, false, relu, false},
		{window(2, 3, 5, 5, 1, 1, 4), 16, 3, false, Activation{Kind: ActLeakyRelu, Alpha: 2}, true}, {window(300, 3, 3, 1, 1, 1, 1), 80, 40, false, relu, false},
		{window(7, 7, 3, 3, 1, 3, 3), 16, 16, false, relu, false}, {gaps, 16, 40, false, relu, true}, {gaps, 5, 16, true, relu, false},
		{asym, 48, 40, false, relu, true}, {tall, 32, 16, false, relu, false}, {cropped, 16, 16, false, clip, false},
		{window(64, 64, 3, 3, 1, 1, 1), 112, 16, false, relu, false},
	}
}

// blockRef is the convolution by its definition: receptive fields gathered, quantized in groups and multiplied.
func blockRef(k *convCase, w *Weights, src, bias, z []float32) []float32 {
	out := make([]float32, k.OH*k.OW*k.n)
	field := make([]float32, w.K)
	groups := Groups(w.K)
	acts := make([]actBlock, groups)
	f := w.Kind.Format()
	lut := newPanelLUT(f, w.Levels)
	var tile [PanelRows]float32
	for o := range k.OH * k.OW {
		at := 0
		for i := range k.KH {
			for j := range k.KW {
				y, x := o/k.OW*k.StrideH-k.PadTop+i*k.DilationH, o%k.OW*k.StrideW-k.PadLeft+j*k.DilationW
				for c := range k.c {
					field[at] = 0
					if y >= 0 && y < k.H && x >= 0 && x < k.W {
						if k.planes {
							field[at] = src[(c*k.H+y)*k.W+x]
						} else {
							field[at] = src[(y*k.W+x)*k.c+c]
						}
					}
					at++
				}
			}
		}
		for g := range groups {
			var values [GroupLen]float32
			copy(values[:], field[g*GroupLen:])
			quantizeActsGroup(&acts[g], &values)
		}
		for p := range Panels(k.n) {
			panelDotGeneric(tile[:], PanelRows, w.Data[p*f.PanelBytes(w.K):], f, &lut, acts, groups, 1)
			for r := range min(PanelRows, k.n-p*PanelRows) {
				n := p*PanelRows + r
				v := tile[r]
				if bias != nil {
					v += bias[n]
				}
				if z != nil {
					v += z[o*k.n+n]
				}
				out[o*k.n+n] = v
			}
		}
	}
	if k.act.Kind != ActNone {
		Activate(out, out, k.act)
	}
	return out
}

// Every implementation gives the bits of the definition, and stays inside its buffers.
func TestBlockConv(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		old := randv1.New(randv1.NewSource(5))
		for i, k := range blockCases() {
			f := formats[i%len(formats)]
			name := fmt.Sprintf("%v %+v", f, k)
			src, bias := randomF32(r, k.H*k.W*k.c), randomF32(r, k.n).V
			for i := range src.V {
				if r.IntN(3) == 0 {
					src.V[i] = 0
				}
			}
			if i%2 == 1 {
				bias = nil
			}
			if i%5 == 2 {
				src.V[r.IntN(len(src.V))] = float32(math.NaN())
				src.V[r.IntN(len(src.V))] = float32(math.Inf(-1))
				src.V[r.IntN(len(src.V))] = 1e-36
			}
			w := randPanels(f, k.n, k.KH*k.KW*k.c, old)
			dst, z := randomF32(r, k.OH*k.OW*k.n), randomF32(r, k.OH*k.OW*k.n)
			var zs []float32
			if k.z {
				zs = z.V
			}
			v := NewBlockConv(&k.Window, k.c, w, bias, k.act, k.planes, 2)
			scratch := newGuarded(v.ScratchBytes(), byte(0xa5))
			for i := range scratch.V {
				scratch.V[i] = 0xff // NaN
			}
			run := func() {
				p, u := v.Panels()/2, v.Units()/3
				v.Run(0, dst.V, src.V, zs, 0, u, 0, v.Panels(), scratch.V)
				v.Run(1, dst.V, src.V, zs, u, v.Units(), 0, p, scratch.V)
				v.Run(0, dst.V, src.V, zs, u, v.Units(), p, v.Panels(), scratch.V)
			}
			run()
			dst.check(t, name)
			scratch.check(t, name)
			want := blockRef(&k, &w, src.V, bias, zs)
			for i, got := range dst.V {
				if math.Float32bits(got) != math.Float32bits(want[i]) && (got == got || want[i] == want[i]) {
					t.Fatalf("%s: [%d,%d,%d] = %v, want %v", name, i/k.n/k.OW, i/k.n%k.OW, i%k.n, got, want[i])
				}
			}
			if n := testing.AllocsPerRun(1, run); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

func benchBlockConv(b *testing.B, f Format, g Window, c, n int) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			src, dst := randomF32(r, g.H*g.W*c).V, randomF32(r, g.OH*g.OW*n).V
			k := g.KH * g.KW * c
			w := randPanels(f, n, k, randv1.New(randv1.NewSource(1)))
			v := NewBlockConv(&g, c, w, nil, Activation{Kind: ActRelu}, c == 3, 1)
			scratch := bytesOf(make([]float32, v.ScratchBytes()/4+1))
			for b.Loop() {
				v.Run(0, dst, src, nil, 0, v.Units(), 0, v.Panels(), scratch)
			}
			b.ReportMetric(float64(len(dst)*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkBlockConv3(b *testing.B)  { benchBlockConv(b, D8, window(32, 32, 3, 3, 1, 1, 1), 3, 16) }
func BenchmarkBlockConv16(b *testing.B) { benchBlockConv(b, D8, window(32, 32, 3, 3, 1, 1, 1), 16, 16) }
func BenchmarkBlockConv32(b *testing.B) { benchBlockConv(b, D4, window(16, 16, 3, 3, 1, 1, 1), 32, 32) }
func BenchmarkBlockConv64(b *testing.B) { benchBlockConv(b, D4, window(8, 8, 3, 3, 1, 1, 1), 64, 64) }
func BenchmarkBlockConv256(b *testing.B) {
	benchBlockConv(b, D4, window(14, 14, 3, 3, 1, 1, 1), 256, 256)
}
func BenchmarkBlockConv1x1(b *testing.B) {
	benchBlockConv(b, D4, window(28, 28, 1, 1, 1, 1, 0), 128, 256)
}
