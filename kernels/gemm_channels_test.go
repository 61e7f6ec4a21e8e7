package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestChannelOuter(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		for _, c := range []struct{ n, taps, k, segments, lda, ldb, tap, moreA, moreB int }{
			{24, 3, 12, 12, 24, 24, 24, 0, 48}, {48, 5, 7, 3, 48, 96, 48, 0, 9}, {1, 1, 1, 1, 1, 1, 1, 0, 0}, {70, 2, 40, 1, 80, 70, 140, 0, 0},
			{16, 4, 5, 2, 16, 16, 16, 16, 32}, {33, 7, 9, 30, 33, 33, 33, 0, 0}, {768, 3, 7, 7, 768, 768, 768, 0, 1536},
		} {
			r := rand.New(rand.NewPCG(1, uint64(c.n)))
			o := ChannelOuter{N: c.n, Taps: c.taps, K: c.k, Segments: c.segments, LDA: c.lda, LDB: c.ldb, Tap: c.tap,
				SegmentA: c.k*c.lda + c.moreA, SegmentB: c.k*c.ldb + c.moreB}
			a := randomF32(r, (c.segments-1)*o.SegmentA+(c.k-1)*c.lda+c.n)
			b := randomF32(r, (c.segments-1)*o.SegmentB+(c.k-1)*c.ldb+(c.taps-1)*c.tap+c.n)
			dst := randomF32(r, c.taps*c.n)
			before := append([]float32(nil), dst.V...)
			o.A, o.B, o.C = a.V, b.V, dst.V
			room := newGuarded(c.n, float32(3))
			o.Run(room.V)
			for i, g := range []*guarded[float32]{a, b, dst, room} {
				g.check(t, fmt.Sprintf("%v: operand %d", c, i))
			}
			for at, was := range before {
				sum, size := float64(was), math.Abs(float64(was))
				for s := range c.segments {
					for k := range c.k {
						p := float64(a.V[s*o.SegmentA+k*c.lda+at%c.n]) * float64(b.V[s*o.SegmentB+k*c.ldb+at/c.n*c.tap+at%c.n])
						sum, size = sum+p, size+math.Abs(p)
					}
				}
				if got := float64(dst.V[at]); !near(got, sum, size, 1e-5) {
					t.Fatalf("%v: tap %d of channel %d is %g, want %g", c, at/c.n, at%c.n, got, sum)
				}
			}
		}
	})
}
