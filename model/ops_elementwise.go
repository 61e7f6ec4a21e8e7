package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"Abs": inferUnary, "Neg": inferUnary, "Exp": inferUnary, "Log": inferUnary, "Sqrt": inferUnary,
	"Reciprocal": inferUnary, "Floor": inferUnary, "Ceil": inferUnary, "Round": inferUnary, "Sign": inferUnary,
	"Erf": inferUnary, "Sin": inferUnary, "Cos": inferUnary, "Tan": inferUnary, "Asin": inferUnary,
	"Acos": inferUnary, "Atan": inferUnary, "Sinh": inferUnary, "Cosh": inferUnary, "Asinh": inferUnary,
	"Acosh": inferUnary, "Atanh": inferUnary, "Tanh": inferUnary, "Sigmoid": inferUnary, "Relu": inferUnary,
	"LeakyRelu": inferUnary, "Elu": inferUnary, "Selu": inferUnary, "Celu": inferUnary, "HardSigmoid": inferUnary,
	"HardSwish": inferUnary, "Softplus": inferUnary, "Softsign": inferUnary, "Mish": inferUnary, "Swish": inferUnary,
	"Gelu": inferUnary, "ThresholdedRelu": inferUnary, "Shrink": inferUnary, "Identity": inferUnary,
	"BitwiseNot": inferUnary, "Not": inferUnary,
	"IsNaN": inferPredicate, "IsInf": inferPredicate,
	"PRelu": inferPRelu, "Clip": inferClip, "Dropout": inferDropout, "Cast": inferCast, "CastLike": inferCastLike,
	"BitCast": inferBitCast,

	"Add": inferBinary, "Sub": inferBinary, "Mul": inferBinary, "Div": inferBinary, "Mod": inferBinary,
	"Pow": inferBinary, "BitShift": inferBinary, "BitwiseAnd": inferBinary, "BitwiseOr": inferBinary,
	"BitwiseXor": inferBinary, "And": inferBinary, "Or": inferBinary, "Xor": inferBinary,
	"Min": inferVariadic, "Max": inferVariadic, "Sum": inferVariadic, "Mean": inferVariadic,
	"Equal": inferCompare, "Less": inferCompare, "Greater": inferCompare,
	"LessOrEqual": inferCompare, "GreaterOrEqual": inferCompare,
	"Where": inferWhere,
})

func inferUnary(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	v := c.values(0)
	switch c.Node.Op {
	case "Identity", "Floor", "Ceil", "Round":
		c.setSym(0, v)
	case "Neg":
		c.setSym(0, mapDims(v, func(d Dim) Dim { return subDim(Known(0), d) }))
	case "Abs", "Relu":
		c.setSym(0, mapDims(v, func(d Dim) Dim {
			x, ok := d.Value()
			switch {
			case ok && x < 0 && c.Node.Op == "Abs":
				return IntValue(-x)
			case ok && x < 0:
				return Known(0)
			case ok:
				return d
			}
			return Unknown
		}))
	case "Not":
		c.setSym(0, mapDims(v, func(d Dim) Dim {
			if x, ok := d.Value(); ok {
				return Known(int(1 - x))
			}
			return Unknown
		}))
	}
	return nil
}

func mapDims(v []Dim, f func(Dim) Dim) []Dim {
	if v == nil {
		return nil
	}
	out := make([]Dim, len(v))
	for i, d := range v {
		out[i] = f(d)
	}
	return out
}

func inferPredicate(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	c.set(0, tensor.BOOL, cloneDims(c.In[0].Shape))
	return nil
}

func inferPRelu(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.sameDType(0, 1); err != nil {
		return err
	}
	s, err := broadcast(c.In[0].Shape, c.In[1].Shape)
	if err != nil {
		return err
	}
	if s != nil && len(s) != len(c.In[0].Shape) {
		return fmt.Errorf("slope %v does not broadcast to %v", c.In[1], c.In[0])
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}

func inferClip(c *Inference) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}

func inferDropout(c *Inference) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	c.set(1, tensor.BOOL, cloneDims(c.In[0].Shape))
	return nil
}

func inferCast(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	dt, err := ElemType(c.Node.Int("to", 0))
	if err != nil {
		return err
	}
	c.castTo(dt)
	return nil
}

func inferCastLike(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	c.castTo(c.In[1].DType)
	return nil
}

// castTo sets the output of a cast. Values pass if the type surely holds them as they are.
func (c *Inference) castTo(dt tensor.DType) {
	c.set(0, dt, cloneDims(c.In[0].Shape))
	v := c.values(0)
	if v == nil && dt.IsInteger() && len(c.Val) > 0 && c.Val[0] != nil && len(c.Val[0].Shape) <= 1 &&
		c.Val[0].Len() <= smallValue {
		if f, ok := floatsOf(c.Val[0]); ok {
			for _, x := range f {
				if !(x > -(1<<31) && x < 1<<31) {
					return
				}
				v = append(v, IntValue(int64(x)))
			}
		}
	}
	for _, d := range v {
		x, ok := d.Value()
		switch dt {
		case tensor.I64, tensor.F64:
		case tensor.I32:
			if ok && x != int64(int32(x)) {
				return
			}
		case tensor.F32:
			if ok && (x > 1<<24 || x < -(1<<24)) {
				return
			}
		case tensor.BOOL:
			if !ok || x < 0 || x > 1 {
				return
			}
		default:
			return
		}
	}
	c.setSym(0, v)
}

