package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"MaxPool": inferPool, "AveragePool": inferPool, "LpPool": inferPool,
	"GlobalAveragePool": inferGlobalPool, "GlobalMaxPool": inferGlobalPool, "GlobalLpPool": inferGlobalPool,
	"MaxUnpool": inferMaxUnpool, "LRN": inferUnary,
})

// Pools of images [B,H,W,C], with the channels last.
var _ = registerOps(DomainDsk, map[string]InferFunc{"MaxPool": inferLastPool, "AveragePool": inferLastPool})

func inferLastPool(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.rank(0, 4); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, c.In[0].DType, unknowns(4))
		return nil
	}
	w, err := WindowOf(c.Node, s[1:3], nil)
	if err != nil {
		return err
	}
	spatial, err := w.Out(c.Node, s[1:3], c.Node.Int("ceil_mode", 0) != 0)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, []Dim{s[0], spatial[0], spatial[1], s[3]})
	return nil
}

func inferPool(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		var out []Dim
		if k := c.Node.Ints("kernel_shape"); k != nil {
			out = unknowns(len(k) + 2)
		}
		c.set(0, c.In[0].DType, out)
		c.set(1, tensor.I64, cloneDims(out))
		return nil
	}
	if len(s) < 3 {
		return fmt.Errorf("input 0 is %v, want at least rank 3", c.In[0])
	}
	w, err := WindowOf(c.Node, s[2:], nil)
	if err != nil {
		return err
	}
	spatial, err := w.Out(c.Node, s[2:], c.Node.Int("ceil_mode", 0) != 0)
	if err != nil {
		return err
	}
	out := append([]Dim{s[0], s[1]}, spatial...)
	c.set(0, c.In[0].DType, out)
	c.set(1, tensor.I64, cloneDims(out))
	return nil
}

func inferGlobalPool(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	out := cloneDims(c.In[0].Shape)
	if out != nil && len(out) < 2 {
		return fmt.Errorf("input 0 is %v, want at least rank 2", c.In[0])
	}
	for i := 2; i < len(out); i++ {
		out[i] = Known(1)
	}
	c.set(0, c.In[0].DType, out)
	return nil
}

func inferMaxUnpool(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if c.has(2) {
		out := unknowns(len(s))
		if v := c.vector(2); v != nil {
			if len(v) != len(s) {
				return fmt.Errorf("output_shape %s does not fit %v", shapeString(v), c.In[0])
			}
			out = cloneDims(v)
		}
		c.set(0, c.In[0].DType, out)
		return nil
	}
	if len(s) < 3 {
		return fmt.Errorf("input 0 is %v, want at least rank 3", c.In[0])
	}
	w, err := WindowOf(c.Node, s[2:], nil)
	if err != nil {
		return err
	}
	out := cloneDims(s)
	for i := range w.Kernel {
		d := mulDim(subDim(s[i+2], Known(1)), Known(w.Stride[i]))
		out[i+2] = addDim(d, IntValue(int64(w.Kernel[i]-w.Before[i]-w.After[i])))
	}
	c.set(0, c.In[0].DType, out)
	return nil
}
