package distill

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestRelation compares the gradient with differences.
func TestRelation(t *testing.T) {
	const n, d, wide = 5, 7, 9
	r := rand.New(rand.NewPCG(1, 1))
	random := func(k int) []float32 {
		x := make([]float32, k)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	student, teacher := random(n*d), random(n*wide)
	rel := newRelation(n)
	grad, scratch := make([]float32, n*d), make([]float32, n*d)
	const weight = 30
	rel.gradient(grad, student, teacher, weight)
	for i := range student {
		slope := func(h float32) float64 {
			at := student[i]
			student[i] = at + h
			up := rel.gradient(scratch, student, teacher, weight)
			student[i] = at - h
			down := rel.gradient(scratch, student, teacher, weight)
			student[i] = at
			return (up - down) / (2 * float64(h))
		}
		want := (4*slope(1e-2) - slope(2e-2)) / 3
		if math.Abs(float64(grad[i])-want) > 1e-3*(1+math.Abs(want)) {
			t.Errorf("derivative %d is %g, differences say %g", i, grad[i], want)
		}
	}
	if loss := rel.gradient(grad, teacher[:n*d], teacher[:n*d], weight); loss != 0 {
		t.Errorf("equal features have a loss of %g", loss)
	}
}

// TestCompare holds the t-test to a worked example: differences 1, 2, 3, 4 have t = 2.5 / (1.2910 / 2) = 3.873 with 3 degrees
// of freedom, p = .0305, and t(.975, 3) = 3.1824.
func TestCompare(t *testing.T) {
	c := compare("top1", []float64{2, 4, 6, 8}, []float64{1, 2, 3, 4})
	for name, v := range map[string][2]float64{"difference": {c.Difference, 2.5}, "p": {c.P, 0.0305}, "low": {c.Low, 2.5 - 3.1824*0.6455},
		"high": {c.High, 2.5 + 3.1824*0.6455}, "distilled": {c.Distilled, 5}, "control": {c.Control, 2.5}} {
		if math.Abs(v[0]-v[1]) > 1e-3 {
			t.Errorf("%s is %g, want %g", name, v[0], v[1])
		}
	}
	if c := compare("top1", []float64{1, 1}, []float64{1, 1}); c.P != 1 {
		t.Errorf("equal runs have p = %g", c.P)
	}
}
