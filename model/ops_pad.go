package model

import "fmt"

var _ = registerOps("", map[string]InferFunc{
	"Pad": inferPad, "Expand": inferExpand, "Tile": inferTile,
})

func inferExpand(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	target := c.vector(1)
	if target == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	s, err := broadcast(c.In[0].Shape, target)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	if v := c.values(0); len(s) == 1 && s[0].IsKnown() && s[0].N <= smallValue && len(v) > 0 {
		out := make([]Dim, s[0].N)
		for i := range out {
			out[i] = v[min(i, len(v)-1)]
		}
		c.setSym(0, out)
	}
	return nil
}

func inferTile(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	s, rep := c.In[0].Shape, c.vector(1)
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if rep == nil {
		c.set(0, c.In[0].DType, unknowns(len(s)))
		return nil
	}
	if len(rep) != len(s) {
		return fmt.Errorf("repeats %s do not fit %v", shapeString(rep), c.In[0])
	}
	out := make([]Dim, len(s))
	for i := range s {
		if v, ok := rep[i].Value(); ok && v < 0 {
			return fmt.Errorf("repeats %s are negative", shapeString(rep))
		}
		out[i] = mulDim(s[i], rep[i])
	}
	c.set(0, c.In[0].DType, out)
	return nil
}

func inferPad(c *Inference) error {
	if err := c.need(2, 4); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	if err := c.sameDType(0, 2); err != nil {
		return err
	}
	if s == nil {
		c.set(0, dt, nil)
		return nil
	}
	out := unknowns(len(s))
	c.set(0, dt, out)
	axes := make([]int64, len(s))
	for i := range axes {
		axes[i] = int64(i)
	}
	if c.has(3) {
		var ok bool
		if axes, ok = c.ints(3); !ok {
			return nil
		}
	}
	on, err := axesOf(axes, len(s))
	if err != nil {
		return err
	}
	pads := c.vector(1)
	if pads != nil && len(pads) != 2*len(axes) {
		return fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	for i := range s {
		if !on[i] {
			out[i] = s[i]
		}
	}
	if pads == nil {
		return nil
	}
	for i, a := range axes {
		d, _ := axisOf(a, len(s))
		out[d] = addDim(addDim(s[d], pads[i]), pads[i+len(axes)])
		if v, ok := out[d].Value(); ok && v < 0 {
			return fmt.Errorf("pads %s are larger than %v", shapeString(pads), c.In[0])
		}
	}
	return nil
}
