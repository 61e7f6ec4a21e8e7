package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// QConv is a convolution of quantized images with their channels last, made of DequantizeLinear, Conv, an activation and
// QuantizeLinear (rewrite_quant.go):
//
//	QConv(X U8[N,H,W,C], W I8[M,kh,kw,C/group], S F32[M], B F32[M]?, Z U8[N,OH,OW,M]?, T U8[256]?) -> Y[N,OH,OW,M]
//	v = act(x_scale*S[m] * sum W (X-x_zero) + B[m] + z_scale*(Z-z_zero))
//
// Y is v, or with the attribute y_scale the bytes nearest to v/y_scale + y_zero, or with T what T has for these.
var _ = registerOps(DomainDsk, map[string]InferFunc{"QConv": inferQConv})

func inferQConv(c *Inference) error {
	if err := c.need(3, 6); err != nil {
		return err
	}
	for _, i := range []int{0, 4} {
		if c.has(i) && c.In[i].DType != tensor.U8 {
			return fmt.Errorf("input %d is %v, want U8", i, c.In[i])
		}
	}
	if c.In[1].DType != tensor.I8 {
		return fmt.Errorf("the weights are %v, want I8", c.In[1])
	}
	var kernel []Dim
	in, out := Unknown, Unknown
	if w := c.In[1].Shape; w != nil {
		if len(w) != 4 {
			return fmt.Errorf("the weights are %v, want rank 4", c.In[1])
		}
		kernel, in, out = w[1:3], w[3], w[0]
	}
	for i, what := range map[int]string{2: "scale", 3: "bias"} {
		if err := c.checkVector(i, out, what); err != nil {
			return err
		}
	}
	x := c.In[0]
	if x.Shape != nil && len(x.Shape) != 4 {
		return fmt.Errorf("input %v has not the channels last of an image", x)
	}
	x.Shape = channelsSecond(x.Shape)
	s, err := c.convShape(x, kernel, in, out)
	if err != nil {
		return err
	}
	if s != nil {
		s = append(append([]Dim{s[0]}, s[2:]...), s[1])
	}
	if c.has(4) && c.In[4].Shape != nil && s != nil && len(c.In[4].Shape) != len(s) {
		return fmt.Errorf("input 4 is %v, want shape %s", c.In[4], shapeString(s))
	}
	if c.has(5) {
		if !c.Node.Has("y_scale") {
			return fmt.Errorf("a table for floats")
		}
		if err := c.checkTable(5); err != nil {
			return err
		}
	}
	c.set(0, c.intResult(), s)
	return nil
}

// intResult is the type that a product of bytes yields.
func (c *Inference) intResult() tensor.DType {
	if c.Node.Has("y_scale") {
		return tensor.U8
	}
	return tensor.F32
}

// checkTable checks a table of all bytes.
func (c *Inference) checkTable(i int) error {
	if t := c.In[i]; t.DType != tensor.U8 || t.Shape != nil && (len(t.Shape) != 1 || t.Shape[0].IsKnown() && t.Shape[0].N != 256) {
		return fmt.Errorf("input %d is %v, want U8[256]", i, t)
	}
	return nil
}
