package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{"LinearAttention": widened(bindLinearAttention)}))

// linearAttention is the recurrence of LinearAttention for each key/value head, with a state S[dk, dv] (Katharopoulos et
// al. 2020; Yang et al. 2024):
//
//	S = exp(decay) S                  gated rules; decay per head or per row of S
//	v = beta (v - S^T k)              delta rules
//	S = S + k v^T,  y = scale S^T q
type linearAttention struct {
	q, k, v, y    heads
	tokens        int
	scale         float32
	in            []*tensor.Tensor // query, key, value, past, decay, beta; nil if absent
	out, state    *tensor.Tensor
	decays, betas int // values of decay and beta for each token
	scratch       *tensor.Tensor
}

func bindLinearAttention(b *Bind) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2, 3, 4, 5); err != nil {
		return nil, err
	}
	if b.Has(6) {
		return nil, b.errorf("an erase gate is not supported")
	}
	a := &linearAttention{in: make([]*tensor.Tensor, 6), out: b.Out[0]}
	copy(a.in, b.In)
	nq, nkv := int(b.Node.Int("q_num_heads", 0)), int(b.Node.Int("kv_num_heads", 0))
	var err error
	for i, h := range []*heads{&a.q, &a.k, &a.v} {
		n := nkv
		if i == 0 {
			n = nq
		}
		if len(b.In[i].Shape) != 3 {
			return nil, b.errorf("input %d has shape %v, want three axes", i, b.In[i].Shape)
		}
		if *h, err = headsOf(b, "an input", b.In[i].Shape, n); err != nil {
			return nil, err
		}
	}
	batch := b.In[0].Shape[0]
	a.tokens = a.q.tokens
	if a.k.dim != a.q.dim || a.k.tokens != a.tokens || a.v.tokens != a.tokens || nq%nkv != 0 ||
		b.In[1].Shape[0] != batch || b.In[2].Shape[0] != batch {
		return nil, b.errorf("query %v, key %v and value %v do not fit", b.In[0].Shape, b.In[1].Shape, b.In[2].Shape)
	}
	if err := needShape(b, "the output", a.out, batch, a.tokens, nq*a.v.dim); err != nil {
		return nil, err
	}
	if a.y, err = headsOf(b, "the output", a.out.Shape, nq); err != nil {
		return nil, err
	}
	if err := a.bindGates(b, batch, nkv); err != nil {
		return nil, err
	}
	states := []int{batch, nkv, a.k.dim, a.v.dim}
	if a.in[3] != nil {
		if err := needShape(b, "past_state", a.in[3], states...); err != nil {
			return nil, err
		}
	}
	if b.HasOut(1) {
		a.state = b.Out[1]
		if err := needShape(b, "present_state", a.state, states...); err != nil {
			return nil, err
		}
		if a.state.DType != tensor.F32 {
			return nil, b.unsupportedType(a.state.DType)
		}
	} else {
		a.state = b.Scratch(product(states) * 4)
	}
	if a.scale = b.Node.Float("scale", 0); a.scale == 0 {
		a.scale = float32(1 / math.Sqrt(float64(max(a.q.dim, 1))))
	}
	a.scratch = b.Scratch(b.parts() * a.v.dim * 4)
	return simple(b.split(batch*nkv, 1, a.tokens*a.k.dim*a.v.dim, func(part, lo, hi int) {
		for u := lo; u < hi; u++ {
			a.head(part, u/nkv, u%nkv)
		}
	})), nil
}

// bindGates checks decay and beta against the update rule.
func (a *linearAttention) bindGates(b *Bind, batch, nkv int) error {
	rule := b.Node.Str("update_rule", "gated_delta")
	gated, delta := rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	if !gated && !delta && rule != "linear" {
		return b.errorf("unknown update_rule %q", rule)
	}
	if gated != (a.in[4] != nil) || delta != (a.in[5] != nil) {
		return b.errorf("update_rule %s with decay %v and beta %v", rule, a.in[4] != nil, a.in[5] != nil)
	}
	for i, n := range []*int{&a.decays, &a.betas} {
		t := a.in[4+i]
		if t == nil {
			continue
		}
		if len(t.Shape) != 3 || t.Shape[0] != batch || t.Shape[1] != a.tokens {
			return b.errorf("a gate of shape %v for %d tokens", t.Shape, a.tokens)
		}
		*n = t.Shape[2]
	}
	if gated && a.decays != nkv && a.decays != nkv*a.k.dim {
		return b.errorf("decay of shape %v for %d heads of %d", a.in[4].Shape, nkv, a.k.dim)
	}
	if delta && a.betas != nkv && a.betas != 1 {
		return b.errorf("beta of shape %v for %d heads", a.in[5].Shape, nkv)
	}
	return nil
}

// head runs one key/value head through all tokens.
func (a *linearAttention) head(part, batch, head int) {
	dk, dv, nkv := a.k.dim, a.v.dim, a.k.n
	size := dk * dv
	s := a.state.F32()[(batch*nkv+head)*size:][:size]
	clear(s)
	if a.in[3] != nil {
		copy(s, a.in[3].F32()[(batch*nkv+head)*size:])
	}
	row := a.scratch.F32()[part*dv : (part+1)*dv]
	for t := range a.tokens {
		token := batch*a.tokens + t
		k := a.in[1].F32()[batch*a.k.batch+head*a.k.head+t*a.k.token:][:dk]
		if a.in[4] != nil {
			a.decay(s, a.in[4].F32()[token*a.decays:][:a.decays], head)
		}
		copy(row, a.in[2].F32()[batch*a.v.batch+head*a.v.head+t*a.v.token:])
		if a.in[5] != nil {
			for d, v := range k {
				kernels.Axpy(row, s[d*dv:(d+1)*dv], -v)
			}
			kernels.Scale(row, row, a.in[5].F32()[token*a.betas+head%a.betas])
		}
		for d, v := range k {
			kernels.Axpy(s[d*dv:(d+1)*dv], row, v)
		}
		group := a.q.n / nkv
		for h := head * group; h < (head+1)*group; h++ {
			y := a.out.F32()[batch*a.y.batch+h*a.y.head+t*a.y.token:][:dv]
			clear(y)
			for d, v := range a.in[0].F32()[batch*a.q.batch+h*a.q.head+t*a.q.token:][:dk] {
				kernels.Axpy(y, s[d*dv:(d+1)*dv], v)
			}
			kernels.Scale(y, y, a.scale)
		}
	}
}

// decay multiplies the state by the token's gates, given as logarithms.
func (a *linearAttention) decay(s, gates []float32, head int) {
	if a.decays == a.k.n {
		kernels.Scale(s, s, float32(math.Exp(float64(gates[head]))))
		return
	}
	dk, dv := a.k.dim, a.v.dim
	for d := range dk {
		row := s[d*dv : (d+1)*dv]
		kernels.Scale(row, row, float32(math.Exp(float64(gates[head*dk+d]))))
	}
}
