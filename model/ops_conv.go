package model

import (
	"fmt"
)

var _ = registerOps("", map[string]InferFunc{
	"Conv": inferConv, "ConvTranspose": inferConvTranspose, "CausalConvWithState": inferCausalConv,
	"DeformConv": inferDeformConv, "Col2Im": inferCol2Im,
})

var _ = registerOps(DomainDsk, map[string]InferFunc{"Conv": inferDskConv})

// Window is the geometry of a convolution or pooling: one entry for each spatial axis.
type Window struct {
	Kernel, Stride, Dilation []int
	Before, After            []int // padding; as the attribute pads says, or computed for auto_pad
}

// WindowOf reads the attributes kernel_shape, strides, dilations, pads and auto_pad. in holds
// the spatial dimensions of the input (they matter for auto_pad only, where an unknown one
// gives unknown padding of -1); kernel replaces an absent kernel_shape and may be nil.
func WindowOf(n *Node, in []Dim, kernel []Dim) (*Window, error) {
	d := len(in)
	ints := func(name string, def int) ([]int, error) {
		v := n.Ints(name)
		out := make([]int, d)
		if v == nil {
			for i := range out {
				out[i] = def
			}
			return out, nil
		}
		if len(v) != d {
			return nil, fmt.Errorf("%s %v does not fit %d spatial dimensions", name, v, d)
		}
		for i, x := range v {
			if x < 1 || x > 1<<31 {
				return nil, fmt.Errorf("%s is %v", name, v)
			}
			out[i] = int(x)
		}
		return out, nil
	}
	w := &Window{Before: make([]int, d), After: make([]int, d)}
	var err error
	if n.Has("kernel_shape") {
		if w.Kernel, err = ints("kernel_shape", 1); err != nil {
			return nil, err
		}
		for i, k := range kernel {
			if k.IsKnown() && k.N != w.Kernel[i] {
				return nil, fmt.Errorf("kernel_shape is %v, the weight's is %s", w.Kernel, shapeString(kernel))
			}
		}
	} else {
		if kernel == nil {
			return nil, fmt.Errorf("kernel_shape is missing")
		}
		if len(kernel) != d {
			return nil, fmt.Errorf("kernel %s does not fit %d spatial dimensions", shapeString(kernel), d)
		}
		w.Kernel = make([]int, d)
		for i, k := range kernel {
			w.Kernel[i] = k.N // -1 if unknown
		}
	}
	if w.Stride, err = ints("strides", 1); err != nil {
		return nil, err
	}
	if w.Dilation, err = ints("dilations", 1); err != nil {
		return nil, err
	}
	switch auto := n.Str("auto_pad", "NOTSET"); auto {
	case "NOTSET", "":
		if p := n.Ints("pads"); p != nil {
			if len(p) != 2*d {
				return nil, fmt.Errorf("pads %v do not fit %d spatial dimensions", p, d)
			}
			for i := range d {
				w.Before[i], w.After[i] = int(p[i]), int(p[d+i])
			}
		}
	case "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		for i := range d {
			if !in[i].IsKnown() || w.Kernel[i] < 0 {
				w.Before[i], w.After[i] = -1, -1
				continue
			}
			out := (in[i].N + w.Stride[i] - 1) / w.Stride[i]
			p := max(0, (out-1)*w.Stride[i]+(w.Kernel[i]-1)*w.Dilation[i]+1-in[i].N)
			w.Before[i], w.After[i] = p/2, p-p/2
			if auto == "SAME_LOWER" {
				w.Before[i], w.After[i] = p-p/2, p/2
			}
		}
	default:
		return nil, fmt.Errorf("auto_pad is %q", auto)
	}
	return w, nil
}

