package kernels

import (
	"fmt"
	"math"
)

const (
	// evenScale is the scale of a group whose weights are all within reach; the row's scale is as much finer than the step.
	evenScale = 8
	// evenPrice is what a bit costs, in squares of the step: rounding towards zero is preferred as far as the fall of the squared error with the
	// bits pays for it. Steps lose step^2/12, which a bit more divides by 4: 2 ln 2 / 12 = 0.116 a bit.
	evenPrice = 0.116
	// evenSample is how many rows, about, tell how often codes occur.
	evenSample = 64
)

// QuantizeEven fills dst (at least D8.Bytes(n, k) bytes) with the row-major n x k matrix src as D8 without a shift, in steps of about the given size: the
// same for all rows but for the rounding of their scales. Where codes are entropy coded, equal steps, coarser or finer, lose less at each
// number of bits than tables of a few levels (H. Gish and J. Pierce, "Asymptotically efficient quantizing", 1968), and every
// step is a width of its own. Of the two levels beside a weight it takes the one that costs less with its bits counted. fb, or else
// importance, says what errors cost, as in QuantizeFeedback and Quantize; both may be nil. The result is the same on every machine
// and for every pool.
func QuantizeEven(dst []byte, step float64, src []float32, n, k int, fb *Feedback, importance []float32, pool *Pool) error {
	if n < 1 || k < 1 || len(src) < n*k || len(dst) < D8.Bytes(n, k) || fb != nil && fb.k != k || importance != nil && len(importance) != k {
		panic("kernels: QuantizeEven: lengths do not match")
	}
	if !(step > 0) || math.IsInf(step, 0) {
		return fmt.Errorf("the step is %v", step)
	}
	for i, x := range src[:n*k] {
		if x-x != 0 {
			return fmt.Errorf("weight [%d,%d] is %v", i/k, i%k, x)
		}
	}
	q := &evenQuantizer{k: k, step: step, fb: fb, weight: importance}
	if fb != nil {
		q.weight = fb.weight
	}
	for j := range k {
		q.mean += q.cost(j) / float64(k)
	}
	// What codes cost follows from how often they occur: in some rows, first without prices and then with them.
	every := max(1, n/evenSample)
	p, trial := q.newPanel(), make([]byte, D8.PanelBytes(k))
	for range 2 {
		var counts [MaxLevel + 1]int
		for at := 0; at < n; at += every * PanelRows {
			q.panel(trial, src[at*k:min(n, at+PanelRows)*k], p)
			for r := range min(n-at, PanelRows) {
				for g := range Groups(k) {
					for i := range min(GroupLen, k-g*GroupLen) {
						counts[D8.code(trial[CodesOffset(k)+g*D8.GroupBytes():], r, i)]++
					}
				}
			}
		}
		q.learn(&counts)
	}
	work := TaskFunc(func(part, parts int) {
		p := q.newPanel()
		lo, hi := Span(Panels(n), 1, part, parts)
		for at := lo; at < hi; at++ {
			q.panel(dst[at*D8.PanelBytes(k):], src[at*PanelRows*k:min(n, (at+1)*PanelRows)*k], p)
		}
	})
	if pool == nil {
		work(0, 1)
	} else {
		pool.Run(work)
	}
	return nil
}

// evenQuantizer holds what all panels share.
type evenQuantizer struct {
	k      int
	step   float64
	fb     *Feedback
	weight []float32             // by column; nil: all alike
	mean   float64               // of the columns' weights
	bits   [MaxLevel + 1]float64 // of the codes; all 0: not known
}

func (q *evenQuantizer) newPanel() *feedbackPanel {
	return &feedbackPanel{want: make([]float32, PanelRows*q.k), step: make([]float32, q.k)}
}

// cost is what an error in a column costs.
func (q *evenQuantizer) cost(j int) float64 {
	if q.weight == nil {
		return 1
	}
	return float64(q.weight[j])
}

