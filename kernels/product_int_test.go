package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestIntProduct(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 4))
		for i, size := range [][3]int{{1, 1, 1}, {1, 40, 256}, {3, 17, 5}, {33, 32, 64}, {70, 65, 100}, {5, 16, 63}, {64, 33, 129}, {20, 96, 3}, {128, 50, 192}} {
			rows, n, k := size[0], size[1], size[2]
			x, w := randomBytes(r, rows*k), randomLevels(r, n*k)
			scale, bias := make([]float32, n), make([]float32, n)
			for c := range scale {
				scale[c], bias[c] = 0.001*(1+r.Float32()), float32(r.NormFloat64())
			}
			each := make([]Quantized, rows)
			for j := range each {
				each[j] = Quantized{0.01 * (1 + r.Float32()), uint8(r.Uint32())}
			}
			for _, act := range []Activation{{}, {Kind: ActRelu}, {Kind: ActGelu}} {
				for _, q := range [][]Quantized{each[:1], each} {
					for _, y := range []*Quantized{nil, {0.05, uint8(64 * (i % 3))}} {
						name := fmt.Sprintf("%d x %d by %d, %d quantizations, activation %d, %v", rows, k, n, len(q), act.Kind, y)
						p := NewIntProduct(n, k, w, scale, bias, y, act)
						dst, scratch := newGuarded(rows*n*outputBytes(y), uint8(0x5a)), newGuarded(p.ScratchBytes(), uint8(0xff))
						half, u := p.Panels()/2, rows/3
						for _, part := range [][4]int{{0, u, 0, half}, {u, rows, 0, half}, {0, u, half, p.Panels()}, {u, rows, half, p.Panels()}} {
							p.Run(dst.V, x.V, q, rows, part[0], part[1], part[2], part[3], scratch.V)
						}
						dst.check(t, name)
						scratch.check(t, name)
						for at := range rows * n {
							m, c := at/n, at%n
							qx := q[m%len(q)]
							sum := int32(0)
							for j := range k {
								sum += int32(w[c*k+j]) * (int32(x.V[m*k+j]) - int32(qx.Zero))
							}
							v := []float32{float32(float32(sum)*float32(qx.Scale*scale[c])) + bias[c]}
							activateGeneric(v, v, act)
							if y == nil {
								if got := floatsOf(dst.V)[at]; got != v[0] {
									t.Fatalf("%s: [%d,%d] is %v, want %v", name, m, c, got, v[0])
								}
							} else if got, want := dst.V[at], toLevel(v[0], *y); got != want && !(act.Kind == ActGelu && max(got, want)-min(got, want) == 1) {
								t.Fatalf("%s: [%d,%d] is %d, want %d", name, m, c, got, want)
							}
						}
						if a := testing.AllocsPerRun(1, func() { p.Run(dst.V, x.V, q, rows, 0, rows, 0, p.Panels(), scratch.V) }); a != 0 {
							t.Errorf("%s: %v allocations", name, a)
						}
					}
				}
			}
		}
	})
}

// TestDynamic holds ranges and quantizations to the formulas of ONNX's DynamicQuantizeLinear.
func TestDynamic(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(32, 4))
		for _, n := range []int{0, 1, 5, 16, 31, 64, 100, 333} {
			for _, shift := range []float32{-10, 0, 10} {
				x := randomF32(r, 2*n)
				for i := range x.V {
					x.V[i] += shift
				}
				dst, q := newGuarded(2*n, uint8(9)), make([]Quantized, 2)
				QuantizeRows(dst.V, q, x.V, n)
				dst.check(t, "rows")
				for i, got := range q {
					lo, hi := float32(0), float32(0)
					row := x.V[i*n : (i+1)*n]
					for _, v := range row {
						lo, hi = min(lo, v), max(hi, v)
					}
					want := Quantized{Scale: 1}
					if n > 0 {
						want.Scale = (hi - lo) / 255
						want.Zero = uint8(min(max(math.RoundToEven(float64(-lo/want.Scale)), 0), 255))
					}
					if got != want {
						t.Fatalf("%d from %v to %v: %v, want %v", n, lo, hi, got, want)
					}
					for c, v := range row {
						b := uint8(min(max(math.RoundToEven(float64(v/want.Scale))+float64(want.Zero), 0), 255))
						if dst.V[i*n+c] != b {
							t.Fatalf("%v by %v is %d, want %d", v, want, dst.V[i*n+c], b)
						}
					}
				}
			}
		}
	})
}
