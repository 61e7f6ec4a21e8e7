package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// storedRows returns x as rows of the kind, stride elements of x apart, with what they load as.
func storedRows(t *testing.T, kind RowKind, x []float32, n, dim int) (rows Rows, loaded []float32, check func(what string)) {
	size := kind.RowBytes(dim)
	stride := size + 12
	g := newGuarded(max(0, (n-1)*stride+size), uint8(0xa5))
	loaded = make([]float32, n*dim)
	for i := range n {
		kind.Store(g.V[i*stride:], x[i*dim:(i+1)*dim])
		kind.Load(loaded[i*dim:(i+1)*dim], g.V[i*stride:])
	}
	return Rows{Kind: kind, Data: g.V, Stride: stride}, loaded, func(what string) { g.check(t, what) }
}

var rowKinds = []RowKind{RowsF32, RowsF16, RowsI8, RowsBF16}

func TestRowKinds(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 1))
		for _, kind := range rowKinds {
			for _, dim := range []int{0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 128} {
				x := randomF32(r, 3*dim)
				what := fmt.Sprintf("kind %d, %d elements", kind, dim)
				_, got, check := storedRows(t, kind, x.V, 3, dim)
				check(what)
				for i, v := range x.V {
					var top, tol float64
					for _, w := range x.V[i/dim*dim : (i/dim+1)*dim] {
						top = max(top, math.Abs(float64(w)))
					}
					switch kind {
					case RowsF16:
						tol = math.Abs(float64(v)) / 2048
					case RowsBF16:
						tol = math.Abs(float64(v)) / 256
					case RowsI8:
						tol = top / 253
					}
					if d := math.Abs(float64(got[i] - v)); d > tol+1e-7 {
						t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], v)
					}
				}
			}
		}
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			_, got, _ := storedRows(t, RowsI8, []float32{1, bad, 2}, 1, 3)
			if got[0] == got[0] {
				t.Errorf("a row of bytes with %v is %v", bad, got)
			}
		}
		if _, got, _ := storedRows(t, RowsI8, []float32{0, 1e-38, 0}, 1, 3); got[1] != 0 {
			t.Errorf("a row of tiny numbers is %v", got)
		}
	})
}

// TestAttentionRowKinds compares attention over rows of every kind with that over what they load as.
func TestAttentionRowKinds(t *testing.T) {
	cases := []Attention{
		{Heads: 1, Queries: 1, Keys: 1, Dim: 32, DimV: 32},
		{Heads: 8, Queries: 1, Keys: 300, Dim: 64, DimV: 64, Causal: true, Offset: 299},
		{Heads: 1, Queries: 1, Keys: 257, Dim: 128, DimV: 64},
		{Heads: 2, Queries: 70, Keys: 331, Dim: 32, DimV: 96, Causal: true, Offset: 261},
		{Heads: 3, Queries: 13, Keys: 520, Dim: 64, DimV: 32, Causal: true, Offset: 507, Window: 37},
		{Heads: 2, Queries: 3, Keys: 40, Dim: 20, DimV: 33},
		{Heads: 2, Queries: 5, Keys: 255, Dim: 64, DimV: 64, Sinks: []float32{-1, 2}},
		{Heads: 2, Queries: 4, Keys: 3, Dim: 32, DimV: 32, Causal: true, Offset: -2},
	}
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 1))
		for _, a := range cases {
			a.Scale, a.QueryHead, a.DstHead = float32(1/math.Sqrt(float64(a.Dim))), a.Dim, a.DimV
			for _, kk := range rowKinds {
				for _, kv := range rowKinds {
					name := fmt.Sprintf("%+v kinds %d %d", a, kk, kv)
					q := randomF32(r, a.Queries*a.Heads*a.Dim)
					k, kf, checkK := storedRows(t, kk, randomF32(r, a.Keys*a.Dim).V, a.Keys, a.Dim)
					v, vf, checkV := storedRows(t, kv, randomF32(r, a.Keys*a.DimV).V, a.Keys, a.DimV)
					dst, scratch := randomF32(r, a.Queries*a.Heads*a.DimV), newGuarded(a.ScratchBytes(), uint8(5))
					tol := attentionTol
					if intRows(kv, a.DimV) { // weights of 15 bits
						tol = 5e-4
					}
					if pairsOf(kv, a.DimV) { // weights of 8 bits
						tol = 4e-3
					}
					run := func() {
						a.Run(dst.V, a.Heads*a.DimV, q.V, a.Heads*a.Dim, k, v, AttentionMask{}, scratch.V)
					}
					run()
					dst.check(t, name)
					scratch.check(t, name)
					checkK(name)
					checkV(name)
					for h := range a.Heads {
						for i := range a.Queries {
							query := append([]float32(nil), q.V[(i*a.Heads+h)*a.Dim:][:a.Dim]...)
							if intRows(kk, a.Dim) { // the queries too are rounded
								codes := make([]byte, a.Dim)
								scale, _ := quantizeRow(codes, query)
								for d, c := range codes {
									query[d] = scale * float32(int8(c))
								}
							}
							if pairsOf(kk, a.Dim) {
								for d, v := range query {
									query[d] = BF16ToF32(F32ToBF16(v))
								}
							}
							for d, w := range attentionRef(&a, query, kf, a.Dim, vf, a.DimV, i, h, nil) {
								if got := dst.V[(i*a.Heads+h)*a.DimV+d]; !near(float64(got), w, 1, tol) {
									t.Fatalf("%s: head %d query %d element %d = %v, want %v", name, h, i, d, got, w)
								}
							}
						}
					}
					if n := testing.AllocsPerRun(1, run); n != 0 {
						t.Errorf("%s: %v allocations", name, n)
					}
				}
			}
		}
	})
}

