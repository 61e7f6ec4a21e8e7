package quant

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// convSum is the operand of dsk.Conv that is added to the product.
const convSum = 3

// rowsRead names the rows that a product reads: a value, or what a convolution's windows show of one.
func rowsRead(n *model.Node, c *candidate) string {
	if n.Op != "Conv" {
		return n.Inputs[0]
	}
	return fmt.Sprint(n.Inputs[0], c.t.Shape[1:], n.Ints("strides"), n.Ints("pads"), n.Ints("dilations"), n.Str("auto_pad", ""))
}

// rows returns the rows of x that the stage's products read: all of them, or the receptive fields that eval.ReceptiveFields chooses.
func (s *stage) rows(n *model.Node, x *tensor.Tensor) []float32 {
	if s.shape == nil {
		return x.F32()
	}
	return eval.ReceptiveFields(n, x, s.shape, convRows)
}

// sums returns the rows of r that are added to those products.
func (s *stage) sums(n *model.Node, r *tensor.Tensor) []float32 {
	if s.shape == nil {
		return r.F32()
	}
	return eval.Places(n, r, convRows)
}
