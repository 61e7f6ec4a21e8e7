package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand"
	"testing"
)

// eachKernel runs a test under every implementation that this machine has.
func eachKernel(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Cleanup(Reset)
	for _, name := range List() {
		t.Run(name, func(t *testing.T) {
			if err := Select(name); err != nil {
				t.Fatal(err)
			}
			test(t)
		})
	}
}

func quantized(f Format) Kind { return KindD8 + Kind(f-D8) }

// randPanels returns an n x k matrix of random bytes: every code, scale and table.
func randPanels(f Format, n, k int, r *rand.Rand) Weights {
	w := Weights{Kind: quantized(f), N: n, K: k, Data: make([]byte, f.Bytes(n, k)), Levels: DefaultLevels(f)}
	r.Read(w.Data)
	if r.Intn(2) == 0 {
		w.Levels = LinearLevels(f)
	}
	if f == D8 {
		w.Levels.Shift = int8(r.Intn(20))
	}
	for p := range Panels(n) {
		panel := w.Data[p*f.PanelBytes(k):][:f.PanelBytes(k)]
		for i := range PanelRows {
			putFloat32(panel[i*4:], float32(r.NormFloat64()))
		}
		if f == D8 {
			for i := range panel[CodesOffset(k):] {
				panel[CodesOffset(k)+i] &= MaxLevel
			}
		}
	}
	return w
}

func randActs(n int, r *rand.Rand) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp(3*r.NormFloat64()))
	}
	return x
}

// product is MatMul.Run with everything fresh; it checks that nothing around dst is touched.
func product(t testing.TB, pool *Pool, w Weights, bias []float32, act Activation, x []float32, ldx, rows int) []float32 {
	t.Helper()
	m := NewMatMul(pool, w, bias, act)
	const guard = 64
	ldd := w.N + 3
	dst := make([]float32, 2*guard+rows*ldd)
	for i := range dst {
		dst[i] = -12345
	}
	size := m.ScratchBytes(rows)
	scratch := bytes.Repeat([]byte{0xa5}, size+2*guard)
	m.Run(dst[guard:guard+(rows-1)*ldd+w.N], ldd, x, ldx, rows, scratch[guard:guard+size])
	for i, b := range scratch {
		if (i < guard || i >= guard+size) && b != 0xa5 {
			t.Fatalf("scratch[%d] of %d is written", i-guard, size)
		}
	}
	out := make([]float32, 0, rows*w.N)
	for i, v := range dst {
		at := i - guard
		if inside := at >= 0 && at < rows*ldd && at%ldd < w.N; inside {
			out = append(out, v)
		} else if v != -12345 {
			t.Fatalf("dst[%d] is written: %d rows of %d, stride %d", at, rows, w.N, ldd)
		}
	}
	return out
}

func sameBits(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

// TestGenericProduct holds the generic product to the definition, in float64 over dequantized operands.
func TestGenericProduct(t *testing.T) {
	defer Reset()
	if err := Select("generic"); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewSource(1))
	for _, f := range formats {
		for _, size := range [][3]int{{16, 32, 1}, {5, 7, 2}, {40, 100, 3}, {33, 64, 9}} {
			n, k, rows := size[0], size[1], size[2]
			w := randPanels(f, n, k, r)
			x := randActs(rows*k, r)
			got := product(t, nil, w, nil, Activation{}, x, k, rows)
			acts := make([]actBlock, Groups(k))
			row := make([]float32, k)
			for i := range rows {
				quantizeActs(acts, x[i*k:][:k])
				for j := range n {
					DequantizeRow(row, w.Data, f, w.Levels, j, k)
					var sum, size float64
					for c, v := range row {
						a := &acts[c/GroupLen]
						p := float64(v) * float64(a.scale) * float64(a.q[c%GroupLen])
						sum += p
						size += math.Abs(p)
					}
					if d := math.Abs(sum - float64(got[i*n+j])); d > 1e-6*size {
						t.Fatalf("%v %v: row %d output %d: %v, want %v", f, size, i, j, got[i*n+j], sum)
					}
				}
			}
		}
	}
}

