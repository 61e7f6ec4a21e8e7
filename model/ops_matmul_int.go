package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// QLinear is a product of bytes with the weights of a layer, made of DequantizeLinear, Linear and QuantizeLinear, or of
// DynamicQuantizeLinear and MatMulInteger (rewrite_quant*.go):
//
//	QLinear(X U8[...,K], W I8[N,K], S F32[N], B F32[N]?, XScale F32[]?, XZero U8[]?) -> Y[...,N]
//	v = act(x_scale*S[n] * sum W (X-x_zero) + B[n])
//
// The levels of X are the attributes x_scale and x_zero, or else the inputs XScale and XZero. Y is v, or with the attribute
// y_scale the bytes nearest to v/y_scale + y_zero.
var _ = registerOps(DomainDsk, map[string]InferFunc{"QLinear": inferQLinear})

func inferQLinear(c *Inference) error {
	if err := c.need(3, 6); err != nil {
		return err
	}
	if c.In[0].DType != tensor.U8 || c.In[1].DType != tensor.I8 {
		return fmt.Errorf("a product of %v and %v, want U8 and I8", c.In[0], c.In[1])
	}
	if c.has(4) == c.Node.Has("x_scale") || c.has(4) && c.In[4].DType != tensor.F32 || c.has(5) && c.In[5].DType != tensor.U8 {
		return fmt.Errorf("the levels of X are either attributes, or an F32 scale and a U8 zero point")
	}
	n, k := Unknown, Unknown
	if w := c.In[1].Shape; w != nil {
		if len(w) != 2 {
			return fmt.Errorf("the weights are %v, want rank 2", c.In[1])
		}
		n, k = w[0], w[1]
	}
	for i, what := range map[int]string{2: "scale", 3: "bias"} {
		if err := c.checkVector(i, n, what); err != nil {
			return err
		}
	}
	x := c.In[0].Shape
	if x == nil {
		c.set(0, c.intResult(), nil)
		return nil
	}
	if len(x) == 0 {
		return fmt.Errorf("input 0 is a scalar")
	}
	if _, err := unify(x[len(x)-1], k); err != nil {
		return fmt.Errorf("X %v and W %v: %w", c.In[0], c.In[1], err)
	}
	c.set(0, c.intResult(), append(cloneDims(x[:len(x)-1]), n))
	return nil
}
