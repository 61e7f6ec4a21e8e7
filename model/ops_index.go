package model

import (
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"Slice": inferSlice, "Gather": inferGather, "GatherElements": inferGatherElements, "GatherND": inferGatherND,
	"ScatterElements": inferScatterElements, "ScatterND": inferScatterND, "OneHot": inferOneHot,
	"NonZero": inferNonZero, "TopK": inferTopK, "Unique": inferUnique, "NonMaxSuppression": inferNMS,
	"Compress": inferCompress, "ReverseSequence": inferReverseSequence,
})

// sliceSpan returns first, count and step of a slice of a dimension of n, as the
// specification clamps it.
func sliceSpan(n int, start, end, step int64) (first, count int) {
	size := int64(n)
	if start < 0 {
		start += size
	}
	if end < 0 && end > math.MinInt64+size {
		end += size
	}
	if step > 0 {
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		if end > start {
			return int(start), int((end-start-1)/step + 1)
		}
		return int(start), 0
	}
	start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
	if start > end {
		return int(start), int((start-end-1)/-step + 1)
	}
	return int(max(start, 0)), 0
}

func inferSlice(c *Inference) error {
	if err := c.need(3, 5); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	if s == nil {
		c.set(0, dt, nil)
		return nil
	}
	starts, ends := c.vector(1), c.vector(2)
	out := unknowns(len(s))
	c.set(0, dt, out)
	if starts == nil || ends == nil {
		return nil
	}
	n := len(starts)
	if len(ends) != n {
		return fmt.Errorf("%d starts and %d ends", n, len(ends))
	}
	axes := make([]int64, n)
	for i := range axes {
		axes[i] = int64(i)
	}
	if c.has(3) {
		var ok bool
		if axes, ok = c.ints(3); !ok {
			return nil
		}
	}
	steps := make([]Dim, n)
	for i := range steps {
		steps[i] = Known(1)
	}
	if c.has(4) {
		if steps = c.vector(4); steps == nil {
			steps = unknowns(n)
		}
	}
	if len(axes) != n || len(steps) != n {
		return fmt.Errorf("%d starts, %d axes, %d steps", n, len(axes), len(steps))
	}
	on, err := axesOf(axes, len(s))
	if err != nil {
		return err
	}
	for i, d := range s {
		if !on[i] {
			out[i] = d
		}
	}
	for i := range starts {
		a, _ := axisOf(axes[i], len(s))
		if v, ok := steps[i].Value(); ok && v == 0 {
			return fmt.Errorf("step of axis %d is 0", a)
		}
		out[a] = sliceDim(s[a], starts[i], ends[i], steps[i])
	}
	if val := c.values(0); val != nil && len(s) == 1 && n == 1 {
		st, ok1 := starts[0].Value()
		en, ok2 := ends[0].Value()
		by, ok3 := steps[0].Value()
		if ok1 && ok2 && ok3 {
			first, count := sliceSpan(len(val), st, en, by)
			sym := make([]Dim, count)
			for i := range sym {
				sym[i] = val[first+i*int(by)]
			}
			c.setSym(0, sym)
		}
	}
	return nil
}

// sliceDim is the size of a sliced dimension, as far as it can be told.
func sliceDim(d, start, end, step Dim) Dim {
	st, ok1 := start.Value()
	en, ok2 := end.Value()
	by, ok3 := step.Value()
	if !ok3 {
		return Unknown
	}
	if d.IsKnown() && ok1 && ok2 {
		_, count := sliceSpan(d.N, st, en, by)
		return Known(count)
	}
	if by != 1 && !(by == -1) {
		return Unknown
	}
	const far = math.MaxInt32 // exporters write INT32_MAX or INT64_MAX for "to the end"
	switch {
	case by == -1:
		if ok1 && ok2 && (st == -1 || st >= far) && en <= -far {
			return d
		}
	case ok1 && st == 0 && (ok2 && en >= far || end.Sym != "" && end == d):
		return d
	case ok1 && st == 0 && ok2 && en == 0:
		return Known(0)
	case ok1 && ok2 && st == -1 && en >= far:
		// The last element, if there is one.
		return Unknown
	}
	return Unknown
}

