package kernels

import (
	"math"
	"testing"
)

// TestExpandHalf converts every bit pattern under every implementation.
func TestExpandHalf(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		src := make([]uint16, 1<<16+5)
		for i := range src {
			src[i] = uint16(i)
		}
		for _, n := range []int{0, 1, 15, 16, 17, 40, len(src)} {
			dst := newGuarded(n, float32(3))
			ExpandF16(dst.V, src[:n])
			dst.check(t, "ExpandF16")
			for i, v := range dst.V {
				if want := f16Value(src[i]); !sameF32(v, want) {
					t.Fatalf("F16 %#04x = %v, want %v", src[i], v, want)
				}
			}
			ExpandBF16(dst.V, src[:n])
			dst.check(t, "ExpandBF16")
			for i, v := range dst.V {
				if want := math.Float32frombits(uint32(src[i]) << 16); !sameF32(v, want) {
					t.Fatalf("BF16 %#04x = %v, want %v", src[i], v, want)
				}
			}
		}
	})
}

// f16Value is a binary16 by its definition.
func f16Value(h uint16) float32 {
	sign := 1.0
	if h>>15 != 0 {
		sign = -1
	}
	e, m := int(h>>10&31), float64(h&1023)
	switch e {
	case 0:
		return float32(sign * math.Ldexp(m, -24))
	case 31:
		if m != 0 {
			return float32(math.NaN())
		}
		return float32(sign * math.Inf(1))
	}
	return float32(sign * math.Ldexp(1024+m, e-25))
}

func TestNarrowHalf(t *testing.T) {
	for _, c := range []struct {
		f       float32
		f16, bf uint16
	}{
		{0, 0, 0}, {1, 0x3c00, 0x3f80}, {-2, 0xc000, 0xc000}, {65504, 0x7bff, 0x4780}, {65520, 0x7c00, 0x4780},
		{1 + 1.0/2048, 0x3c00, 0x3f80}, {1 + 3.0/2048, 0x3c02, 0x3f80}, // ties to even
		{1 + 1.0/256, 0x3c04, 0x3f80}, {1 + 3.0/256, 0x3c0c, 0x3f82},
		{6e-8, 1, 0x3381}, {math.MaxFloat32, 0x7c00, 0x7f80}, {float32(math.Inf(-1)), 0xfc00, 0xff80},
	} {
		var h, b [1]uint16
		NarrowF16(h[:], []float32{c.f})
		NarrowBF16(b[:], []float32{c.f})
		if h[0] != c.f16 || b[0] != c.bf {
			t.Errorf("%v: F16 %#04x, BF16 %#04x, want %#04x, %#04x", c.f, h[0], b[0], c.f16, c.bf)
		}
	}
	nan := float32(math.NaN())
	if f := F16ToF32(F32ToF16(nan)); f == f {
		t.Errorf("NaN as F16 = %v", f)
	}
	if f := BF16ToF32(F32ToBF16(math.Float32frombits(0x7f800001))); f == f {
		t.Errorf("NaN as BF16 = %v", f)
	}
}

// TestNarrowF16 holds the vector forms to the scalar one, bit for bit: around every binary16 number and every point halfway
// between two, at the ends of the range and for NaN.
func TestNarrowF16(t *testing.T) {
	var src []float32
	for h := range 1 << 16 {
		for _, d := range []int32{-1, 0, 1} {
			for _, half := range []int32{0, 0x1000} {
				u := int32(math.Float32bits(F16ToF32(uint16(h)))) + half + d
				src = append(src, math.Float32frombits(uint32(u)))
			}
		}
	}
	for e := range 1 << 9 {
		for _, m := range []uint32{0, 1, 0x3fffff, 0x400000, 0x7fffff} {
			src = append(src, math.Float32frombits(uint32(e)<<23|m))
		}
	}
	forEachImplementation(t, func(t *testing.T) {
		dst := make([]uint16, len(src))
		NarrowF16(dst, src)
		for i, f := range src {
			if want := F32ToF16(f); dst[i] != want {
				t.Fatalf("%#08x becomes %#04x, want %#04x", math.Float32bits(f), dst[i], want)
			}
		}
		for n := range 40 {
			g := newGuarded(n, uint16(0x1234))
			NarrowF16(g.V, src[1000:1000+n])
			g.check(t, "NarrowF16")
		}
	})
}