// TestIntTile holds the tiles of integers to plain Go, bit for bit, up to the largest sums.
func TestIntTile(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 1))
		for rows := 1; rows <= 26; rows++ {
			for _, depth := range []int{1, 2, 16, 128} {
				for _, extreme := range []bool{false, true} {
					a, b := newGuarded(rows*depth*4+8, uint8(1)), newGuarded(depth*stripCols*4, uint8(1))
					for _, s := range [][]uint8{a.V, b.V} {
						for i := range s {
							if s[i] = uint8(r.UintN(256)); extreme {
								s[i] = []uint8{0x7f, 0x80, 0xff}[r.IntN(3)]
							}
						}
					}
					init := make([]int32, rows)
					for i := range init {
						init[i] = int32(r.IntN(2000) - 1000)
					}
					scales, cols := randomF32(r, rows), randomF32(r, stripCols)
					for _, add := range []int{0, 1} {
						for _, words := range []bool{false, true} {
							got := randomF32(r, (rows-1)*40+stripCols)
							want := append([]float32(nil), got.V...)
							tile := intTile{dst: &got.V[0], ldd: 160, a: &a.V[0], lda: 4 * depth, b: &b.V[0], depth: depth, init: &init[0],
								rowScale: &scales.V[0], colScale: &cols.V[0], rows: rows, add: add}
							ref := tile
							ref.dst = &want[0]
							ref.sums(words)
							if words {
								dotWords(&tile)
							} else {
								dotBytes(&tile)
							}
							what := fmt.Sprintf("%d rows, depth %d, add %d, words %v", rows, depth, add, words)
							got.check(t, what)
							for i, w := range want {
								if math.Float32bits(got.V[i]) != math.Float32bits(w) {
									t.Fatalf("%s: element %d is %v, want %v", what, i, got.V[i], w)
								}
							}
						}
					}
				}
			}
		}
	})
}

func TestPackRows(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 1))
		const words, stride = 8, 4*8 + 5
		for rows := 1; rows <= stripCols; rows++ {
			src := newGuarded(rows*stride, uint8(7))
			for i := range src.V {
				src.V[i] = uint8(r.UintN(256))
			}
			bytes, pairs := newGuarded(words*stripCols*4, uint8(9)), newGuarded((rows+1)/2*stripCols*4, uint8(9))
			view := func(b []byte) []uint32 { return unsafe.Slice((*uint32)(unsafe.Pointer(&b[0])), len(b)/4) }
			packBytes(view(bytes.V), src.V, stride, rows, words)
			packPairs(view(pairs.V), src.V, stride, rows)
			bytes.check(t, "packBytes")
			pairs.check(t, "packPairs")
			for i := range rows {
				for j := range 4 * words {
					v := src.V[i*stride+j]
					if got := bytes.V[4*(j/4*stripCols+i)+j%4]; got != v {
						t.Fatalf("%d rows: byte %d of row %d is %d, want %d", rows, j, i, got, v)
					}
					if got := shortsOf(pairs.V)[2*(i/2*stripCols+j)+i%2]; got != int16(v)-rowZero {
						t.Fatalf("%d rows: pair %d of row %d is %d, want %d", rows, j, i, got, int16(v)-rowZero)
					}
				}
			}
		}
	})
}

func TestNarrowWeights(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 1))
		for n := range 70 {
			w, scale, dst := randomF32(r, n), randomF32(r, n), newGuarded(2*n, uint8(3))
			for i := range w.V {
				w.V[i], scale.V[i] = r.Float32(), r.Float32()
			}
			done := narrowWeightsSIMD(shortsOf(dst.V), w.V, scale.V, maxWeight)
			dst.check(t, "narrowWeights")
			for i, got := range shortsOf(dst.V)[:done] {
				if want := int16(math.RoundToEven(float64(w.V[i] * scale.V[i] * maxWeight))); got != want {
					t.Fatalf("%d elements: element %d is %d, want %d", n, i, got, want)
				}
			}
		}
	})
}

func TestExpScaled(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 1))
		for n := 1; n < 150; n++ {
			x := randomF32(r, n)
			if n > 3 {
				x.V[1], x.V[2] = float32(math.Inf(-1)), -1e30
			}
			want := make([]float64, n)
			top := float64(MaxRow(x.V)) * 3
			var total float64
			for i, v := range x.V {
				want[i] = math.Exp(3*float64(v) - float64(float32(top)))
				total += want[i]
			}
			sum := expScaled(x.V, 3, float32(top))
			x.check(t, "expScaled")
			if !near(float64(sum), total, total, 1e-6) {
				t.Fatalf("%d elements: the sum is %v, want %v", n, sum, total)
			}
			if sum != SumRow(x.V) {
				t.Fatalf("%d elements: the sum is %v, SumRow has %v", n, sum, SumRow(x.V))
			}
			for i, w := range want {
				if got := float64(x.V[i]); math.Abs(got-w) > 2e-6*w+1e-30 {
					t.Fatalf("%d elements: element %d is %v, want %v", n, i, got, w)
				}
			}
		}
		x := []float32{0, float32(math.NaN()), -1}
		if expScaled(x, 1, 0); x[1] == x[1] || x[0] != 1 {
			t.Errorf("a row with NaN gives %v", x)
		}
	})
}

// TestSoftTable holds the polynomial that the assembly reads to 2^f.
func TestSoftTable(t *testing.T) {
	for i := range 2001 {
		f := float64(i-1000) / 2000
		p := 0.0
		for j := 7; j >= 2; j-- {
			p = p*f + float64(softTable[j])
		}
		if want := math.Exp2(f); math.Abs(p-want) > 1.2e-7*want {
			t.Fatalf("2^%v is %v by the table, want %v", f, p, want)
		}
	}
}
