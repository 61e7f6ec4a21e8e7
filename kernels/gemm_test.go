package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// gemmTol bounds the error of a float product, relative to the sum of the magnitudes of its terms:
// chains of rounded multiply-adds err by far less than k units of 2^-24.
const gemmTol = 2e-6

// productRef is sum_k a[i,k] b[k,j] in float64 and the sum of the magnitudes.
func productRef(a []float32, lda int, b func(k, j int) float32, i, j, k int) (sum, size float64) {
	for l := range k {
		p := float64(a[i*lda+l]) * float64(b(l, j))
		sum += p
		size += math.Abs(p)
	}
	return sum, size
}

func bytesOf(f []float32) []byte {
	if len(f) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), len(f)*4)
}

// gemmShapes lie around the tiles: 12 and 6 rows, 16, 32 and 128 columns, 384 deep, 512 rows.
var gemmShapes = []struct{ m, n, k int }{
	{1, 1, 1}, {1, 16, 3}, {1, 65, 7}, {2, 15, 5}, {3, 17, 255}, {5, 31, 256}, {6, 32, 385}, {7, 33, 64}, {11, 48, 9},
	{12, 64, 1}, {13, 47, 20}, {14, 32, 12}, {24, 32, 513}, {25, 63, 33}, {37, 100, 40}, {511, 5, 4}, {513, 33, 6}, {515, 130, 7}, {13, 129, 400}, {4, 8, 0}, {1, 8, 0},
}

func TestGemm(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range gemmShapes {
			for _, trans := range []bool{false, true} {
				pad := r.IntN(5)
				lda, ldb, ldd := s.k+pad, s.n+pad, s.n+pad
				brows := s.k
				if trans {
					ldb, brows = s.k+pad, s.n
				}
				a, b := randomF32(r, s.m*lda), randomF32(r, brows*ldb)
				dst := randomF32(r, (s.m-1)*ldd+s.n)
				size := GemmScratchBytes(s.n, s.k)
				if pad%2 == 1 {
					size = GemmPackBytes(s.m, s.n, s.k)
				}
				scratch := newGuarded(size, uint8(7))
				before := append([]float32(nil), dst.V...)
				Gemm(dst.V, ldd, a.V, lda, b.V, ldb, trans, s.m, s.n, s.k, scratch.V)
				name := fmt.Sprintf("%v trans %v", s, trans)
				dst.check(t, name)
				scratch.check(t, name)
				at := func(k, j int) float32 {
					if trans {
						return b.V[j*ldb+k]
					}
					return b.V[k*ldb+j]
				}
				for i, v := range dst.V {
					if i%ldd >= s.n {
						if v != before[i] {
							t.Fatalf("%s: written between rows at %d", name, i)
						}
						continue
					}
					want, size := productRef(a.V, lda, at, i/ldd, i%ldd, s.k)
					if !near(float64(v), want, size, gemmTol) {
						t.Fatalf("%s: [%d,%d] = %v, want %v", name, i/ldd, i%ldd, v, want)
					}
				}
			}
		}
	})
}

// floatWeights packs an n x k matrix as kind; vals are the values that it then has.
func floatWeights(r *rand.Rand, kind Kind, n, k int) (w Weights, vals []float32) {
	vals = randomF32(r, n*k).V
	w = Weights{Kind: kind, N: n, K: k}
	size := Panels(n) * PanelRows * k
	if kind == KindF32 {
		data := newGuarded(size, float32(math.NaN())).V
		PackPanel16(data, vals, n, k, k, 1)
		w.Data = bytesOf(data)
		return w, vals
	}
	half := make([]uint16, n*k)
	if kind == KindF16 {
		NarrowF16(half, vals)
		ExpandF16(vals, half)
	} else {
		NarrowBF16(half, vals)
		ExpandBF16(vals, half)
	}
	data := newGuarded(size, uint16(0x7fff)).V
	PackPanel16U16(data, half, n, k, k, 1)
	if size > 0 {
		w.Data = unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), size*2)
	}
	return w, vals
}

func TestPanelsFloat(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, kind := range []Kind{KindF32, KindF16, KindBF16} {
			for _, s := range gemmShapes {
				w, vals := floatWeights(r, kind, s.n, s.k)
				at := func(k, j int) float32 { return vals[j*s.k+k] }
				ldx, ldd := s.k+3, s.n+2
				x := randomF32(r, s.m*ldx)
				dst := randomF32(r, (s.m-1)*ldd+s.n)
				scratch := newGuarded(panelsFloatScratch(s.m, &w), uint8(9))
				name := fmt.Sprintf("kind %d %v", kind, s)
				before := append([]float32(nil), dst.V...)
				mid := Panels(s.n) / 2
				panelsFloat(dst.V, ldd, x.V, ldx, s.m, &w, mid, Panels(s.n), scratch.V)
				panelsFloat(dst.V, ldd, x.V, ldx, s.m, &w, 0, mid, scratch.V)
				dst.check(t, name)
				scratch.check(t, name)
				for i, v := range dst.V {
					if i%ldd >= s.n {
						if v != before[i] {
							t.Fatalf("%s: written between rows at %d", name, i)
						}
						continue
					}
					want, size := productRef(x.V, ldx, at, i/ldd, i%ldd, s.k)
					if !near(float64(v), want, size, gemmTol) {
						t.Fatalf("%s: [%d,%d] = %v, want %v", name, i/ldd, i%ldd, v, want)
					}
				}
				// A row alone gives the bits that it gives among others.
				one := make([]float32, s.n)
				for _, i := range []int{0, s.m / 2, s.m - 1} {
					panelsFloat(one, s.n, x.V[i*ldx:], ldx, 1, &w, 0, Panels(s.n), scratch.V)
					for j, v := range one {
						if v != dst.V[i*ldd+j] {
							t.Fatalf("%s: row %d alone: %v, among others %v", name, i, v, dst.V[i*ldd+j])
						}
					}
				}
			}
		}
	})
}

