package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestScoreRows(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 1))
		for rows := 1; rows <= scoreRowsMost(); rows++ {
			for _, dim := range []int{4, 8, 36, 64} {
				ldq, ldk := dim+rows%3, dim+5*(dim%8)
				q, k := randomF32(r, (rows-1)*ldq+dim), randomF32(r, (scoreKeys-1)*ldk+dim)
				got := randomF32(r, (rows-1)*scoresLd+scoreKeys)
				want := append([]float32(nil), got.V...)
				scoreRowsGeneric(want, q.V, ldq, rows, k.V, ldk, dim)
				scoreRows(got.V, q.V, ldq, rows, k.V, ldk, dim)
				what := fmt.Sprintf("%d rows of %d", rows, dim)
				got.check(t, what)
				if i := sameBits(got.V, want); i >= 0 {
					t.Fatalf("%s: element %d is %v, want %v", what, i, got.V[i], want[i])
				}
			}
		}
	})
}

// TestScoreHalves: keys of binary16 give the bits of the same keys as float32.
func TestScoreHalves(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		if !useHalfRows() {
			return
		}
		r := rand.New(rand.NewPCG(14, 1))
		for rows := 1; rows <= scoreRowsMost(); rows++ {
			for _, dim := range []int{8, 24, 64, 72} {
				ldq, ldk := dim+rows%3, dim+3*(rows%2)
				q, k, wide := randomF32(r, (rows-1)*ldq+dim), newGuarded((scoreKeys-1)*ldk+dim, uint16(0xffff)), make([]float32, (scoreKeys-1)*ldk+dim)
				NarrowF16(k.V, randomF32(r, len(wide)).V)
				ExpandF16(wide, k.V)
				got := randomF32(r, (rows-1)*scoresLd+scoreKeys)
				want := append([]float32(nil), got.V...)
				scoreRowsGeneric(want, q.V, ldq, rows, wide, ldk, dim)
				scoreHalves(got.V, q.V, ldq, rows, k.V, ldk, dim)
				what := fmt.Sprintf("%d rows of %d", rows, dim)
				got.check(t, what)
				if i := sameBits(got.V, want); i >= 0 {
					t.Fatalf("%s: element %d is %v, want %v", what, i, got.V[i], want[i])
				}
			}
		}
	})
}

// TestKeyRows: a lone group of heads, whose products are computed from key rows, has the bits of the same heads among more,
// for which keys are packed.
func TestKeyRows(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(12, 1))
		const many = 13
		for _, kind := range rowKinds {
			for _, keys := range []int{1, 2, 15, 16, 17, 40, attentionKeys - 1, attentionKeys + 5} {
				for _, window := range []int{0, 37} {
					dim := 32 + 32*(keys%2)
					row := kind.RowBytes(dim)
					k, v := newGuarded(keys*row, uint8(0xff)), newGuarded(keys*row, uint8(0xff))
					for i := range keys {
						kind.Store(k.V[i*row:], randomF32(r, dim).V)
						kind.Store(v.V[i*row:], randomF32(r, dim).V)
					}
					q := randomF32(r, many*dim)
					run := func(heads int) []float32 {
						a := Attention{Heads: heads, Queries: 1, Keys: keys, Dim: dim, DimV: dim, QueryHead: dim, DstHead: dim, Scale: 0.3,
							Causal: true, Offset: keys - 1, Window: window}
						dst, scratch := randomF32(r, heads*dim), newGuarded(a.ScratchBytes(), uint8(0xff))
						for i := range scratch.V {
							scratch.V[i] = 0xff // NaN
						}
						a.Run(dst.V, heads*dim, q.V, heads*dim, Rows{kind, k.V, row}, Rows{kind, v.V, row}, AttentionMask{}, scratch.V)
						dst.check(t, "result")
						scratch.check(t, "scratch")
						return dst.V
					}
					whole := run(many)
					for heads := 1; heads <= 9; heads++ {
						for i, x := range run(heads) {
							if math.Float32bits(x) != math.Float32bits(whole[i]) {
								t.Fatalf("kind %d, %d keys, window %d: element %d of %d heads is %v, %v among %d", kind, keys, window, i, heads, x, whole[i], many)
							}
						}
					}
				}
			}
		}
	})
}

// TestFewQueries: the queries of a few tokens, whose rows are one block, have the bits that they have alone.
func TestFewQueries(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 1))
		for _, dims := range [][2]int{{64, 64}, {32, 96}, {36, 20}} {
			dim, dimV := dims[0], dims[1]
			for _, keys := range []int{9, 40, attentionKeys + 5} {
				for _, window := range []int{0, 7} {
					for _, heads := range []int{1, 2, 3} {
						for _, queries := range []int{2, 3, 4, 6} {
							k, v := randomF32(r, keys*dim), randomF32(r, keys*dimV)
							ldq, ldd := heads*dim+3, heads*dimV+5
							q := randomF32(r, queries*ldq)
							run := func(dst, q []float32, queries, first int) {
								a := Attention{Heads: heads, Queries: queries, Keys: keys, Dim: dim, DimV: dimV, QueryHead: dim, DstHead: dimV, Scale: 0.3,
									Causal: true, Offset: first, Window: window}
								scratch := newGuarded(a.ScratchBytes(), uint8(0xff))
								a.Run(dst, ldd, q, ldq, FloatRows(k.V, dim), FloatRows(v.V, dimV), AttentionMask{}, scratch.V)
								scratch.check(t, "scratch")
							}
							got, want := randomF32(r, queries*ldd), make([]float32, queries*ldd)
							copy(want, got.V)
							run(got.V, q.V, queries, keys-queries)
							got.check(t, "result")
							for i := range queries {
								run(want[i*ldd:], q.V[i*ldq:], 1, keys-queries+i)
							}
							if i := sameBits(got.V, want); i >= 0 {
								t.Fatalf("dims %v, %d keys, window %d, %d heads, %d queries: element %d is %v, %v alone",
									dims, keys, window, heads, queries, i, got.V[i], want[i])
							}
						}
					}
				}
			}
		}
	})
}