// Out returns the output's spatial dimensions:
//
//	floor((in + before + after - (kernel-1) dilation - 1) / stride) + 1
//
// with ceil instead of floor if ceil is set, less a last window that starts in the padding after.
func (w *Window) Out(n *Node, in []Dim, ceil bool) ([]Dim, error) {
	out := unknowns(len(in))
	same := n.Str("auto_pad", "")
	for i, d := range in {
		if same == "SAME_UPPER" || same == "SAME_LOWER" {
			if d.IsKnown() {
				out[i] = Known((d.N + w.Stride[i] - 1) / w.Stride[i])
			} else if w.Stride[i] == 1 {
				out[i] = d
			}
			continue
		}
		if w.Kernel[i] < 0 {
			continue
		}
		reach := (w.Kernel[i]-1)*w.Dilation[i] + 1 - w.Before[i] - w.After[i]
		if !d.IsKnown() {
			if w.Stride[i] == 1 && reach == 1 {
				out[i] = d
			}
			continue
		}
		span := d.N - reach
		if span < 0 {
			return nil, fmt.Errorf("kernel %d (dilation %d) is larger than the padded input %d+%d+%d of spatial dimension %d",
				w.Kernel[i], w.Dilation[i], w.Before[i], d.N, w.After[i], i)
		}
		o := span/w.Stride[i] + 1
		if ceil && same != "VALID" && span%w.Stride[i] != 0 {
			if o*w.Stride[i] < d.N+w.Before[i] {
				o++
			}
		}
		out[i] = Known(o)
	}
	return out, nil
}

// convShape infers a convolution from x, the kernel's spatial shape, the channels per
// group that the weight has, and its output channels.
func (c *Inference) convShape(x Type, kernel []Dim, inPerGroup, outCh Dim) ([]Dim, error) {
	s := x.Shape
	group := int(c.Node.Int("group", 1))
	if group < 1 {
		return nil, fmt.Errorf("group is %d", group)
	}
	if s == nil {
		if kernel == nil {
			return nil, nil
		}
		out := unknowns(len(kernel) + 2)
		out[1] = outCh
		return out, nil
	}
	if len(s) < 2 || kernel != nil && len(kernel) != len(s)-2 {
		return nil, fmt.Errorf("input %v does not fit kernel %s", x, shapeString(kernel))
	}
	if _, err := unify(s[1], mulDim(inPerGroup, Known(group))); err != nil {
		return nil, fmt.Errorf("input %v has not the channels of the weight, %v in %d groups: %w", x, inPerGroup, group, err)
	}
	if outCh.IsKnown() && outCh.N%group != 0 {
		return nil, fmt.Errorf("%d output channels do not divide into %d groups", outCh.N, group)
	}
	if kernel == nil && !c.Node.Has("kernel_shape") {
		kernel = unknowns(len(s) - 2)
	}
	w, err := WindowOf(c.Node, s[2:], kernel)
	if err != nil {
		return nil, err
	}
	spatial, err := w.Out(c.Node, s[2:], false)
	if err != nil {
		return nil, err
	}
	return append([]Dim{s[0], outCh}, spatial...), nil
}

// weightOIHW splits a weight [M, C/group, k...] into kernel, C/group and M.
func weightOIHW(w Type) (kernel []Dim, in, out Dim, err error) {
	s := w.Shape
	if s == nil {
		return nil, Unknown, Unknown, nil
	}
	if len(s) < 2 {
		return nil, Dim{}, Dim{}, fmt.Errorf("weight is %v, want at least rank 2", w)
	}
	return s[2:], s[1], s[0], nil
}

func inferConv(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2); err != nil {
		return err
	}
	kernel, in, out, err := weightOIHW(c.In[1])
	if err != nil {
		return err
	}
	if err := c.checkVector(2, out, "bias"); err != nil {
		return err
	}
	s, err := c.convShape(c.In[0], kernel, in, out)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

