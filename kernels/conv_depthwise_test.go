package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// window fills in the output size of a window with the same padding on all sides.
func window(h, w, kh, kw, stride, dilation, pad int) Window {
	out := func(n, k int) int { return (n+2*pad-dilation*(k-1)-1)/stride + 1 }
	return Window{H: h, W: w, OH: out(h, kh), OW: out(w, kw), KH: kh, KW: kw, StrideH: stride, StrideW: stride,
		DilationH: dilation, DilationW: dilation, PadTop: pad, PadLeft: pad}
}

// depthwiseRef is one output by the formula of DepthwiseConv2D, in float64.
func depthwiseRef(src, w []float32, bias float32, g *Window, y, x int) float64 {
	sum := float64(bias)
	for i := range g.KH {
		for j := range g.KW {
			sy, sx := y*g.StrideH-g.PadTop+i*g.DilationH, x*g.StrideW-g.PadLeft+j*g.DilationW
			if sy >= 0 && sy < g.H && sx >= 0 && sx < g.W {
				sum += float64(w[i*g.KW+j]) * float64(src[sy*g.W+sx])
			}
		}
	}
	return sum
}

func TestDepthwiseConv2D(t *testing.T) {
	windows := []Window{
		window(7, 7, 3, 3, 1, 1, 1), window(7, 7, 3, 3, 2, 1, 1), window(14, 14, 5, 5, 1, 1, 2), window(14, 15, 5, 5, 2, 1, 2),
		window(56, 56, 3, 3, 1, 1, 1), window(112, 112, 3, 3, 2, 1, 1), window(80, 70, 3, 3, 1, 1, 0), window(31, 33, 3, 3, 2, 1, 0),
		window(20, 20, 3, 3, 1, 2, 2), window(21, 40, 3, 3, 2, 2, 2), window(30, 30, 4, 2, 3, 1, 1), window(9, 9, 9, 9, 1, 1, 4),
		window(1, 1, 1, 1, 1, 1, 0), window(2, 3, 3, 3, 1, 1, 3), window(5, 7000, 3, 3, 1, 1, 1), window(3, 100, 1, 7, 1, 1, 0),
		{H: 4, W: 6, OH: 7, OW: 9, KH: 2, KW: 3, StrideH: 1, StrideW: 2, DilationH: 2, DilationW: 1, PadTop: 3, PadLeft: 5},
		{H: 0, W: 5, OH: 2, OW: 5, KH: 2, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1},
	}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for i := range windows {
			g := &windows[i]
			src, w, dst := randomF32(r, g.H*g.W), randomF32(r, g.KH*g.KW), randomF32(r, g.OH*g.OW)
			DepthwiseConv2D(dst.V, src.V, w.V, 0.5, g)
			name := fmt.Sprintf("%+v", *g)
			dst.check(t, name)
			for i, v := range dst.V {
				if want := depthwiseRef(src.V, w.V, 0.5, g, i/g.OW, i%g.OW); !near(float64(v), want, 10, 1e-6) {
					t.Fatalf("%s: [%d,%d] = %v, want %v", name, i/g.OW, i%g.OW, v, want)
				}
			}
			if n := testing.AllocsPerRun(1, func() { DepthwiseConv2D(dst.V, src.V, w.V, 0.5, g) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

func benchDepthwise(b *testing.B, g Window) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			src, w, dst := randomF32(r, g.H*g.W).V, randomF32(r, g.KH*g.KW).V, randomF32(r, g.OH*g.OW).V
			for b.Loop() {
				DepthwiseConv2D(dst, src, w, 0, &g)
			}
			b.ReportMetric(float64(len(dst)*len(w))*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkDepthwise7(b *testing.B)        { benchDepthwise(b, window(7, 7, 3, 3, 1, 1, 1)) }
func BenchmarkDepthwise14(b *testing.B)       { benchDepthwise(b, window(14, 14, 3, 3, 1, 1, 1)) }
func BenchmarkDepthwise56(b *testing.B)       { benchDepthwise(b, window(56, 56, 3, 3, 1, 1, 1)) }
func BenchmarkDepthwise56Stride(b *testing.B) { benchDepthwise(b, window(112, 112, 3, 3, 2, 1, 1)) }
