package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = registerOps("", map[string]InferFunc{
	"Shape": inferShape, "Size": inferSize, "Reshape": inferReshape, "Flatten": inferFlatten,
	"Squeeze": inferSqueeze, "Unsqueeze": inferUnsqueeze, "Transpose": inferTranspose,
	"Concat": inferConcat, "Split": inferSplit,
	"DepthToSpace": inferDepthToSpace, "SpaceToDepth": inferSpaceToDepth, "Trilu": inferTrilu,
})

func inferShape(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, tensor.I64, unknowns(1))
		return nil
	}
	clampAxis := func(a int64) int {
		if a < 0 {
			a += int64(len(s))
		}
		return int(min(max(a, 0), int64(len(s))))
	}
	lo, hi := clampAxis(c.Node.Int("start", 0)), clampAxis(c.Node.Int("end", int64(len(s))))
	s = s[lo:max(lo, hi)]
	c.set(0, tensor.I64, Dims(len(s)))
	c.setSym(0, cloneDims(s))
	return nil
}

func inferSize(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	c.set(0, tensor.I64, Dims())
	if c.In[0].Shape != nil {
		c.setSym(0, []Dim{product(c.In[0].Shape)})
	}
	return nil
}

func inferReshape(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.rank(1, 1); err != nil {
		return err
	}
	dt, in := c.In[0].DType, c.In[0].Shape
	target := c.vector(1)
	if target == nil {
		c.set(0, dt, nil)
		return nil
	}
	out := make([]Dim, len(target))
	open := -1 // the dimension that the number of elements decides
	guessed := 0
	for i, t := range target {
		v, ok := t.Value()
		switch {
		case !ok && t.Sym != "":
			out[i] = t
		case !ok:
			// May also be 0 or -1; if it is the only one, the number of elements decides it in each case.
			out[i] = Unknown
			guessed++
		case v == 0 && c.Node.Int("allowzero", 0) == 0:
			switch {
			case in == nil:
				out[i] = Unknown
			case i >= len(in):
				return fmt.Errorf("target %s copies dimension %d of %v", shapeString(target), i, c.In[0])
			default:
				out[i] = in[i]
			}
		case v == -1:
			if open >= 0 {
				return fmt.Errorf("target %s has more than one -1", shapeString(target))
			}
			open = i
		case v < -1:
			return fmt.Errorf("target %s has a negative dimension", shapeString(target))
		default:
			out[i] = t
		}
	}
	if open < 0 && guessed == 1 {
		for i, t := range target {
			if t == Unknown {
				open = i
			}
		}
		guessed = 0
	}
	if open >= 0 {
		out[open] = Unknown
		if in != nil && guessed == 0 {
			d, err := remaining(in, out, open)
			if err != nil {
				return fmt.Errorf("cannot reshape %v to %s: %w", c.In[0], shapeString(target), err)
			}
			out[open] = d
		}
	}
	if a, b := product(in), product(out); in != nil && a.IsKnown() && b.IsKnown() && a.N != b.N {
		return fmt.Errorf("cannot reshape %v (%d elements) to %s (%d elements)", c.In[0], a.N, shapeString(target), b.N)
	}
	c.set(0, dt, out)
	if len(out) <= 1 && len(in) <= 1 {
		c.setSym(0, c.values(0))
	}
	return nil
}

// remaining returns the dimension that makes out, without out[open], as large as in. Names
// that occur on both sides cancel.
func remaining(in, out []Dim, open int) (Dim, error) {
	num, den := 1, 1
	names := map[string]int{}
	var left []Dim
	for i, d := range out {
		switch {
		case i == open:
		case d.IsKnown():
			den *= d.N
		case d.Sym != "":
			names[d.Sym]++
		default:
			return Unknown, nil
		}
	}
	for _, d := range in {
		switch {
		case d.IsKnown():
			num *= d.N
		case d.Sym != "" && names[d.Sym] > 0:
			names[d.Sym]--
		default:
			left = append(left, d)
		}
	}
	for _, n := range names {
		if n > 0 {
			return Unknown, nil
		}
	}
	switch {
	case den == 0 && len(left) == 0 && num != 0:
		return Dim{}, fmt.Errorf("%d elements do not fit", num)
	case den == 0:
		return Known(0), nil // zero elements: any number would do, NumPy and ONNX take 0
	case len(left) == 0 && num%den != 0:
		return Dim{}, fmt.Errorf("%d elements do not divide by %d", num, den)
	case len(left) == 0:
		return Known(num / den), nil
	case len(left) == 1 && num%den == 0:
		return mulDim(left[0], Known(num/den)), nil
	}
	return Unknown, nil
}

