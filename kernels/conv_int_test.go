package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func randomBytes(r *rand.Rand, n int) *guarded[uint8] {
	g := newGuarded(n, uint8(0xa5))
	for i := range g.V {
		g.V[i] = uint8(r.Uint32())
	}
	return g
}

func randomLevels(r *rand.Rand, n int) []int8 {
	w := make([]int8, n)
	for i := range w {
		w[i] = int8(r.Uint32())
	}
	return w
}

// intRef is one output before its activation, by the formula of IntConv.
func intRef(k *convCase, src []uint8, w []int8, y, x, n int, zero uint8, mult, bias float32) float32 {
	sum := int32(0)
	for i := range k.KH {
		for j := range k.KW {
			sy, sx := y*k.StrideH-k.PadTop+i*k.DilationH, x*k.StrideW-k.PadLeft+j*k.DilationW
			if sy < 0 || sy >= k.H || sx < 0 || sx >= k.W {
				continue
			}
			for c := range k.c {
				sum += int32(w[((n*k.KH+i)*k.KW+j)*k.c+c]) * (int32(src[(sy*k.W+sx)*k.c+c]) - int32(zero))
			}
		}
	}
	return float32(float32(sum)*mult) + bias
}

// toLevel is a value's byte, by the formula.
func toLevel(f float32, y Quantized) uint8 {
	return uint8(min(max(math.RoundToEven(float64(f*(1/y.Scale)))+float64(y.Zero), 0), 255))
}

func TestIntConv(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		wide := []convCase{ // whole blocks of tiles, and 16 outputs, of which pixels are paired
			{window(7, 70, 3, 3, 1, 1, 1), 16, 16, false, Activation{Kind: ActSwish}, true}, {window(9, 13, 1, 1, 1, 1, 0), 64, 16, false, Activation{Kind: ActRelu}, true},
			{window(6, 81, 3, 3, 2, 1, 1), 8, 40, false, Activation{Kind: ActHardSwish}, false}, {window(3, 67, 1, 1, 1, 1, 0), 128, 16, false, Activation{Kind: ActSigmoid}, false},
		}
		for i, k := range append(convCases(), wide...) {
			if k.c > 200 {
				k.H = 20
				k.OH = 20
			}
			name := fmt.Sprintf("%+v", k)
			src, w := randomBytes(r, k.H*k.W*k.c), randomLevels(r, k.n*k.KH*k.KW*k.c)
			scale, bias := make([]float32, k.n), make([]float32, k.n)
			for n := range scale {
				scale[n], bias[n] = 0.001*(1+r.Float32()), float32(r.NormFloat64())
			}
			in, z, y := Quantized{0.02, uint8(40 * (i % 3))}, Quantized{0.03, 100}, Quantized{0.05, uint8(64 * (i % 2))}
			out := k.OH * k.OW * k.n
			zs := randomBytes(r, out)
			for _, float := range []bool{false, true} {
				to := &y
				size := out
				if float {
					to, size = nil, 4*out
				}
				v := NewIntConv(&k.Window, k.c, k.n, w, scale, bias, in, z, to, k.act)
				dst := newGuarded(size, uint8(0x5a))
				scratch := newGuarded(v.ScratchBytes(), uint8(0xff))
				var residual []uint8
				if k.z {
					residual = zs.V
				}
				p, u := v.Panels()/2, v.Units()/3
				for _, part := range [][4]int{{0, u, 0, p}, {u, v.Units(), 0, p}, {0, u, p, v.Panels()}, {u, v.Units(), p, v.Panels()}} {
					v.Run(dst.V, src.V, residual, part[0], part[1], part[2], part[3], scratch.V)
				}
				dst.check(t, name)
				scratch.check(t, name)
				row := make([]float32, 1)
				for at := range out {
					n, x, yy := at%k.n, at/k.n%k.OW, at/k.n/k.OW
					f := intRef(&k, src.V, w, yy, x, n, in.Zero, in.Scale*scale[n], bias[n])
					if k.z {
						f += float32(float32(int32(zs.V[at])-int32(z.Zero)) * z.Scale)
					}
					row[0] = f
					activateGeneric(row, row, k.act)
					if float {
						if got := floatsOf(dst.V)[at]; !near(float64(got), float64(row[0]), 1, 2e-6) {
							t.Fatalf("%s: float output %d is %v, want %v", name, at, got, row[0])
						}
						continue
					}
					want := toLevel(row[0], y)
					if got := dst.V[at]; got != want && (k.act.Kind == ActNone || math.Abs(float64(int(got)-int(want))) > 1) {
						t.Fatalf("%s: output %d is %d, want %d", name, at, got, want)
					}
				}
			}
		}
	})
}

