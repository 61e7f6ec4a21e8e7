package distill_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dsk-toolkit/dsk/distill"
	"github.com/dsk-toolkit/dsk/kernels"
)

// naiveLoss is the loss from its definition, in float64.
func naiveLoss(l *distill.Loss, logits []float32, labels []int32, s *distill.Soft) float64 {
	softmax := func(x []float32, t float64) []float64 {
		p, sum := make([]float64, len(x)), 0.0
		for i, v := range x {
			p[i] = math.Exp(float64(v) / t)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	var total float64
	count := 0.0
	a, t, c := float64(l.Alpha), float64(l.Temperature), l.Classes
	for r, label := range labels {
		if label < 0 {
			continue
		}
		count++
		q := softmax(logits[r*c:(r+1)*c], 1)
		for j, v := range q {
			want := float64(l.Smoothing) / float64(c)
			if j == int(label) {
				want += 1 - float64(l.Smoothing)
			}
			total -= (1 - a) * want * math.Log(v)
		}
		if a == 0 {
			continue
		}
		q = softmax(logits[r*c:(r+1)*c], t)
		pTail, qTail := 1.0, 1.0
		for k := range s.K {
			p, v := float64(s.P[r*s.K+k]), q[s.Class[r*s.K+k]]
			total += a * t * t * p * math.Log(p/v)
			pTail, qTail = pTail-p, qTail-v
		}
		if s.K < c {
			total += a * t * t * pTail * math.Log(pTail/qTail)
		}
	}
	return total / count
}

func TestLoss(t *testing.T) {
	const rows, classes = 7, 11
	r := rand.New(rand.NewPCG(1, 1))
	random := func() []float32 {
		x := make([]float32, rows*classes)
		for i := range x {
			x[i] = float32(r.NormFloat64() * 2)
		}
		return x
	}
	logits, teacher := random(), random()
	labels := []int32{3, 0, -1, 10, 5, 5, 2}
	pool := kernels.NewPool(3)
	defer pool.Close()
	for _, c := range []struct {
		alpha, temperature, smoothing float32
		k                             int
	}{{0, 1, 0, 1}, {0, 1, 0.1, 1}, {1, 1, 0, classes}, {0.9, 4, 0, classes}, {0.7, 3, 0, 4}, {1, 2, 0, 1}} {
		l := distill.NewLoss(rows, classes, pool)
		l.Alpha, l.Temperature, l.Smoothing = c.alpha, c.temperature, c.smoothing
		soft := distill.SoftOf(teacher, classes, c.k, c.temperature)
		grad := make([]float32, len(logits))
		got, err := l.Gradient(grad, logits, labels, soft)
		if err != nil {
			t.Fatal(err)
		}
		if want := naiveLoss(l, logits, labels, soft); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("%+v: loss %g, want %g", c, got, want)
		}
		for i := range logits {
			at := logits[i]
			logits[i] = at + 1e-2
			up := naiveLoss(l, logits, labels, soft)
			logits[i] = at - 1e-2
			down := naiveLoss(l, logits, labels, soft)
			logits[i] = at
			if want := (up - down) / 2e-2; math.Abs(float64(grad[i])-want) > 1e-4 {
				t.Errorf("%+v: derivative %d is %g, differences say %g", c, i, grad[i], want)
			}
		}
		if n := testing.AllocsPerRun(3, func() { l.Gradient(grad, logits, labels, soft) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// TestLossSure: the derivative is exact where a student leaves much less to the classes outside of the K than its teacher does.
func TestLossSure(t *testing.T) {
	logits := []float32{30, 29, 3, 2, 1, 0}
	p := []float32{0.6, 0.1} // the others have .3
	l := distill.NewLoss(1, len(logits), nil)
	l.Alpha, l.Temperature = 1, 1
	got := make([]float32, len(logits))
	if _, err := l.Gradient(got, logits, []int32{0}, &distill.Soft{K: 2, Class: []int32{0, 1}, P: p}); err != nil {
		t.Fatal(err)
	}
	var sum, tail float64
	for i, v := range logits {
		sum += math.Exp(float64(v))
		if i >= len(p) {
			tail += math.Exp(float64(v))
		}
	}
	for i, v := range logits {
		q := math.Exp(float64(v)) / sum
		want := q * (1 - 0.3/(tail/sum))
		if i < len(p) {
			want = q - float64(p[i])
		}
		if math.Abs(float64(got[i])-want) > 1e-5 {
			t.Errorf("derivative %d is %g, want %g", i, got[i], want)
		}
	}
}

func TestLossRefuses(t *testing.T) {
	l := distill.NewLoss(2, 3, nil)
	x, g := make([]float32, 6), make([]float32, 6)
	if _, err := l.Gradient(g, x, []int32{0, 3}, nil); err == nil {
		t.Error("a label beyond the classes is taken")
	}
	l.Alpha = 1
	if _, err := l.Gradient(g, x, []int32{0, 1}, nil); err == nil {
		t.Error("a teacher without labels is taken")
	}
	if _, err := l.Gradient(g, x, []int32{0, 1}, &distill.Soft{K: 1, Class: []int32{0, 7}, P: []float32{1, 1}}); err == nil {
		t.Error("a teacher's class beyond the student's is taken")
	}
	if _, err := l.Gradient(g, x[:5], []int32{0, 1}, nil); err == nil {
		t.Error("too few logits are taken")
	}
}

func TestSoftOf(t *testing.T) {
	s := distill.SoftOf([]float32{1, 3, 2, 3, 0}, 5, 3, 1)
	if !slices.Equal(s.Class, []int32{1, 3, 2}) {
		t.Errorf("top classes %v", s.Class)
	}
	var sum float64
	for _, v := range []float64{1, 3, 2, 3, 0} {
		sum += math.Exp(v)
	}
	if want := math.Exp(3) / sum; math.Abs(float64(s.P[0])-want) > 1e-6 {
		t.Errorf("the likeliest has %g, want %g", s.P[0], want)
	}
}
