package quant

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// Without calibration data the second moments of the products' inputs are estimated from the
// weights alone: the rows of the embedding table, each as likely as any other, have a mean and a covariance,
// and both are carried through the graph as if values that meet were independent and
// Gaussian (mean m, covariance C):
//
//	Linear       W m + b,  W C W^T
//	Add          the sums
//	Mul          elementwise; cov_ij = C_ij D_ij + C_ij n_i n_j + D_ij m_i m_j for factors (m, C), (n, D)
//	RMSNorm      divided by the root of the mean square, times the gain; LayerNorm less the mean first
//	activation   E f, and C_ij times the slopes of f's linear fits (Bussgang's theorem)
//	Experts      the mean over all experts; what Combine makes of them is not known
//	Attention    the values' mean, and attentionSpread of their covariance
//
// No model is run, so the result is the same on every machine. On gutenberg-9M, at 4 bit, the mean KL
// is a fifth lower than with inputs taken for white noise; calibration data give another eighth.

const (
	// attentionSpread is the part of the values' covariance that is left when attention has averaged them.
	attentionSpread = 0.3
	// maxEstimate is the longest feature vector whose covariance is estimated: the work grows with the cube.
	maxEstimate = 4096
)

// estimate is what is assumed of a value's feature vectors.
type estimate struct {
	k    int
	mean []float64
	cov  []float32 // k x k
}

func newEstimate(k int) *estimate {
	return &estimate{k: k, mean: make([]float64, k), cov: make([]float32, k*k)}
}

// second returns cov + mean mean^T.
func (e *estimate) second() []float64 {
	h := make([]float64, e.k*e.k)
	for i, m := range e.mean {
		for j := i; j < e.k; j++ {
			h[i*e.k+j] = float64(e.cov[i*e.k+j]) + float64(m*e.mean[j])
		}
	}
	return h
}

// propagation carries estimates through the top graph.
type propagation struct {
	g     *model.Graph
	known map[string]*candidate
	est   map[string]*estimate
	pool  *kernels.Pool
}

// estimateMoments gives the candidates whose inputs' second moment can be estimated their feedback.
func (q *quantizer) estimateMoments(feedbacks *feedbackBudget) error {
	p := &propagation{g: q.m.Graph, known: map[string]*candidate{}, est: map[string]*estimate{}, pool: q.newPool()}
	defer p.pool.Close()
	for _, c := range q.candidates {
		p.known[c.name] = c
		if err := c.t.Load(); err != nil {
			return err
		}
	}
	last := map[string]int{}
	for i, n := range p.g.Nodes {
		for _, name := range n.Inputs {
			last[name] = i
		}
	}
	shared := map[string]*kernels.Feedback{}
	for i, n := range p.g.Nodes {
		q.o.progress("estimate inputs", i, len(p.g.Nodes))
		for j, name := range n.Inputs {
			c := p.known[name]
			if c == nil || c.feedback != nil || n.Op == "Conv" || !model.ProductWeight(n, j) {
				continue
			}
			if e := p.est[n.Inputs[0]]; e != nil && e.k == c.k {
				fb := shared[n.Inputs[0]]
				if fb == nil && feedbacks.take(c.k) {
					// An estimate that is no second moment (not finite, zero) is no reason to fail.
					fb, _ = kernels.NewFeedback(e.second(), c.k, estimateDamping)
					shared[n.Inputs[0]] = fb
				}
				if fb != nil {
					c.feedback, c.basis = fb, "inputs estimated from the weights"
				}
			}
		}
		if out := p.node(n); out != nil {
			p.est[n.Outputs[0]] = out
		}
		for _, name := range n.Inputs {
			if last[name] == i {
				delete(p.est, name)
			}
		}
	}
	q.o.progress("estimate inputs", len(p.g.Nodes), len(p.g.Nodes))
	return nil
}

// node returns the estimate of a node's first output, or nil where nothing is known.
func (p *propagation) node(n *model.Node) *estimate {
	switch {
	case n.Is(model.DomainDsk, "Linear"):
		a, c := p.est[n.In(0)], p.known[n.In(1)]
		if a == nil || c == nil || a.k != c.k || c.n > maxEstimate || p.tied(c.name) {
			return nil
		}
		return p.activate(p.linear(a, c, p.constant(n.In(2), c.n)), n.Str("activation", model.ActNone))
	case n.Is(model.DomainDsk, "Dispatch"):
		return p.est[n.In(0)] // of all tokens, for each expert
	case n.Is(model.DomainDsk, "Experts"):
		return p.mixture(n)
	case n.Domain != "":
		return nil
	}
	switch n.Op {
	case "Gather":
		if c := p.known[n.In(0)]; c != nil {
			return p.table(c)
		}
		if n.Int("axis", 0) >= 0 {
			return p.est[n.In(0)] // rows are chosen, not features: graphs of sequences have these last
		}
	case "Cast", "Identity", "Dropout":
		return p.est[n.In(0)]
	case "TensorScatter":
		return p.est[n.In(1)]
	case "Add":
		return p.add(n)
	case "Mul":
		return p.mul(n)
	case "RMSNormalization", "LayerNormalization":
		return p.norm(n)
	case "Attention":
		return p.attention(n)
	}
	if activations[n.Op] != nil {
		return p.activate(p.est[n.In(0)], n.Op)
	}
	return nil
}