// TestProductsAgree demands the very bits of the generic form from every implementation, at
// sizes around each cut-off.
func TestProductsAgree(t *testing.T) {
	pool := NewPool(3)
	defer pool.Close()
	eachKernel(t, func(t *testing.T) {
		name := Selected()
		r := rand.New(rand.NewSource(2))
		for _, f := range formats {
			for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 48, 65, 160} {
				for _, k := range []int{1, 31, 32, 33, 96, 130} {
					for _, rows := range []int{1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 16, 18, 20, 22, 24, 28} {
						if n*k*rows > 40000 && (n+k+rows)%3 != 0 {
							continue
						}
						w := randPanels(f, n, k, r)
						ldx := k + rows%3
						x := randActs(rows*ldx, r)
						if err := Select("generic"); err != nil {
							t.Fatal(err)
						}
						want := product(t, nil, w, nil, Activation{}, x, ldx, rows)
						if err := Select(name); err != nil {
							t.Fatal(err)
						}
						for _, p := range []*Pool{nil, pool} {
							got := product(t, p, w, nil, Activation{}, x, ldx, rows)
							if i := sameBits(got, want); i >= 0 {
								t.Fatalf("%v %dx%d, %d rows: row %d output %d is %v, want %v",
									f, n, k, rows, i/n, i%n, got[i], want[i])
							}
						}
					}
				}
			}
		}
	})
}

// TestProductsManyRows covers the split by rows and the parallel quantization.
func TestProductsManyRows(t *testing.T) {
	const n, k, rows = 48, 160, 200
	r := rand.New(rand.NewSource(3))
	pool := NewPool(4)
	defer pool.Close()
	w := randPanels(D4, n, k, r)
	x := randActs(rows*k, r)
	if err := Select("generic"); err != nil {
		t.Fatal(err)
	}
	want := product(t, nil, w, nil, Activation{}, x, k, rows)
	eachKernel(t, func(t *testing.T) {
		for _, p := range []*Pool{nil, pool} {
			if i := sameBits(product(t, p, w, nil, Activation{}, x, k, rows), want); i >= 0 {
				t.Fatalf("row %d output %d differs", i/n, i%n)
			}
		}
	})
}

// TestProductIntegers has scales of 1, where outputs are the integer sums themselves.
func TestProductIntegers(t *testing.T) {
	const n, k, rows = 32, 256, 9
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(4))
		for _, f := range formats {
			w := randPanels(f, n, k, r)
			for p := range Panels(n) {
				panel := w.Data[p*f.PanelBytes(k):]
				for i := range PanelRows {
					putFloat32(panel[i*4:], 1)
				}
				for i := range Groups(k) * PanelRows {
					panel[ScalesOffset+i] = panel[ScalesOffset+i]&TableBit | 1
				}
			}
			x := make([]float32, rows*k)
			for i := range x {
				x[i] = float32(r.Intn(255) - 127)
				if i%GroupLen == 5 {
					x[i] = 127 // so that the scale is 1
				}
			}
			got := product(t, nil, w, nil, Activation{}, x, k, rows)
			row := make([]float32, k)
			for i := range rows {
				for j := range n {
					DequantizeRow(row, w.Data, f, w.Levels, j, k)
					sum := 0
					for c, v := range row {
						sum += int(v) * int(x[i*k+c])
					}
					if got[i*n+j] != float32(sum) {
						t.Fatalf("%v: row %d output %d is %v, want %d", f, i, j, got[i*n+j], sum)
					}
				}
			}
		}
	})
}

