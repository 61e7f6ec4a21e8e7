package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Operators on bytes that stand for numbers (rewrite_quant*.go):
//
//	ByteTable(X U8, T U8[256]) -> Y U8                 Y = T[X]
//	QAdd(A U8, B U8) -> Y U8, QMul(A U8, B U8) -> Y U8 of A's shape, which B has too, or B has images [N,1,1,C] of one pixel
//	    v = act(a_scale*(A-a_zero) op b_scale*(B-b_zero)); Y is the byte nearest to v/y_scale + y_zero
//
// The activation is Relu or none.
var _ = registerOps(DomainDsk, map[string]InferFunc{"ByteTable": inferByteTable, "QAdd": inferQSum, "QMul": inferQSum})

func inferByteTable(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if c.In[0].DType != tensor.U8 {
		return fmt.Errorf("input 0 is %v, want U8", c.In[0])
	}
	if err := c.checkTable(1); err != nil {
		return err
	}
	c.set(0, tensor.U8, cloneDims(c.In[0].Shape))
	return nil
}

func inferQSum(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if act := c.Node.Str("activation", ActNone); act != ActNone && act != ActRelu {
		return fmt.Errorf("activation %q, want Relu or none", act)
	}
	a, b := c.In[0], c.In[1]
	if a.DType != tensor.U8 || b.DType != tensor.U8 {
		return fmt.Errorf("operands %v and %v, want U8", a, b)
	}
	if a.Shape == nil || b.Shape == nil {
		a.Shape = nil
	} else if len(a.Shape) != len(b.Shape) {
		return fmt.Errorf("operands %v and %v, want one shape", a, b)
	}
	out := cloneDims(a.Shape)
	for i := range out {
		if one := b.Shape[i]; len(out) == 4 && (i == 1 || i == 2) && one == Known(1) {
			continue
		}
		d, err := unify(a.Shape[i], b.Shape[i])
		if err != nil {
			return fmt.Errorf("operands %v and %v, want one shape", a, b)
		}
		out[i] = d
	}
	c.set(0, tensor.U8, out)
	return nil
}
