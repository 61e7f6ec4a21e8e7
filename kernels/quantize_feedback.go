package kernels

import (
	"errors"
	"fmt"
	"math"
)

// Feedback is the second moment H = E[x x^T] of a product's inputs x, in the form in which
// error feedback reads it. With weights w, quantized to q, the product's squared error is
//
//	e H e^T = |e V|^2,   e = w - q,   H = V V^T with V upper triangular
//	        = sum_j V[j][j]^2 (e_j + sum_{i<j} e_i M[i][j])^2,   M[i][j] = V[i][j]/V[j][j]
//
// so that, going through the columns in order, column j is best rounded not from w_j but from
// w_j + sum_{i<j} e_i M[i][j]: the errors made so far are made good as far as the inputs are correlated. This
// is GPTQ (Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained
// transformers", 2022); M and V follow from H without inverting it, because GPTQ's factor of the
// inverse is V^-1 (Chen et al., "The geometry of LLM quantization: GPTQ as Babai's nearest plane algorithm", 2025).
type Feedback struct {
	k int
	m []float32 // row-major; only the elements above the diagonal are set
	// weight[j] is V[j][j]^2 over the mean of H[j][j] before damping: what an error in column j costs that
	// the later columns cannot make good.
	weight []float32
	mean   float64 // of H[j][j] before damping
}

// NewFeedback decomposes the k x k matrix h, of which the upper triangle is read, with damping times its mean
// diagonal added to the diagonal. h is overwritten. It is an error if h is not finite, is zero, or is so
// far from positive definite that the damping does not help.
func NewFeedback(h []float64, k int, damping float64) (*Feedback, error) {
	if k < 1 || len(h) != k*k {
		panic("kernels: NewFeedback: lengths do not match")
	}
	var mean float64
	for j := range k {
		mean += h[j*k+j]
	}
	mean /= float64(k)
	if !(mean > 0) || math.IsInf(mean, 0) {
		return nil, fmt.Errorf("the mean square of the inputs is %v", mean)
	}
	fb := &Feedback{k: k, m: make([]float32, k*k), weight: make([]float32, k), mean: mean}
	for j := range k {
		h[j*k+j] += float64(damping * mean)
	}
	// V in place of h, from the last column to the first: H[i][j] = sum_{m>=j} V[i][m] V[j][m].
	for j := k - 1; j >= 0; j-- {
		vj := h[j*k+j : (j+1)*k]
		d := vj[0] - dot64(vj[1:], vj[1:])
		if !(d > 1e-12*mean) || math.IsInf(d, 0) {
			return nil, errors.New("the second moment of the inputs is not positive definite")
		}
		vj[0] = math.Sqrt(d)
		for i := range j {
			vi := h[i*k+j : (i+1)*k]
			vi[0] = (vi[0] - dot64(vi[1:], vj[1:])) / vj[0]
		}
	}
	for j := range k {
		v := h[j*k+j]
		fb.weight[j] = float32(v * v / mean)
		for i := range j {
			fb.m[i*k+j] = float32(h[i*k+j] / v)
		}
	}
	return fb, nil
}