func inferFlatten(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, c.In[0].DType, unknowns(2))
		return nil
	}
	axis := c.Node.Int("axis", 1)
	if axis < 0 {
		axis += int64(len(s))
	}
	if axis < 0 || axis > int64(len(s)) {
		return fmt.Errorf("axis %d is out of range for %v", c.Node.Int("axis", 1), c.In[0])
	}
	c.set(0, c.In[0].DType, []Dim{product(s[:axis]), product(s[axis:])})
	return nil
}

func inferSqueeze(c *Inference) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	c.setSym(0, c.values(0))
	if !c.has(1) {
		out := []Dim{}
		for _, d := range s {
			if !d.IsKnown() {
				out = nil
				break
			}
			if d.N != 1 {
				out = append(out, d)
			}
		}
		if s == nil {
			out = nil
		}
		c.set(0, dt, out)
		return nil
	}
	axes, ok := c.ints(1)
	if s == nil || !ok {
		c.set(0, dt, nil)
		if v := c.vector(1); s != nil && v != nil && len(v) <= len(s) {
			c.set(0, dt, unknowns(len(s)-len(v)))
		}
		return nil
	}
	drop, err := axesOf(axes, len(s))
	if err != nil {
		return err
	}
	out := []Dim{}
	for i, d := range s {
		switch {
		case !drop[i]:
			out = append(out, d)
		case d.IsKnown() && d.N != 1:
			return fmt.Errorf("cannot squeeze dimension %d of %v", i, c.In[0])
		}
	}
	c.set(0, dt, out)
	return nil
}

func inferUnsqueeze(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	axes, ok := c.ints(1)
	if s == nil || !ok {
		c.set(0, dt, nil)
		if v := c.vector(1); s != nil && v != nil {
			c.set(0, dt, unknowns(len(s)+len(v)))
		}
		return nil
	}
	add, err := axesOf(axes, len(s)+len(axes))
	if err != nil {
		return err
	}
	out := make([]Dim, len(add))
	j := 0
	for i := range out {
		if add[i] {
			out[i] = Known(1)
		} else {
			out[i] = s[j]
			j++
		}
	}
	c.set(0, dt, out)
	if len(out) <= 1 {
		c.setSym(0, c.values(0))
	}
	return nil
}

func inferTranspose(c *Inference) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	s, perm := c.In[0].Shape, c.Node.Ints("perm")
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		if perm != nil {
			c.set(0, c.In[0].DType, unknowns(len(perm)))
		}
		return nil
	}
	if perm == nil {
		for i := range s {
			perm = append(perm, int64(len(s)-1-i))
		}
	}
	if len(perm) != len(s) {
		return fmt.Errorf("perm %v does not fit %v", perm, c.In[0])
	}
	if _, err := axesOf(perm, len(s)); err != nil {
		return fmt.Errorf("perm %v: %w", perm, err)
	}
	out := make([]Dim, len(s))
	for i, p := range perm {
		a, _ := axisOf(p, len(s))
		out[i] = s[a]
	}
	c.set(0, c.In[0].DType, out)
	if len(s) <= 1 {
		c.setSym(0, c.values(0))
	}
	return nil
}

