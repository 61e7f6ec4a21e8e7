package runtime

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(1, map[string]Binder{"Resize": bindResize}))

// resizing holds what an output coordinate along one axis is computed from.
type resizing struct {
	mode     string  // coordinate_transformation_mode
	in, out  int     // lengths
	scale    float64 // out/in, or as given
	exact    bool    // scale is out/in, from sizes
	from, to float64 // region of interest, for tf_crop_and_resize
}

// source returns the input coordinate of output index x. The formulas are the specification's;
// align_corners and tf_crop_and_resize use the length in x scale, not yet cut to an integer.
func (r resizing) source(x int) float64 {
	scaled := r.scale * float64(r.in)
	if r.exact {
		scaled = float64(r.out)
	}
	switch r.mode {
	case "align_corners":
		if scaled == 1 {
			return 0
		}
		return float64(x) * float64(r.in-1) / (scaled - 1)
	case "asymmetric":
		return r.unscale(float64(x))
	case "tf_crop_and_resize":
		if scaled == 1 {
			return (r.from + r.to) / 2 * float64(r.in-1)
		}
		return r.from*float64(r.in-1) + float64(x)*(r.to-r.from)*float64(r.in-1)/(scaled-1)
	case "pytorch_half_pixel":
		if r.out == 1 {
			return 0
		}
	case "half_pixel_symmetric":
		adjust := float64(r.out) / scaled
		return float64(r.in)/2*(1-adjust) + r.unscale(float64(x)+0.5) - 0.5
	}
	return r.unscale(float64(x)+0.5) - 0.5 // half_pixel
}

// unscale divides by the scale. A given scale is a float32, and dividing in float32 gives whole numbers where
// the exact scale would; so do sizes with the product first.
func (r resizing) unscale(x float64) float64 {
	if r.exact {
		return x * float64(r.in) / float64(r.out)
	}
	return float64(float32(x) / float32(r.scale))
}

// nearest returns the index that nearest_mode picks.
func (r resizing) nearest(x int, mode string) int {
	c := r.source(x)
	switch mode {
	case "floor":
		c = math.Floor(c)
	case "ceil":
		c = math.Ceil(c)
	case "round_prefer_ceil":
		c = math.Floor(c + 0.5)
	default: // round_prefer_floor
		c = math.Ceil(c - 0.5)
	}
	return int(min(max(c, 0), float64(r.in-1)))
}

// taps are the input indices and weights of every output index along an axis, n for each.
type taps struct {
	n      int
	index  []int
	weight []float32
}

// filter is linear or cubic interpolation.
type filter struct {
	cubic, antialias, excludeOutside bool
	a                                float64 // cubic_coeff_a
}

// weightAt is the filter at a distance of x input elements (Keys, "Cubic Convolution
// Interpolation", 1981, for cubic).
func (f filter) weightAt(x float64) float64 {
	x = math.Abs(x)
	switch {
	case !f.cubic:
		return max(0, 1-x)
	case x <= 1:
		return ((f.a+2)*x-(f.a+3))*x*x + 1
	case x < 2:
		return ((f.a*x-5*f.a)*x+8*f.a)*x - 4*f.a
	}
	return 0
}

// maxTaps bounds the weights of an axis: a tiny scale would ask for any number of them.
const maxTaps = 1 << 26

// taps computes an axis's weights. With antialias a shrinking axis gets a filter as wide as the
// output's elements; indices beyond the edge repeat it, or are left out.
func (f filter) taps(r resizing) (taps, error) {
	squeeze := 1.0
	if f.antialias {
		squeeze = min(r.scale, 1)
	}
	reach := 1.0
	if f.cubic {
		reach = 2
	}
	if width := 2 * reach / squeeze * float64(r.out); !(squeeze > 0 && width <= maxTaps) {
		return taps{}, fmt.Errorf("a scale of %g makes %d elements of %d", r.scale, r.out, r.in)
	}
	first := int(math.Floor(-reach/squeeze)) + 1
	t := taps{n: 2 - 2*first}
	w := make([]float64, t.n)
	for x := range r.out {
		c := r.source(x)
		base := math.Floor(c)
		var sum float64
		for i := range w {
			at := int(base) + first + i
			w[i] = f.weightAt((float64(first+i) - (c - base)) * squeeze)
			if f.excludeOutside && (at < 0 || at >= r.in) {
				w[i] = 0
			}
			sum += w[i]
			t.index = append(t.index, min(max(at, 0), r.in-1))
		}
		for i := range w {
			if (f.excludeOutside || f.antialias) && sum != 0 {
				w[i] /= sum
			}
			t.weight = append(t.weight, float32(w[i]))
		}
	}
	return t, nil
}