// learn sets the codes' bits from how often they occur.
func (q *evenQuantizer) learn(counts *[MaxLevel + 1]int) {
	all := float64(len(counts)) / 2
	for _, n := range counts {
		all += float64(n)
	}
	for c, n := range counts {
		q.bits[c] = binaryLog(all) - binaryLog(float64(n)+0.5)
	}
}

// binaryLog returns the logarithm of a positive number to base 2, to 16 binary digits, the same on every machine.
func binaryLog(x float64) float64 {
	m, exp := math.Frexp(x)
	m *= 2
	sum, digit := float64(exp-1), 0.5
	for range 16 {
		if m = float64(m * m); m >= 2 {
			m /= 2
			sum += digit
		}
		digit /= 2
	}
	return sum
}

// panel quantizes up to PanelRows rows, which follow each other.
func (q *evenQuantizer) panel(dst []byte, rows []float32, p *feedbackPanel) {
	k, n := q.k, len(rows)/q.k
	clear(dst[:D8.PanelBytes(k)])
	copy(p.want, rows)
	for r := range n {
		amax := largest(rows[r*k : (r+1)*k])
		p.scale[r] = 0
		if amax >= minRowMax {
			// Half of the largest scale reaches the largest weight, so that what feedback adds is within reach, too.
			p.scale[r] = roundedScale(float32(max(q.step/evenScale, amax/(MaxScale/2*(LevelZero-1)))))
			putFloat32(dst[r*4:], p.scale[r])
		}
	}
	for g := range Groups(k) {
		lo, hi := g*GroupLen, min((g+1)*GroupLen, k)
		if q.fb != nil {
			for i := lo; i < hi; i++ {
				for j := i + 1; j < hi; j++ {
					p.m[j-lo][i-lo] = q.fb.m[i*k+j]
				}
			}
		}
		for r := range n {
			if p.scale[r] == 0 {
				continue
			}
			want := p.want[r*k : (r+1)*k]
			dst[ScalesOffset+g*PanelRows+r] = q.group(p, want[lo:hi], rows[r*k+lo:r*k+hi], lo, float64(p.scale[r]))
			putGroup(dst[CodesOffset(k)+g*D8.GroupBytes():][:D8.GroupBytes()], D8, r, &p.codes)
			if q.fb != nil {
				q.fb.pass(want[hi:], p.step[:k-hi], p.e[:hi-lo], lo, hi)
			}
		}
	}
}

// largest returns the largest magnitude.
func largest(x []float32) float64 {
	var amax float32
	for _, v := range x {
		amax = max(amax, v, -v)
	}
	return float64(amax)
}

// group quantizes the columns from lo on, which want the given values for the row's, and leaves the codes and the errors in p. It returns the
// group's scale: evenScale unless a weight is out of its reach.
func (q *evenQuantizer) group(p *feedbackPanel, want, row []float32, lo int, rowScale float64) uint8 {
	scale := min(max(evenScale, math.Ceil(largest(want)/(rowScale*(LevelZero-1)))), MaxScale)
	d := scale * rowScale
	price := float64(float64(evenPrice*q.mean)*d) * d
	p.codes = [GroupLen]uint8{}
	for j := range want {
		w := float64(want[j])
		if q.fb != nil {
			for i, x := range p.m[j][:j] {
				w += float64(float64(p.e[i]) * float64(x))
			}
		}
		level := min(max(math.RoundToEven(w/d), -LevelZero), LevelZero-1)
		if level != 0 {
			inner := level - math.Copysign(1, level)
			e, more := w-float64(level*d), w-float64(inner*d)
			rise := float64(q.cost(lo+j) * (float64(more*more) - float64(e*e)))
			if rise < float64(price*(q.bits[int(level)+LevelZero]-q.bits[int(inner)+LevelZero])) {
				level = inner
			}
		}
		p.codes[j] = uint8(int(level) + LevelZero)
		p.e[j] = float32(float64(row[j]) - float64(level*d))
	}
	return uint8(scale)
}
