package model

import "fmt"

var _ = registerOps("", map[string]InferFunc{"DFT": inferDFT, "MelWeightMatrix": inferMel})

var _ = registerOps("com.microsoft", map[string]InferFunc{"Inverse": inferInverse})

// inferDFT: x [..., 1 or 2], dft_length?, axis? (-2).
func inferDFT(c *Inference) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	s := cloneDims(c.In[0].Shape)
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(s) < 2 || s[len(s)-1].IsKnown() && s[len(s)-1].N != 1 && s[len(s)-1].N != 2 {
		return fmt.Errorf("input 0 is %v, want at least rank 2 and one or two numbers an element", c.In[0])
	}
	inverse, oneSided := c.Node.Int("inverse", 0) != 0, c.Node.Int("onesided", 0) != 0
	parts := Known(2)
	if inverse && oneSided {
		parts = Known(1)
	}
	axis := int64(-2)
	if c.has(2) {
		v, ok := c.ints(2)
		if !ok || len(v) != 1 {
			s = unknowns(len(s))
			s[len(s)-1] = parts
			c.set(0, c.In[0].DType, s)
			return nil
		}
		axis = v[0]
	}
	a, err := axisOf(axis, len(s))
	if err != nil {
		return err
	}
	if a == len(s)-1 {
		return fmt.Errorf("axis %d of %v is that of the parts of a number", axis, c.In[0])
	}
	n := s[a]
	if inverse && oneSided {
		n = mulDim(Known(2), subDim(n, Known(1)))
	}
	if c.has(1) {
		n = Unknown
		if v, ok := c.ints(1); ok && len(v) == 1 {
			if v[0] < 1 || v[0] > 1<<31 {
				return fmt.Errorf("length %d", v[0])
			}
			n = Known(int(v[0]))
		}
	}
	if n.IsKnown() && n.N < 1 {
		return fmt.Errorf("a transform of %d elements", n.N)
	}
	if oneSided && !inverse {
		n = addDim(divDim(n, Known(2)), Known(1))
	}
	s[a], s[len(s)-1] = n, parts
	c.set(0, c.In[0].DType, s)
	return nil
}

// inferMel: num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz -> [dft_length/2+1, num_mel_bins].
func inferMel(c *Inference) error {
	if err := c.need(5, 5); err != nil {
		return err
	}
	dt, err := ElemType(c.Node.Int("output_datatype", 1))
	if err != nil {
		return err
	}
	s := unknowns(2)
	for i := range s {
		v, ok := c.ints(1 - i)
		if !ok {
			continue
		}
		if len(v) != 1 || v[0] < 0 || v[0] > 1<<31 {
			return fmt.Errorf("input %d is %v", 1-i, v)
		}
		if s[i] = Known(int(v[0])); i == 0 {
			s[i] = Known(int(v[0]/2 + 1))
		}
	}
	c.set(0, dt, s)
	return nil
}

func inferInverse(c *Inference) error {
	if err := inferDet(c); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}
