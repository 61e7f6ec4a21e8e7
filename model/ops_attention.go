package model

import "fmt"

var _ = registerOps("", map[string]InferFunc{
	"Attention": inferAttention, "RotaryEmbedding": inferRotary, "TensorScatter": inferTensorScatter,
	"LinearAttention": inferLinearAttention,
})

// inferAttention: Q, K, V, attn_mask?, past_key?, past_value?, nonpad_kv_seqlen?, sinks[heads]? (ours)
// -> Y, present_key?, present_value?, qk_matmul_output?. 4D operands are [batch, heads, seq, size],
// 3D ones [batch, seq, heads*size] with the heads as attributes.
func inferAttention(c *Inference) error {
	if err := c.need(3, 8); err != nil {
		return err
	}
	q, k, v := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	if q == nil || k == nil || v == nil {
		for i := range c.Out {
			c.set(i, c.In[min(i, 2)].DType, nil)
		}
		c.set(3, c.In[0].DType, nil)
		return nil
	}
	if len(q) != len(k) || len(k) != len(v) || len(q) != 3 && len(q) != 4 {
		return fmt.Errorf("Q %v, K %v, V %v must all have rank 3 or all rank 4", c.In[0], c.In[1], c.In[2])
	}
	if len(q) == 3 {
		hq, hkv := c.Node.Int("q_num_heads", 0), c.Node.Int("kv_num_heads", 0)
		if hq < 1 || hkv < 1 {
			return fmt.Errorf("rank 3 needs q_num_heads and kv_num_heads")
		}
		split := func(i int, heads int64) ([]Dim, error) {
			s := c.In[i].Shape
			if s[2].IsKnown() && s[2].N%int(heads) != 0 {
				return nil, fmt.Errorf("input %d is %v, which does not divide into %d heads", i, c.In[i], heads)
			}
			return []Dim{s[0], Known(int(heads)), s[1], divDim(s[2], Known(int(heads)))}, nil
		}
		var err error
		if q, err = split(0, hq); err != nil {
			return err
		}
		if k, err = split(1, hkv); err != nil {
			return err
		}
		if v, err = split(2, hkv); err != nil {
			return err
		}
	}
	bad := func(what string, err error) error {
		return fmt.Errorf("Q %v, K %v, V %v: %s: %w", c.In[0], c.In[1], c.In[2], what, err)
	}
	batch, err := unify(q[0], k[0])
	if err != nil {
		return bad("batch of Q and K", err)
	}
	if batch, err = unify(batch, v[0]); err != nil {
		return bad("batch of Q and V", err)
	}
	if _, err = unify(k[1], v[1]); err != nil {
		return bad("heads of K and V", err)
	}
	if _, err = unify(q[3], k[3]); err != nil {
		return bad("head size of Q and K", err)
	}
	keys, err := unify(k[2], v[2])
	if err != nil {
		return bad("length of K and V", err)
	}
	if q[1].IsKnown() && k[1].IsKnown() && (k[1].N == 0 || q[1].N%k[1].N != 0) {
		return fmt.Errorf("Q %v has %d heads, no multiple of K's %d", c.In[0], q[1].N, k[1].N)
	}
	total := keys
	if c.has(4) {
		total = Unknown
		if p := c.In[4].Shape; len(p) == 4 {
			total = addDim(p[2], keys)
		}
	}
	if c.has(3) && c.In[3].Shape != nil {
		// The mask's last axis may be shorter than total: the rest then counts as masked.
		m := cloneDims(c.In[3].Shape)
		want := []Dim{batch, q[1], q[2]}
		if len(m) < 2 || len(m) > 4 {
			return fmt.Errorf("attn_mask is %v, want rank 2 to 4", c.In[3])
		}
		if _, err := broadcast(want, m[:len(m)-1]); err != nil {
			return fmt.Errorf("attn_mask is %v: %w", c.In[3], err)
		}
	}
	if err := c.checkVector(7, q[1], "sinks"); err != nil {
		return err
	}
	y := []Dim{batch, q[1], q[2], v[3]}
	if len(c.In[0].Shape) == 3 {
		y = []Dim{batch, q[2], mulDim(q[1], v[3])}
	}
	c.set(0, c.In[0].DType, y)
	c.set(1, c.In[1].DType, []Dim{batch, k[1], total, k[3]})
	c.set(2, c.In[2].DType, []Dim{batch, v[1], total, v[3]})
	c.set(3, c.In[0].DType, []Dim{batch, q[1], q[2], total})
	return nil
}

