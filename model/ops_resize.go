package model

import (
	"fmt"
	"math"
)

var _ = registerOps("", map[string]InferFunc{
	"Resize": inferResize, "GridSample": inferGridSample, "AffineGrid": inferAffineGrid,
	"RoiAlign": inferRoiAlign, "CenterCropPad": inferCenterCropPad,
})

// inferResize: X, roi?, scales?, sizes? -> Y; scales and sizes are for the attribute axes, or all.
func inferResize(c *Inference) error {
	if err := c.need(1, 4); err != nil {
		return err
	}
	dt, s := c.In[0].DType, c.In[0].Shape
	if s == nil {
		c.set(0, dt, nil)
		return nil
	}
	// An empty tensor counts as an absent input.
	given := func(i int) bool {
		return c.has(i) && !(len(c.In[i].Shape) == 1 && c.In[i].Shape[0].N == 0)
	}
	if given(2) == given(3) {
		return fmt.Errorf("needs either scales or sizes")
	}
	axes := c.Node.Ints("axes")
	if axes == nil {
		for i := range s {
			axes = append(axes, int64(i))
		}
	}
	on, err := axesOf(axes, len(s))
	if err != nil {
		return err
	}
	out := cloneDims(s)
	for i := range out {
		if on[i] {
			out[i] = Unknown
		}
	}
	c.set(0, dt, out)
	if given(2) {
		scales, ok := c.floats(2)
		if !ok {
			return nil
		}
		if len(scales) != len(axes) {
			return fmt.Errorf("%d scales for %d axes", len(scales), len(axes))
		}
		crop := c.Node.Str("coordinate_transformation_mode", "") == "tf_crop_and_resize"
		roi, roiKnown := c.floats(1)
		for i, a := range axes {
			k, _ := axisOf(a, len(s))
			switch {
			case crop && (!roiKnown || len(roi) != 2*len(axes)):
			case crop && s[k].IsKnown():
				part := roi[i+len(axes)] - roi[i]
				out[k] = Known(int(math.Floor(float64(float32(float64(float32(s[k].N))*part) * float32(scales[i])))))
			case s[k].IsKnown():
				// The product is rounded to float32, as in the specification's reference.
				out[k] = Known(int(math.Floor(float64(float32(s[k].N) * float32(scales[i])))))
			case scales[i] == 1:
				out[k] = s[k]
			case scales[i] == math.Trunc(scales[i]):
				out[k] = mulDim(s[k], Known(int(scales[i])))
			}
			if out[k].N < -1 || scales[i] <= 0 {
				return fmt.Errorf("scale %v of axis %d", scales[i], k)
			}
		}
		return nil
	}
	sizes := c.vector(3)
	if sizes == nil {
		return nil
	}
	if len(sizes) != len(axes) {
		return fmt.Errorf("%d sizes for %d axes", len(sizes), len(axes))
	}
	policy := c.Node.Str("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" {
		for i, a := range axes {
			k, _ := axisOf(a, len(s))
			out[k] = sizes[i]
		}
		return nil
	}
	// One scale for all axes: the smallest (not_larger) or largest (not_smaller) ratio.
	scale := 0.0
	for i, a := range axes {
		k, _ := axisOf(a, len(s))
		if !s[k].IsKnown() || !sizes[i].IsKnown() || s[k].N == 0 {
			return nil
		}
		r := float64(sizes[i].N) / float64(s[k].N)
		if i == 0 || policy == "not_larger" && r < scale || policy == "not_smaller" && r > scale {
			scale = r
		}
	}
	for _, a := range axes {
		k, _ := axisOf(a, len(s))
		out[k] = Known(int(math.Floor(float64(scale*float64(s[k].N)) + 0.5)))
	}
	return nil
}

// inferGridSample: X[N,C,D...], grid[N,D'...,rank-2] -> Y[N,C,D'...].
func inferGridSample(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x, g := c.In[0].Shape, c.In[1].Shape
	if x == nil || g == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(x) < 3 || len(g) != len(x) {
		return fmt.Errorf("input %v and grid %v do not fit", c.In[0], c.In[1])
	}
	if _, err := unify(x[0], g[0]); err != nil {
		return fmt.Errorf("batch of input %v and grid %v: %w", c.In[0], c.In[1], err)
	}
	if _, err := unify(g[len(g)-1], Known(len(x)-2)); err != nil {
		return fmt.Errorf("grid %v for %d spatial dimensions: %w", c.In[1], len(x)-2, err)
	}
	c.set(0, c.In[0].DType, append([]Dim{x[0], x[1]}, g[1:len(g)-1]...))
	return nil
}

// inferAffineGrid: theta[N,2,3], size[4] = N,C,H,W -> grid[N,H,W,2]; 3D likewise.
func inferAffineGrid(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	if err := c.rank(0, 3); err != nil {
		return err
	}
	size := c.vector(1)
	if size == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	if len(size) != 4 && len(size) != 5 {
		return fmt.Errorf("size has %d elements, want 4 or 5", len(size))
	}
	out := append([]Dim{size[0]}, size[2:]...)
	c.set(0, c.In[0].DType, append(out, Known(len(size)-2)))
	return nil
}

// inferRoiAlign: X[N,C,H,W], rois[R,4], batch_indices[R] -> Y[R,C,h,w].
func inferRoiAlign(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	for i, r := range []int{4, 2, 1} {
		if err := c.rank(i, r); err != nil {
			return err
		}
	}
	out := unknowns(4)
	if s := c.In[0].Shape; s != nil {
		out[1] = s[1]
	}
	if s := c.In[1].Shape; s != nil {
		out[0] = s[0]
	}
	out[2], out[3] = Known(int(c.Node.Int("output_height", 1))), Known(int(c.Node.Int("output_width", 1)))
	c.set(0, c.In[0].DType, out)
	return nil
}

// inferCenterCropPad: X, shape -> X with the dimensions of the attribute axes (or all) set to shape.
func inferCenterCropPad(c *Inference) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	s := c.In[0].Shape
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	axes := c.Node.Ints("axes")
	if axes == nil {
		for i := range s {
			axes = append(axes, int64(i))
		}
	}
	if _, err := axesOf(axes, len(s)); err != nil {
		return err
	}
	want := c.vector(1)
	if want == nil {
		want = unknowns(len(axes))
	}
	if len(want) != len(axes) {
		return fmt.Errorf("shape %s for %d axes", shapeString(want), len(axes))
	}
	out := cloneDims(s)
	for i, a := range axes {
		k, _ := axisOf(a, len(s))
		out[k] = want[i]
	}
	c.set(0, c.In[0].DType, out)
	return nil
}
