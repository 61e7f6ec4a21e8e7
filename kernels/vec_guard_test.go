//go:build linux || darwin

package kernels

import (
	"fmt"
	"math/rand"
	"testing"
)

// TestFloatsStayInside puts the operands of the float routines against a page without access: a read or
// write outside ends the test program.
func TestFloatsStayInside(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewSource(12))
		floats := func(n int, front bool) []float32 {
			f := floatsOf(fenced(t, n*4, front))
			for i := range f {
				f[i] = float32(r.NormFloat64())
			}
			return f
		}
		for _, front := range []bool{false, true} {
			for _, n := range []int{1, 3, 4, 5, 7, 8, 17, 33, 64, 67, 130} {
				t.Run(fmt.Sprint("vectors", n, front), func(t *testing.T) {
					dst, a, b := floats(n, front), floats(n, front), floats(n, front)
					for _, f := range []func(dst, a, b []float32){Add, Sub, Mul, Div, Max, Min} {
						f(dst, a, b)
					}
					Scale(dst, a, 2)
					AddScalar(dst, a, 2)
					Axpy(dst, a, 2)
					Sqrt(dst, a)
					Exp(dst, a)
					Erf(dst, a)
					for _, act := range activations {
						Activate(dst, a, act)
					}
					SoftmaxRow(dst, a)
					Dot(a, b)
					RopeRow(floats(2*n, front), floats(2*n, front), a, b, false)
					RopeRow(floats(2*n, front), floats(2*n, front), a, b, true)
					half := halvesOf(fenced(t, 2*n, front))
					ExpandF16(dst, half)
					ExpandBF16(dst, half)
				})
			}
			for _, s := range [][3]int{{1, 1, 1}, {1, 16, 3}, {2, 15, 5}, {7, 33, 6}, {13, 32, 9}} {
				t.Run(fmt.Sprint("products", s, front), func(t *testing.T) {
					m, n, k := s[0], s[1], s[2]
					dst, a, b := floats(m*n, front), floats(m*k, front), floats(n*k, front)
					scratch := fenced(t, GemmScratchBytes(n, k), front)
					Gemm(dst, n, a, k, b, n, false, m, n, k, scratch)
					Gemm(dst, n, a, k, b, k, true, m, n, k, scratch)
					Transpose(floats(n*k, front), n, b, k, n, k)
					for _, kind := range []Kind{KindF32, KindF16, KindBF16} {
						w := Weights{Kind: kind, N: n, K: k, Data: fenced(t, Panels(n)*PanelRows*k*kind.floatBytes(), front)}
						panelsFloat(dst, n, a, k, m, &w, 0, Panels(n), fenced(t, panelsFloatScratch(m, &w), front))
					}
				})
			}
			for _, g := range []Window{window(7, 7, 3, 3, 1, 1, 1), window(21, 19, 5, 5, 2, 1, 2), window(1, 1, 1, 1, 1, 1, 0)} {
				t.Run(fmt.Sprint("depthwise", g.H, front), func(t *testing.T) {
					DepthwiseConv2D(floats(g.OH*g.OW, front), floats(g.H*g.W, front), floats(g.KH*g.KW, front), 1, &g)
				})
			}
		}
	})
}
