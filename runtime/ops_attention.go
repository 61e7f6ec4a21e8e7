package runtime

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"Attention":       widened(bindAttention),
	"RotaryEmbedding": widened(bindRotaryEmbedding),
	"TensorScatter":   bindTensorScatter,
}))

// heads describes where the heads of an operand lie: element d of head h of token t of batch b is
// number b*batch + h*head + t*token + d.
type heads struct {
	n, tokens, dim     int
	batch, head, token int
}

// headsOf reads a tensor [batch, heads, tokens, dim], or [batch, tokens, heads*dim] if n heads are given for it.
func headsOf(b *Bind, what string, shape []int, n int) (heads, error) {
	switch {
	case len(shape) == 4:
		h := heads{n: shape[1], tokens: shape[2], dim: shape[3]}
		h.token, h.head, h.batch = h.dim, h.tokens*h.dim, h.n*h.tokens*h.dim
		return h, nil
	case len(shape) == 3 && n > 0 && shape[2]%n == 0:
		h := heads{n: n, tokens: shape[1], dim: shape[2] / n}
		h.token, h.head, h.batch = shape[2], h.dim, shape[1]*shape[2]
		return h, nil
	}
	return heads{}, b.errorf("%s of shape %v with %d heads", what, shape, n)
}

// attention is the Attention of opset 24 and later, with one attribute and one input more: local_window_size w > 0
// limits a query to the last w of the keys that is_causal would let it see; input 7, F32 [heads], has the score of a
// key without a value that every query of a head sees.
//
// Key t of the caches is visible to query i if t < nonpad_kv_seqlen[b] and, if is_causal is set, t <= i + offset
// with offset the length of the past, or nonpad_kv_seqlen[b] less the number of queries, or 0. A query that
// sees no key gives 0. The cost follows the number of visible keys, not the size of K.
type attention struct {
	batch          int
	q, k, v, y     heads
	qt, kt, vt, yt *tensor.Tensor // where they lie: K and V include the past
	kc, vc         *cacheRows     // how they are kept, or nil
	past, total    int
	core           kernels.Attention
	cores          []kernels.Attention // per part

	mask        *tensor.Tensor // additive, or nil
	maskBatch   int            // strides of the mask
	maskHead    int
	maskQuery   int
	maskKeys    int // keys that it covers; those beyond are masked
	lengths     *tensor.Tensor
	sinks       *tensor.Tensor // or nil
	block       int            // queries in a unit of work, which is a key/value head
	blocks      int            // of queries
	scratch     *tensor.Tensor
	scratchPart int
}

// attentionBlock is the least number of queries in a unit of work, attentionRows what it has of rows where queries
// are many: keys and values are packed once for all of them.
const (
	attentionBlock = 64
	attentionRows  = 256
)

func bindAttention(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	floats := []int{0, 4, 5, 7}
	for _, i := range []int{1, 2} {
		if b.cache[i] == nil {
			floats = append(floats, i)
		}
	}
	if err := needF32(b, floats...); err != nil {
		return nil, err
	}
	a := &attention{kc: b.cache[1], vc: b.cache[2], qt: b.In[0], kt: b.In[1], vt: b.In[2], yt: b.Out[0]}
	steps, err := a.bindOperands(b)
	if err != nil {
		return nil, err
	}
	masks, err := a.bindMask(b)
	if err != nil {
		return nil, err
	}
	n := b.Node
	a.core = kernels.Attention{Dim: a.q.dim, DimV: a.v.dim, QueryHead: a.q.head, DstHead: a.y.head, Softcap: n.Float("softcap", 0),
		Scale:  n.Float("scale", float32(1/math.Sqrt(float64(max(a.q.dim, 1))))),
		Causal: n.Int("is_causal", 0) != 0, Window: int(n.Int("local_window_size", 0))}
	if a.core.Softcap < 0 || a.core.Window < 0 {
		return nil, b.errorf("negative softcap or local_window_size")
	}
	if b.Has(7) {
		a.sinks = b.In[7]
		if err := needShape(b, "the sinks", a.sinks, a.q.n); err != nil {
			return nil, err
		}
		if b.HasOut(3) {
			return nil, b.errorf("qk_matmul_output with sinks")
		}
	}
	steps = append(steps, masks...)
	compute := a.bindUnits(b)
	var scores func()
	if b.HasOut(3) {
		if scores, err = a.bindScores(b); err != nil {
			return nil, err
		}
	}
	return func() error {
		if err := a.checkLengths(); err != nil {
			return err
		}
		for _, s := range steps {
			s()
		}
		compute()
		if scores != nil {
			scores()
		}
		return nil
	}, nil
}

