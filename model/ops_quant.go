package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"QuantizeLinear": inferQuantize, "DequantizeLinear": inferDequantize,
	"DynamicQuantizeLinear": inferDynamicQuantize, "MatMulInteger": inferMatMulInteger,
	"ConvInteger": inferConvInteger, "QLinearConv": inferQLinearConv, "QLinearMatMul": inferQLinearMatMul,
})

func inferQuantize(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	dt := tensor.U8
	if code := c.Node.Int("output_dtype", 0); code != 0 {
		var err error
		if dt, err = ElemType(code); err != nil {
			return err
		}
		if c.has(2) && c.In[2].DType != dt {
			return fmt.Errorf("output_dtype is %v, the zero point is %v", dt, c.In[2])
		}
	} else if c.has(2) {
		dt = c.In[2].DType
	}
	if err := c.checkScale(); err != nil {
		return err
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}

func inferDequantize(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 2); err != nil {
		return err
	}
	dt := c.In[1].DType
	if code := c.Node.Int("output_dtype", 0); code != 0 {
		var err error
		if dt, err = ElemType(code); err != nil {
			return err
		}
	}
	if err := c.checkScale(); err != nil {
		return err
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}

// checkScale checks the scale (input 1) of a quantization: a scalar, a vector along
// axis, or one value for each block of block_size elements of axis.
func (c *Inference) checkScale() error {
	s, sc := c.In[0].Shape, c.In[1].Shape
	if s == nil || len(sc) == 0 || len(sc) == 1 && sc[0].N == 1 {
		return nil
	}
	axis, err := axisOf(c.Node.Int("axis", 1), len(s))
	if err != nil {
		return err
	}
	if block := c.Node.Int("block_size", 0); block > 0 {
		if len(sc) != len(s) {
			return fmt.Errorf("scale %v does not fit %v in blocks", c.In[1], c.In[0])
		}
		return nil
	}
	if len(sc) == 1 {
		if _, err := unify(s[axis], sc[0]); err != nil {
			return fmt.Errorf("scale %v along axis %d of %v: %w", c.In[1], axis, c.In[0], err)
		}
	}
	return nil
}

func inferDynamicQuantize(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	c.set(0, tensor.U8, cloneDims(c.In[0].Shape))
	c.set(1, tensor.F32, Dims())
	c.set(2, tensor.U8, Dims())
	return nil
}

func inferMatMulInteger(c *Inference) error {
	if err := c.need(2, 4); err != nil {
		return err
	}
	s, err := matMulShape(c.In[0], c.In[1])
	if err != nil {
		return err
	}
	c.set(0, tensor.I32, s)
	return nil
}

func inferConvInteger(c *Inference) error {
	if err := c.need(2, 4); err != nil {
		return err
	}
	kernel, in, out, err := weightOIHW(c.In[1])
	if err != nil {
		return err
	}
	s, err := c.convShape(c.In[0], kernel, in, out)
	if err != nil {
		return err
	}
	c.set(0, tensor.I32, s)
	return nil
}

// inferQLinearConv: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias?
func inferQLinearConv(c *Inference) error {
	if err := c.need(8, 9); err != nil {
		return err
	}
	kernel, in, out, err := weightOIHW(c.In[3])
	if err != nil {
		return err
	}
	if err := c.checkVector(8, out, "bias"); err != nil {
		return err
	}
	s, err := c.convShape(c.In[0], kernel, in, out)
	if err != nil {
		return err
	}
	c.set(0, c.In[7].DType, s)
	return nil
}

// inferQLinearMatMul: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero.
func inferQLinearMatMul(c *Inference) error {
	if err := c.need(8, 8); err != nil {
		return err
	}
	s, err := matMulShape(c.In[0], c.In[3])
	if err != nil {
		return err
	}
	c.set(0, c.In[7].DType, s)
	return nil
}
