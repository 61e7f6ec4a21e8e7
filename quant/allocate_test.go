package quant

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// plain are the widths 8, 4, 3 and 2 of a matrix of n weights, without scales.
func plain(n int64, errs ...float64) []option {
	var list []option
	for i, bits := range widths[1:] {
		list = append(list, option{bits: bits, bytes: n * int64(bits) / 8, err: errs[i]})
	}
	return list
}

func widthsOf(cs []*candidate) []int {
	var w []int
	for _, c := range cs {
		w = append(w, c.choice.bits)
	}
	return w
}

func used(cs []*candidate) (n int64) {
	for _, c := range cs {
		n += c.choice.bytes
	}
	return n
}

func loss(cs []*candidate) (l float64) {
	for _, c := range cs {
		l += c.sens * c.choice.err
	}
	return l
}

func TestHull(t *testing.T) {
	for _, c := range []struct {
		name string
		errs []float64 // of 8, 4, 3, 2 bits
		want []int
	}{
		{"convex", []float64{0, 1, 4, 16}, []int{2, 3, 4, 8}},
		// From 2 to 4 bits the error falls by 10 a bit; over 3 bits it would fall by 1 first.
		{"3 bits lie above the line", []float64{0, 5, 24, 25}, []int{2, 4, 8}},
		{"3 bits are worse than 2", []float64{0, 5, 26, 25}, []int{2, 4, 8}},
		{"nothing helps", []float64{1, 1, 1, 1}, []int{2}},
		{"only 8 bits help", []float64{0, 9, 9, 9}, []int{2, 8}},
	} {
		var got []int
		for _, o := range hull(plain(800, c.errs...)) {
			got = append(got, o.bits)
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

func TestAllocate(t *testing.T) {
	errs := []float64{0, 1, 4, 16}
	// The second is ten times as sensitive as the first, of the same size.
	cs := []*candidate{{name: "a", sens: 1, options: plain(800, errs...)}, {name: "b", sens: 10, options: plain(800, errs...)}}
	for _, c := range []struct {
		budget int64
		want   [2]int
	}{
		{0, [2]int{2, 2}}, // the narrowest, though it is too much
		{400, [2]int{2, 2}},
		{500, [2]int{2, 3}},
		{600, [2]int{2, 4}},
		{700, [2]int{3, 4}},
		{800, [2]int{4, 4}},
		{1600, [2]int{8, 8}},
		{1 << 40, [2]int{8, 8}},
	} {
		allocate(cs, c.budget)
		if got := widthsOf(cs); got[0] != c.want[0] || got[1] != c.want[1] {
			t.Errorf("budget %d: widths %v, want %v", c.budget, got, c.want)
		}
		if c.budget >= 400 && used(cs) > c.budget {
			t.Errorf("budget %d: %d bytes used", c.budget, used(cs))
		}
	}
}

// TestAllocateIsNearBest compares with the best of all choices: the greedy walk over hulls may miss it by at most
// what the last step that did not fit would have gained.
func TestAllocateIsNearBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "candidates")
		cs := make([]*candidate, n)
		var most float64 // largest loss that one step of one candidate can cause
		var least, all int64
		for i := range cs {
			falls := rapid.SliceOfN(rapid.Float64Range(0.01, 1), 4, 4).Draw(t, "falls")
			errs := []float64{falls[0], falls[0] + falls[1], falls[0] + falls[1] + falls[2], falls[0] + falls[1] + falls[2] + falls[3]}
			cs[i] = &candidate{sens: rapid.Float64Range(0.1, 10).Draw(t, "sensitivity"), options: plain(int64(rapid.IntRange(1, 50).Draw(t, "size"))*80, errs...)}
			most = max(most, cs[i].sens*(errs[3]-errs[0]))
			least += cs[i].options[3].bytes
			all += cs[i].options[0].bytes
		}
		budget := least + int64(rapid.Float64Range(0, 1).Draw(t, "budget")*float64(all-least))
		allocate(cs, budget)
		if used(cs) > budget {
			t.Fatalf("%d bytes used of %d", used(cs), budget)
		}
		best := math.Inf(1)
		var walk func(i int, bytes int64, sum float64)
		walk = func(i int, bytes int64, sum float64) {
			if bytes > budget {
				return
			}
			if i == len(cs) {
				best = min(best, sum)
				return
			}
			for _, o := range cs[i].options {
				walk(i+1, bytes+o.bytes, sum+cs[i].sens*o.err)
			}
		}
		walk(0, 0, 0)
		if got := loss(cs); got > best+most {
			t.Fatalf("loss %g, best %g", got, best)
		}
	})
}