// bindOperands checks Q, K, V and the past, and returns what joins the past to K and V.
func (a *attention) bindOperands(b *Bind) ([]func(), error) {
	nq, nkv := int(b.Node.Int("q_num_heads", 0)), int(b.Node.Int("kv_num_heads", 0))
	kShape, vShape := a.kt.Shape, a.vt.Shape
	if a.kc != nil {
		kShape = a.kc.shape
	}
	if a.vc != nil {
		vShape = a.vc.shape
	}
	var err error
	if a.q, err = headsOf(b, "Q", a.qt.Shape, nq); err != nil {
		return nil, err
	}
	if a.k, err = headsOf(b, "K", kShape, nkv); err != nil {
		return nil, err
	}
	if a.v, err = headsOf(b, "V", vShape, nkv); err != nil {
		return nil, err
	}
	a.batch = a.qt.Shape[0]
	if a.k.dim != a.q.dim || a.k.n != a.v.n || a.k.tokens != a.v.tokens || a.k.n == 0 || a.q.n%a.k.n != 0 ||
		kShape[0] != a.batch || vShape[0] != a.batch || len(kShape) != len(a.qt.Shape) || len(vShape) != len(a.qt.Shape) {
		return nil, b.errorf("Q %v with %d heads does not fit K %v and V %v with %d", a.qt.Shape, a.q.n, kShape, vShape, a.k.n)
	}
	want := []int{a.batch, a.q.tokens, a.q.n * a.v.dim}
	if len(a.qt.Shape) == 4 {
		want = []int{a.batch, a.q.n, a.q.tokens, a.v.dim}
	}
	if err := needShape(b, "Y", a.yt, want...); err != nil {
		return nil, err
	}
	if a.y, err = headsOf(b, "Y", a.yt.Shape, a.q.n); err != nil {
		return nil, err
	}
	if b.Has(4) != b.Has(5) {
		return nil, b.errorf("past_key and past_value must come together")
	}
	if b.Has(4) {
		if len(b.In[4].Shape) != 4 {
			return nil, b.errorf("past_key has shape %v, want 4 axes", b.In[4].Shape)
		}
		a.past = b.In[4].Shape[2]
	}
	a.total = a.past + a.k.tokens
	if b.Has(6) {
		a.lengths = b.In[6]
		if err := needShape(b, "nonpad_kv_seqlen", a.lengths, a.batch); err != nil {
			return nil, err
		}
		if a.lengths.DType != tensor.I64 {
			return nil, b.unsupportedType(a.lengths.DType)
		}
	}
	var steps []func()
	for i, op := range []struct {
		h *heads
		t **tensor.Tensor
	}{{&a.k, &a.kt}, {&a.v, &a.vt}} {
		join, err := a.bindPresent(b, op.h, op.t, 4+i, 1+i)
		if err != nil {
			return nil, err
		}
		if join != nil {
			steps = append(steps, join)
		}
	}
	return steps, nil
}

// bindPresent makes present = past and new keys (or values) as [batch, heads, total, dim], if there is a
// past or the present is wanted, and makes the attention read that.
func (a *attention) bindPresent(b *Bind, h *heads, t **tensor.Tensor, in, out int) (func(), error) {
	if !b.Has(in) && !b.HasOut(out) {
		return nil, nil
	}
	var past *tensor.Tensor
	if b.Has(in) {
		past = b.In[in]
		if err := needShape(b, "the past", past, a.batch, h.n, a.past, h.dim); err != nil {
			return nil, err
		}
	}
	var present *tensor.Tensor
	if b.HasOut(out) {
		present = b.Out[out]
		if err := needShape(b, "the present", present, a.batch, h.n, a.total, h.dim); err != nil {
			return nil, err
		}
		if present.DType != tensor.F32 {
			return nil, b.unsupportedType(present.DType)
		}
	} else {
		present = b.Scratch(a.batch * h.n * a.total * h.dim * 4)
	}
	from, old := *t, *h
	*t = present
	h.tokens, h.token, h.head, h.batch = a.total, h.dim, a.total*h.dim, h.n*a.total*h.dim
	return b.split(a.batch*h.n, 1, a.total*h.dim, func(_, lo, hi int) {
		dst, src := present.F32(), from.F32()
		for u := lo; u < hi; u++ {
			row := dst[u*a.total*old.dim : (u+1)*a.total*old.dim]
			if past != nil {
				n := a.past * old.dim
				copy(row, past.F32()[u*n:(u+1)*n])
				row = row[n:]
			}
			at := u/old.n*old.batch + u%old.n*old.head
			for s := range old.tokens {
				copy(row[s*old.dim:(s+1)*old.dim], src[at+s*old.token:])
			}
		}
	}), nil
}

