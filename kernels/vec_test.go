package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// vecLens lie around the vectors of 8 and 16 lanes and the 64 lanes of the reductions.
var vecLens = []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 129, 200, 257}

// activations is every activation with parameters.
var activations = []Activation{
	{Kind: ActNone}, {Kind: ActRelu}, {Kind: ActLeakyRelu, Alpha: 0.1}, {Kind: ActClip, Alpha: -1, Beta: 1.5}, {Kind: ActSigmoid},
	{Kind: ActTanh}, {Kind: ActSwish}, {Kind: ActHardSwish}, {Kind: ActGelu}, {Kind: ActGeluTanh},
}

// special are arguments at the edges of the functions.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0.625, -0.625, 0.624, 1e-8, -1e-8, 1e-40, 6, -6, 3, -3, 20, -20, 87, -87.3, 88.7, 88.73, 89, -100, -103.9, -104, -105,
	1e4, -1e4, 1e38, -1e38, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

func sameF32(a, b float32) bool { return a == b || a != a && b != b }

// TestVecExact: the elementwise functions give the bits of the Go loops under every implementation,
// with dst apart or equal to an operand.
func TestVecExact(t *testing.T) {
	type vecFunc struct {
		name string
		run  func(dst, a, b []float32)
		want func(a, b float32) float32
	}
	funcs := []vecFunc{
		{"Add", Add, func(a, b float32) float32 { return a + b }},
		{"Sub", Sub, func(a, b float32) float32 { return a - b }},
		{"Mul", Mul, func(a, b float32) float32 { return a * b }},
		{"Div", Div, func(a, b float32) float32 { return a / b }},
		{"Max", Max, func(a, b float32) float32 {
			if b > a {
				return b
			}
			return a
		}},
		{"Min", Min, func(a, b float32) float32 {
			if b < a {
				return b
			}
			return a
		}},
		{"Sqrt", func(dst, a, _ []float32) { Sqrt(dst, a) }, func(a, _ float32) float32 { return float32(math.Sqrt(float64(a))) }},
		{"Erf", func(dst, a, _ []float32) { Erf(dst, a) }, func(a, _ float32) float32 { return erfGeneric(a) }},
		{"Scale", func(dst, a, _ []float32) { Scale(dst, a, 1.7) }, func(a, _ float32) float32 { return a * 1.7 }},
		{"AddScalar", func(dst, a, _ []float32) { AddScalar(dst, a, 1.7) }, func(a, _ float32) float32 { return a + 1.7 }},
		{"Exp", func(dst, a, _ []float32) { Exp(dst, a) }, func(a, _ float32) float32 { return expGeneric(a) }},
		{"expShift", func(dst, a, _ []float32) { expShift(dst, a, 1.3) }, func(a, _ float32) float32 { return expGeneric(a - 1.3) }},
	}
	for _, act := range activations {
		funcs = append(funcs, vecFunc{fmt.Sprintf("Activate %+v", act),
			func(dst, a, _ []float32) { Activate(dst, a, act) },
			func(a, _ float32) float32 {
				v := []float32{a}
				activateGeneric(v, v, act)
				return v[0]
			}})
	}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, f := range funcs {
			for _, n := range vecLens {
				a, b, dst := randomF32(r, n), randomF32(r, n), randomF32(r, n)
				for i := range a.V {
					switch {
					case n == 200 && i < len(special):
						a.V[i] = special[i]
					case n == 257:
						a.V[i] *= 30
					}
				}
				want := make([]float32, n)
				for i := range want {
					want[i] = f.want(a.V[i], b.V[i])
				}
				f.run(dst.V, a.V, b.V)
				f.run(a.V, a.V, b.V)
				for i, w := range want {
					if !sameF32(dst.V[i], w) || !sameF32(a.V[i], w) {
						t.Fatalf("%s, n %d: element %d = %v, in place %v, want %v", f.name, n, i, dst.V[i], a.V[i], w)
					}
				}
				dst.check(t, f.name)
				a.check(t, f.name)
			}
		}
	})
}

