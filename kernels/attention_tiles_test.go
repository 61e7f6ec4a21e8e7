package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestPairTile holds tiles of bfloat16, and plain Go, to sums in float64.
func TestPairTile(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 1))
		for _, size := range [][3]int{{1, 1, 1}, {1, 2, 3}, {2, 1, 1}, {2, 2, 2}, {2, 3, 4}, {2, 32, 1}} {
			rowTiles, depth, strips := size[0], size[1], size[2]
			k, lda, ldd := 32*depth, 32*depth+8, strips*stripCols+16
			a, b := newGuarded((16*rowTiles-1)*lda+k, uint16(0x7fc0)), newGuarded(strips*k*stripCols, uint16(0x7fc0))
			for _, s := range [][]uint16{a.V, b.V} {
				for i := range s {
					s[i] = F32ToBF16(float32(r.NormFloat64()))
				}
			}
			for _, add := range []int{0, 1} {
				what := fmt.Sprintf("%d row tiles, depth %d, %d strips, add %d", rowTiles, depth, strips, add)
				before := randomF32(r, (16*rowTiles-1)*ldd+strips*stripCols)
				for name, dot := range map[string]func(*pairTile){"dotPairs": dotPairs, "dotPairsGeneric": dotPairsGeneric} {
					got := newGuarded(len(before.V), float32(1e30))
					copy(got.V, before.V)
					dot(&pairTile{dst: &got.V[0], ldd: 4 * ldd, a: &a.V[0], lda: 2 * lda, b: (*uint32)(unsafe.Pointer(&b.V[0])), strip: 2 * k * stripCols,
						depth: depth, strips: strips, rowTiles: rowTiles, add: add, shapes: &wholeTiles})
					got.check(t, name+": "+what)
					for at, v := range got.V {
						i, c := at/ldd, at%ldd
						want, size := float64(before.V[at]), 1.0
						if c < strips*stripCols {
							want *= float64(add)
							for j := range k {
								x := float64(BF16ToF32(a.V[i*lda+j])) * float64(BF16ToF32(b.V[c/stripCols*k*stripCols+2*(j/2*stripCols+c%stripCols)+j%2]))
								want += x
								size += math.Abs(x)
							}
						}
						if !near(float64(v), want, size, 1e-6) {
							t.Fatalf("%s: %s: row %d column %d is %v, want %v", name, what, i, c, v, want)
						}
					}
				}
			}
		}
	})
}

func TestInterleavePairs(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(10, 1))
		const stride = stripCols + 6
		for rows := 1; rows <= 9; rows++ {
			src, dst := newGuarded((rows-1)*stride+stripCols, uint16(7)), newGuarded((rows+1)/2*2*stripCols, uint16(9))
			for i := range src.V {
				src.V[i] = uint16(r.UintN(1 << 16))
			}
			words := unsafe.Slice((*uint32)(unsafe.Pointer(&dst.V[0])), len(dst.V)/2)
			bytes := unsafe.Slice((*byte)(unsafe.Pointer(&src.V[0])), 2*len(src.V))
			interleavePairs(words, bytes, 2*stride, rows)
			dst.check(t, "interleavePairs")
			for at, got := range dst.V {
				i, c, want := at/(2*stripCols)*2+at%2, at/2%stripCols, uint16(0)
				if i < rows {
					want = src.V[i*stride+c]
				}
				if got != want {
					t.Fatalf("%d rows: element %d of row %d is %d, want %d", rows, c, i, got, want)
				}
			}
		}
	})
}

func TestExpPairs(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 1))
		for n := 1; n < 150; n++ {
			x, dst := randomF32(r, n), newGuarded(n, uint16(0x7fc0))
			if n > 4 {
				x.V[1], x.V[2], x.V[3], x.V[4] = float32(math.Inf(-1)), -1e30, -30, -33
			}
			top := float32(3 * MaxRow(x.V))
			want, total := make([]float64, n), 0.0
			for i, v := range x.V {
				want[i] = math.Exp(3*float64(v) - float64(top))
				total += want[i]
			}
			sum := expPairs(dst.V, x.V, 3, top)
			x.check(t, "expPairs")
			dst.check(t, "expPairs")
			if !near(float64(sum), total, total, 2e-4) {
				t.Fatalf("%d elements: the sum is %v, want %v", n, sum, total)
			}
			for i, w := range want {
				if got := float64(BF16ToF32(dst.V[i])); math.Abs(got-w) > (1.0/256+3e-4)*w+1e-37 {
					t.Fatalf("%d elements: element %d is %v, want %v", n, i, got, w)
				}
			}
		}
		x, dst := []float32{0, float32(math.NaN()), -1}, make([]uint16, 3)
		if expPairs(dst, x, 1, 0); dst[1]&0x7fff <= 0x7f80 || dst[0] != 0x3f80 {
			t.Errorf("a row with NaN gives %x", dst)
		}
	})
}

// TestPairExpTable holds the polynomial that the assembly reads to 2^f.
func TestPairExpTable(t *testing.T) {
	for i := range 2001 {
		f := float64(i) / 2000
		p := float64(pairExpTable[3]) + f*(float64(pairExpTable[0])+f*(float64(pairExpTable[1])+f*float64(pairExpTable[2])))
		if want := math.Exp2(f); math.Abs(p-want) > 1.1e-4*want {
			t.Fatalf("2^%v is %v by the table, want %v", f, p, want)
		}
	}
}