func inferBitCast(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	dt, err := ElemType(c.Node.Int("to", 0))
	if err != nil {
		return err
	}
	if dt.Size() != c.In[0].DType.Size() {
		return fmt.Errorf("%v and %v differ in width", c.In[0].DType, dt)
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}

func inferBinary(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	// The exponent of Pow may have a type of its own.
	if c.Node.Op != "Pow" {
		if err := c.sameDType(0, 1); err != nil {
			return err
		}
	}
	s, err := broadcast(c.In[0].Shape, c.In[1].Shape)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	c.combine(func(a, b Dim) Dim { return valueOf(c.Node, c.In[0].DType, a, b) })
	return nil
}

func inferVariadic(c *Inference) error {
	if err := c.need(1, -1); err != nil {
		return err
	}
	s := cloneDims(c.In[0].Shape)
	for i := range c.In {
		if !c.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
		if err := c.sameDType(0, i); err != nil {
			return err
		}
		var err error
		if s, err = broadcast(s, c.In[i].Shape); err != nil {
			return err
		}
	}
	c.set(0, c.In[0].DType, s)
	if len(c.In) == 2 && c.Node.Op != "Mean" {
		c.combine(func(a, b Dim) Dim { return valueOf(c.Node, c.In[0].DType, a, b) })
	}
	return nil
}

func inferCompare(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.sameDType(0, 1); err != nil {
		return err
	}
	s, err := broadcast(c.In[0].Shape, c.In[1].Shape)
	if err != nil {
		return err
	}
	c.set(0, tensor.BOOL, s)
	c.combine(func(a, b Dim) Dim { return valueOf(c.Node, c.In[0].DType, a, b) })
	return nil
}

// combine sets output 0's value from the values of inputs 0 and 1, which broadcast.
func (c *Inference) combine(f func(a, b Dim) Dim) {
	if len(c.In[0].Shape) > 1 || len(c.In[1].Shape) > 1 || c.In[0].Shape == nil || c.In[1].Shape == nil {
		return
	}
	a, b := c.values(0), c.values(1)
	if a == nil && b == nil {
		return
	}
	if a == nil {
		a = c.vector(0)
	}
	if b == nil {
		b = c.vector(1)
	}
	n := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 || len(a) != n && len(a) != 1 || len(b) != n && len(b) != 1 {
		return
	}
	out := make([]Dim, n)
	for i := range out {
		out[i] = f(a[min(i, len(a)-1)], b[min(i, len(b)-1)])
	}
	c.setSym(0, out)
}

// valueOf applies a binary operator to what is known of two integers.
func valueOf(n *Node, dt tensor.DType, a, b Dim) Dim {
	x, okA := a.Value()
	y, okB := b.Value()
	known := okA && okB
	truth := func(v bool) Dim {
		if v {
			return Known(1)
		}
		return Known(0)
	}
	switch n.Op {
	case "Add", "Sum":
		return addDim(a, b)
	case "Sub":
		return subDim(a, b)
	case "Mul":
		return mulDim(a, b)
	case "Div":
		if dt.IsFloat() && !(known && y != 0 && x%y == 0) && !(okB && y == 1) {
			return Unknown
		}
		return divDim(a, b)
	case "Mod":
		// The sign follows the divisor unless fmod is set; both agree where none is negative.
		if known && x >= 0 && y > 0 {
			return IntValue(x % y)
		}
	case "Min":
		if known {
			return IntValue(min(x, y))
		}
	case "Max":
		if known {
			return IntValue(max(x, y))
		}
	case "And":
		if known {
			return truth(x != 0 && y != 0)
		}
	case "Or":
		if known {
			return truth(x != 0 || y != 0)
		}
	case "Equal":
		switch {
		case known:
			return truth(x == y)
		case a.Sym != "" && a == b:
			return Known(1)
		case okA && x < 0 && b.Sym != "", okB && y < 0 && a.Sym != "":
			return Known(0) // a named dimension is never negative
		}
	case "Less":
		if known {
			return truth(x < y)
		}
	case "Greater":
		if known {
			return truth(x > y)
		}
	case "LessOrEqual":
		if known {
			return truth(x <= y)
		}
	case "GreaterOrEqual":
		if known {
			return truth(x >= y)
		}
	}
	return Unknown
}

func inferWhere(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if c.In[0].DType != tensor.BOOL {
		return fmt.Errorf("condition is %v, want BOOL", c.In[0])
	}
	if err := c.sameDType(1, 2); err != nil {
		return err
	}
	s, err := broadcast(c.In[1].Shape, c.In[2].Shape)
	if err != nil {
		return err
	}
	if s, err = broadcast(s, c.In[0].Shape); err != nil {
		return err
	}
	c.set(0, c.In[1].DType, s)
	if len(s) > 1 || s == nil {
		return nil
	}
	cond, a, b := c.values(0), c.vector(1), c.vector(2)
	if len(cond) == 0 || len(a) == 0 || len(b) == 0 {
		return nil
	}
	out := make([]Dim, max(len(cond), len(a), len(b)))
	for i := range out {
		out[i] = Unknown
		if v, ok := cond[min(i, len(cond)-1)].Value(); ok && v != 0 {
			out[i] = a[min(i, len(a)-1)]
		} else if ok {
			out[i] = b[min(i, len(b)-1)]
		}
	}
	c.setSym(0, out)
	return nil
}
