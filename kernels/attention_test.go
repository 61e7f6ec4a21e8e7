package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const attentionTol = 5e-6

// attentionRef is one output row by the formula of Attention, in float64.
func attentionRef(a *Attention, q, k []float32, ldk int, v []float32, ldv, t, h int, mask []float32) []float64 {
	scores := make([]float64, a.Keys)
	top := math.Inf(-1)
	for s := range scores {
		scores[s] = math.Inf(-1)
		at := t + a.Offset
		if a.Causal && s > at || a.Window > 0 && s <= at-a.Window {
			continue
		}
		var dot float64
		for d := range a.Dim {
			dot += float64(q[d]) * float64(k[s*ldk+d])
		}
		dot *= float64(a.Scale)
		if a.Softcap > 0 {
			dot = float64(a.Softcap) * math.Tanh(dot/float64(a.Softcap))
		}
		if mask != nil {
			dot += float64(mask[s])
		}
		scores[s] = dot
		top = max(top, dot)
	}
	out := make([]float64, a.DimV)
	var sum float64
	if a.Sinks != nil {
		top = max(top, float64(a.Sinks[h]))
		sum = math.Exp(float64(a.Sinks[h]) - top)
	}
	for s, x := range scores {
		w := math.Exp(x - top)
		if math.IsInf(top, -1) {
			w = 0
		}
		sum += w
		for d := range out {
			out[d] += w * float64(v[s*ldv+d])
		}
	}
	for d := range out {
		if sum > 0 {
			out[d] /= sum
		}
	}
	return out
}

func TestAttention(t *testing.T) {
	inf := float32(math.Inf(-1))
	cases := []struct {
		a    Attention
		mask bool
	}{
		{Attention{Heads: 1, Queries: 1, Keys: 1, Dim: 4, DimV: 4}, false},
		{Attention{Heads: 4, Queries: 1, Keys: 300, Dim: 64, DimV: 64, Causal: true, Offset: 299}, false},
		{Attention{Heads: 1, Queries: 1, Keys: 129, Dim: 33, DimV: 17}, true},
		{Attention{Heads: 2, Queries: 70, Keys: 200, Dim: 32, DimV: 48, Causal: true, Offset: 130}, false},
		{Attention{Heads: 3, Queries: 5, Keys: 260, Dim: 16, DimV: 16, Softcap: 2}, true},
		{Attention{Heads: 1, Queries: 140, Keys: 140, Dim: 8, DimV: 8, Causal: true, Window: 20}, false},
		{Attention{Heads: 2, Queries: 4, Keys: 3, Dim: 8, DimV: 8, Causal: true, Offset: -2}, false},
		{Attention{Heads: 70, Queries: 1, Keys: 10, Dim: 8, DimV: 8}, true},
		{Attention{Heads: 1, Queries: 3, Keys: 0, Dim: 8, DimV: 8}, false},
		{Attention{Heads: 3, Queries: 1, Keys: 200, Dim: 8, DimV: 8, Sinks: []float32{-1, 0.5, 3}}, false},
		{Attention{Heads: 2, Queries: 70, Keys: 200, Dim: 8, DimV: 8, Causal: true, Offset: 130, Window: 20, Sinks: []float32{-1, 2}}, false},
		{Attention{Heads: 2, Queries: 3, Keys: 5, Dim: 8, DimV: 8, Sinks: []float32{1, -2}}, true},
	}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, c := range cases {
			a := c.a
			a.Scale, a.QueryHead, a.DstHead = float32(1/math.Sqrt(float64(a.Dim))), a.Dim, a.DimV
			name := fmt.Sprintf("%+v mask %v", a, c.mask)
			ldq, ldd, ldk, ldv := a.Heads*a.Dim+3, a.Heads*a.DimV+1, a.Dim*2, a.DimV*2
			q, k, v := randomF32(r, a.Queries*ldq), randomF32(r, a.Keys*ldk), randomF32(r, a.Keys*ldv)
			dst := randomF32(r, (a.Queries-1)*ldd+a.Heads*a.DimV)
			scratch := newGuarded(a.ScratchBytes(), uint8(5))
			var mask AttentionMask
			if c.mask {
				mask = AttentionMask{Data: randomF32(r, a.Heads*a.Queries*a.Keys).V, HeadStride: a.Queries * a.Keys, QueryStride: a.Keys}
				for i := range mask.Data {
					if r.IntN(3) == 0 || i < a.Keys { // the first row sees nothing
						mask.Data[i] = inf
					}
				}
			}
			a.Run(dst.V, ldd, q.V, ldq, FloatRows(k.V, ldk), FloatRows(v.V, ldv), mask, scratch.V)
			dst.check(t, name)
			scratch.check(t, name)
			for h := range a.Heads {
				for i := range a.Queries {
					var row []float32
					if c.mask {
						row = mask.Data[(h*a.Queries+i)*a.Keys:]
					}
					want := attentionRef(&a, q.V[i*ldq+h*a.Dim:], k.V, ldk, v.V, ldv, i, h, row)
					for d, w := range want {
						if got := dst.V[i*ldd+h*a.DimV+d]; !near(float64(got), w, 1, attentionTol) {
							t.Fatalf("%s: head %d query %d element %d = %v, want %v", name, h, i, d, got, w)
						}
					}
				}
			}
			if n := testing.AllocsPerRun(1, func() {
				a.Run(dst.V, ldd, q.V, ldq, FloatRows(k.V, ldk), FloatRows(v.V, ldv), mask, scratch.V)
			}); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

// TestAttentionSplit: a query gives the same bits among others and in a part of them.
func TestAttentionSplit(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 1))
		a := Attention{Heads: 1, Queries: 150, Keys: 300, Dim: 32, DimV: 32, Scale: 0.2, Causal: true, Offset: 150}
		q, k, v := randomF32(r, 150*32).V, randomF32(r, 300*32).V, randomF32(r, 300*32).V
		whole, part := make([]float32, 150*32), make([]float32, 150*32)
		scratch := make([]byte, a.ScratchBytes())
		a.Run(whole, 32, q, 32, FloatRows(k, 32), FloatRows(v, 32), AttentionMask{}, scratch)
		for _, span := range [][2]int{{0, 37}, {37, 110}, {110, 150}} {
			b := a
			b.Queries, b.Offset = span[1]-span[0], a.Offset+span[0]
			b.Run(part[span[0]*32:], 32, q[span[0]*32:], 32, FloatRows(k, 32), FloatRows(v, 32), AttentionMask{}, scratch)
		}
		for i, w := range whole {
			if part[i] != w {
				t.Fatalf("element %d = %v in a part, %v in the whole", i, part[i], w)
			}
		}
	})
}

