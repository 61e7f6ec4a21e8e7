package kernels

import (
	"fmt"
	randv1 "math/rand"
	"math/rand/v2"
	"testing"
)

// convCase is a convolution of an image with c channels by n filters.
type convCase struct {
	Window
	c, n   int
	planes bool
	act    Activation
	z      bool
}

// convRef is one output by the formula of ImageConv, in float64, and the sum of magnitudes.
func convRef(k *convCase, src, w, bias, z []float32, y, x, n int) (sum, size float64) {
	for i := range k.KH {
		for j := range k.KW {
			sy, sx := y*k.StrideH-k.PadTop+i*k.DilationH, x*k.StrideW-k.PadLeft+j
			if sy < 0 || sy >= k.H || sx < 0 || sx >= k.W {
				continue
			}
			for c := range k.c {
				at := (sy*k.W+sx)*k.c + c
				if k.planes {
					at = (c*k.H+sy)*k.W + sx
				}
				p := float64(w[((n*k.KH+i)*k.KW+j)*k.c+c]) * float64(src[at])
				sum += p
				size += max(p, -p)
			}
		}
	}
	sum += float64(bias[n])
	if k.z {
		sum += float64(z[(y*k.OW+x)*k.n+n])
	}
	out := []float32{float32(sum)}
	activateGeneric(out, out, k.act)
	return float64(out[0]), size
}

func convCases() []convCase {
	relu, clip, leaky := Activation{Kind: ActRelu}, Activation{Kind: ActClip, Alpha: -1, Beta: 2}, Activation{Kind: ActLeakyRelu, Alpha: 0.1}
	swish := Activation{Kind: ActSwish}
	asym := Window{H: 6, W: 9, OH: 5, OW: 7, KH: 2, KW: 3, StrideH: 1, StrideW: 2, DilationH: 2, DilationW: 1, PadTop: 1, PadLeft: 4}
	cropped := Window{H: 9, W: 9, OH: 5, OW: 5, KH: 3, KW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: -1, PadLeft: -1}
	return []convCase{
		{window(5, 7, 1, 1, 1, 1, 0), 3, 5, false, relu, true}, {window(9, 14, 1, 1, 1, 1, 0), 40, 96, false, swish, true},
		{window(8, 9, 1, 1, 2, 1, 0), 16, 33, false, clip, false}, {window(12, 25, 3, 3, 1, 1, 1), 16, 16, false, relu, true},
		{window(12, 13, 3, 3, 2, 1, 1), 24, 58, false, leaky, false}, {window(7, 7, 3, 3, 1, 1, 1), 64, 48, false, Activation{}, true},
		{window(16, 20, 3, 3, 2, 1, 1), 3, 24, true, relu, false}, {window(23, 21, 7, 7, 2, 1, 3), 3, 64, true, swish, false},
		{window(9, 8, 5, 5, 1, 1, 2), 1, 1, true, leaky, false}, {window(6, 6, 2, 2, 1, 1, 0), 4, 17, true, relu, false},
		{window(6, 7, 3, 3, 1, 1, 0), 8, 31, false, relu, false}, {window(1, 1, 3, 3, 1, 1, 1), 8, 8, false, relu, false},
		{window(3, 900, 3, 3, 1, 1, 1), 64, 20, false, relu, false}, {window(9, 11, 1, 1, 3, 1, 1), 3, 35, true, relu, true}, {window(9, 10, 1, 1, 2, 1, 2), 12, 16, false, swish, true}, {asym, 6, 40, false, relu, true}, {cropped, 5, 16, false, clip, false},
		{window(300, 3, 1, 1, 1, 1, 0), 700, 3, false, Activation{Kind: ActLeakyRelu, Alpha: 2}, false},
	}
}

func TestImageConv(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i, k := range convCases() {
			testImageConv(t, r, &k, KindF32)
			if k.OH*k.OW*k.n*k.KH*k.KW*k.c < 1<<20 {
				testImageConv(t, r, &k, []Kind{KindF16, KindBF16, KindD8, KindD3}[i%4])
			}
		}
	})
}

