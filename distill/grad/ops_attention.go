package grad

import (
	"math"

	"gonum.org/v1/gonum/blas"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", map[string]binder{"Attention": bindAttention, "RotaryEmbedding": bindRotary})

// heads says where the heads of an operand [batch, heads, tokens, dim] or [batch, tokens, heads*dim] lie.
type heads struct {
	n, tokens, dim     int
	batch, head, token int // strides
}

func headsOf(shape []int, n int) (heads, bool) {
	switch {
	case len(shape) == 4:
		h := heads{n: shape[1], tokens: shape[2], dim: shape[3]}
		h.token, h.head, h.batch = h.dim, h.tokens*h.dim, h.n*h.tokens*h.dim
		return h, true
	case len(shape) == 3 && n > 0 && shape[2]%n == 0:
		h := heads{n: n, tokens: shape[1], dim: shape[2] / n}
		h.token, h.head, h.batch = shape[2], h.dim, shape[1]*shape[2]
		return h, true
	}
	return heads{}, false
}

// of returns head i of batch b as a matrix of rows token apart.
func (h *heads) of(x []float32, b, i int) []float32 {
	at := b*h.batch + i*h.head
	return x[at : at+(h.tokens-1)*h.token+h.dim]
}

// attention is Attention without a past: with the scores S = scale Q K^T, capped and masked, P = softmax S and Y = P V.
// P of all heads is kept. Backward, with G the gradient of Y,
//
//	dV = P^T G,  dP = G V^T,  dS = P (dP - rowsum(dP P)),  dQ = scale dS K,  dK = scale dS^T Q
//
// Query heads of a group share a key/value head; they are done one after the other. Queries go by queryBlock, with the keys that the last
// of them sees: under a causal mask the others' scores are not computed.
type attention struct {
	q, k, v, y     heads
	qt, kt, vt     *operand
	yt             *value
	mask           *operand
	lengths        *operand
	batch          int
	scale, softcap float32
	causal         bool
	window         int
	p              *buffer // [batch, heads, queries, keys]
	scratch        *buffer // a gradient of scores per part
	maskStride     [3]int  // of batch, head and query
	maskKeys       int
}

// queryBlock is a multiple of few rows of the micro-kernels' tiles, and small beside the length of most sequences.
const queryBlock = 64

func bindAttention(b *binding, s *step) error {
	if err := b.floats(0, 1, 2); err != nil {
		return err
	}
	if b.has(4) || b.has(5) || b.has(7) {
		return unsupported("a past or sinks")
	}
	for i, o := range b.out {
		if i > 0 && o != nil {
			return unsupported("more outputs than Y")
		}
	}
	if err := b.fixed(3, 6); err != nil {
		return err
	}
	n := b.node
	a := &attention{qt: b.in[0], kt: b.in[1], vt: b.in[2], yt: b.out[0], batch: b.in[0].shape[0],
		softcap: n.Float("softcap", 0), causal: n.Int("is_causal", 0) != 0, window: int(n.Int("local_window_size", 0))}
	hq, hkv := int(n.Int("q_num_heads", 0)), int(n.Int("kv_num_heads", 0))
	var ok [4]bool
	a.q, ok[0] = headsOf(a.qt.shape, hq)
	a.k, ok[1] = headsOf(a.kt.shape, hkv)
	a.v, ok[2] = headsOf(a.vt.shape, hkv)
	a.y, ok[3] = headsOf(a.yt.shape, hq)
	if ok != [4]bool{true, true, true, true} || a.k.n == 0 || a.q.n%a.k.n != 0 || a.q.n == 0 {
		return unsupported("heads that do not fit")
	}
	a.scale = n.Float("scale", float32(1/math.Sqrt(float64(a.q.dim))))
	if b.has(3) {
		a.bindMask(b.in[3])
	}
	if b.has(6) {
		a.lengths = b.in[6]
	}
	size, room := a.q.tokens*a.k.tokens, min(queryBlock, a.q.tokens)*a.k.tokens
	a.p = b.scratch(a.batch * a.q.n * size)
	a.scratch = b.scratch(b.parts() * room)
	units, cost := a.batch*a.k.n, a.q.n/a.k.n*size*(a.q.dim+a.v.dim)/8
	s.forward = run(b.split(units, cost, func(_, lo, hi int) {
		for u := lo; u < hi; u++ {
			a.forward(u/a.k.n, u%a.k.n)
		}
	}))
	s.backward = all(prepared(b, a.qt), prepared(b, a.kt), prepared(b, a.vt), b.split(units, 2*cost, func(part, lo, hi int) {
		d := a.scratch.data[part*room : (part+1)*room]
		for u := lo; u < hi; u++ {
			a.backward(u/a.k.n, u%a.k.n, d)
		}
	}))
	return nil
}

// prepared makes an operand's whole gradient ready to be added to, if it wants one.
func prepared(b *binding, o *operand) func() {
	if !o.needs {
		return nil
	}
	return b.elements(o.n, func(lo, hi int) { o.sink(lo, hi) })
}

// bindMask finds the strides of a mask that broadcasts to [batch, heads, queries, keys].
func (a *attention) bindMask(m *operand) {
	a.mask = m
	of := strides(m.shape)
	last := len(m.shape) - 1
	a.maskKeys = m.shape[last]
	for i := range 3 {
		if j := last - 3 + i; j >= 0 && m.shape[j] > 1 {
			a.maskStride[i] = of[j]
		}
	}
}

// visible returns the keys [lo, hi) that a query of batch b sees, but for the mask.
func (a *attention) visible(b, query int) (lo, hi int) {
	hi, offset := a.k.tokens, 0
	if a.lengths != nil {
		hi = min(hi, int(a.lengths.tensor().I64()[b]))
		offset = hi - a.q.tokens
	}
	if a.causal {
		hi = min(hi, query+offset+1)
	}
	if a.window > 0 {
		end := query + offset + 1
		if !a.causal {
			end = hi
		}
		lo = max(0, end-a.window)
	}
	return lo, max(lo, hi)
}

func (a *attention) scores(b, h int) []float32 {
	size := a.q.tokens * a.k.tokens
	return a.p.data[(b*a.q.n+h)*size:][:size]
}

// block returns the queries of a block, and how many keys they see.
func (a *attention) block(b, from int) (to, keys int) {
	to = min(from+queryBlock, a.q.tokens)
	_, keys = a.visible(b, to-1)
	return to, keys
}

func (a *attention) forward(b, kv int) {
	group := a.q.n / a.k.n
	for h := kv * group; h < (kv+1)*group; h++ {
		for from := 0; from < a.q.tokens; from += queryBlock {
			a.forwardBlock(b, kv, h, from)
		}
	}
}

func (a *attention) forwardBlock(b, kv, h, from int) {
	to, keys := a.block(b, from)
	t, ld := to-from, a.k.tokens
	y := a.y.of(a.yt.x(), b, h)[from*a.y.token:]
	if keys == 0 {
		for i := range t {
			clear(y[i*a.y.token : i*a.y.token+a.y.dim])
		}
		return
	}
	p := a.scores(b, h)[from*ld : to*ld]
	gemm(blas.NoTrans, blas.Trans, t, keys, a.q.dim, a.scale, a.q.of(a.qt.x(), b, h)[from*a.q.token:], a.q.token,
		a.k.of(a.kt.x(), b, kv), a.k.token, 0, p, ld)
	for i := range t {
		a.softmax(p[i*ld:i*ld+keys], b, h, from+i)
	}
	gemm(blas.NoTrans, blas.NoTrans, t, a.v.dim, keys, 1, p, ld, a.v.of(a.vt.x(), b, kv), a.v.token, 0, y, a.y.token)
}

// softmax makes probabilities of the scores of a query's first keys; those of keys that it does not see are 0.
func (a *attention) softmax(row []float32, b, h, query int) {
	lo, hi := a.visible(b, query)
	clear(row[:lo])
	clear(row[hi:])
	if lo == hi {
		return
	}
	seen := row[lo:hi]
	if a.softcap > 0 {
		for j, s := range seen {
			seen[j] = a.softcap * float32(math.Tanh(float64(s/a.softcap)))
		}
	}
	a.addMask(seen, b, h, query, lo)
	if math.IsInf(float64(kernels.MaxRow(seen)), -1) {
		clear(seen)
		return
	}
	kernels.SoftmaxRow(seen, seen)
}

// addMask adds the mask to the scores of the keys from lo on; keys beyond it count as masked.
func (a *attention) addMask(scores []float32, b, h, query, lo int) {
	if a.mask == nil {
		return
	}
	at := b*a.maskStride[0] + h*a.maskStride[1] + query*a.maskStride[2]
	t := a.mask.tensor()
	inf := float32(math.Inf(-1))
	for j := range scores {
		k := lo + j
		switch {
		case k >= a.maskKeys:
			scores[j] = inf
		case t.DType == tensor.BOOL:
			if !tensor.View[bool](t)[at+k] {
				scores[j] = inf
			}
		default:
			scores[j] += t.F32()[at+k]
		}
	}
}

// backward adds the gradients of a key/value head and of its group of query heads; d is room for the scores'.
func (a *attention) backward(b, kv int, d []float32) {
	group := a.q.n / a.k.n
	for h := kv * group; h < (kv+1)*group; h++ {
		for from := 0; from < a.q.tokens; from += queryBlock {
			a.backwardBlock(b, kv, h, from, d)
		}
	}
}

func (a *attention) backwardBlock(b, kv, h, from int, d []float32) {
	to, keys := a.block(b, from)
	if keys == 0 {
		return
	}
	t, ld := to-from, a.k.tokens
	p, g := a.scores(b, h)[from*ld:to*ld], a.y.of(a.yt.dy(), b, h)[from*a.y.token:]
	if a.vt.needs {
		gemm(blas.Trans, blas.NoTrans, keys, a.v.dim, t, 1, p, ld, g, a.y.token, 1, a.v.of(a.vt.root.grad, b, kv), a.v.token)
	}
	if !a.qt.needs && !a.kt.needs {
		return
	}
	gemm(blas.NoTrans, blas.Trans, t, keys, a.v.dim, 1, g, a.y.token, a.v.of(a.vt.x(), b, kv), a.v.token, 0, d, ld)
	for i := range t {
		row, pr := d[i*ld:i*ld+keys], p[i*ld:i*ld+keys]
		kernels.AddScalar(row, row, -kernels.Dot(row, pr))
		kernels.Mul(row, row, pr)
		if a.softcap > 0 {
			a.uncap(row, b, h, kv, from+i)
		}
	}
	if a.qt.needs {
		gemm(blas.NoTrans, blas.NoTrans, t, a.q.dim, keys, a.scale, d, ld, a.k.of(a.kt.x(), b, kv), a.k.token, 1,
			a.q.of(a.qt.root.grad, b, h)[from*a.q.token:], a.q.token)
	}
	if a.kt.needs {
		gemm(blas.Trans, blas.NoTrans, keys, a.q.dim, t, a.scale, d, ld, a.q.of(a.qt.x(), b, h)[from*a.q.token:], a.q.token, 1,
			a.k.of(a.kt.root.grad, b, kv), a.k.token)
	}
}

// uncap multiplies the gradients of a query's capped scores by the cap's derivative, 1 - tanh(s/cap)^2.
func (a *attention) uncap(row []float32, b, h, kv, query int) {
	q := a.q.of(a.qt.x(), b, h)[query*a.q.token:][:a.q.dim]
	k := a.k.of(a.kt.x(), b, kv)
	for j := range row {
		c := math.Tanh(float64(a.scale * kernels.Dot(q, k[j*a.k.token:]) / a.softcap))
		row[j] *= float32(1 - c*c)
	}
}

// bindRotary binds RotaryEmbedding (Su et al. 2021): its transpose turns by the opposite angles.
func bindRotary(b *binding, s *step) error {
	if err := b.floats(0, 1, 2); err != nil {
		return err
	}
	if err := b.fixed(1, 2); err != nil {
		return err
	}
	x, cos, sin, y := b.in[0], b.in[1], b.in[2], b.out[0]
	h, ok := headsOf(x.shape, int(b.node.Int("num_heads", 0)))
	if !ok {
		return unsupported("heads that do not fit")
	}
	half := cos.shape[len(cos.shape)-1]
	if 2*half > h.dim {
		return unsupported("more angles than pairs in a head")
	}
	interleaved := b.node.Int("interleaved", 0) != 0
	tokens, positions := x.shape[0]*h.tokens, cos.n/half
	at := make([]int, tokens)
	back := b.scratch(b.parts() * (half + h.dim))
	forward := b.split(tokens, h.n*h.dim, func(_, lo, hi int) {
		for t := lo; t < hi; t++ {
			c, sn := cos.x()[at[t]*half:][:half], sin.x()[at[t]*half:][:half]
			for i := range h.n {
				o := t/h.tokens*h.batch + t%h.tokens*h.token + i*h.head
				kernels.RopeRow(y.x()[o:o+h.dim], x.x()[o:o+h.dim], c, sn, interleaved)
			}
		}
	})
	s.forward = func() error {
		for t := range at {
			at[t] = t
		}
		if b.has(3) {
			for t, p := range b.in[3].tensor().I64() {
				if at[t] = int(p); p < 0 || p >= int64(positions) {
					return unsupported("a position outside of the table")
				}
			}
		}
		forward()
		return nil
	}
	s.backward = b.split(tokens, h.n*h.dim, func(part, lo, hi int) {
		room := back.data[part*(half+h.dim):][:half+h.dim]
		opposite, row := room[:half], room[half:]
		for t := lo; t < hi; t++ {
			c := cos.x()[at[t]*half:][:half]
			kernels.Scale(opposite, sin.x()[at[t]*half:], -1)
			for i := range h.n {
				o := t/h.tokens*h.batch + t%h.tokens*h.token + i*h.head
				kernels.RopeRow(row, y.dy()[o:o+h.dim], c, opposite, interleaved)
				dx := x.sink(o, o+h.dim)
				kernels.Add(dx, dx, row)
			}
		}
	})
	return nil
}