func inferConcat(c *Inference) error {
	if err := c.need(1, -1); err != nil {
		return err
	}
	var out []Dim
	axis := -1
	allRanks := true
	for i := range c.In {
		if !c.has(i) {
			return fmt.Errorf("input %d is missing", i)
		}
		if err := c.sameDType(0, i); err != nil {
			return err
		}
		s := c.In[i].Shape
		if s == nil {
			allRanks = false
			continue
		}
		if out == nil {
			a, err := axisOf(c.Node.Int("axis", 0), len(s))
			if err != nil {
				return err
			}
			axis = a
			out = cloneDims(s)
			continue
		}
		if len(s) != len(out) {
			return fmt.Errorf("input %d is %v, want rank %d", i, c.In[i], len(out))
		}
		for d := range out {
			if d == axis {
				out[d] = addDim(out[d], s[d])
				continue
			}
			u, err := unify(out[d], s[d])
			if err != nil {
				return fmt.Errorf("input %d is %v: dimension %d: %w", i, c.In[i], d, err)
			}
			out[d] = u
		}
	}
	if out != nil && !allRanks {
		out[axis] = Unknown
	}
	c.set(0, c.In[0].DType, out)
	if len(out) == 1 && allRanks {
		sym := []Dim{}
		known := false
		for i := range c.In {
			v := c.vector(i)
			if v == nil {
				return nil
			}
			known = known || c.values(i) != nil
			sym = append(sym, v...)
		}
		if known {
			c.setSym(0, sym)
		}
	}
	return nil
}

func inferSplit(c *Inference) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	n := len(c.Out)
	if s == nil {
		for i := range c.Out {
			c.set(i, dt, nil)
		}
		return nil
	}
	axis, err := axisOf(c.Node.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	d := s[axis]
	sizes := unknowns(n)
	if c.has(1) {
		if v := c.vector(1); v != nil {
			if len(v) != n {
				return fmt.Errorf("split has %d sizes for %d outputs", len(v), n)
			}
			sizes = v
			if sum := sumDims(v); sum.IsKnown() && d.IsKnown() && sum.N != d.N {
				return fmt.Errorf("split %s does not add up to dimension %d of %v", shapeString(v), axis, c.In[0])
			}
		}
	} else {
		if k := c.Node.Int("num_outputs", int64(n)); k != int64(n) {
			return fmt.Errorf("num_outputs is %d for %d outputs", k, n)
		}
		if d.IsKnown() {
			// Equal parts, the last one smaller if they do not divide.
			part := (d.N + n - 1) / n
			for i := range sizes {
				sizes[i] = Known(min(part, max(0, d.N-i*part)))
			}
		} else if n == 1 {
			sizes[0] = d
		} else {
			for i := range sizes {
				sizes[i] = symExpr(d, "/", Known(n))
			}
		}
	}
	val := c.values(0)
	at := 0
	for i := range c.Out {
		out := cloneDims(s)
		out[axis] = sizes[i]
		c.set(i, dt, out)
		if len(s) == 1 && at >= 0 && sizes[i].IsKnown() && val != nil && sizes[i].N <= len(val)-at {
			c.setSym(i, val[at:at+sizes[i].N:at+sizes[i].N])
			at += sizes[i].N
		} else {
			at = -1
		}
	}
	return nil
}

func sumDims(v []Dim) Dim {
	s := Known(0)
	for _, d := range v {
		s = addDim(s, d)
	}
	return s
}

func inferDepthToSpace(c *Inference) error {
	return c.blocks(func(s []Dim, b int) ([]Dim, error) {
		if s[1].IsKnown() && s[1].N%(b*b) != 0 {
			return nil, fmt.Errorf("%d channels do not divide by blocksize %d squared", s[1].N, b)
		}
		return []Dim{s[0], divDim(s[1], Known(b*b)), mulDim(s[2], Known(b)), mulDim(s[3], Known(b))}, nil
	})
}

func inferSpaceToDepth(c *Inference) error {
	return c.blocks(func(s []Dim, b int) ([]Dim, error) {
		for _, d := range s[2:] {
			if d.IsKnown() && d.N%b != 0 {
				return nil, fmt.Errorf("%v does not divide by blocksize %d", c.In[0], b)
			}
		}
		return []Dim{s[0], mulDim(s[1], Known(b*b)), divDim(s[2], Known(b)), divDim(s[3], Known(b))}, nil
	})
}

func (c *Inference) blocks(f func(s []Dim, b int) ([]Dim, error)) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	if err := c.rank(0, 4); err != nil {
		return err
	}
	b := int(c.Node.Int("blocksize", 0))
	if b < 1 || b > 1<<15 {
		return fmt.Errorf("blocksize is %d", b)
	}
	if c.In[0].Shape == nil {
		c.set(0, c.In[0].DType, unknowns(4))
		return nil
	}
	s, err := f(c.In[0].Shape, b)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

func inferTrilu(c *Inference) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	c.set(0, c.In[0].DType, cloneDims(c.In[0].Shape))
	return nil
}