func TestIntChannelConv(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for i, k := range []convCase{
			{Window: window(9, 11, 3, 3, 1, 1, 1), c: 8, act: Activation{Kind: ActRelu}}, {Window: window(8, 8, 3, 3, 2, 1, 1), c: 64},
			{Window: window(7, 9, 5, 5, 1, 1, 2), c: 100, act: Activation{Kind: ActClip, Beta: 6}}, {Window: window(12, 12, 3, 3, 1, 2, 2), c: 131, act: Activation{Kind: ActLeakyRelu, Alpha: 0.1}},
		} {
			name := fmt.Sprintf("%+v", k)
			taps := k.KH * k.KW
			src, w := randomBytes(r, k.H*k.W*k.c), randomLevels(r, taps*k.c)
			scale, bias := make([]float32, k.c), make([]float32, k.c)
			for n := range scale {
				scale[n], bias[n] = 0.01*(1+r.Float32()), float32(r.NormFloat64())
			}
			in, y := Quantized{0.02, uint8(50 * (i % 3))}, Quantized{0.05, uint8(64 * (i % 2))}
			v := NewIntChannelConv(&k.Window, k.c, w, scale, bias, in, y, k.act)
			dst := newGuarded(k.OH*k.OW*k.c, uint8(0x5a))
			v.Run(dst.V, src.V, 0, k.OH/2)
			v.Run(dst.V, src.V, k.OH/2, k.OH)
			dst.check(t, name)
			one, plane, filter := k, make([]uint8, k.H*k.W), make([]int8, taps)
			one.c = 1
			row := make([]float32, 1)
			for c := range k.c {
				for p := range plane {
					plane[p] = src.V[p*k.c+c]
				}
				for e := range filter {
					filter[e] = w[e*k.c+c]
				}
				for p := range k.OH * k.OW {
					row[0] = intRef(&one, plane, filter, p/k.OW, p%k.OW, 0, in.Zero, in.Scale*scale[c], bias[c])
					activateGeneric(row, row, k.act)
					if got, want := dst.V[p*k.c+c], toLevel(row[0], y); got != want && (k.act.Kind == ActNone || math.Abs(float64(int(got)-int(want))) > 1) {
						t.Fatalf("%s: pixel %d, channel %d is %d, want %d", name, p, c, got, want)
					}
				}
			}
		}
	})
}

func TestQuantizeBytes(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range []int{0, 1, 15, 16, 17, 100} {
			y := Quantized{0.03, 77}
			src, dst, back := randomF32(r, n), newGuarded(n, uint8(1)), newGuarded(n, float32(1))
			for i := range src.V {
				src.V[i] *= 4
			}
			if n > 20 {
				src.V[3], src.V[4], src.V[20] = float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())
			}
			QuantizeBytes(dst.V, src.V, y)
			DequantizeBytes(back.V, dst.V, y)
			dst.check(t, "bytes")
			back.check(t, "floats")
			for i, f := range src.V {
				want := y.Zero
				if f == f {
					want = uint8(min(max(math.RoundToEven(float64(f/y.Scale))+float64(y.Zero), 0), 255))
				}
				if dst.V[i] != want || back.V[i] != (float32(want)-77)*y.Scale {
					t.Fatalf("%d of %d: %v gives %d and %v, want %d", i, n, f, dst.V[i], back.V[i], want)
				}
			}
		}
	})
}

// TestLevelCurve holds curves to their activations: to a hundredth of a level.
func TestLevelCurve(t *testing.T) {
	for _, kind := range []ActKind{ActSigmoid, ActTanh, ActSwish, ActHardSwish, ActGelu, ActGeluTanh} {
		for _, y := range []Quantized{{0.03, 10}, {0.1, 3}, {1.0 / 255, 0}, {1.0 / 128, 128}, {0.5, 1}, {0.002, 250}} {
			c := newLevelCurve(Activation{Kind: kind}, y)
			worst := 0.0
			for i := range 40000 {
				v := float32(i-20000) / 500
				f := []float32{v}
				activateGeneric(f, f, Activation{Kind: kind})
				exact := min(max(float64(f[0])/float64(y.Scale)+float64(y.Zero), 0), 255)
				worst = max(worst, math.Abs(exact-float64(c.level(v, int32(y.Zero)))))
			}
			if worst > 0.52 {
				t.Errorf("activation %d, %v: a level lies %.3f from its value", kind, y, worst)
			}
		}
		for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			newLevelCurve(Activation{Kind: kind}, Quantized{1e-30, 3}).level(v, 3)
			newLevelCurve(Activation{Kind: kind}, Quantized{1e30, 3}).level(v, 3)
		}
	}
}
