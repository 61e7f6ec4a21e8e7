package tensor

import (
	"testing"
)

func sequence(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

func TestPackUnpack(t *testing.T) {
	for _, shape := range [][]int{{1, 1}, {16, 5}, {17, 3}, {40, 2, 3}} {
		n, k := Matrix(shape)
		src := FromSlice(sequence(n*k), shape...)
		p := Pack(src)
		if !p.IsDeferred() || p.Layout != Panel16 {
			t.Fatalf("%v: Pack gave %v", shape, p)
		}
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		for r := range n {
			for c := range k {
				if got := p.F32()[(r/16*k+c)*16+r%16]; got != float32(r*k+c) {
					t.Fatalf("%v: element (%d,%d) is %v", shape, r, c, got)
				}
			}
		}
		u, err := Unpack(p).Loaded()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range u.F32() {
			if x != float32(i) {
				t.Fatalf("%v: element %d came back as %v", shape, i, x)
			}
		}
	}
	half := FromSlice([]uint16{1, 2, 3, 4, 5, 6}, 2, 3)
	half.DType = F16
	p, err := Pack(half).Loaded()
	if err != nil {
		t.Fatal(err)
	}
	if v := View[uint16](p); v[0] != 1 || v[1] != 4 || v[16] != 2 || v[2] != 0 {
		t.Errorf("packed halves: %v", v)
	}
	if q := FromSlice([]int64{1, 2}, 1, 2); Pack(q) != q {
		t.Error("Pack of I64 is not the identity")
	}
}

func TestPermuted(t *testing.T) {
	src := FromSlice(sequence(24), 2, 3, 4)
	p, err := Permuted(src, 2, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	if !SameShape(p.Shape, []int{4, 2, 3}) {
		t.Fatalf("shape %v", p.Shape)
	}
	for i := range 4 {
		for j := range 2 {
			for k := range 3 {
				if got, want := p.F32()[i*6+j*3+k], float32(j*12+k*4+i); got != want {
					t.Fatalf("(%d,%d,%d) is %v, want %v", i, j, k, got, want)
				}
			}
		}
	}
	flat := FromSlice(sequence(6), 3, 1, 2)
	v, err := Permuted(flat, 0, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v.IsDeferred() || !SameShape(v.Shape, []int{3, 2, 1}) {
		t.Errorf("moving an axis of length 1 gave %v", v)
	}
	for _, perm := range [][]int{{0, 1}, {0, 0, 1}, {0, 1, 3}} {
		if _, err := Permuted(src, perm...); err == nil {
			t.Errorf("perm %v: no error", perm)
		}
	}
}

// Every order of up to four axes against plain indexing.
func TestPermutedOrders(t *testing.T) {
	for _, shape := range [][]int{{40, 35}, {3, 1, 37}, {2, 3, 1, 5}, {2, 33, 2, 34}, {0, 3}, {1, 1}} {
		n, _ := NumElements(shape)
		src := FromSlice(sequence(n), shape...)
		for _, perm := range orders(len(shape)) {
			p, err := Permuted(src, perm...)
			if err != nil {
				t.Fatal(err)
			}
			l, err := p.Loaded()
			if err != nil {
				t.Fatal(err)
			}
			index := make([]int, len(shape))
			for i, got := range l.F32() {
				at := make([]int, len(shape))
				for a, q := range perm {
					at[q] = index[a]
				}
				want := 0
				for a, d := range shape {
					want = want*d + at[a]
				}
				if got != float32(want) {
					t.Fatalf("%v by %v: element %d is %v, want %d", shape, perm, i, got, want)
				}
				for a := len(index) - 1; a >= 0; a-- {
					if index[a]++; index[a] < p.Shape[a] {
						break
					}
					index[a] = 0
				}
			}
		}
	}
}

// orders returns all permutations of 0..n-1.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, p := range orders(n - 1) {
		for i := 0; i <= len(p); i++ {
			q := append(append(append([]int{}, p[:i]...), n-1), p[i:]...)
			out = append(out, q)
		}
	}
	return out
}