// bindMask checks the mask and turns a Boolean one into an additive one.
func (a *attention) bindMask(b *Bind) ([]func(), error) {
	a.maskKeys = a.total
	if !b.Has(3) {
		return nil, nil
	}
	m := b.In[3]
	shape := [4]int{1, 1, 1, 1}
	if len(m.Shape) < 2 || len(m.Shape) > 4 {
		return nil, b.errorf("attn_mask has shape %v, want 2 to 4 axes", m.Shape)
	}
	copy(shape[4-len(m.Shape):], m.Shape)
	full := [4]int{a.batch, a.q.n, a.q.tokens, shape[3]}
	for i, d := range shape {
		if d != full[i] && d != 1 {
			return nil, b.errorf("attn_mask of shape %v for %v", m.Shape, full)
		}
	}
	if shape[3] > a.total {
		return nil, b.errorf("attn_mask covers %d keys of %d", shape[3], a.total)
	}
	a.maskKeys, a.mask = shape[3], m
	size := shape[3]
	for i, st := range []*int{&a.maskQuery, &a.maskHead, &a.maskBatch} {
		if shape[2-i] != 1 {
			*st = size
		}
		size *= shape[2-i]
	}
	switch m.DType {
	case tensor.F32:
		return nil, nil
	case tensor.BOOL:
	default:
		return nil, b.unsupportedType(m.DType)
	}
	a.mask = b.Scratch(m.Len() * 4)
	add := a.mask
	return []func(){b.split(m.Len(), 64, 2, func(_, lo, hi int) {
		dst := add.F32()[lo:hi]
		for i, v := range tensor.View[uint8](m)[lo:hi] {
			dst[i] = 0
			if v == 0 {
				dst[i] = float32(math.Inf(-1))
			}
		}
	})}, nil
}

// checkLengths checks nonpad_kv_seqlen.
func (a *attention) checkLengths() error {
	if a.lengths == nil {
		return nil
	}
	for i, n := range a.lengths.I64() {
		if n < 0 || n > int64(a.total) {
			return fmt.Errorf("nonpad_kv_seqlen[%d] is %d, but there are %d keys", i, n, a.total)
		}
	}
	return nil
}

// visible returns how many keys of an image there are, and the offset of the causal diagonal.
func (a *attention) visible(batch int) (keys, offset int) {
	keys, offset = a.total, a.past
	if a.lengths != nil {
		keys = int(a.lengths.I64()[batch])
		if a.past == 0 {
			offset = keys - a.q.tokens
		}
	}
	return min(keys, a.maskKeys), offset
}

// bindUnits splits the work by batch, key/value head and block of queries. The heads that share keys go together, so
// that these are read and packed once.
func (a *attention) bindUnits(b *Bind) func() {
	group := a.q.n / a.k.n
	a.block = max(attentionBlock, attentionRows/group)
	a.blocks = max(1, (a.q.tokens+a.block-1)/a.block)
	units := a.batch * a.k.n * a.blocks
	largest := a.core
	largest.Heads, largest.Queries = group, min(a.block, a.q.tokens)
	a.scratchPart = (largest.ScratchBytes() + 63) &^ 63
	a.scratch = b.Scratch(a.scratchPart * b.parts())
	a.cores = make([]kernels.Attention, b.parts())
	cost := group * largest.Queries * max(a.total, 1) * max(a.q.dim+a.v.dim, 1) / 8
	return b.split(units, 1, max(cost, 1), func(part, lo, hi int) {
		for u := lo; u < hi; u++ {
			a.unit(part, u/a.blocks/a.k.n, u/a.blocks%a.k.n*group, group, u%a.blocks*a.block)
		}
	})
}

