package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"ReduceSum": inferReduce, "ReduceMean": inferReduce, "ReduceMax": inferReduce, "ReduceMin": inferReduce,
	"ReduceProd": inferReduce, "ReduceL1": inferReduce, "ReduceL2": inferReduce, "ReduceLogSum": inferReduce,
	"ReduceLogSumExp": inferReduce, "ReduceSumSquare": inferReduce,
	"ArgMax": inferArg, "ArgMin": inferArg, "CumSum": inferCumulative, "CumProd": inferCumulative,
})

func inferReduce(c *Inference) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	keep := c.Node.Int("keepdims", 1) != 0
	var axes []int64
	if c.has(1) {
		v, ok := c.ints(1)
		if !ok {
			c.reduceUnknownAxes(keep)
			return nil
		}
		axes = v
	}
	if len(axes) == 0 && c.Node.Int("noop_with_empty_axes", 0) != 0 {
		c.set(0, dt, cloneDims(s))
		return nil
	}
	if s == nil {
		c.set(0, dt, nil)
		if len(axes) == 0 && !keep {
			c.set(0, dt, Dims())
		}
		return nil
	}
	if len(axes) == 0 {
		for i := range s {
			axes = append(axes, int64(i))
		}
	}
	on, err := axesOf(axes, len(s))
	if err != nil {
		return err
	}
	out := []Dim{}
	for i, d := range s {
		if !on[i] {
			out = append(out, d)
		} else if keep {
			out = append(out, Known(1))
		}
	}
	c.set(0, dt, out)
	if v := c.values(0); len(v) > 0 && len(s) == 1 && on[0] {
		c.reduceValues(v)
	}
	return nil
}

// reduceUnknownAxes sets what can be told without knowing the axes.
func (c *Inference) reduceUnknownAxes(keep bool) {
	dt, s := c.In[0].DType, c.In[0].Shape
	c.set(0, dt, nil)
	if s == nil {
		return
	}
	if keep {
		c.set(0, dt, unknowns(len(s)))
	} else if v := c.vector(1); len(v) > 0 && len(v) <= len(s) {
		c.set(0, dt, unknowns(len(s)-len(v)))
	}
}

// reduceValues follows the reduction of a vector of dimensions.
func (c *Inference) reduceValues(v []Dim) {
	var f func(a, b Dim) Dim
	choose := func(better func(x, y int64) bool) func(a, b Dim) Dim {
		return func(a, b Dim) Dim {
			x, ok1 := a.Value()
			y, ok2 := b.Value()
			switch {
			case !ok1 || !ok2:
				return Unknown
			case better(x, y):
				return a
			}
			return b
		}
	}
	switch c.Node.Op {
	case "ReduceProd":
		f = mulDim
	case "ReduceSum":
		f = addDim
	case "ReduceMax":
		f = choose(func(x, y int64) bool { return x > y })
	case "ReduceMin":
		f = choose(func(x, y int64) bool { return x < y })
	default:
		return
	}
	acc := v[0]
	for _, d := range v[1:] {
		acc = f(acc, d)
	}
	c.setSym(0, []Dim{acc})
}

func inferArg(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, tensor.I64, nil)
		return nil
	}
	axis, err := axisOf(c.Node.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	if d := s[axis]; d.IsKnown() && d.N == 0 {
		return fmt.Errorf("dimension %d of %v is empty", axis, c.In[0])
	}
	out := cloneDims(s)
	if c.Node.Int("keepdims", 1) != 0 {
		out[axis] = Known(1)
	} else {
		out = append(out[:axis], out[axis+1:]...)
	}
	c.set(0, tensor.I64, out)
	return nil
}