// tied reports whether a weight is a table too: then its product is the last one.
func (p *propagation) tied(name string) bool {
	for _, n := range p.g.Nodes {
		if n.Is("", "Gather") && n.In(0) == name {
			return true
		}
	}
	return false
}

// constant returns an initializer of k floats, or of one that stands for all, or nil.
func (p *propagation) constant(name string, k int) []float64 {
	t := p.g.Init[name]
	if t == nil || t.DType != tensor.F32 || t.Layout != tensor.RowMajor || t.Load() != nil {
		return nil
	}
	x := t.F32()
	if len(x) != k && len(x) != 1 {
		return nil
	}
	out := make([]float64, k)
	for i := range out {
		out[i] = float64(x[i%len(x)])
	}
	return out
}

// table is the estimate of rows of a table drawn with equal chances.
func (p *propagation) table(c *candidate) *estimate {
	if c.k > maxEstimate {
		return nil
	}
	e := newEstimate(c.k)
	row := make([]float32, c.k)
	for r := range c.n {
		c.rows(row, r, r+1)
		for i, v := range row {
			e.mean[i] += float64(v)
		}
	}
	for i := range e.mean {
		e.mean[i] /= float64(c.n)
	}
	// The rows less their mean, transposed a slab at a time.
	product := make([]float32, c.k*c.k)
	columns := make([]float32, c.k*min(c.n, slabRows))
	for lo := 0; lo < c.n; lo += slabRows {
		rows := min(slabRows, c.n-lo)
		for r := range rows {
			c.rows(row, lo+r, lo+r+1)
			for i, v := range row {
				columns[i*rows+r] = float32(float64(v) - e.mean[i])
			}
		}
		p.multiply(product, columns, columns, c.k, c.k, rows)
		for i, v := range product {
			e.cov[i] += v / float32(c.n)
		}
	}
	return e
}

// multiply computes dst = a b^T, a m x k and b n x k, over the pool.
func (p *propagation) multiply(dst, a, b []float32, m, n, k int) {
	p.pool.Run(kernels.TaskFunc(func(part, parts int) {
		lo, hi := kernels.Span(m, 2, part, parts)
		mulTrans(dst, a, b, lo, hi, n, k)
	}))
}

func (p *propagation) linear(a *estimate, c *candidate, bias []float64) *estimate {
	w := make([]float32, c.n*c.k)
	c.rows(w, 0, c.n)
	e := newEstimate(c.n)
	wc := make([]float32, c.n*c.k)
	p.multiply(wc, w, a.cov, c.n, c.k, c.k)
	p.multiply(e.cov, wc, w, c.n, c.n, c.k)
	for r := range e.mean {
		var sum float64
		for i, m := range a.mean {
			sum += float64(float64(w[r*c.k+i]) * m)
		}
		if bias != nil {
			sum += bias[r]
		}
		e.mean[r] = sum
	}
	return e
}

// mixture is the estimate of rows that go to each of a node's experts with equal chances.
func (p *propagation) mixture(n *model.Node) *estimate {
	a, weights := p.est[n.In(0)], n.Inputs[model.ExpertWeights:]
	if a == nil {
		return nil
	}
	var e *estimate
	var bias []float64
	part := 1 / float64(len(weights))
	for i, name := range weights {
		c := p.known[name]
		if c == nil || c.k != a.k || c.n > maxEstimate || e != nil && e.k != c.n {
			return nil
		}
		if e == nil {
			e, bias = newEstimate(c.n), p.constant(n.In(2), len(weights)*c.n)
		}
		var own []float64
		if bias != nil {
			own = bias[i*c.n : (i+1)*c.n]
		}
		y := p.activate(p.linear(a, c, own), n.Str("activation", model.ActNone))
		if y == nil {
			return nil
		}
		for i, m := range y.mean {
			e.mean[i] += float64(part * m)
			for j, o := range y.mean {
				at := i*e.k + j
				e.cov[at] += float32(part * (float64(y.cov[at]) + float64(m*o)))
			}
		}
	}
	for i, m := range e.mean {
		for j, o := range e.mean {
			e.cov[i*e.k+j] -= float32(m * o)
		}
	}
	return e
}