// unit computes count heads from head on, for the block of queries that begins at first.
func (a *attention) unit(part, batch, head, count, first int) {
	keys, offset := a.visible(batch)
	c := &a.cores[part]
	*c = a.core
	c.Heads, c.Keys, c.Offset = count, keys, offset+first
	c.Queries = min(a.block, a.q.tokens-first)
	if a.sinks != nil {
		c.Sinks = a.sinks.F32()[head : head+count]
	}
	kv := head / (a.q.n / a.k.n)
	var mask kernels.AttentionMask
	if a.mask != nil {
		mask = kernels.AttentionMask{Data: a.mask.F32()[batch*a.maskBatch+head*a.maskHead+first*a.maskQuery:],
			HeadStride: a.maskHead, QueryStride: a.maskQuery}
	}
	at := func(h *heads, n, token int) int { return batch*h.batch + n*h.head + token*h.token }
	c.Run(a.yt.F32()[at(&a.y, head, first):], a.y.token, a.qt.F32()[at(&a.q, head, first):], a.q.token,
		headRows(a.kt, a.kc, &a.k, batch, kv), headRows(a.vt, a.vc, &a.v, batch, kv), mask,
		a.scratch.Data[part*a.scratchPart:(part+1)*a.scratchPart])
}

// headRows returns the rows of a key/value head.
func headRows(t *tensor.Tensor, c *cacheRows, h *heads, batch, head int) kernels.Rows {
	if c != nil {
		return c.of(t, batch, head)
	}
	return kernels.FloatRows(t.F32()[batch*h.batch+head*h.head:], h.token)
}

// bindScores computes qk_matmul_output[batch, heads, queries, total]: the scores as scaled products (mode 0),
// after softcap (1), with masks (2) or after softmax (3).
func (a *attention) bindScores(b *Bind) (func(), error) {
	out := b.Out[3]
	if err := needShape(b, "qk_matmul_output", out, a.batch, a.q.n, a.q.tokens, a.total); err != nil {
		return nil, err
	}
	if out.DType != tensor.F32 {
		return nil, b.unsupportedType(out.DType)
	}
	mode := b.Node.Int("qk_matmul_output_mode", 0)
	if mode < 0 || mode > 3 {
		return nil, b.errorf("unknown qk_matmul_output_mode %d", mode)
	}
	return b.split(a.batch*a.q.n*a.q.tokens, 1, a.total*(a.q.dim+8), func(_, lo, hi int) {
		q, k := a.qt.F32(), a.kt.F32()
		for r := lo; r < hi; r++ {
			batch, h, t := r/(a.q.n*a.q.tokens), r/a.q.tokens%a.q.n, r%a.q.tokens
			row := out.F32()[r*a.total : (r+1)*a.total]
			x := q[batch*a.q.batch+h*a.q.head+t*a.q.token:][:a.q.dim]
			at := batch*a.k.batch + h/(a.q.n/a.k.n)*a.k.head
			for s := range row {
				row[s] = a.core.Scale * kernels.Dot(x, k[at+s*a.k.token:][:a.k.dim])
			}
			a.refine(row, batch, h, t, int(mode))
		}
	}), nil
}

// refine takes a row of scaled products to the wanted stage.
func (a *attention) refine(row []float32, batch, h, t, mode int) {
	if cap := a.core.Softcap; mode >= 1 && cap > 0 {
		kernels.Scale(row, row, 1/cap)
		kernels.Activate(row, row, kernels.Activation{Kind: kernels.ActTanh})
		kernels.Scale(row, row, cap)
	}
	if mode < 2 {
		return
	}
	keys, offset := a.visible(batch)
	if a.mask != nil {
		m := a.mask.F32()[batch*a.maskBatch+h*a.maskHead+t*a.maskQuery:]
		kernels.Add(row[:keys], row[:keys], m)
	}
	hidden := 0
	for s := range row {
		if s >= keys || a.core.Causal && s > t+offset || a.core.Window > 0 && s <= t+offset-a.core.Window {
			row[s] = float32(math.Inf(-1))
		}
		if math.IsInf(float64(row[s]), -1) {
			hidden++
		}
	}
	switch {
	case mode < 3:
	case hidden == len(row):
		clear(row)
	default:
		kernels.SoftmaxRow(row, row)
	}
}