// bindResize binds interpolation along some axes. Inputs: x, roi, scales, sizes.
func bindResize(b *Bind) (Run, error) {
	in, out := b.In[0], b.Out[0]
	axes, err := b.resizings()
	if err != nil {
		return nil, err
	}
	if in.Len() == 0 || out.Len() == 0 {
		return simple(func() {}), nil
	}
	mode := b.Node.Str("mode", "nearest")
	crop := b.Node.Str("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
	if tensor.SameShape(in.Shape, out.Shape) && !crop {
		return bindView(b)
	}
	if mode == "nearest" {
		return bindNearest(b, axes, crop)
	}
	f := filter{cubic: mode == "cubic", antialias: b.Node.Int("antialias", 0) != 0,
		excludeOutside: b.Node.Int("exclude_outside", 0) != 0, a: float64(b.Node.Float("cubic_coeff_a", -0.75))}
	if mode != "linear" && mode != "cubic" {
		return nil, b.errorf("mode %q", mode)
	}
	interpolate := func(b *Bind) (Run, error) { return bindInterpolate(b, axes, f, crop) }
	if in.DType.IsFloat() {
		return widened(interpolate)(b)
	}
	return throughF32(b, interpolate)
}

// resizings reads the operands; an axis that is not named keeps its length.
func (b *Bind) resizings() ([]resizing, error) {
	in, out := b.In[0].Shape, b.Out[0].Shape
	rank := len(in)
	for i := 1; i < 4; i++ {
		if b.Has(i) && !b.IsConst(i) {
			return nil, errNeedsValue
		}
	}
	axes := make([]int, 0, rank)
	for _, a := range b.Node.Ints("axes") {
		a, err := b.normAxis(int(a), rank)
		if err != nil {
			return nil, err
		}
		axes = append(axes, a)
	}
	if len(axes) == 0 {
		for a := range rank {
			axes = append(axes, a)
		}
	}
	mode := b.Node.Str("coordinate_transformation_mode", "half_pixel")
	all := make([]resizing, rank)
	for a := range all {
		all[a] = resizing{mode: mode, in: in[a], out: out[a], scale: 1, exact: true, to: 1}
	}
	policy := b.Node.Str("keep_aspect_ratio_policy", "stretch")
	var common float64
	for i, a := range axes {
		r := &all[a]
		switch {
		case b.Has(2) && b.In[2].Len() > 0:
			if b.In[2].Len() != len(axes) || b.In[2].DType != tensor.F32 {
				return nil, b.errorf("scales %v for %d axes", b.In[2], len(axes))
			}
			r.scale, r.exact = float64(b.In[2].F32()[i]), false
		case b.Has(3) && b.In[3].Len() == len(axes) && b.In[3].DType.IsInteger():
			r.scale = float64(loadInt(b.In[3], i)) / float64(max(1, r.in))
		default:
			return nil, b.errorf("neither scales nor sizes for %d axes", len(axes))
		}
		if i == 0 || policy == "not_larger" && r.scale < common || policy == "not_smaller" && r.scale > common {
			common = r.scale
		}
		if mode == "tf_crop_and_resize" {
			load := loaderOf(tensor.F32)
			if b.Has(1) {
				load = loaderOf(b.In[1].DType)
			}
			if !b.Has(1) || load == nil || b.In[1].Len() != 2*len(axes) {
				return nil, b.errorf("tf_crop_and_resize without a region for %d axes", len(axes))
			}
			r.from, r.to = load(b.In[1], i), load(b.In[1], len(axes)+i)
		}
	}
	if policy != "stretch" && all[axes[0]].exact {
		for _, a := range axes {
			all[a].scale, all[a].exact = common, false
		}
	}
	return all, nil
}

func bindNearest(b *Bind, axes []resizing, crop bool) (Run, error) {
	mode := b.Node.Str("nearest_mode", "round_prefer_floor")
	index := make([][]int, len(axes))
	for a, r := range axes {
		for x := range r.out {
			i := x
			if r.in != r.out || crop {
				i = r.nearest(x, mode)
			}
			index[a] = append(index[a], i)
		}
	}
	run, err := bindIndexed(b, index)
	if err != nil || !crop {
		return run, err
	}
	value := tensor.New(b.Out[0].DType, 1)
	if store := storerOf(value.DType); store != nil {
		store(value, 0, float64(b.Node.Float("extrapolation_value", 0)))
	}
	outside := b.outside(axes)
	return func() error {
		if err := run(); err != nil {
			return err
		}
		for _, i := range outside {
			copy(b.Out[0].Data[i*len(value.Data):], value.Data)
		}
		return nil
	}, nil
}

// outside lists the output elements that a cropping resize reads from beyond the input.
func (b *Bind) outside(axes []resizing) []int {
	shape := b.Out[0].Shape
	beyond := make([][]bool, len(axes))
	for a, r := range axes {
		for x := range r.out {
			c := r.source(x)
			beyond[a] = append(beyond[a], c < 0 || c > float64(r.in-1))
		}
	}
	var out []int
	for i := range product(shape) {
		for a, q := len(shape)-1, i; a >= 0; a-- {
			if beyond[a][q%shape[a]] {
				out = append(out, i)
				break
			}
			q /= shape[a]
		}
	}
	return out
}

// bindInterpolate resamples one axis after the other, on F32.
func bindInterpolate(b *Bind, axes []resizing, f filter, crop bool) (Run, error) {
	shape := append([]int(nil), b.In[0].Shape...)
	var runs []func()
	src := b.In[0]
	var work []int
	for a, r := range axes {
		if r.in != r.out || crop && (r.from != 0 || r.to != 1) {
			work = append(work, a)
		}
	}
	if len(work) == 0 {
		work = []int{len(axes) - 1}
	}
	if last := axes[work[len(work)-1]]; last.out > last.in {
		slices.Reverse(work) // the inner axis, the slowest, while there is less to do
	}
	for i, a := range work {
		t, err := f.taps(axes[a])
		if err != nil {
			return nil, b.errorf("%w", err)
		}
		outer, inner := product(shape[:a]), product(shape[a+1:])
		shape[a] = axes[a].out
		dst := b.Out[0]
		if i < len(work)-1 {
			n, err := tensor.NumElements(shape)
			if err != nil {
				return nil, b.errorf("%w", err)
			}
			dst = b.Scratch(4 * n)
		}
		runs = append(runs, b.resample(dst, src, t, outer, axes[a].in, axes[a].out, inner))
		src = dst
	}
	if crop {
		outside, value := b.outside(axes), b.Node.Float("extrapolation_value", 0)
		runs = append(runs, func() {
			y := b.Out[0].F32()
			for _, i := range outside {
				y[i] = value
			}
		})
	}
	return sequence(runs), nil
}

// resample binds dst[o, x, c] = sum over taps of weight[x] src[o, index[x], c].
func (b *Bind) resample(dst, src *tensor.Tensor, t taps, outer, in, out, inner int) func() {
	if inner == 1 {
		return b.split(outer, 1, out*t.n, func(_, lo, hi int) {
			y, x := dst.F32(), src.F32()
			for o := lo; o < hi; o++ {
				row := x[o*in : (o+1)*in]
				if t.n == 2 {
					interpolateRow(y[o*out:(o+1)*out], row, t)
					continue
				}
				for i := range out {
					var sum float32
					w := t.weight[i*t.n : (i+1)*t.n]
					for j, at := range t.index[i*t.n : (i+1)*t.n] {
						sum += float32(w[j] * row[at])
					}
					y[o*out+i] = sum
				}
			}
		})
	}
	return b.split(outer*out, 1, inner*t.n, func(_, lo, hi int) {
		y, x := dst.F32(), src.F32()
		for r := lo; r < hi; r++ {
			o, i := r/out, r%out
			row := y[r*inner : (r+1)*inner]
			for j := range t.n {
				at, w := (o*in+t.index[i*t.n+j])*inner, t.weight[i*t.n+j]
				switch {
				case j == 0:
					kernels.Scale(row, x[at:at+inner], w)
				case w != 0:
					kernels.Axpy(row, x[at:at+inner], w)
				}
			}
		}
	})
}

// interpolateRow is the case of two taps.
func interpolateRow(dst, src []float32, t taps) {
	for i := range dst {
		at, w := t.index[2*i:2*i+2], t.weight[2*i:2*i+2]
		dst[i] = float32(w[0]*src[at[0]]) + float32(w[1]*src[at[1]])
	}
}

// throughF32 serves an integer operand with an F32 binder; the result is cut off as Cast does.
func throughF32(b *Bind, fn Binder) (Run, error) {
	in, out := b.In[0], b.Out[0]
	load, store := loaderOf(in.DType), storerOf(out.DType)
	if load == nil || store == nil {
		return nil, b.unsupportedType(in.DType)
	}
	wide := [2]*tensor.Tensor{{DType: tensor.F32, Shape: in.Shape}, {DType: tensor.F32, Shape: out.Shape}}
	memory := [2]*tensor.Tensor{b.Scratch(4 * in.Len()), b.Scratch(4 * out.Len())}
	inner := newBind(b.Node, append([]*tensor.Tensor{wide[0]}, b.In[1:]...), []*tensor.Tensor{wide[1]}, b.Pool, b.constant, b.scope)
	run, err := fn(inner)
	if err != nil {
		return nil, err
	}
	b.scratch = append(b.scratch, inner.scratch...)
	return func() error {
		wide[0].Data, wide[1].Data = memory[0].Data, memory[1].Data
		for i, v := 0, wide[0].F32(); i < len(v); i++ {
			v[i] = float32(load(in, i))
		}
		if err := run(); err != nil {
			return err
		}
		for i, v := range wide[1].F32() {
			store(out, i, float64(v))
		}
		return nil
	}, nil
}
