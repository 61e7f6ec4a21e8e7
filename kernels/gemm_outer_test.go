package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// outerCase is a sum of outer products: rows of A and B with gaps, and receptive fields that overlap.
type outerCase struct {
	m, n, k, segments      int
	lda, ldb, moreA, moreB int // distances of rows, and what follows a segment
	ldc                    int
}

func (c outerCase) String() string {
	return fmt.Sprintf("%dx%dx%dx%d ld %d %d %d more %d %d", c.m, c.n, c.k, c.segments, c.lda, c.ldb, c.ldc, c.moreA, c.moreB)
}

var outerCases = []outerCase{
	{m: 16, n: 48, k: 32, segments: 32, lda: 16, ldb: 16, moreB: 32, ldc: 144},
	{m: 64, n: 192, k: 8, segments: 8, lda: 64, ldb: 64, moreB: 128, ldc: 576},
	{m: 32, n: 96, k: 8, segments: 5, lda: 32, ldb: 64, moreB: 7, ldc: 288},
	{m: 5, n: 9, k: 7, segments: 3, lda: 5, ldb: 3, moreB: 6, ldc: 27},
	{m: 1, n: 1, k: 1, segments: 1, lda: 1, ldb: 1, ldc: 1},
	{m: 13, n: 33, k: 900, segments: 1, lda: 15, ldb: 40, ldc: 35},
	{m: 25, n: 17, k: 3, segments: 2, lda: 30, ldb: 17, moreA: 4, ldc: 17},
	{m: 12, n: 16, k: 400, segments: 2, lda: 12, ldb: 16, ldc: 16},
	{m: 3, n: 31, k: 5, segments: 1, lda: 3, ldb: 31, ldc: 31},
	{m: 200, n: 70, k: 600, segments: 1, lda: 200, ldb: 70, ldc: 70},
}

// outer makes the sum's operands.
func (c outerCase) outer(r *rand.Rand) (o *Outer, a, b, dst *guarded[float32]) {
	segmentA, segmentB := c.k*c.lda+c.moreA, c.k*c.ldb+c.moreB
	a = randomF32(r, (c.segments-1)*segmentA+(c.k-1)*c.lda+c.m)
	b = randomF32(r, (c.segments-1)*segmentB+(c.k-1)*c.ldb+c.n)
	dst = randomF32(r, (c.m-1)*c.ldc+c.n)
	return &Outer{M: c.m, N: c.n, K: c.k, Segments: c.segments, A: a.V, B: b.V, C: dst.V,
		LDA: c.lda, LDB: c.ldb, LDC: c.ldc, SegmentA: segmentA, SegmentB: segmentB}, a, b, dst
}

func TestOuter(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		for _, c := range outerCases {
			o, a, b, dst := c.outer(rand.New(rand.NewPCG(1, uint64(c.m*c.n))))
			before := append([]float32(nil), dst.V...)
			scratch := newGuarded[uint8](OuterScratchBytes(c.m, c.n, c.k), 0xa5)
			o.Run(scratch.V)
			for i, g := range []*guarded[float32]{a, b, dst} {
				g.check(t, fmt.Sprintf("%v: matrix %d", c, i))
			}
			scratch.check(t, fmt.Sprintf("%v: scratch", c))
			for at, was := range before {
				i, j := at/c.ldc, at%c.ldc
				if j >= c.n {
					if dst.V[at] != was {
						t.Fatalf("%v: wrote column %d", c, j)
					}
					continue
				}
				sum, size := float64(was), math.Abs(float64(was))
				for s := range c.segments {
					for k := range c.k {
						p := float64(a.V[s*o.SegmentA+k*c.lda+i]) * float64(b.V[s*o.SegmentB+k*c.ldb+j])
						sum, size = sum+p, size+math.Abs(p)
					}
				}
				if got := float64(dst.V[at]); !near(got, sum, size, 1e-5) {
					t.Fatalf("%v: [%d, %d] is %g, want %g", c, i, j, got, sum)
				}
			}
		}
	})
}

// TestOuterOrder: levels that fuse products to sums agree bit by bit, as every element is one chain.
func TestOuterOrder(t *testing.T) {
	defer Reset()
	for _, c := range outerCases {
		var want []float32
		for _, level := range List() {
			if level != "avx2" && level != "avx512" {
				continue
			}
			if err := Select(level); err != nil {
				t.Fatal(err)
			}
			o, _, _, dst := c.outer(rand.New(rand.NewPCG(2, uint64(c.m*c.n))))
			o.Run(make([]byte, OuterScratchBytes(c.m, c.n, c.k)))
			if want == nil {
				want = dst.V
			}
			for i, v := range want {
				if dst.V[i] != v {
					t.Fatalf("%v: element %d is %g with %s, %g below", c, i, dst.V[i], level, v)
				}
			}
		}
	}
}

func BenchmarkOuter(b *testing.B) {
	for _, c := range append(outerCases[:2:2], outerCase{m: 768, n: 768, k: 392, segments: 1, lda: 768, ldb: 768, ldc: 768},
		outerCase{m: 384, n: 384, k: 1568, segments: 1, lda: 384, ldb: 384, ldc: 384}, outerCase{m: 48, n: 24, k: 900, segments: 1, lda: 48, ldb: 24, ldc: 24}) {
		b.Run(c.String(), func(b *testing.B) {
			o, _, _, _ := c.outer(rand.New(rand.NewPCG(1, 2)))
			scratch := make([]byte, OuterScratchBytes(c.m, c.n, c.k))
			for b.Loop() {
				o.Run(scratch)
			}
			macs := float64(c.m * c.n * c.k * c.segments)
			b.ReportMetric(macs*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}
