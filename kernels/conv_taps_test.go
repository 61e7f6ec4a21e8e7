package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func tapWindows() []Window {
	return []Window{
		window(7, 7, 3, 3, 1, 1, 1), window(7, 9, 3, 3, 2, 1, 1), window(14, 15, 5, 5, 1, 1, 2), window(5, 30, 5, 5, 2, 1, 2),
		window(20, 20, 3, 3, 1, 2, 2), window(3, 26, 1, 7, 1, 1, 3), window(8, 8, 2, 2, 2, 1, 0), window(1, 1, 1, 1, 1, 1, 0),
		{H: 4, W: 6, OH: 7, OW: 9, KH: 2, KW: 3, StrideH: 1, StrideW: 2, DilationH: 2, DilationW: 1, PadTop: 3, PadLeft: 5},
		{H: 4, W: 5, OH: 2, OW: 3, KH: 2, KW: 2, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: -1, PadLeft: -1},
		window(40, 40, 39, 39, 1, 1, 19),
		{H: 0, W: 5, OH: 2, OW: 5, KH: 2, KW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1},
	}
}

// eachTap calls f for the elements inside the image that output (y, x) sees.
func eachTap(g *Window, y, x int, f func(i, j, at int)) {
	for i := range g.KH {
		for j := range g.KW {
			sy, sx := y*g.StrideH-g.PadTop+i*g.DilationH, x*g.StrideW-g.PadLeft+j*g.DilationW
			if sy >= 0 && sy < g.H && sx >= 0 && sx < g.W {
				f(i, j, sy*g.W+sx)
			}
		}
	}
}

func TestChannelConv(t *testing.T) {
	acts := []Activation{{}, {Kind: ActRelu}, {Kind: ActClip, Alpha: -0.5, Beta: 1}, {Kind: ActLeakyRelu, Alpha: 0.25}, {Kind: ActSwish}}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 1))
		for n, g := range tapWindows() {
			for _, c := range []int{1, 7, 8, 16, 21, 48, 58} {
				act := acts[(n+c)%len(acts)]
				name := fmt.Sprintf("%+v x %d %v", g, c, act)
				src, w, bias := randomF32(r, g.H*g.W*c), randomF32(r, g.KH*g.KW*c).V, randomF32(r, c).V
				dst := randomF32(r, g.OH*g.OW*c)
				v := NewChannelConv(&g, c, w, bias, act)
				v.Run(dst.V, src.V, 0, g.OH/2)
				v.Run(dst.V, src.V, g.OH/2, g.OH)
				dst.check(t, name)
				for o, got := range dst.V {
					y, x, k := o/c/g.OW, o/c%g.OW, o%c
					want := float64(bias[k])
					eachTap(&g, y, x, func(i, j, at int) { want += float64(w[(i*g.KW+j)*c+k]) * float64(src.V[at*c+k]) })
					out := []float32{float32(want)}
					activateGeneric(out, out, act)
					if !near(float64(got), float64(out[0]), float64(10+g.KH*g.KW), 1e-6) {
						t.Fatalf("%s: [%d,%d,%d] = %v, want %v", name, y, x, k, got, out[0])
					}
				}
				if n := testing.AllocsPerRun(1, func() { v.Run(dst.V, src.V, 0, g.OH) }); n != 0 {
					t.Errorf("%s: %v allocations", name, n)
				}
			}
		}
	})
}

func TestChannelPools(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 2))
		for _, g := range tapWindows() {
			for _, c := range []int{1, 8, 21, 58} {
				name := fmt.Sprintf("%+v x %d", g, c)
				src := randomF32(r, g.H*g.W*c)
				if len(src.V) > 5 {
					src.V[5] = float32(math.NaN()) // never the largest
				}
				largest, mean := randomF32(r, g.OH*g.OW*c), randomF32(r, g.OH*g.OW*c)
				divisors := make([]float32, g.OH*g.OW)
				for i := range divisors {
					divisors[i] = float32(1 + i/3%4)
				}
				NewMaxPool(&g, c).Run(largest.V, src.V, 0, g.OH)
				NewMeanPool(&g, c, divisors).Run(mean.V, src.V, 0, g.OH)
				largest.check(t, name)
				mean.check(t, name)
				for o, got := range largest.V {
					y, x, k := o/c/g.OW, o/c%g.OW, o%c
					top, sum := float32(math.Inf(-1)), 0.0
					eachTap(&g, y, x, func(_, _, at int) {
						v := src.V[at*c+k]
						if v > top {
							top = v
						}
						sum += float64(v)
					})
					if got != top {
						t.Fatalf("%s: the largest at [%d,%d,%d] is %v, want %v", name, y, x, k, got, top)
					}
					if want := sum / float64(divisors[o/c]); !near(float64(mean.V[o]), want, float64(10+g.KH*g.KW), 1e-6) {
						t.Fatalf("%s: the mean at [%d,%d,%d] is %v, want %v", name, y, x, k, mean.V[o], want)
					}
				}
			}
		}
	})
}

func benchChannelConv(b *testing.B, g Window, c int) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			src, w, dst := randomF32(r, g.H*g.W*c).V, randomF32(r, g.KH*g.KW*c).V, randomF32(r, g.OH*g.OW*c).V
			v := NewChannelConv(&g, c, w, nil, Activation{Kind: ActRelu})
			for b.Loop() {
				v.Run(dst, src, 0, g.OH)
			}
			b.ReportMetric(float64(len(dst)*g.KH*g.KW)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkChannelConv112(b *testing.B) { benchChannelConv(b, window(112, 112, 3, 3, 1, 1, 1), 24) }
func BenchmarkChannelConv56(b *testing.B)  { benchChannelConv(b, window(56, 56, 3, 3, 2, 1, 1), 96) }
func BenchmarkChannelConv14(b *testing.B)  { benchChannelConv(b, window(14, 14, 3, 3, 1, 1, 1), 384) }
func BenchmarkChannelConv58(b *testing.B)  { benchChannelConv(b, window(52, 52, 3, 3, 1, 1, 1), 58) }
func BenchmarkChannelConv5(b *testing.B)   { benchChannelConv(b, window(26, 26, 5, 5, 1, 1, 2), 96) }
