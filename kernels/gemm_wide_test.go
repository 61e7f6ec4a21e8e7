package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestAddWide has the bits of narrower products, and touches nothing beside its operands.
func TestAddWide(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 1))
		for rows := 1; rows <= 5; rows++ {
			for _, k := range []int{1, 2, 17, 100} {
				ldd, ldx, ldb := wideCols+rows%3*5, k+rows%2, wideCols+k%3*8
				x, b := randomF32(r, (rows-1)*ldx+k), randomF32(r, (k-1)*ldb+wideCols)
				got := randomF32(r, (rows-1)*ldd+wideCols)
				want := append([]float32(nil), got.V...)
				for c := 0; c < wideCols; c += PanelRows {
					gemmStrip(want[c:], ldd, x.V, ldx, rows, b.V[c:], b.V[c:], ldb, PanelRows, k, true)
				}
				addWide(got.V, ldd, x.V, ldx, rows, b.V, ldb, k)
				what := fmt.Sprintf("%d rows, depth %d", rows, k)
				got.check(t, what)
				x.check(t, what)
				b.check(t, what)
				if i := sameBits(got.V, want); i >= 0 {
					t.Fatalf("%s: element %d is %v, want %v", what, i, got.V[i], want[i])
				}
			}
		}
	})
}

// TestAddWideHalves: columns of binary16 give the bits of the same columns as float32.
func TestAddWideHalves(t *testing.T) {
	forEachImplementation(t, func(t *testing.T) {
		if !useHalfRows() {
			return
		}
		r := rand.New(rand.NewPCG(22, 1))
		for rows := 1; rows <= 8; rows++ {
			for _, k := range []int{1, 2, 17, 100} {
				ldd, ldx, ldb := wideCols+rows%3*5, k+rows%2, wideCols+k%3*8
				x, b, wide := randomF32(r, (rows-1)*ldx+k), newGuarded((k-1)*ldb+wideCols, uint16(0xffff)), make([]float32, (k-1)*ldb+wideCols)
				NarrowF16(b.V, randomF32(r, len(wide)).V)
				ExpandF16(wide, b.V)
				got := randomF32(r, (rows-1)*ldd+wideCols)
				want := append([]float32(nil), got.V...)
				addWide(want, ldd, x.V, ldx, rows, wide, ldb, k)
				addWideHalves(got.V, ldd, x.V, ldx, rows, b.V, ldb, k)
				what := fmt.Sprintf("%d rows, depth %d", rows, k)
				got.check(t, what)
				if i := sameBits(got.V, want); i >= 0 {
					t.Fatalf("%s: element %d is %v, want %v", what, i, got.V[i], want[i])
				}
			}
		}
	})
}