func inferGather(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	dt, s, idx := c.In[0].DType, c.In[0].Shape, c.In[1].Shape
	// A quantized table is read as F32.
	if dt.IsQuantized() {
		dt = tensor.F32
	}
	if !c.In[1].DType.IsInteger() {
		return fmt.Errorf("indices are %v", c.In[1])
	}
	if s == nil {
		c.set(0, dt, nil)
		return nil
	}
	axis, err := axisOf(c.Node.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	if idx == nil {
		c.set(0, dt, nil)
		return nil
	}
	out := append(append(append([]Dim{}, s[:axis]...), idx...), s[axis+1:]...)
	c.set(0, dt, out)
	index, known := c.ints(1)
	if known && s[axis].IsKnown() {
		for _, i := range index {
			if i < -int64(s[axis].N) || i >= int64(s[axis].N) {
				return fmt.Errorf("index %d is out of range for dimension %d of %v", i, axis, c.In[0])
			}
		}
	}
	val := c.values(0)
	if val == nil || len(s) != 1 || len(idx) > 1 || !known {
		return nil
	}
	sym := make([]Dim, len(index))
	for i, x := range index {
		if x < 0 {
			x += int64(len(val))
		}
		if x < 0 || x >= int64(len(val)) {
			return fmt.Errorf("index %d is out of range for %v", index[i], c.In[0])
		}
		sym[i] = val[x]
	}
	c.setSym(0, sym)
	return nil
}

func inferGatherElements(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	s, idx := c.In[0].Shape, c.In[1].Shape
	if s != nil {
		if _, err := axisOf(c.Node.Int("axis", 0), len(s)); err != nil {
			return err
		}
		if idx != nil && len(idx) != len(s) {
			return fmt.Errorf("data %v and indices %v differ in rank", c.In[0], c.In[1])
		}
	}
	c.set(0, c.In[0].DType, cloneDims(idx))
	return nil
}

func inferGatherND(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	dt, s, idx := c.In[0].DType, c.In[0].Shape, c.In[1].Shape
	if s == nil || len(idx) == 0 || !idx[len(idx)-1].IsKnown() {
		if idx != nil && len(idx) == 0 {
			return fmt.Errorf("indices are a scalar")
		}
		c.set(0, dt, nil)
		return nil
	}
	b := int(c.Node.Int("batch_dims", 0))
	last := idx[len(idx)-1].N
	if b < 0 || b >= len(idx) || last < 1 || b+last > len(s) {
		return fmt.Errorf("indices %v with batch_dims %d do not fit data %v", c.In[1], b, c.In[0])
	}
	for i := 0; i < b; i++ {
		if _, err := unify(s[i], idx[i]); err != nil {
			return fmt.Errorf("batch dimension %d of %v and %v: %w", i, c.In[0], c.In[1], err)
		}
	}
	out := append([]Dim{}, idx[:len(idx)-1]...)
	c.set(0, dt, append(out, s[b+last:]...))
	return nil
}

func inferScatterElements(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 2); err != nil {
		return err
	}
	s, idx, upd := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	if s != nil {
		if _, err := axisOf(c.Node.Int("axis", 0), len(s)); err != nil {
			return err
		}
	}
	if s != nil && idx != nil && len(s) != len(idx) {
		return fmt.Errorf("data %v and indices %v differ in rank", c.In[0], c.In[1])
	}
	if idx != nil && upd != nil {
		if len(idx) != len(upd) {
			return fmt.Errorf("indices %v and updates %v differ in rank", c.In[1], c.In[2])
		}
		for i := range idx {
			if _, err := unify(idx[i], upd[i]); err != nil {
				return fmt.Errorf("dimension %d of indices %v and updates %v: %w", i, c.In[1], c.In[2], err)
			}
		}
	}
	c.set(0, c.In[0].DType, cloneDims(s))
	return nil
}

