package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"BatchNormalization": inferBatchNorm, "InstanceNormalization": inferChannelNorm,
	"GroupNormalization": inferGroupNorm, "LayerNormalization": inferLayerNorm,
	"RMSNormalization": inferRMSNorm, "LpNormalization": inferAxisUnary(-1), "MeanVarianceNormalization": inferUnary,
})

// channels returns dimension 1 of input 0, which must have at least rank 2.
func (c *Inference) channels() (Dim, error) {
	s := c.In[0].Shape
	if s == nil {
		return Unknown, nil
	}
	if len(s) < 2 {
		return Dim{}, fmt.Errorf("input 0 is %v, want at least rank 2", c.In[0])
	}
	return s[1], nil
}

func inferBatchNorm(c *Inference) error {
	if err := c.need(5, 5); err != nil {
		return err
	}
	ch := Known(1) // a vector is one channel
	if s := c.In[0].Shape; s == nil || len(s) > 1 {
		var err error
		if ch, err = c.channels(); err != nil {
			return err
		}
	}
	for i, what := range []string{1: "scale", 2: "bias", 3: "mean", 4: "variance"} {
		if err := c.checkVector(i, ch, what); i > 0 && err != nil {
			return err
		}
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	c.set(1, c.In[3].DType, cloneDims(c.In[3].Shape))
	c.set(2, c.In[4].DType, cloneDims(c.In[4].Shape))
	return nil
}

func inferChannelNorm(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	ch, err := c.channels()
	if err != nil {
		return err
	}
	if err := c.checkVector(1, ch, "scale"); err != nil {
		return err
	}
	if err := c.checkVector(2, ch, "bias"); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}

func inferGroupNorm(c *Inference) error {
	if err := inferChannelNorm(c); err != nil {
		return err
	}
	g := int(c.Node.Int("num_groups", 0))
	if ch, _ := c.channels(); g < 1 || ch.IsKnown() && ch.N%g != 0 {
		return fmt.Errorf("%v channels do not divide into %d groups", ch, g)
	}
	return nil
}

// normAxis checks that scale (and bias) broadcast to the axes from axis on of input 0.
func (c *Inference) normAxis() (int, error) {
	s := c.In[0].Shape
	axis, err := axisOf(c.Node.Int("axis", -1), len(s))
	if err != nil {
		return 0, err
	}
	for i := 1; i < len(c.In); i++ {
		if !c.has(i) {
			continue
		}
		out, err := broadcast(s, c.In[i].Shape)
		if err != nil {
			return 0, fmt.Errorf("input %d: %w", i, err)
		}
		if out != nil && len(out) != len(s) {
			return 0, fmt.Errorf("input %d is %v, which does not broadcast to %v", i, c.In[i], c.In[0])
		}
	}
	return axis, nil
}

func inferLayerNorm(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	stash, err := ElemType(c.Node.Int("stash_type", 1))
	if err != nil {
		return err
	}
	s := c.In[0].Shape
	c.set(0, c.In[0].DType, cloneDims(s))
	stats := cloneDims(s)
	if s != nil {
		axis, err := c.normAxis()
		if err != nil {
			return err
		}
		for i := axis; i < len(s); i++ {
			stats[i] = Known(1)
		}
	}
	c.set(1, stash, stats)
	c.set(2, stash, cloneDims(stats))
	return nil
}

func inferRMSNorm(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if c.In[0].Shape != nil {
		if _, err := c.normAxis(); err != nil {
			return err
		}
	}
	// The specification gives Y the type of scale; it differs from X in mixed precision only.
	c.set(0, floatOf(c.In[1].DType), cloneDims(c.In[0].Shape))
	return nil
}

// inferAxisUnary is the inference of operators that keep type and shape and have an axis.
func inferAxisUnary(def int64) InferFunc {
	return func(c *Inference) error {
		if err := c.need(1, -1); err != nil {
			return err
		}
		if s := c.In[0].Shape; len(s) > 0 {
			if _, err := axisOf(c.Node.Int("axis", def), len(s)); err != nil {
				return err
			}
		}
		c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
		return nil
	}
}

// inferCumulative: (x, axis scalar) -> y.
func inferCumulative(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if v, ok := c.ints(1); ok && len(v) == 1 && c.In[0].Shape != nil {
		if _, err := axisOf(v[0], len(c.In[0].Shape)); err != nil {
			return err
		}
	}
	if dt := c.In[1].DType; dt != tensor.I32 && dt != tensor.I64 {
		return fmt.Errorf("axis is %v", c.In[1])
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}
