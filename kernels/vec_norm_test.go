package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

const normTol = 2e-6

func TestSoftmaxRow(t *testing.T) {
	inf := float32(math.Inf(-1))
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, n := range vecLens {
			x, dst := randomF32(r, n), randomF32(r, n)
			if n > 3 {
				x.V[2], x.V[n-1] = inf, 40
			}
			var sum float64
			top := inf
			for _, v := range x.V {
				top = max(top, v)
			}
			for _, v := range x.V {
				sum += math.Exp(float64(v) - float64(top))
			}
			logs := make([]float32, n)
			LogSoftmaxRow(logs, x.V)
			SoftmaxRow(dst.V, x.V)
			dst.check(t, "SoftmaxRow")
			for i, v := range dst.V {
				want := math.Exp(float64(x.V[i])-float64(top)) / sum
				if !near(float64(v), want, want, 3e-7) {
					t.Fatalf("n %d: element %d = %v, want %v", n, i, v, want)
				}
				if l := float64(x.V[i]) - float64(top) - math.Log(sum); !near(float64(logs[i]), l, math.Abs(l), normTol) {
					t.Fatalf("n %d: log %d = %v, want %v", n, i, logs[i], l)
				}
			}
		}
	})
}

func TestNormRows(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 1))
		for _, n := range vecLens {
			x, scale, bias := randomF32(r, n), randomF32(r, n), randomF32(r, n)
			var mean, square, variance float64
			for i := range x.V {
				x.V[i] = x.V[i]*3 + 10
				mean += float64(x.V[i]) / float64(n)
				square += float64(x.V[i]) * float64(x.V[i]) / float64(n)
			}
			for _, v := range x.V {
				variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
			}
			rms, layer := randomF32(r, n), randomF32(r, n)
			RMSNormRow(rms.V, x.V, scale.V, 1e-5)
			LayerNormRow(layer.V, x.V, scale.V, bias.V, 1e-5)
			rms.check(t, "RMSNormRow")
			layer.check(t, "LayerNormRow")
			plain, plainLayer := make([]float32, n), make([]float32, n)
			RMSNormRow(plain, x.V, nil, 1e-5)
			LayerNormRow(plainLayer, x.V, nil, nil, 1e-5)
			for i, v := range x.V {
				p := float64(v) / math.Sqrt(square+1e-5)
				q := (float64(v) - mean) / math.Sqrt(variance+1e-5)
				if want := p * float64(scale.V[i]); !near(float64(rms.V[i]), want, math.Abs(want), normTol) || !near(float64(plain[i]), p, math.Abs(p), normTol) {
					t.Fatalf("RMSNormRow %d: element %d = %v, want %v", n, i, rms.V[i], want)
				}
				// The error of the mean, about 1e-6 of 10, counts in units of the deviation.
				tol := normTol * (1 + 10/math.Sqrt(variance+1e-5)) * (1 + math.Abs(float64(scale.V[i])))
				if want := q*float64(scale.V[i]) + float64(bias.V[i]); !near(float64(layer.V[i]), want, math.Abs(want), tol) || !near(float64(plainLayer[i]), q, math.Abs(q), tol) {
					t.Fatalf("LayerNormRow %d: element %d = %v, want %v", n, i, layer.V[i], want)
				}
			}
		}
	})
}

func TestRopeRow(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 1))
		for _, half := range []int{0, 1, 3, 8, 15, 16, 17, 32, 40, 64} {
			for _, rest := range []int{0, 5, 32} {
				for _, interleaved := range []bool{false, true} {
					n := 2*half + rest
					x, dst, cos, sin := randomF32(r, n), randomF32(r, n), randomF32(r, half), randomF32(r, half)
					want := append([]float32(nil), x.V...)
					for i := range half {
						a, b := i, half+i
						if interleaved {
							a, b = 2*i, 2*i+1
						}
						want[a] = float32(x.V[a]*cos.V[i]) - float32(x.V[b]*sin.V[i])
						want[b] = float32(x.V[a]*sin.V[i]) + float32(x.V[b]*cos.V[i])
					}
					RopeRow(dst.V, x.V, cos.V, sin.V, interleaved)
					RopeRow(x.V, x.V, cos.V, sin.V, interleaved)
					dst.check(t, "RopeRow")
					x.check(t, "RopeRow")
					for i, w := range want {
						if dst.V[i] != w || x.V[i] != w {
							t.Fatalf("half %d rest %d interleaved %v: element %d = %v, in place %v, want %v", half, rest, interleaved, i, dst.V[i], x.V[i], w)
						}
					}
				}
			}
		}
	})
}