// dot64 sums in four chains, in an order that does not depend on the machine.
func dot64(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += float64(v * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// K returns the number of columns.
func (fb *Feedback) K() int { return fb.k }

// Column returns, for column j, the squared error that remains if its weight is off by 1 and the later columns make good what they can, in units of
// the mean H[j][j] before damping; and by how much the later columns change for each 1 that the weight was made smaller.
func (fb *Feedback) Column(j int) (cost float32, later []float32) {
	return fb.weight[j], fb.m[j*fb.k+j+1 : (j+1)*fb.k]
}

// Cost returns e H e^T (H damped) for one row of errors, in units of the mean H[j][j] before damping.
// scratch has 2k elements.
func (fb *Feedback) Cost(e, scratch []float32) float64 {
	k := fb.k
	sums, step := scratch[:k], scratch[k:2*k]
	copy(sums, e)
	var cost float64
	for j, x := range e[:k] {
		r := float64(sums[j])
		cost += float64(float64(fb.weight[j]) * float64(r*r))
		later := sums[j+1:]
		Scale(step[:len(later)], fb.m[j*k+j+1:][:len(later)], x)
		Add(later, later, step[:len(later)])
	}
	return cost
}

// Solve replaces b by b H^-1 (H damped) for one row b of k elements.
func (fb *Feedback) Solve(b []float64) {
	k := fb.k
	// H = U D U^T with U = I + M and D[j] = V[j][j]^2. First y U^T = b, from the last column; then y D^-1 and y U = ..
	for j := k - 2; j >= 0; j-- {
		var sum float64
		for i, x := range fb.m[j*k+j+1 : (j+1)*k] {
			sum += float64(float64(x) * b[j+1+i])
		}
		b[j] -= sum
	}
	for j := range k {
		b[j] /= float64(fb.weight[j]) * fb.mean
	}
	for i := range k {
		y, later := b[i], b[i+1:]
		for j, x := range fb.m[i*k+i+1 : (i+1)*k] {
			later[j] -= float64(y * float64(x))
		}
	}
}

// feedbackPanel is the state of a panel that is being quantized. Its rows go from group to group
// together, so that a row of M is read from memory once for all of them.
type feedbackPanel struct {
	want   []float32 // PanelRows x k: w_j + sum_i e_i M[i][j] over the groups that are done
	step   []float32 // k
	scale  [PanelRows]float32
	m      [GroupLen][GroupLen]float32 // the group's part of M, transposed
	e      [GroupLen]float32
	codes  [GroupLen]uint8
	scales []uint8 // of the search for a row's scale; not used further
}

func (q *refQuantizer) panelFeedback(dst []byte, rows [][]float32, fb *Feedback, p *feedbackPanel) {
	k := fb.k
	dst = dst[:q.f.PanelBytes(k)]
	clear(dst)
	for r, row := range rows {
		p.scale[r] = q.row(p.scales, row, fb.weight)
		putFloat32(dst[r*4:], p.scale[r])
		copy(p.want[r*k:(r+1)*k], row)
	}
	size := q.f.GroupBytes()
	for g := range Groups(k) {
		lo := g * GroupLen
		hi := min(lo+GroupLen, k)
		for i := lo; i < hi; i++ {
			for j := i + 1; j < hi; j++ {
				p.m[j-lo][i-lo] = fb.m[i*k+j]
			}
		}
		for r, row := range rows {
			if p.scale[r] == 0 {
				continue
			}
			want := p.want[r*k : (r+1)*k]
			s := q.groupFeedback(p, want[lo:hi], row[lo:hi], fb.weight[lo:hi], p.scale[r])
			dst[ScalesOffset+g*PanelRows+r] = s
			putGroup(dst[CodesOffset(k)+g*size:][:size], q.f, r, &p.codes)
			fb.pass(want[hi:], p.step[:k-hi], p.e[:hi-lo], lo, hi)
		}
	}
}

// pass adds to what the columns from hi on want what makes good the errors of those from lo to hi. scratch is as long as want.
func (fb *Feedback) pass(want, scratch, errors []float32, lo, hi int) {
	for i, e := range errors {
		// Two exact steps instead of a fused one: the same bits on every machine.
		Scale(scratch, fb.m[(lo+i)*fb.k+hi:][:len(want)], e)
		Add(want, want, scratch)
	}
}

// groupFeedback chooses the scale byte of a group whose columns want the given values, and leaves the codes
// and the errors in p. Every scale within reach of the best free one is tried in full.
func (q *refQuantizer) groupFeedback(p *feedbackPanel, want, row, weight []float32, rowScale float32) uint8 {
	n := len(want)
	// A power of two brings the group near 1, so that no sum over- or underflows.
	_, exp := math.Frexp(float64(rowScale))
	norm := float32(math.Ldexp(1, -exp))
	amax, sxx := q.load(want, weight, 0, norm)
	mid := 0
	if amax > 0 {
		mid = int(min(q.free(amax, sxx)/float64(rowScale*norm)+0.5, MaxScale))
	}
	var trial [GroupLen]uint8
	var err, bestErr [GroupLen]float64
	best, bestScale := math.Inf(1), uint8(0)
	for s := max(0, mid-refReach); s <= min(MaxScale, mid+refReach); s++ {
		d := float64(float32(s) * rowScale)
		inv2 := 0.0
		if d > 0 {
			inv2 = 2 / d
		}
		for t := range q.tables {
			if s == 0 && t > 0 {
				break
			}
			var cost float64
			for j := range n {
				w := float64(want[j])
				for i, x := range p.m[j][:j] {
					w += float64(err[i] * float64(x))
				}
				var v float64
				if s == 0 {
					trial[j] = 0
				} else {
					at := uint8(int32(min(max(float64(w*inv2)+2*LevelZero, 0), 255)))
					trial[j] = q.near[t][at]
					v = float64(q.value[t][at] * d)
				}
				r := w - v
				err[j] = float64(row[j]) - v
				if cost += float64(float64(weight[j]) * float64(r*r)); cost >= best {
					break
				}
			}
			if cost < best {
				best, bestScale, bestErr, p.codes = cost, uint8(s), err, trial
				if t == 1 {
					bestScale |= TableBit
				}
			}
		}
	}
	for j := range n {
		p.e[j] = float32(bestErr[j])
	}
	return bestScale
}

// QuantizeFeedback is Quantize with error feedback: for each row, groups from left to right, it
// takes for each group the scale and table, and for each weight the level, that add least to the
// product's squared error given the errors to the left. The row scale is that of Quantize with the
// conditional variances V[j][j]^2 as the columns' importance. The result is the same on every machine and
// for every pool.
func QuantizeFeedback(dst []byte, f Format, lv *Levels, src []float32, n, k int, fb *Feedback, pool *Pool) error {
	if n < 1 || k < 1 || len(src) < n*k || len(dst) < f.Bytes(n, k) || fb.k != k {
		panic("kernels: QuantizeFeedback: lengths do not match")
	}
	if err := lv.Check(f); err != nil {
		return err
	}
	for i, x := range src[:n*k] {
		if x-x != 0 {
			return fmt.Errorf("weight [%d,%d] is %v", i/k, i%k, x)
		}
	}
	work := TaskFunc(func(part, parts int) {
		q := newRefQuantizer(f, lv)
		p := &feedbackPanel{want: make([]float32, PanelRows*k), step: make([]float32, k), scales: make([]uint8, Groups(k))}
		lo, hi := Span(Panels(n), 1, part, parts)
		rows := make([][]float32, 0, PanelRows)
		for at := lo; at < hi; at++ {
			rows = rows[:0]
			for r := at * PanelRows; r < min(n, (at+1)*PanelRows); r++ {
				rows = append(rows, src[r*k:(r+1)*k])
			}
			q.panelFeedback(dst[at*f.PanelBytes(k):], rows, fb, p)
		}
	})
	if pool == nil {
		work(0, 1)
	} else {
		pool.Run(work)
	}
	return nil
}
