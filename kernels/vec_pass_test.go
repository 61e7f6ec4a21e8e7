package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestPass(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	special := []float32{0, float32(math.Copysign(0, -1)), 6, -6, inf, -inf, nan, 1e-45, -1e-45}
	forEachImplementation(t, func(t *testing.T) {
		for n := range 70 {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			g, y, dst := randomF32(r, n), randomF32(r, n), newGuarded(n, float32(7))
			for i := range y.V {
				if r.IntN(3) == 0 {
					y.V[i] = special[r.IntN(len(special))]
				}
			}
			for _, c := range [][3]float32{{0, inf, 0}, {0, 6, 0}, {0, inf, 0.25}, {-1, 0.5, 0}} {
				Pass(dst.V, g.V, y.V, c[0], c[1], c[2])
				dst.check(t, "Pass")
				for i, v := range y.V {
					want := g.V[i]
					if !(v > c[0] && v < c[1]) {
						want = c[2] * want
					}
					if dst.V[i] != want {
						t.Fatalf("%d elements, %v: element %d of %g at %g is %g, want %g", n, c, i, g.V[i], v, dst.V[i], want)
					}
				}
			}
		}
	})
}
