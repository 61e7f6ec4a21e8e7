package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"ConstantOfShape": inferConstantOfShape, "Constant": inferConstant, "Range": inferRange, "EyeLike": inferEyeLike,
	"RandomNormal": inferRandom, "RandomUniform": inferRandom,
	"RandomNormalLike": inferRandomLike, "RandomUniformLike": inferRandomLike, "Bernoulli": inferRandomLike,
	"Multinomial": inferMultinomial,
})

// randomType is the element type that the attribute dtype states, or def.
func (c *Inference) randomType(def tensor.DType) (tensor.DType, error) {
	if !c.Node.Has("dtype") {
		return def, nil
	}
	return ElemType(c.Node.Int("dtype", 0))
}

func inferRandom(c *Inference) error {
	dt, err := c.randomType(tensor.F32)
	if err != nil {
		return err
	}
	shape := []Dim{}
	for _, d := range c.Node.Ints("shape") {
		if d < 0 {
			return fmt.Errorf("shape is %v", c.Node.Ints("shape"))
		}
		shape = append(shape, Known(int(d)))
	}
	c.set(0, dt, shape)
	return nil
}

func inferRandomLike(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	dt, err := c.randomType(c.In[0].DType)
	if err != nil {
		return err
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}

// inferMultinomial: log probabilities [batch, classes] -> samples [batch, sample_size].
func inferMultinomial(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.rank(0, 2); err != nil {
		return err
	}
	dt, err := c.randomType(tensor.I32)
	if err != nil {
		return err
	}
	out := []Dim{Unknown, Known(int(c.Node.Int("sample_size", 1)))}
	if s := c.In[0].Shape; s != nil {
		out[0] = s[0]
	}
	c.set(0, dt, out)
	return nil
}

func inferConstantOfShape(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	dt := tensor.F32
	v := c.Node.Attrs["value"].Tensor
	if v != nil {
		if v.Len() != 1 {
			return fmt.Errorf("value has %d elements, want 1", v.Len())
		}
		dt = v.DType
	}
	out := cloneDims(c.vector(0))
	for _, d := range out {
		if x, ok := d.Value(); ok && x < 0 {
			return fmt.Errorf("shape %s is negative", shapeString(out))
		}
	}
	c.set(0, dt, out)
	if len(out) <= 1 && out != nil {
		n := product(out)
		x := []int64{0}
		ok := v == nil
		if v != nil && v.Load() == nil {
			x, ok = intsOf(v)
		}
		if ok && n.IsKnown() && n.N <= smallValue {
			sym := make([]Dim, n.N)
			for i := range sym {
				sym[i] = IntValue(x[0])
			}
			c.setSym(0, sym)
		}
	}
	return nil
}

func inferConstant(c *Inference) error {
	if len(c.Out) == 0 {
		return fmt.Errorf("has no outputs")
	}
	t, err := ConstantValue(c.Node)
	if err != nil {
		return err
	}
	c.Out[0] = TypeOf(t)
	if len(t.Shape) <= 1 && smallConstant(t) != nil {
		if v, ok := intsOf(t); ok {
			sym := make([]Dim, len(v))
			for i, x := range v {
				sym[i] = IntValue(x)
			}
			c.setSym(0, sym)
		}
	}
	return nil
}

func inferRange(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2); err != nil {
		return err
	}
	dt := c.In[0].DType
	c.set(0, dt, unknowns(1))
	if dt.IsFloat() {
		lo, ok0 := c.floats(0)
		hi, ok1 := c.floats(1)
		step, ok2 := c.floats(2)
		if ok0 && ok1 && ok2 && len(lo) == 1 && len(hi) == 1 && len(step) == 1 {
			n, err := rangeLen(lo[0], hi[0], step[0])
			if err != nil {
				return err
			}
			c.set(0, dt, Dims(n))
		}
		return nil
	}
	lo, hi, step := c.values(0), c.values(1), c.values(2)
	if len(lo) != 1 || len(hi) != 1 || len(step) != 1 {
		return nil
	}
	a, okA := lo[0].Value()
	b, okB := hi[0].Value()
	d, okD := step[0].Value()
	switch {
	case okD && d == 0:
		return fmt.Errorf("delta is 0")
	case okA && okB && okD:
		n := int64(0)
		if d > 0 && b > a {
			n = (b-a-1)/d + 1
		} else if d < 0 && a > b {
			n = (a-b-1)/(-d) + 1
		}
		c.set(0, dt, Dims(int(n)))
		if n <= smallValue {
			sym := make([]Dim, n)
			for i := range sym {
				sym[i] = IntValue(a + int64(i)*d)
			}
			c.setSym(0, sym)
		}
	case okD && d == 1 && okA && a == 0:
		c.set(0, dt, []Dim{hi[0]})
	case okD && d == 1:
		c.set(0, dt, []Dim{subDim(hi[0], lo[0])})
		// start+n - start is n.
		if rest, ok := cutPrefixSym(hi[0], lo[0]); ok {
			c.set(0, dt, []Dim{rest})
		}
	}
	return nil
}

func inferEyeLike(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.rank(0, 2); err != nil {
		return err
	}
	dt := c.In[0].DType
	if c.Node.Has("dtype") {
		var err error
		if dt, err = ElemType(c.Node.Int("dtype", 0)); err != nil {
			return err
		}
	}
	c.set(0, dt, cloneDims(c.In[0].Shape))
	return nil
}