// TestAttentionPairs compares rows of bfloat16, products in tiles or not, with the formula: with masks, softcap, sinks, windows
// and around the sizes of blocks.
func TestAttentionPairs(t *testing.T) {
	cases := []struct {
		a    Attention
		mask bool
	}{
		{Attention{Heads: 1, Queries: 33, Keys: 1, Dim: 32, DimV: 32}, false},
		{Attention{Heads: 1, Queries: 16, Keys: attentionKeys, Dim: 32, DimV: 32}, false},
		{Attention{Heads: 2, Queries: 17, Keys: attentionKeys + 1, Dim: 64, DimV: 64, Causal: true, Offset: attentionKeys - 16}, false},
		{Attention{Heads: 1, Queries: 40, Keys: 2*attentionKeys + 33, Dim: 64, DimV: 32, Causal: true, Offset: 2*attentionKeys - 7, Window: 700}, true},
		{Attention{Heads: 40, Queries: 1, Keys: 95, Dim: 32, DimV: 64, Sinks: make([]float32, 40)}, true},
		{Attention{Heads: 3, Queries: 5, Keys: 97, Dim: 32, DimV: 32, Softcap: 2}, true},
		{Attention{Heads: 1, Queries: 70, Keys: 70, Dim: 64, DimV: 64, Causal: true}, false},
		{Attention{Heads: 1, Queries: 3, Keys: 0, Dim: 32, DimV: 32}, false},
	}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(12, 1))
		for _, c := range cases {
			a := c.a
			a.Scale, a.QueryHead, a.DstHead = float32(1/math.Sqrt(float64(a.Dim))), a.Dim, a.DimV
			name := fmt.Sprintf("%+v mask %v", a, c.mask)
			q := randomF32(r, a.Queries*a.Heads*a.Dim)
			for i, v := range q.V {
				q.V[i] = BF16ToF32(F32ToBF16(v))
			}
			k, kf, checkK := storedRows(t, RowsBF16, randomF32(r, a.Keys*a.Dim).V, a.Keys, a.Dim)
			v, vf, checkV := storedRows(t, RowsBF16, randomF32(r, a.Keys*a.DimV).V, a.Keys, a.DimV)
			var mask AttentionMask
			if c.mask {
				mask = AttentionMask{Data: randomF32(r, a.Heads*a.Queries*a.Keys).V, HeadStride: a.Queries * a.Keys, QueryStride: a.Keys}
				for i := range mask.Data {
					if r.IntN(3) == 0 || i < a.Keys {
						mask.Data[i] = float32(math.Inf(-1))
					}
				}
			}
			dst, scratch := randomF32(r, a.Queries*a.Heads*a.DimV), newGuarded(a.ScratchBytes(), uint8(0xff)) // NaN
			a.Run(dst.V, a.Heads*a.DimV, q.V, a.Heads*a.Dim, k, v, mask, scratch.V)
			dst.check(t, name)
			scratch.check(t, name)
			checkK(name)
			checkV(name)
			for h := range a.Heads {
				for i := range a.Queries {
					var row []float32
					if c.mask {
						row = mask.Data[(h*a.Queries+i)*a.Keys:]
					}
					for d, w := range attentionRef(&a, q.V[(i*a.Heads+h)*a.Dim:], kf, a.Dim, vf, a.DimV, i, h, row) {
						if got := dst.V[(i*a.Heads+h)*a.DimV+d]; !near(float64(got), w, 1, 4e-3) {
							t.Fatalf("%s: head %d query %d element %d = %v, want %v", name, h, i, d, got, w)
						}
					}
				}
			}
		}
	})
}

// TestAttentionPairsSplit: a query over rows of bfloat16 gives the same bits among others and alone.
func TestAttentionPairsSplit(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 1))
		const dim, keys = 64, attentionKeys + 150
		a := Attention{Heads: 1, Queries: 150, Keys: keys, Dim: dim, DimV: dim, Scale: 0.2, Causal: true, Offset: keys - 150}
		q := randomF32(r, 150*dim).V
		k, _, _ := storedRows(t, RowsBF16, randomF32(r, keys*dim).V, keys, dim)
		v, _, _ := storedRows(t, RowsBF16, randomF32(r, keys*dim).V, keys, dim)
		whole, part := make([]float32, 150*dim), make([]float32, 150*dim)
		scratch := make([]byte, a.ScratchBytes())
		a.Run(whole, dim, q, dim, k, v, AttentionMask{}, scratch)
		for _, span := range [][2]int{{0, 37}, {37, 110}, {110, 111}, {111, 150}} {
			b := a
			b.Queries, b.Offset = span[1]-span[0], a.Offset+span[0]
			b.Run(part[span[0]*dim:], dim, q[span[0]*dim:], dim, k, v, AttentionMask{}, scratch)
		}
		for i, w := range whole {
			if part[i] != w {
				t.Fatalf("element %d = %v in a part, %v in the whole", i, part[i], w)
			}
		}
	})
}