func inferDskConv(c *Inference) error {
	if err := c.need(2, 4); err != nil {
		return err
	}
	var kernel []Dim
	in, out := Unknown, Unknown
	if w := c.In[1].Shape; w != nil {
		if len(w) < 2 {
			return fmt.Errorf("weight is %v, want at least rank 2", c.In[1])
		}
		kernel, in, out = w[1:len(w)-1], w[len(w)-1], w[0]
	}
	if err := c.checkVector(2, out, "bias"); err != nil {
		return err
	}
	xLast, yLast, err := ChannelsLast(c.Node)
	if err != nil {
		return err
	}
	x := c.In[0]
	if xLast {
		x.Shape = channelsSecond(x.Shape)
	}
	s, err := c.convShape(x, kernel, in, out)
	if err != nil {
		return err
	}
	if yLast && s != nil {
		s = append(append([]Dim{s[0]}, s[2:]...), s[1])
	}
	if c.has(3) && c.In[3].Shape != nil && s != nil {
		z := c.In[3].Shape
		if len(z) != len(s) {
			return fmt.Errorf("input 3 is %v, want shape %s", c.In[3], shapeString(s))
		}
		for i := range s {
			if s[i], err = unify(s[i], z[i]); err != nil {
				return fmt.Errorf("input 3 is %v, dimension %d: %w", c.In[3], i, err)
			}
		}
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

// The values of the attributes layout and input_layout of dsk.Conv.
const (
	LayoutNCHW = "NCHW" // channels before the spatial axes, as in ONNX
	LayoutNHWC = "NHWC" // channels last
)

// ChannelsLast reports the layouts of a dsk.Conv: whether X has its channels last, and whether Z and Y have.
func ChannelsLast(n *Node) (x, y bool, err error) {
	out := n.Str("layout", LayoutNCHW)
	in := n.Str("input_layout", out)
	for _, v := range []string{in, out} {
		if v != LayoutNCHW && v != LayoutNHWC {
			return false, false, fmt.Errorf("layout %q: want %s or %s", v, LayoutNCHW, LayoutNHWC)
		}
	}
	return in == LayoutNHWC, out == LayoutNHWC, nil
}

// channelsSecond moves the last axis to the second place; shapes of lower rank stay.
func channelsSecond(s []Dim) []Dim {
	if len(s) < 2 {
		return s
	}
	last := len(s) - 1
	return append([]Dim{s[0], s[last]}, s[1:last]...)
}

// TransposedPads returns the padding before and after of ConvTranspose for known input
// dimensions, and the output's spatial dimensions (ONNX's formulas for output_shape and auto_pad).
func TransposedPads(n *Node, w *Window, in []int) (before, after, out []int, err error) {
	d := len(in)
	extra := make([]int, d)
	if p := n.Ints("output_padding"); p != nil {
		if len(p) != d {
			return nil, nil, nil, fmt.Errorf("output_padding %v does not fit %d spatial dimensions", p, d)
		}
		for i := range p {
			extra[i] = int(p[i])
		}
	}
	before, after, out = make([]int, d), make([]int, d), make([]int, d)
	auto := n.Str("auto_pad", "NOTSET")
	want := n.Ints("output_shape")
	if len(want) == d+2 {
		want = want[2:]
	}
	if want != nil && len(want) != d {
		return nil, nil, nil, fmt.Errorf("output_shape %v does not fit %d spatial dimensions", want, d)
	}
	for i := range in {
		full := w.Stride[i]*(in[i]-1) + extra[i] + (w.Kernel[i]-1)*w.Dilation[i] + 1
		switch {
		case want != nil:
			out[i] = int(want[i])
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			out[i] = in[i] * w.Stride[i]
		default:
			before[i], after[i] = w.Before[i], w.After[i]
			out[i] = full - before[i] - after[i]
			if out[i] < 0 {
				return nil, nil, nil, fmt.Errorf("pads of spatial dimension %d are larger than the output", i)
			}
			continue
		}
		total := full - out[i]
		before[i] = total - total/2
		if auto == "SAME_UPPER" {
			before[i] = total / 2
		}
		after[i] = total - before[i]
	}
	return before, after, out, nil
}

func inferConvTranspose(c *Inference) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2); err != nil {
		return err
	}
	s, wt := c.In[0].Shape, c.In[1].Shape
	if s == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	group := int(c.Node.Int("group", 1))
	if len(s) < 2 || wt != nil && len(wt) != len(s) || group < 1 {
		return fmt.Errorf("input %v does not fit weight %v in %d groups", c.In[0], c.In[1], group)
	}
	outCh := Unknown
	kernel := unknowns(len(s) - 2)
	if wt != nil {
		if _, err := unify(s[1], wt[0]); err != nil {
			return fmt.Errorf("channels of input %v and weight %v: %w", c.In[0], c.In[1], err)
		}
		outCh = mulDim(wt[1], Known(group))
		kernel = wt[2:]
	}
	if err := c.checkVector(2, outCh, "bias"); err != nil {
		return err
	}
	w, err := WindowOf(c.Node, s[2:], kernel)
	if err != nil {
		return err
	}
	out := append([]Dim{s[0], outCh}, unknowns(len(s)-2)...)
	c.set(0, c.In[0].DType, out)
	in, ok := (Type{Shape: s[2:]}).Static()
	for _, k := range w.Kernel {
		ok = ok && k >= 0
	}
	if !ok {
		if v := c.Node.Ints("output_shape"); len(v) >= len(s)-2 {
			for i, x := range v[len(v)-(len(s)-2):] {
				out[i+2] = Known(int(x))
			}
		}
		return nil
	}
	_, _, spatial, err := TransposedPads(c.Node, w, in)
	if err != nil {
		return err
	}
	for i, x := range spatial {
		out[i+2] = Known(x)
	}
	return nil
}

