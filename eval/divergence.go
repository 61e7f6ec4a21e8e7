package eval

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/runtime/vision"
)

// Divergence says how far a model's outputs are from a reference's over some positions.
type Divergence struct {
	// MeanKL is the mean of sum_i p_i ln(p_i/q_i) in nats, p the reference's distribution. NaN
	// where outputs are no distributions.
	MeanKL float64
	// Top1Agreement is the fraction of positions whose largest output is the same one.
	Top1Agreement float64
	// RelError is the mean over positions of |out - ref|^2 / |ref|^2.
	RelError  float64
	Positions int
}

// Loss is the figure to minimise: MeanKL, or RelError where there is none.
func (d Divergence) Loss() float64 {
	if math.IsNaN(d.MeanKL) {
		return d.RelError
	}
	return d.MeanKL
}

// comparison accumulates a Divergence.
type comparison struct {
	kl, rel float64
	same    int
	n       int
	// Sums over each unit, which endUnit ends.
	units             int
	unitKL, unitRel   []float64
	unitSame, unitAll []float64
	atKL, atRel       float64 // of the sums above, at the last end
	atSame, atAll     int
}

// endUnit says that the positions since the last call are a window or an image.
func (c *comparison) endUnit() {
	c.units++
	c.unitKL, c.unitRel = append(c.unitKL, c.kl-c.atKL), append(c.unitRel, c.rel-c.atRel)
	c.unitSame, c.unitAll = append(c.unitSame, float64(c.same-c.atSame)), append(c.unitAll, float64(c.n-c.atAll))
	c.atKL, c.atRel, c.atSame, c.atAll = c.kl, c.rel, c.same, c.n
}

// figures are the metrics of addDivergence.
func (c *comparison) figures(logits bool) []figure {
	out := []figure{
		{name: "top1_agreement", of: quotient(c.unitSame, c.unitAll, nil), part: true},
		{name: "relative_error", of: quotient(c.unitRel, c.unitAll, nil)},
	}
	if logits {
		out = append(out, figure{name: "mean_kl", of: quotient(c.unitKL, c.unitAll, nil)})
	}
	return out
}

// addLogits adds one position of two vectors of logits.
func (c *comparison) addLogits(ref, got []float32) {
	c.kl += klDivergence(ref, got)
	c.addVector(ref, got)
}

// reference is one position of reference logits, ready to be compared with many others.
type reference struct {
	logits []float32
	p      []float32 // their softmax
	norm   float64   // the sum of their squares
	top    int
}

func newReference(logits []float32) reference {
	r := reference{logits: append([]float32(nil), logits...), p: make([]float32, len(logits)), top: argmax(logits)}
	kernels.SoftmaxRow(r.p, r.logits)
	r.norm = float64(kernels.Dot(r.logits, r.logits))
	return r
}

// addReference adds one position like addLogits, in float32. With the differences d = got - ref,
//
//	KL(p || q) = ln sum_i p_i e^(d_i) - sum_i p_i d_i = ln(1 + sum_i p_i (e^(d_i - m) - 1)),   m = sum_i p_i d_i
//
// where nothing large cancels. scratch is as long as the logits.
func (c *comparison) addReference(r *reference, got, scratch []float32) {
	d := scratch[:len(got)]
	kernels.Sub(d, got, r.logits)
	if r.norm > 0 {
		c.rel += float64(kernels.Dot(d, d)) / r.norm
	}
	kernels.AddScalar(d, d, -kernels.Dot(r.p, d))
	kernels.Exp(d, d)
	kernels.AddScalar(d, d, -1)
	c.kl += max(math.Log1p(float64(kernels.Dot(r.p, d))), 0)
	if argmax(got) == r.top {
		c.same++
	}
	c.n++
}

// addScores adds one position of two vectors of logits or of probabilities.
func (c *comparison) addScores(ref, got []float32) {
	if vision.AreProbabilities(ref) && vision.AreProbabilities(got) {
		ref, got = logs(ref), logs(got)
	}
	c.addLogits(ref, got)
}

// logs returns ln x, with a floor so that a probability of 0 stays finite.
func logs(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(math.Log(max(float64(v), 1e-30)))
	}
	return out
}

// addVector adds one position of two vectors that are no logits.
func (c *comparison) addVector(ref, got []float32) {
	var diff, norm float64
	for i, r := range ref {
		d := float64(r) - float64(got[i])
		diff += d * d
		norm += float64(r) * float64(r)
	}
	if norm > 0 {
		c.rel += diff / norm
	} else if diff > 0 {
		c.rel++
	}
	if argmax(ref) == argmax(got) {
		c.same++
	}
	c.n++
}

func (c *comparison) divergence(logits bool) Divergence {
	d := Divergence{MeanKL: math.NaN(), Positions: c.n}
	if c.n == 0 {
		return d
	}
	n := float64(c.n)
	d.Top1Agreement, d.RelError = float64(c.same)/n, c.rel/n
	if logits {
		d.MeanKL = c.kl / n
	}
	return d
}

// logSumExp returns ln(sum exp(x_i)) in float64.
func logSumExp(x []float32) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, float64(v))
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - m)
	}
	return m + math.Log(sum)
}

// klDivergence returns KL(softmax(ref) || softmax(got)) in nats.
func klDivergence(ref, got []float32) float64 {
	lr, lg := logSumExp(ref), logSumExp(got)
	var kl float64
	for i, r := range ref {
		lp := float64(r) - lr
		kl += math.Exp(lp) * (lp - (float64(got[i]) - lg))
	}
	return max(kl, 0)
}

// argmax returns the index of the largest element, the first of equals.
func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
