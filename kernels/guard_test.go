package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// guardLen is the number of elements on either side of a guarded buffer: more than any
// vector, so that a store beyond the end is seen.
const guardLen = 64

// guarded is a slice with a band on both sides that must not change. -race and size classes
// hide what assembly writes beyond a slice.
type guarded[T uint8 | uint16 | float32] struct {
	V    []T
	all  []T
	band T
}

// newGuarded returns n elements, the first on a 64-byte line.
func newGuarded[T uint8 | uint16 | float32](n int, band T) *guarded[T] {
	var z T
	size := int(unsafe.Sizeof(z))
	all := make([]T, n+2*guardLen+64/size)
	shift := 0
	for uintptr(unsafe.Pointer(&all[shift+guardLen]))%64 != 0 {
		shift++
	}
	all = all[shift : shift+n+2*guardLen]
	for i := range all {
		all[i] = band
	}
	return &guarded[T]{V: all[guardLen : guardLen+n : guardLen+n], all: all, band: band}
}

// check fails the test if a band has changed.
func (g *guarded[T]) check(t testing.TB, what string) {
	t.Helper()
	for i := range guardLen {
		if g.all[i] != g.band || g.all[len(g.all)-1-i] != g.band {
			t.Fatalf("%s: written outside the buffer", what)
		}
	}
}

// randomF32 returns n guarded numbers of about unit size.
func randomF32(r *rand.Rand, n int) *guarded[float32] {
	g := newGuarded(n, float32(1e30))
	for i := range g.V {
		g.V[i] = float32(r.NormFloat64())
	}
	return g
}

// forEachImplementation runs f once under every implementation that this machine has.
func forEachImplementation(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer Reset()
	for _, name := range List() {
		if err := Select(name); err != nil {
			t.Fatal(err)
		}
		t.Run(name, f)
	}
}

// near reports whether got is within tol of want, relative to size or 1.
func near(got, want, size, tol float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return math.IsNaN(want) && math.IsNaN(got) || got == want
	}
	return math.Abs(got-want) <= tol*max(1, size)
}