func inferScatterND(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 2); err != nil {
		return err
	}
	s, idx, upd := c.In[0].Shape, c.In[1].Shape, c.In[2].Shape
	if s != nil && len(idx) > 0 && upd != nil && idx[len(idx)-1].IsKnown() {
		k := idx[len(idx)-1].N
		if k > len(s) {
			return fmt.Errorf("indices %v do not fit data %v", c.In[1], c.In[0])
		}
		want := append(append([]Dim{}, idx[:len(idx)-1]...), s[k:]...)
		if len(want) != len(upd) {
			return fmt.Errorf("updates are %v, want shape %s", c.In[2], shapeString(want))
		}
		for i := range want {
			if _, err := unify(want[i], upd[i]); err != nil {
				return fmt.Errorf("updates are %v, want shape %s: dimension %d: %w", c.In[2], shapeString(want), i, err)
			}
		}
	}
	c.set(0, c.In[0].DType, cloneDims(s))
	return nil
}

func inferOneHot(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	dt, s := c.In[2].DType, c.In[0].Shape
	if s == nil {
		c.set(0, dt, nil)
		return nil
	}
	axis, err := axisOf(c.Node.Int("axis", -1), len(s)+1)
	if err != nil {
		return err
	}
	depth := Unknown
	if v := c.values(1); len(v) == 1 {
		depth = v[0]
		if x, ok := depth.Value(); ok && x < 0 {
			return fmt.Errorf("depth is %d", x)
		}
	}
	out := append([]Dim{}, s[:axis]...)
	out = append(out, depth)
	c.set(0, dt, append(out, s[axis:]...))
	return nil
}

func inferNonZero(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	out := unknowns(2)
	if s := c.In[0].Shape; s != nil {
		out[0] = Known(len(s))
		if len(s) == 0 {
			out[0] = Known(1) // a scalar counts as a vector of one
		}
	}
	if v, ok := c.ints(0); ok && len(c.In[0].Shape) <= 1 {
		n := 0
		for _, x := range v {
			if x != 0 {
				n++
			}
		}
		out[1] = Known(n)
	}
	c.set(0, tensor.I64, out)
	return nil
}

func inferTopK(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	out := cloneDims(c.In[0].Shape)
	if out != nil {
		axis, err := axisOf(c.Node.Int("axis", -1), len(out))
		if err != nil {
			return err
		}
		k := Unknown
		if v := c.values(1); len(v) == 1 {
			k = v[0]
			if x, ok := k.Value(); ok && (x < 0 || out[axis].IsKnown() && x > int64(out[axis].N)) {
				return fmt.Errorf("k is %d for dimension %d of %v", x, axis, c.In[0])
			}
		}
		out[axis] = k
	}
	c.set(0, c.In[0].DType, out)
	c.set(1, tensor.I64, cloneDims(out))
	return nil
}

func inferUnique(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	out := unknowns(1)
	inverse := unknowns(1)
	if s := c.In[0].Shape; c.Node.Has("axis") {
		out = cloneDims(s)
		if s != nil {
			axis, err := axisOf(c.Node.Int("axis", 0), len(s))
			if err != nil {
				return err
			}
			out[axis] = Unknown
			inverse[0] = s[axis]
		}
	} else if s != nil {
		inverse[0] = product(s)
	}
	c.set(0, c.In[0].DType, out)
	c.set(1, tensor.I64, unknowns(1))
	c.set(2, tensor.I64, inverse)
	c.set(3, tensor.I64, unknowns(1))
	return nil
}

func inferNMS(c *Inference) error {
	if err := c.need(2, 5); err != nil {
		return err
	}
	for i := range 2 {
		if err := c.rank(i, 3); err != nil {
			return err
		}
	}
	c.set(0, tensor.I64, []Dim{Unknown, Known(3)})
	return nil
}

func inferCompress(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.rank(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	n := Unknown
	if v, ok := c.ints(1); ok {
		n.N = 0
		for _, x := range v {
			n.N += int(x)
		}
	}
	if !c.Node.Has("axis") {
		c.set(0, c.In[0].DType, []Dim{n})
		return nil
	}
	out := cloneDims(s)
	if out != nil {
		axis, err := axisOf(c.Node.Int("axis", 0), len(out))
		if err != nil {
			return err
		}
		out[axis] = n
	}
	c.set(0, c.In[0].DType, out)
	return nil
}

func inferReverseSequence(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.rank(1, 1); err != nil {
		return err
	}
	if s := c.In[0].Shape; s != nil && len(s) < 2 {
		return fmt.Errorf("input 0 is %v, want at least rank 2", c.In[0])
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}