// inferCausalConv: (input [B,C,L], weight [C,1,k], bias?, past_state [B,C,k-1]?) -> (output, present_state).
func inferCausalConv(c *Inference) error {
	if err := c.need(2, 4); err != nil {
		return err
	}
	for _, i := range []int{0, 1, 3} {
		if err := c.rank(i, 3); err != nil {
			return err
		}
	}
	s, w := c.In[0].Shape, c.In[1].Shape
	c.set(0, c.In[0].DType, cloneDims(s))
	state := unknowns(3)
	if s != nil {
		state[0], state[1] = s[0], s[1]
	}
	if w != nil {
		state[2] = subDim(w[2], Known(1))
	}
	c.set(1, c.In[0].DType, state)
	return nil
}

// inferDeformConv: X, W, offset, B?, mask? -> Y as Conv.
func inferDeformConv(c *Inference) error {
	if err := c.need(3, 5); err != nil {
		return err
	}
	if err := c.sameDType(0, 1, 2, 3, 4); err != nil {
		return err
	}
	kernel, in, out, err := weightOIHW(c.In[1])
	if err != nil {
		return err
	}
	if err := c.checkVector(3, out, "bias"); err != nil {
		return err
	}
	s, err := c.convShape(c.In[0], kernel, in, out)
	if err != nil {
		return err
	}
	c.set(0, c.In[0].DType, s)
	return nil
}

// inferCol2Im: columns [N, C*prod(block), L], image_shape, block_shape -> [N, C, image_shape...].
func inferCol2Im(c *Inference) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	if err := c.rank(0, 3); err != nil {
		return err
	}
	image, block := c.vector(1), c.vector(2)
	if image == nil {
		c.set(0, c.In[0].DType, nil)
		return nil
	}
	out := []Dim{Unknown, Unknown}
	if s := c.In[0].Shape; s != nil {
		out[0] = s[0]
		if size := product(block); block != nil && size.N > 0 && s[1].IsKnown() {
			if s[1].N%size.N != 0 {
				return fmt.Errorf("%v does not divide into blocks of %d", c.In[0], size.N)
			}
			out[1] = Known(s[1].N / size.N)
		}
	}
	c.set(0, c.In[0].DType, append(out, image...))
	return nil
}