func testImageConv(t *testing.T, r *rand.Rand, k *convCase, kind Kind) {
	name := fmt.Sprintf("%v %+v", kind, *k)
	depth := k.KH * k.KW * k.c
	var weights Weights
	var w []float32
	if f := kind.Format(); f != 0 {
		weights = randPanels(f, k.n, depth, randv1.New(randv1.NewSource(r.Int64())))
		w = make([]float32, k.n*depth)
		for n := range k.n {
			DequantizeRow(w[n*depth:(n+1)*depth], weights.Data, f, weights.Levels, n, depth)
		}
	} else {
		weights, w = floatWeights(r, kind, k.n, depth)
	}
	src, bias := randomF32(r, k.H*k.W*k.c), randomF32(r, k.n).V
	dst, z := randomF32(r, k.OH*k.OW*k.n), randomF32(r, k.OH*k.OW*k.n)
	var zs []float32
	if k.z {
		zs = z.V
	}
	v := NewImageConv(&k.Window, k.c, weights, bias, k.act, k.planes)
	scratch := newGuarded(v.ScratchBytes(), byte(0xa5))
	for i := range scratch.V {
		scratch.V[i] = 0xff // NaN
	}
	run := func() {
		p, u := v.Panels()/2, v.Units()/3
		v.Run(dst.V, src.V, zs, 0, u, 0, v.Panels(), scratch.V)
		v.Run(dst.V, src.V, zs, u, v.Units(), 0, p, scratch.V)
		v.Run(dst.V, src.V, zs, u, v.Units(), p, v.Panels(), scratch.V)
	}
	run()
	dst.check(t, name)
	scratch.check(t, name)
	for i, got := range dst.V {
		y, x, n := i/k.n/k.OW, i/k.n%k.OW, i%k.n
		if want, size := convRef(k, src.V, w, bias, zs, y, x, n); !near(float64(got), want, size, 1e-5) {
			t.Fatalf("%s: [%d,%d,%d] = %v, want %v", name, y, x, n, got, want)
		}
	}
	if n := testing.AllocsPerRun(1, run); n != 0 {
		t.Errorf("%s: %v allocations", name, n)
	}
}

// packedF32 packs n rows into panels.
func packedF32(w []float32, n int) []byte {
	k := len(w) / n
	out := make([]float32, Panels(n)*PanelRows*k)
	PackPanel16(out, w, n, k, k, 1)
	return bytesOf(out)
}

func benchImageConv(b *testing.B, g Window, c, n int) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			src, w, dst := randomF32(r, g.H*g.W*c).V, randomF32(r, n*g.KH*g.KW*c).V, randomF32(r, g.OH*g.OW*n).V
			v := NewImageConv(&g, c, Weights{Kind: KindF32, N: n, K: g.KH * g.KW * c, Data: packedF32(w, n)}, nil, Activation{Kind: ActRelu}, c == 3)
			scratch := bytesOf(make([]float32, v.ScratchBytes()/4))
			for b.Loop() {
				v.Run(dst, src, nil, 0, v.Units(), 0, v.Panels(), scratch)
			}
			b.ReportMetric(float64(len(dst)*len(w)/n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkImageConv3(b *testing.B)   { benchImageConv(b, window(224, 224, 3, 3, 2, 1, 1), 3, 24) }
func BenchmarkImageConv16(b *testing.B)  { benchImageConv(b, window(32, 32, 3, 3, 1, 1, 1), 16, 16) }
func BenchmarkImageConv64(b *testing.B)  { benchImageConv(b, window(56, 56, 3, 3, 1, 1, 1), 64, 64) }
func BenchmarkImageConv512(b *testing.B) { benchImageConv(b, window(7, 7, 3, 3, 1, 1, 1), 512, 512) }
func BenchmarkImageConv1x1x2(b *testing.B) {
	benchImageConv(b, window(14, 14, 1, 1, 2, 1, 0), 1024, 2048)
}
func BenchmarkImageConv1x1(b *testing.B)  { benchImageConv(b, window(28, 28, 1, 1, 1, 1, 0), 128, 256) }
func BenchmarkImageConv1x1s(b *testing.B) { benchImageConv(b, window(14, 14, 1, 1, 1, 1, 0), 384, 384) }