// operands returns the two operands of an elementwise node; a constant has no covariance.
func (p *propagation) operands(n *model.Node) (a, b *estimate) {
	a, b = p.est[n.In(0)], p.est[n.In(1)]
	other := func(e *estimate, name string) *estimate {
		if x := p.constant(name, e.k); x != nil {
			return &estimate{k: e.k, mean: x, cov: make([]float32, e.k*e.k)}
		}
		return nil
	}
	if a == nil && b != nil {
		a = other(b, n.In(0))
	} else if b == nil && a != nil {
		b = other(a, n.In(1))
	}
	return a, b
}

// add sums; an operand of which nothing is known is left out.
func (p *propagation) add(n *model.Node) *estimate {
	a, b := p.operands(n)
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.k != b.k:
		return nil
	}
	e := newEstimate(a.k)
	for i := range e.mean {
		e.mean[i] = a.mean[i] + b.mean[i]
	}
	for i := range e.cov {
		e.cov[i] = a.cov[i] + b.cov[i]
	}
	return e
}

func (p *propagation) mul(n *model.Node) *estimate {
	a, b := p.operands(n)
	if a == nil || b == nil || a.k != b.k {
		return nil
	}
	e := newEstimate(a.k)
	for i := range e.mean {
		e.mean[i] = float64(a.mean[i] * b.mean[i])
		for j := range e.mean {
			at := i*e.k + j
			x, y := float64(a.cov[at]), float64(b.cov[at])
			e.cov[at] = float32(float64(x*y) + float64(x*float64(b.mean[i]*b.mean[j])) + float64(y*float64(a.mean[i]*a.mean[j])))
		}
	}
	return e
}

func (p *propagation) norm(n *model.Node) *estimate {
	a := p.est[n.In(0)]
	if a == nil {
		return nil
	}
	gain := p.constant(n.In(1), a.k)
	if gain == nil {
		return nil
	}
	bias := p.constant(n.In(2), a.k)
	e := &estimate{k: a.k, mean: append([]float64(nil), a.mean...), cov: append([]float32(nil), a.cov...)}
	if n.Op == "LayerNormalization" {
		e.center()
	}
	var square float64
	for i, m := range e.mean {
		square += float64(e.cov[i*e.k+i]) + float64(m*m)
	}
	if !(square > 0) {
		return nil
	}
	root := math.Sqrt(square / float64(e.k))
	for i := range gain {
		gain[i] /= root
	}
	for i := range e.mean {
		e.mean[i] = float64(e.mean[i] * gain[i])
		if bias != nil {
			e.mean[i] += bias[i]
		}
		for j := range e.mean {
			e.cov[i*e.k+j] = float32(float64(e.cov[i*e.k+j]) * float64(gain[i]*gain[j]))
		}
	}
	return e
}

// center subtracts from every vector the mean of its features.
func (e *estimate) center() {
	k := float64(e.k)
	var mean, all float64
	rows := make([]float64, e.k) // mean of a row of the covariance
	for i, m := range e.mean {
		mean += m / k
		for _, v := range e.cov[i*e.k : (i+1)*e.k] {
			rows[i] += float64(v) / k
		}
		all += rows[i] / k
	}
	for i := range e.mean {
		e.mean[i] -= mean
		for j := range e.mean {
			e.cov[i*e.k+j] = float32(float64(e.cov[i*e.k+j]) - rows[i] - rows[j] + all)
		}
	}
}

// attention is an average of the values; every query head reads its key-value head.
func (p *propagation) attention(n *model.Node) *estimate {
	v := p.est[n.In(2)]
	heads, kv := int(n.Int("q_num_heads", 0)), int(n.Int("kv_num_heads", 0))
	if v == nil || kv < 1 || heads < kv || heads%kv != 0 || v.k%kv != 0 {
		return nil
	}
	size := v.k / kv
	if heads*size > maxEstimate {
		return nil
	}
	from := func(i int) int { return i/size/(heads/kv)*size + i%size }
	e := newEstimate(heads * size)
	for i := range e.mean {
		e.mean[i] = v.mean[from(i)]
		for j := range e.mean {
			e.cov[i*e.k+j] = attentionSpread * v.cov[from(i)*v.k+from(j)]
		}
	}
	return e
}

// activate carries an estimate, which it may change, through an activation.
func (p *propagation) activate(a *estimate, name string) *estimate {
	if a == nil || name == model.ActNone {
		return a
	}
	f := activations[name]
	if f == nil {
		return nil
	}
	e := newEstimate(a.k)
	slope, variance := make([]float64, a.k), make([]float64, a.k)
	for i, m := range a.mean {
		e.mean[i], variance[i], slope[i] = throughGaussian(f, m, max(float64(a.cov[i*a.k+i]), 0))
	}
	for i := range e.mean {
		for j := range e.mean {
			e.cov[i*e.k+j] = float32(float64(a.cov[i*e.k+j]) * float64(slope[i]*slope[j]))
		}
		e.cov[i*e.k+i] = float32(variance[i])
	}
	return e
}
