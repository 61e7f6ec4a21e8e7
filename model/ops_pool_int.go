package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Means of quantized images:
//
//	QAveragePool(X U8[B,H,W,C]) -> Y U8[B,OH,OW,C], with the attributes of AveragePool
//	QGlobalAveragePool(X U8[B,H,W,C]) -> Y U8[B,1,1,C]
//
// With m the mean of X-x_zero under a window, Y is the byte nearest to x_scale*m/y_scale + y_zero. What lies outside, if it
// counts, is x_zero.
var _ = registerOps(DomainDsk, map[string]InferFunc{"QAveragePool": inferQPool, "QGlobalAveragePool": inferQGlobalPool})

func inferQPool(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if c.In[0].DType != tensor.U8 {
		return fmt.Errorf("input 0 is %v, want U8", c.In[0])
	}
	return inferLastPool(c)
}

func inferQGlobalPool(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if c.In[0].DType != tensor.U8 {
		return fmt.Errorf("input 0 is %v, want U8", c.In[0])
	}
	if err := c.rank(0, 4); err != nil {
		return err
	}
	s := cloneDims(c.In[0].Shape)
	if s != nil {
		s[1], s[2] = Known(1), Known(1)
	} else {
		s = unknowns(4)
	}
	c.set(0, tensor.U8, s)
	return nil
}
