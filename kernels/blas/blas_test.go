package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/dsk-toolkit/dsk/kernels"
)

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// compare demands that got is want within the rounding of sums of k terms.
func compare(t *testing.T, name string, got, want []float32, k int) {
	t.Helper()
	tol := 1e-6 * (8 + 4*math.Sqrt(float64(k)))
	for i, v := range got {
		if d := math.Abs(float64(v) - float64(want[i])); !(d <= tol*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: element %d is %v, gonum has %v", name, i, v, want[i])
		}
	}
}

var trans = []blas.Transpose{blas.NoTrans, blas.Trans, blas.ConjTrans}

// TestSgemm compares all transposes, factors, strides and threads with gonum, and demands that what lies between the
// rows of C stays.
func TestSgemm(t *testing.T) {
	pool := kernels.NewPool(3)
	defer pool.Close()
	one, many, stock := New(nil), New(pool), gonum.Implementation{}
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1, 1}, {16, 16, 16}, {13, 33, 40}, {65, 20, 17}, {3, 300, 50}, {300, 3, 50}, {50, 140, 400}, {600, 130, 9}} {
		m, n, k := s[0], s[1], s[2]
		for _, tA := range trans {
			for _, tB := range trans {
				for _, f := range [][2]float32{{1, 0}, {1, 1}, {-0.5, 2}, {2, 0}, {0, 3}} {
					lda, ldb, ldc := k+r.IntN(3), n+r.IntN(3), n+r.IntN(3)
					arows, brows := m, k
					if tA != blas.NoTrans {
						lda, arows = m+r.IntN(3), k
					}
					if tB != blas.NoTrans {
						ldb, brows = k+r.IntN(3), n
					}
					a, b, c := random(r, arows*lda), random(r, brows*ldb), random(r, m*ldc)
					if f[1] == 0 {
						c[0] = float32(math.NaN()) // must not be read
					}
					want := append([]float32(nil), c...)
					stock.Sgemm(tA, tB, m, n, k, f[0], a, lda, b, ldb, f[1], want, ldc)
					var first []float32
					for i, impl := range []*Implementation{one, many} {
						got := append([]float32(nil), c...)
						impl.Sgemm(tA, tB, m, n, k, f[0], a, lda, b, ldb, f[1], got, ldc)
						name := fmt.Sprintf("%v %c%c alpha %v beta %v", s, tA, tB, f[0], f[1])
						compare(t, name, got, want, k)
						if i == 0 {
							first = got
						}
						for j := range got {
							if got[j] != first[j] {
								t.Fatalf("%s: element %d is %v with threads, %v without", name, j, got[j], first[j])
							}
							if j%ldc >= n && got[j] != c[j] {
								t.Fatalf("%s: written between the rows", name)
							}
						}
					}
				}
			}
		}
	}
}

// TestVectors compares the functions of vectors, with gaps and without.
func TestVectors(t *testing.T) {
	impl, stock := New(nil), gonum.Implementation{}
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 7, 64, 1001} {
		for _, inc := range [][2]int{{1, 1}, {2, 1}, {1, 3}, {-1, 2}} {
			x, y := random(r, 2*n+1), random(r, 3*n+1)
			compare(t, "Sdot", []float32{impl.Sdot(n, x, inc[0], y, inc[1])}, []float32{stock.Sdot(n, x, inc[0], y, inc[1])}, 10*n)
			got, want := append([]float32(nil), y...), append([]float32(nil), y...)
			impl.Saxpy(n, 1.5, x, inc[0], got, inc[1])
			stock.Saxpy(n, 1.5, x, inc[0], want, inc[1])
			compare(t, "Saxpy", got, want, 1)
			impl.Sscal(n, -3, got, inc[1])
			stock.Sscal(n, -3, want, inc[1])
			compare(t, "Sscal", got, want, 1)
			for _, tA := range trans {
				m := n/2 + 1
				cols := min(n+1, 40)
				in, out := cols, m
				if tA != blas.NoTrans {
					in, out = m, cols
				}
				a, x := random(r, m*(cols+2)), random(r, 2*in)
				y := random(r, (out-1)*inc[1]+1) // gonum clears what lies beyond
				for _, f := range [][2]float32{{1, 0}, {2, 1}, {-1, 0.5}, {0, 2}} {
					got, want := append([]float32(nil), y...), append([]float32(nil), y...)
					impl.Sgemv(tA, m, cols, f[0], a, cols+2, x, inc[0], f[1], got, inc[1])
					stock.Sgemv(tA, m, cols, f[0], a, cols+2, x, inc[0], f[1], want, inc[1])
					compare(t, fmt.Sprintf("Sgemv %c %dx%d %v", tA, m, cols, f), got, want, 10*(m+cols))
				}
			}
		}
	}
}