// BenchmarkAttention is a group of 8 query heads over 4096 keys, many queries and one: in GMAC/s, and in GB/s of cache read.
func BenchmarkAttention(b *testing.B) {
	for _, queries := range []int{64, 1} {
		for i, kind := range rowKinds {
			b.Run(fmt.Sprintf("queries=%d/%s", queries, []string{"F32", "F16", "I8", "BF16"}[i]), func(b *testing.B) {
				const dim, keys, heads = 64, 4096, 4 // heads of keys and values, side by side
				a := Attention{Heads: 8, Queries: queries, Keys: keys, Dim: dim, DimV: dim, QueryHead: dim, DstHead: dim, Scale: 0.1}
				r := rand.New(rand.NewPCG(1, 1))
				row := kind.RowBytes(dim)
				k, v := make([]byte, heads*keys*row), make([]byte, heads*keys*row)
				for i := range heads * keys {
					kind.Store(k[i*row:], randomF32(r, dim).V)
					kind.Store(v[i*row:], randomF32(r, dim).V)
				}
				q, dst := randomF32(r, queries*8*dim).V, make([]float32, queries*8*dim)
				scratch := make([]byte, a.ScratchBytes())
				for i := 0; b.Loop(); i++ {
					at := i % heads * row
					a.Run(dst, 8*dim, q, 8*dim, Rows{kind, k[at:], heads * row}, Rows{kind, v[at:], heads * row}, AttentionMask{}, scratch)
				}
				b.ReportMetric(float64(2*queries*8*keys*dim)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
				b.ReportMetric(float64(2*keys*row)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
		}
	}
}