func TestProductEpilogue(t *testing.T) {
	const n, k, rows = 37, 64, 7
	pool := NewPool(2)
	defer pool.Close()
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(5))
		for _, kind := range []Kind{KindF32, KindD8, KindD4} {
			w := Weights{Kind: kind, N: n, K: k}
			if f := kind.Format(); f != 0 {
				w = randPanels(f, n, k, r)
			} else {
				w.Data = make([]byte, Panels(n)*PanelRows*k*4)
				for i := range Panels(n) * PanelRows * k {
					putFloat32(w.Data[4*i:], float32(r.NormFloat64()))
				}
			}
			bias, x := randActs(n, r), randActs(rows*k, r)
			plain := product(t, pool, w, nil, Activation{}, x, k, rows)
			got := product(t, pool, w, bias, Activation{Kind: ActRelu}, x, k, rows)
			for i, v := range plain {
				if want := max(v+bias[i%n], 0); got[i] != want {
					t.Fatalf("kind %d: [%d] is %v, want %v", kind, i, got[i], want)
				}
			}
		}
	})
}

func TestProductBadNumbers(t *testing.T) {
	const n, k, rows = 32, 96, 5
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(6))
		for _, bad := range []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
			w := randPanels(D4, n, k, r)
			x := randActs(rows*k, r)
			x[2*k+40] = bad
			got := product(t, nil, w, nil, Activation{}, x, k, rows)
			for i, v := range got {
				if isNaN := v != v; isNaN != (i/n == 2) {
					t.Fatalf("%v in row 2: row %d is %v", bad, i/n, v)
				}
			}
		}
	})
}

func TestQuantizeActs(t *testing.T) {
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(7))
		for _, n := range []int{1, 31, 32, 33, 64, 200} {
			x := randActs(n, r)
			for i := range x {
				switch r.Intn(40) {
				case 0:
					x[i] = 0
				case 1:
					x[i] = 1e-38
				}
			}
			if n == 64 {
				clear(x[:32])
			}
			if n == 33 {
				x[32] = 1e-37
			}
			got := make([]actBlock, Groups(n)+1)
			quantizeActs(got[:Groups(n)], x)
			if got[Groups(n)] != (actBlock{}) {
				t.Fatal("writes beyond the last block")
			}
			for g := range Groups(n) {
				var group [GroupLen]float32
				copy(group[:], x[g*GroupLen:])
				var want actBlock
				quantizeActsGroup(&want, &group)
				if got[g] != want {
					t.Fatalf("%d values, group %d: %v, want %v", n, g, got[g], want)
				}
				for i, v := range group {
					if d := math.Abs(float64(v) - float64(want.scale)*float64(want.q[i])); d > 0.5001*float64(want.scale)+1e-36 {
						t.Fatalf("%v became %v", v, float64(want.scale)*float64(want.q[i]))
					}
				}
			}
		}
	})
}

// bigFloat returns x*y+z exactly.
func bigFloat(x, y, z float32) *big.Float {
	f := func(v float32) *big.Float { return new(big.Float).SetPrec(600).SetFloat64(float64(v)) }
	p := f(x)
	p.Mul(p, f(y))
	return p.Add(p, f(z))
}

func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewSource(8))
	for range 200000 {
		x := math.Float32frombits(r.Uint32()&0x807fffff | uint32(100+r.Intn(50))<<23)
		y := math.Float32frombits(r.Uint32()&0x807fffff | uint32(100+r.Intn(50))<<23)
		z := math.Float32frombits(r.Uint32()&0x807fffff | uint32(60+r.Intn(120))<<23)
		if r.Intn(4) == 0 {
			z = -float32(x*y) + float32(x*y)*float32(r.NormFloat64()*1e-7)
		}
		want, _ := bigFloat(x, y, z).Float32()
		if got := fma32(x, y, z); got != want {
			t.Fatalf("fma(%v, %v, %v) = %v, want %v", x, y, z, got, want)
		}
	}
	inf := float32(math.Inf(1))
	if fma32(inf, 1, 1) != inf || fma32(-inf, 1, 1) != -inf || fma32(1, 1, -inf) != -inf {
		t.Error("infinities are lost")
	}
	if v := fma32(inf, 1, -inf); v == v {
		t.Error("Inf - Inf is not NaN")
	}
}

func TestMatMulDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewSource(9))
	pool := NewPool(2)
	defer pool.Close()
	eachKernel(t, func(t *testing.T) {
		for _, rows := range []int{1, 3, 17, 80} {
			w := randPanels(D4, 70, 96, r)
			m := NewMatMul(pool, w, make([]float32, w.N), Activation{Kind: ActRelu})
			x, dst := randActs(rows*w.K, r), make([]float32, rows*w.N)
			scratch := make([]byte, m.ScratchBytes(rows))
			if n := testing.AllocsPerRun(50, func() { m.Run(dst, w.N, x, w.K, rows, scratch) }); n != 0 {
				t.Errorf("%d rows: %v allocations", rows, n)
			}
		}
	})
}

func TestSelect(t *testing.T) {
	defer Reset()
	if err := Select("abacus"); err == nil {
		t.Error("an unknown kernel is accepted")
	}
	t.Setenv(kernelEnv, "generic")
	Reset()
	if Selected() != "generic" || EnvError() != nil {
		t.Errorf("%s=generic selects %s, %v", kernelEnv, Selected(), EnvError())
	}
	t.Setenv(kernelEnv, "abacus")
	Reset()
	if Selected() != "generic" || EnvError() == nil {
		t.Errorf("%s=abacus selects %s, %v", kernelEnv, Selected(), EnvError())
	}
	t.Setenv(kernelEnv, "")
	Reset()
	if names := List(); Selected() != names[len(names)-1] {
		t.Errorf("%s is selected of %v", Selected(), names)
	}
}

func FuzzProduct(f *testing.F) {
	f.Add(int64(1), uint8(0), uint8(1), uint16(40), uint16(70))
	f.Add(int64(2), uint8(1), uint8(9), uint16(33), uint16(32))
	f.Add(int64(3), uint8(2), uint8(6), uint16(16), uint16(129))
	f.Add(int64(4), uint8(3), uint8(4), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, seed int64, format, rows uint8, n, k uint16) {
		r := rand.New(rand.NewSource(seed))
		m, kk, nn := int(rows%20)+1, int(k%400)+1, int(n%100)+1
		w := randPanels(formats[format%4], nn, kk, r)
		x := randActs(m*kk, r)
		if seed%5 == 0 {
			x[r.Intn(len(x))] = math.Float32frombits(r.Uint32())
		}
		defer Reset()
		var want []float32
		for _, name := range List() {
			if err := Select(name); err != nil {
				t.Fatal(err)
			}
			got := product(t, nil, w, nil, Activation{}, x, kk, m)
			if want == nil {
				want = got
			} else if i := sameBits(got, want); i >= 0 {
				t.Fatalf("%s: %v %dx%d, %d rows: row %d output %d is %v, want %v",
					name, formats[format%4], nn, kk, m, i/nn, i%nn, got[i], want[i])
			}
		}
	})
}

func BenchmarkMatMul(b *testing.B) {
	defer Reset()
	r := rand.New(rand.NewSource(10))
	for _, name := range List()[1:] {
		for _, f := range formats {
			for _, rows := range []int{1, 2, 3, 4, 6, 8, 16, 64, 256} {
				const n, k = 1024, 2048
				b.Run(fmt.Sprintf("%s/%v/%d", name, f, rows), func(b *testing.B) {
					if err := Select(name); err != nil {
						b.Fatal(err)
					}
					w := randPanels(f, n, k, r)
					m := NewMatMul(nil, w, nil, Activation{})
					x, dst := randActs(rows*k, r), make([]float32, rows*n)
					scratch := make([]byte, m.ScratchBytes(rows))
					for b.Loop() {
						m.Run(dst, n, x, k, rows, scratch)
					}
					b.ReportMetric(float64(n)*k*float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
				})
			}
		}
	}
}