// inferRotary: X, cos_cache, sin_cache, position_ids? -> Y of X's shape.
func inferRotary(c *Inference) error {
	if err := c.need(3, 4); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s != nil {
		if len(s) != 3 && len(s) != 4 {
			return fmt.Errorf("input 0 is %v, want rank 3 or 4", c.In[0])
		}
		if len(s) == 3 {
			h := int(c.Node.Int("num_heads", 0))
			if h < 1 || s[2].IsKnown() && s[2].N%h != 0 {
				return fmt.Errorf("input 0 is %v: num_heads is %d", c.In[0], h)
			}
		}
	}
	want := 3
	if c.has(3) {
		want = 2
		if err := c.rank(3, 2); err != nil {
			return err
		}
	}
	for i := 1; i <= 2; i++ {
		if err := c.rank(i, want); err != nil {
			return err
		}
	}
	c.set(0, c.In[0].DType, cloneDims(s))
	return nil
}

// inferTensorScatter: past_cache, update, write_indices? -> present_cache of past_cache's shape.
func inferTensorScatter(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1); err != nil {
		return err
	}
	s, u := c.In[0].Shape, c.In[1].Shape
	if s != nil && u != nil {
		if len(s) != len(u) {
			return fmt.Errorf("cache %v and update %v differ in rank", c.In[0], c.In[1])
		}
		axis, err := axisOf(c.Node.Int("axis", -2), len(s))
		if err != nil {
			return err
		}
		for i := range s {
			if i == axis {
				if s[i].IsKnown() && u[i].IsKnown() && u[i].N > s[i].N {
					return fmt.Errorf("update %v is longer than cache %v", c.In[1], c.In[0])
				}
				continue
			}
			if _, err := unify(s[i], u[i]); err != nil {
				return fmt.Errorf("cache %v and update %v: dimension %d: %w", c.In[0], c.In[1], i, err)
			}
		}
	}
	if err := c.rank(2, 1); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(s))
	return nil
}

// inferLinearAttention: query [B,T,Hq*dk], key [B,T,Hkv*dk], value [B,T,Hkv*dv], past_state
// [B,Hkv,dk,dv]?, decay?, beta? -> output [B,T,Hq*dv], present_state [B,Hkv,dk,dv].
func inferLinearAttention(c *Inference) error {
	if err := c.need(3, 6); err != nil {
		return err
	}
	hq, hkv := int(c.Node.Int("q_num_heads", 0)), int(c.Node.Int("kv_num_heads", 0))
	if hq < 1 || hkv < 1 {
		return fmt.Errorf("needs q_num_heads and kv_num_heads")
	}
	for i := range 3 {
		if err := c.rank(i, 3); err != nil {
			return err
		}
	}
	q, v := c.In[0].Shape, c.In[2].Shape
	out, state := unknowns(3), unknowns(4)
	state[1] = Known(hkv)
	if q != nil {
		out[0], out[1] = q[0], q[1]
		state[0], state[2] = q[0], divDim(q[2], Known(hq))
	}
	if v != nil {
		state[3] = divDim(v[2], Known(hkv))
		out[2] = mulDim(Known(hq), state[3])
	}
	dt := c.In[0].DType
	c.set(0, dt, out)
	if c.has(3) {
		c.set(1, c.In[3].DType, state)
	} else {
		c.set(1, dt, state)
	}
	return nil
}