func TestPanelsFloatAllocates(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, kind := range []Kind{KindF32, KindF16, KindBF16} {
			w, _ := floatWeights(r, kind, 40, 50)
			x, dst := randomF32(r, 13*50).V, make([]float32, 13*40)
			scratch := make([]byte, panelsFloatScratch(13, &w)+GemmScratchBytes(40, 50))
			if n := testing.AllocsPerRun(10, func() {
				panelsFloat(dst, 40, x, 50, 13, &w, 0, 3, scratch)
				panelsFloat(dst, 40, x, 50, 1, &w, 0, 3, scratch)
				Gemm(dst, 40, x, 50, x, 50, true, 13, 13, 50, scratch)
			}); n != 0 {
				t.Errorf("kind %d: %v allocations", kind, n)
			}
		}
	})
}

func TestPanelRowF32(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, kind := range []Kind{KindF32, KindF16, KindBF16} {
		w, vals := floatWeights(r, kind, 35, 21)
		row := make([]float32, 21)
		for i := range 35 {
			PanelRowF32(row, w, i)
			for c, v := range row {
				if v != vals[i*21+c] {
					t.Fatalf("kind %d [%d,%d] = %v, want %v", kind, i, c, v, vals[i*21+c])
				}
			}
		}
	}
}

// TestPackPanel16Strides packs the transpose of a matrix through its strides.
func TestPackPanel16Strides(t *testing.T) {
	const n, k = 19, 7
	src := make([]float32, n*k)
	trans := make([]float32, n*k)
	for r := range n {
		for c := range k {
			src[r*k+c] = float32(r*100 + c)
			trans[c*n+r] = float32(r*100 + c)
		}
	}
	a, b := make([]float32, 32*k), make([]float32, 32*k)
	PackPanel16(a, src, n, k, k, 1)
	PackPanel16(b, trans, n, k, 1, n)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("element %d: %v and %v", i, a[i], b[i])
		}
	}
	if a[(1*k+3)*16+2] != 1803 || a[(1*k+3)*16+3] != 0 {
		t.Errorf("element (18,3) = %v, padding %v", a[(1*k+3)*16+2], a[(1*k+3)*16+3])
	}
}

// FuzzGemm holds every implementation to the generic one, and those that fuse to each other bit by bit.
func FuzzGemm(f *testing.F) {
	f.Add(uint8(13), uint8(33), uint16(257), uint64(1), true)
	f.Add(uint8(1), uint8(64), uint16(5), uint64(2), false)
	f.Add(uint8(12), uint8(32), uint16(256), uint64(3), false)
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16, seed uint64, trans bool) {
		k %= 600
		defer Reset()
		r := rand.New(rand.NewPCG(seed, 0))
		a, b := randomF32(r, int(m)*int(k)).V, randomF32(r, int(n)*int(k)).V
		ldb := int(n)
		if trans {
			ldb = int(k)
		}
		want := make([]float32, int(m)*int(n))
		var fused []float32
		scratch := make([]byte, GemmScratchBytes(int(n), int(k)))
		for _, name := range List() {
			if err := Select(name); err != nil {
				t.Fatal(err)
			}
			got := newGuarded(len(want), float32(3))
			Gemm(got.V, int(n), a, int(k), b, ldb, trans, int(m), int(n), int(k), scratch)
			got.check(t, name)
			if name == "generic" {
				copy(want, got.V)
				continue
			}
			for i, v := range got.V {
				if !near(float64(v), float64(want[i]), float64(k), gemmTol) {
					t.Fatalf("%s: element %d = %v, generic %v", name, i, v, want[i])
				}
				if fused != nil && v != fused[i] {
					t.Fatalf("%s: element %d = %v, before %v", name, i, v, fused[i])
				}
			}
			fused = got.V
		}
	})
}

func benchGemm(b *testing.B, kind Kind, m, n, k int) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			w, _ := floatWeights(r, kind, n, k)
			x, dst := randomF32(r, m*k).V, randomF32(r, m*n).V
			scratch := randomF32(r, panelsFloatScratch(m, &w)/4).V
			b.SetBytes(int64(len(w.Data)))
			for b.Loop() {
				panelsFloat(dst, n, x, k, m, &w, 0, Panels(n), bytesOf(scratch))
			}
			b.ReportMetric(float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}

func BenchmarkGemm512(b *testing.B) { benchGemm(b, KindF32, 512, 512, 512) }

func BenchmarkGemmBF16(b *testing.B) { benchGemm(b, KindBF16, 512, 512, 512) }

func BenchmarkGemmLarge(b *testing.B) { benchGemm(b, KindF32, 256, 4096, 2048) }

func BenchmarkGemm8(b *testing.B) { benchGemm(b, KindF32, 8, 2048, 2048) }

func BenchmarkGemvF32(b *testing.B) { benchGemm(b, KindF32, 1, 4096, 4096) }

func BenchmarkGemvF16(b *testing.B) { benchGemm(b, KindF16, 1, 4096, 4096) }

func BenchmarkGemvBF16(b *testing.B) { benchGemm(b, KindBF16, 1, 4096, 4096) }

func BenchmarkGemmTrans(b *testing.B) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			const m, n, k = 64, 128, 64
			x, y, dst := randomF32(r, m*k).V, randomF32(r, n*k).V, randomF32(r, m*n).V
			scratch := randomF32(r, GemmScratchBytes(n, k)/4).V
			for b.Loop() {
				Gemm(dst, n, x, k, y, k, true, m, n, k, bytesOf(scratch))
			}
			b.ReportMetric(float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}