// TestInvalid demands gonum's panics.
func TestInvalid(t *testing.T) {
	x := make([]float32, 64*64)
	message := func(impl blas.Float32, call func(blas.Float32)) (v any) {
		defer func() { v = recover() }()
		call(impl)
		return nil
	}
	for i, call := range []func(blas.Float32){
		func(b blas.Float32) { b.Sgemm('x', blas.NoTrans, 64, 64, 64, 1, x, 64, x, 64, 0, x, 64) },
		func(b blas.Float32) { b.Sgemm(blas.NoTrans, blas.NoTrans, -1, 64, 64, 1, x, 64, x, 64, 0, x, 64) },
		func(b blas.Float32) {
			b.Sgemm(blas.NoTrans, blas.Trans, 64, 64, 64, 1, x, 63, x, 64, 0, make([]float32, 4096), 64)
		},
		func(b blas.Float32) {
			b.Sgemm(blas.NoTrans, blas.NoTrans, 64, 64, 64, 1, x, 64, x[1:], 64, 0, make([]float32, 4096), 64)
		},
		func(b blas.Float32) {
			b.Sgemm(blas.NoTrans, blas.NoTrans, 64, 64, 64, 1, x, 64, x, 64, 0, make([]float32, 4095), 64)
		},
		func(b blas.Float32) { b.Sgemv(blas.NoTrans, 64, 65, 1, x, 65, x, 1, 0, x, 1) },
		func(b blas.Float32) { b.Sdot(64, x, 0, x, 1) },
		func(b blas.Float32) { b.Saxpy(65, 1, x[:64], 1, x, 1) },
		func(b blas.Float32) { b.Sscal(-1, 1, x, 1) },
	} {
		got, want := message(New(nil), call), message(gonum.Implementation{}, call)
		if want == nil || got != want {
			t.Errorf("call %d: panic %v, gonum has %v", i, got, want)
		}
	}
}

// TestConcurrent runs products beside each other on one implementation with a pool.
func TestConcurrent(t *testing.T) {
	pool := kernels.NewPool(2)
	defer pool.Close()
	impl := New(pool)
	r := rand.New(rand.NewPCG(5, 6))
	const n = 96
	a, b := random(r, n*n), random(r, n*n)
	want := make([]float32, n*n)
	New(nil).Sgemm(blas.Trans, blas.NoTrans, n, n, n, 2, a, n, b, n, 0, want, n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]float32, n*n)
			for range 20 {
				impl.Sgemm(blas.Trans, blas.NoTrans, n, n, n, 2, a, n, b, n, 0, got, n)
				for i, v := range got {
					if v != want[i] {
						t.Errorf("element %d is %v, alone %v", i, v, want[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestUse goes the way of a program: through blas32.
func TestUse(t *testing.T) {
	before := blas32.Implementation()
	defer blas32.Use(before)
	Use(nil)
	if _, ok := blas32.Implementation().(*Implementation); !ok {
		t.Fatalf("blas32 uses %T", blas32.Implementation())
	}
	r := rand.New(rand.NewPCG(7, 8))
	a := blas32.General{Rows: 20, Cols: 30, Stride: 30, Data: random(r, 600)}
	b := blas32.General{Rows: 20, Cols: 40, Stride: 40, Data: random(r, 800)}
	got := blas32.General{Rows: 30, Cols: 40, Stride: 40, Data: make([]float32, 1200)}
	want := blas32.General{Rows: 30, Cols: 40, Stride: 40, Data: make([]float32, 1200)}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, a, b, 0, got)
	blas32.Use(gonum.Implementation{})
	blas32.Gemm(blas.Trans, blas.NoTrans, 1, a, b, 0, want)
	compare(t, "Gemm", got.Data, want.Data, 20)
}

// BenchmarkGemm is blas32.Gemm of squares of side 1024: as gonum has it, with our kernels, and with those on all cores.
func BenchmarkGemm(b *testing.B) {
	before := blas32.Implementation()
	defer blas32.Use(before)
	pool := kernels.NewPool(0)
	defer pool.Close()
	const n = 1024
	r := rand.New(rand.NewPCG(9, 9))
	square := func() blas32.General { return blas32.General{Rows: n, Cols: n, Stride: n, Data: random(r, n*n)} }
	x, y, z := square(), square(), square()
	for _, impl := range []struct {
		name string
		blas.Float32
	}{{"gonum", gonum.Implementation{}}, {"dsk", New(nil)}, {"dsk-pool", New(pool)}} {
		for _, tA := range trans[:2] {
			for _, tB := range trans[:2] {
				b.Run(fmt.Sprintf("%s/%c%c", impl.name, tA, tB), func(b *testing.B) {
					blas32.Use(impl.Float32)
					for b.Loop() {
						blas32.Gemm(tA, tB, 1, x, y, 0, z)
					}
					b.ReportMetric(n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
				})
			}
		}
	}
}

// BenchmarkShapes is the products of a training step of a small decoder on one thread: forward, and back to what is multiplied and
// to the weights.
func BenchmarkShapes(b *testing.B) {
	r := rand.New(rand.NewPCG(10, 9))
	impl := New(nil)
	const tokens = 1024
	for _, s := range []struct{ n, k int }{{4096, 128}, {384, 128}, {128, 384}, {128, 128}, {64, 128}} {
		w, x, y := random(r, s.n*s.k), random(r, tokens*s.k), random(r, tokens*s.n)
		for _, f := range []struct {
			name string
			run  func()
		}{
			{"forward", func() { impl.Sgemm(blas.NoTrans, blas.Trans, tokens, s.n, s.k, 1, x, s.k, w, s.k, 0, y, s.n) }},
			{"input", func() { impl.Sgemm(blas.NoTrans, blas.NoTrans, tokens, s.k, s.n, 1, y, s.n, w, s.k, 0, x, s.k) }},
			{"weights", func() { impl.Sgemm(blas.Trans, blas.NoTrans, s.n, s.k, tokens, 1, y, s.n, x, s.k, 1, w, s.k) }},
		} {
			b.Run(fmt.Sprintf("%dx%d/%s", s.n, s.k, f.name), func(b *testing.B) {
				for b.Loop() {
					f.run()
				}
				b.ReportMetric(float64(tokens*s.n*s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
