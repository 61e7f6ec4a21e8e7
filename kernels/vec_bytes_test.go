package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// byteOf is v's byte by ONNX's QuantizeLinear.
func byteOf(v float32, y Quantized) uint8 {
	return uint8(min(max(math.RoundToEven(float64(v/y.Scale))+float64(y.Zero), 0), 255))
}

func TestBytePairs(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(41, 4))
		qa, qb := Quantized{0.021, 100}, Quantized{0.013, 3}
		for _, n := range []int{1, 15, 16, 17, 64, 100, 256} {
			for repeat := 1; repeat < 4; repeat += 2 {
				a, b := randomBytes(r, n*repeat), randomBytes(r, n)
				for _, qy := range []Quantized{{0.05, 0}, {0.017, 128}, {0.001, 200}} {
					for _, relu := range []bool{false, true} {
						sums, products := newGuarded(n*repeat, uint8(7)), newGuarded(n*repeat, uint8(7))
						IntAdd(sums.V, a.V, b.V, qa, qb, qy, relu)
						IntMul(products.V, a.V, b.V, qa, qb, qy, relu)
						sums.check(t, "sums")
						products.check(t, "products")
						for i, x := range a.V {
							v, w := byteValue(x, qa), byteValue(b.V[i%n], qb)
							sum, product := v+w, v*w
							if relu {
								sum, product = max(sum, 0), max(product, 0)
							}
							if got, want := sums.V[i], byteOf(sum, qy); got != want {
								t.Fatalf("%v + %v is %d, want %d", v, w, got, want)
							}
							if got, want := products.V[i], byteOf(product, qy); got != want {
								t.Fatalf("%v * %v is %d, want %d", v, w, got, want)
							}
						}
					}
				}
			}
		}
	})
}

func TestByteTable(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(42, 4))
		qx, qy := Quantized{0.04, 128}, Quantized{0.02, 10}
		m := NewByteMap(qx, qy, Activation{Kind: ActSwish})
		both := m.Then(NewByteMap(qy, Quantized{0.1, 5}, Activation{Kind: ActRelu}))
		for _, n := range []int{0, 1, 63, 64, 65, 300} {
			x, dst := randomBytes(r, n), newGuarded(n, uint8(7))
			ByteTable(dst.V, x.V, m)
			dst.check(t, "table")
			for i, b := range x.V {
				v := []float32{byteValue(b, qx)}
				activateGeneric(v, v, Activation{Kind: ActSwish})
				want := byteOf(v[0], qy)
				if dst.V[i] != want {
					t.Fatalf("byte %d gives %d, want %d", b, dst.V[i], want)
				}
				if got, want := both[b], byteOf(max(byteValue(want, qy), 0), Quantized{0.1, 5}); got != want {
					t.Fatalf("byte %d gives %d through two maps, want %d", b, got, want)
				}
			}
			ByteTable(x.V, x.V, m)
			for i := range x.V {
				if x.V[i] != dst.V[i] {
					t.Fatalf("in place, byte %d of %d differs", i, n)
				}
			}
		}
	})
}

func TestIntPool(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(43, 4))
		for _, g := range []Window{window(9, 11, 3, 3, 2, 1, 1), window(7, 7, 7, 7, 1, 1, 0), window(8, 6, 5, 5, 1, 1, 2), window(6, 6, 2, 2, 2, 1, 0), window(9, 9, 2, 3, 1, 2, 1)} {
			for _, c := range []int{1, 16, 70, 300} {
				src := randomBytes(r, g.H*g.W*c)
				qx, qy := Quantized{0.03, 77}, Quantized{0.02, 10}
				for kind, p := range map[string]*IntPool{"max": NewIntMaxPool(&g, c, qx, qx), "max anew": NewIntMaxPool(&g, c, qx, qy),
					"mean": NewIntMeanPool(&g, c, qx, qy, false), "mean with padding": NewIntMeanPool(&g, c, qx, qy, true)} {
					dst := newGuarded(g.OH*g.OW*c, uint8(7))
					p.Run(dst.V, src.V, 0, g.OH/2)
					p.Run(dst.V, src.V, g.OH/2, g.OH)
					dst.check(t, kind)
					for at, got := range dst.V {
						top, sum, count := uint8(0), 0, 0
						for e := range g.KH * g.KW {
							y, x := at/c/g.OW*g.StrideH-g.PadTop+e/g.KW*g.DilationH, at/c%g.OW*g.StrideW-g.PadLeft+e%g.KW*g.DilationW
							if y < 0 || x < 0 || y >= g.H || x >= g.W {
								continue
							}
							b := src.V[(y*g.W+x)*c+at%c]
							top, sum, count = max(top, b), sum+int(b)-77, count+1
						}
						var want uint8
						switch kind {
						case "max":
							want = top
						case "max anew":
							want = byteOf(byteValue(top, qx), qy)
						case "mean":
							want = byteOf(float32(float32(sum)*qx.Scale)/float32(count), qy)
						default:
							want = byteOf(float32(float32(sum)*qx.Scale)/float32(g.KH*g.KW), qy)
						}
						if got != want {
							t.Fatalf("%s of %+v, %d channels: output %d is %d, want %d", kind, g, c, at, got, want)
						}
					}
				}
			}
		}
	})
}
