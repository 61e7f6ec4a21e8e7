package kernels

import (
	"math"
	"math/rand"
	"testing"
)

// gaussianGroups returns n groups of standard normal values.
func gaussianGroups(n int, seed int64) [][GroupLen]float32 {
	r := rand.New(rand.NewSource(seed))
	groups := make([][GroupLen]float32, n)
	for g := range groups {
		for i := range groups[g] {
			groups[g][i] = float32(r.NormFloat64())
		}
	}
	return groups
}

// levelFit returns the relative squared error of groups that pick their free scale and table, and
// what Lloyd's alternation makes of the table for those picks: levels (unrounded) and shift move to
// where the squared error is least.
func levelFit(f Format, lv *Levels, groups [][GroupLen]float32) (rel float64, code []float64, shift float64) {
	q := newRefQuantizer(f, lv)
	n := 1 << f.Bits()
	num, den := make([]float64, n), make([]float64, n)
	var shiftNum, shiftDen, errSum, sum float64
	for g := range groups {
		amax, sxx := q.load(groups[g][:], nil, 0, 1)
		bestGain, bestStep, bestInv, bestTable := 0.0, 0.0, 0.0, 0
		for t := range q.tables {
			for _, r := range q.ratios {
				inv := r * LevelZero / float64(amax)
				a, b := q.sums(inv, t)
				if a > 0 && a*a/b > bestGain {
					bestGain, bestStep, bestInv, bestTable = a*a/b, a/b, inv, t
				}
			}
		}
		sum += sxx
		errSum += sxx - bestGain
		for _, x := range groups[g] {
			p := min(max(float64(x)*2*bestInv+2*LevelZero, 0), 255)
			c := q.near[bestTable][uint8(p)]
			level := float64(lv.Code[c]) - LevelZero
			s := 0.0
			if bestTable == 1 {
				s = float64(lv.Shift)
				shiftNum += bestStep * (float64(x) - bestStep*level)
				shiftDen += bestStep * bestStep
			}
			num[c] += bestStep * (float64(x) - bestStep*s)
			den[c] += bestStep * bestStep
		}
	}
	code = make([]float64, n)
	for c := range code {
		code[c] = num[c]/math.Max(den[c], 1e-30) + LevelZero
	}
	return errSum / sum, code, shiftNum / math.Max(shiftDen, 1e-30)
}

// alternate runs Lloyd's alternation from equally spaced levels with shift s, each time
// stretched about LevelZero to use 0..MaxLevel and rounded, and returns the best table on its way.
func alternate(f Format, s int, groups [][GroupLen]float32) (best Levels, bestRel float64) {
	n := 1 << f.Bits()
	lv := Levels{Shift: int8(s)}
	for c := range n {
		lv.Code[c] = uint8((MaxLevel - s) * c / (n - 1))
	}
	bestRel = math.Inf(1)
	for range 10 {
		rel, code, shift := levelFit(f, &lv, groups)
		if rel < bestRel {
			best, bestRel = lv, rel
		}
		stretch := math.Min(LevelZero/(LevelZero-code[0]), (MaxLevel-LevelZero)/(code[n-1]+shift-LevelZero))
		lv.Shift = int8(math.Round(shift * stretch))
		for c := range n {
			l := math.Round(LevelZero + (code[c]-LevelZero)*stretch)
			lv.Code[c] = uint8(math.Min(math.Max(l, 0), float64(MaxLevel-int(lv.Shift))))
		}
	}
	return best, bestRel
}

// TestDefaultLevels repeats the derivation of the default tables on fresh groups: the
// alternation from equally spaced levels ends no better, and neither does a table with one level moved.
// It also holds the worth of the parts: table bit and unequal levels both lower the error.
func TestDefaultLevels(t *testing.T) {
	groups := gaussianGroups(1500, 21)
	for _, f := range []Format{D4, D3, D2} {
		lv := DefaultLevels(f)
		if err := lv.Check(f); err != nil {
			t.Error(err)
		}
		rel, _, _ := levelFit(f, lv, groups)
		for s := 2; s <= 16; s += 7 {
			if derived, r := alternate(f, s, groups); r < 0.99*rel {
				t.Errorf("%v: alternation finds %v with error %.6f, the default has %.6f", f, derived, r, rel)
			}
		}
		for c := range 1 << f.Bits() {
			for _, d := range []int{-2, 2} {
				moved := *lv
				moved.Code[c] += uint8(d)
				if moved.Check(f) != nil {
					continue
				}
				if r, _, _ := levelFit(f, &moved, groups); r < 0.995*rel {
					t.Errorf("%v: level %d moved by %d has error %.6f, the default %.6f", f, c, d, r, rel)
				}
			}
		}
		linear, _, _ := levelFit(f, LinearLevels(f), groups)
		one := *lv
		one.Shift = 0
		single, _, _ := levelFit(f, &one, groups)
		t.Logf("%v: relative squared error %.5f; without the second table %.5f; equally spaced %.5f", f, rel, single, linear)
		if rel > single || rel > linear {
			t.Errorf("%v: the default is no better than without its second table or than equal spacing", f)
		}
	}
	for _, f := range formats {
		if err := LinearLevels(f).Check(f); err != nil {
			t.Error(err)
		}
	}
}