// TestVecSums holds the reductions and Axpy to float64.
func TestVecSums(t *testing.T) {
	const tol = 1e-6
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 1))
		for _, n := range append([]int{1000, 4097}, vecLens...) {
			a, b := randomF32(r, n), randomF32(r, n)
			var dot, sum, size float64
			top := float32(math.Inf(-1))
			for i := range a.V {
				dot += float64(a.V[i]) * float64(b.V[i])
				sum += float64(a.V[i])
				size += math.Abs(float64(a.V[i])) + math.Abs(float64(a.V[i])*float64(b.V[i]))
				top = max(top, a.V[i])
			}
			if v := Dot(a.V, b.V); !near(float64(v), dot, size, tol) {
				t.Errorf("Dot of %d = %v, want %v", n, v, dot)
			}
			if v := SumRow(a.V); !near(float64(v), sum, size, tol) {
				t.Errorf("SumRow of %d = %v, want %v", n, v, sum)
			}
			if n > 0 {
				if v := MaxRow(a.V); v != top {
					t.Errorf("MaxRow of %d = %v, want %v", n, v, top)
				}
				for i := range a.V { // the largest in every place, and a NaN before it
					v := a.V[i]
					a.V[i] = 100
					if i > 1 {
						a.V[i-1] = float32(math.NaN())
					}
					if got := MaxRow(a.V); got != 100 {
						t.Fatalf("MaxRow of %d with the top at %d = %v", n, i, got)
					}
					a.V[i] = v
					if i > 1 {
						a.V[i-1] = 0
					}
				}
			}
			dst := randomF32(r, n)
			before := append([]float32(nil), dst.V...)
			Axpy(dst.V, b.V, 0.3)
			dst.check(t, "Axpy")
			for i, v := range dst.V {
				if want := float64(before[i]) + float64(float32(0.3))*float64(b.V[i]); !near(float64(v), want, 1, tol) {
					t.Fatalf("Axpy of %d: element %d = %v, want %v", n, i, v, want)
				}
			}
		}
	})
}

// TestReductionsSameBits: all register widths fold alike.
func TestReductionsSameBits(t *testing.T) {
	defer Reset()
	r := rand.New(rand.NewPCG(3, 1))
	for n := range 200 {
		a, b := randomF32(r, n).V, randomF32(r, n).V
		var dot, sum float32
		for i, name := range List()[1:] {
			if err := Select(name); err != nil {
				t.Fatal(err)
			}
			d, s := Dot(a, b), SumRow(a)
			if i > 0 && (d != dot || s != sum) {
				t.Fatalf("%s, n %d: Dot %v, SumRow %v, before %v, %v", name, n, d, s, dot, sum)
			}
			dot, sum = d, s
		}
	}
}

func TestVecShortOperandPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Add with a short operand did not panic")
		}
	}()
	Add(make([]float32, 20), make([]float32, 20), make([]float32, 19))
}

func TestVecAllocates(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	x, y := randomF32(r, 100).V, randomF32(r, 100).V
	if n := testing.AllocsPerRun(10, func() {
		Add(x, x, y)
		Activate(y, x, Activation{Kind: ActGelu})
		SoftmaxRow(x, x)
		LogSoftmaxRow(x, x)
		LayerNormRow(x, y, y, y, 1e-5)
		RMSNormRow(x, y, y, 1e-5)
		RopeRow(x, y, y[:30], y[30:60], false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchVec(b *testing.B, n int, f func(dst, x, y []float32)) {
	defer Reset()
	for _, name := range List() {
		Select(name)
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			x, y, dst := randomF32(r, n).V, randomF32(r, n).V, randomF32(r, n).V
			for b.Loop() {
				f(dst, x, y)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelem/s")
		})
	}
}

func BenchmarkDot64(b *testing.B)   { benchVec(b, 64, func(_, x, y []float32) { Dot(x, y) }) }
func BenchmarkDot1024(b *testing.B) { benchVec(b, 1024, func(_, x, y []float32) { Dot(x, y) }) }
func BenchmarkAdd1024(b *testing.B) { benchVec(b, 1024, Add) }
func BenchmarkSoftmax1024(b *testing.B) {
	benchVec(b, 1024, func(dst, x, _ []float32) { SoftmaxRow(dst, x) })
}
func BenchmarkRMSNorm1024(b *testing.B) {
	benchVec(b, 1024, func(dst, x, y []float32) { RMSNormRow(dst, x, y, 1e-6) })
}
func BenchmarkSwish1024(b *testing.B) {
	benchVec(b, 1024, func(dst, x, _ []float32) { Activate(dst, x, Activation{Kind: ActSwish}) })
}
func BenchmarkGelu1024(b *testing.B) {
	benchVec(b, 1024, func(dst, x, _ []float32) { Activate(dst, x, Activation{Kind: ActGelu}) })
}
