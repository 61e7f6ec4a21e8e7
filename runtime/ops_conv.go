package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register(model.DomainDsk, map[string]Binder{"Conv": widened(bindDskConv)})

var _ = register("", rowMajor(map[string]Binder{"Conv": widened(bindConv)}))

// conv is a convolution of X[batch, C, in...] with M filters in g groups:
//
//	Y[b,m,o] = act(bias[m] + sum_{i,c} W[m,i,c] X[b, c, o*stride-pad+i*dilation] + Z[b,m,o])
//
// X, and Z and Y, may have their channels last: X[batch, in..., C].
type conv struct {
	geo     *sliding
	batch   int
	c, m    int // channels in and out
	groups  int
	cg, mg  int // of one group
	act     kernels.Activation
	x, y    *tensor.Tensor
	z, bias *tensor.Tensor // nil if absent
	// The layouts: channels last of X, of Z and Y.
	xLast, yLast bool
}

// channelsFirst returns an image's shape with the channels in the second place.
func channelsFirst(shape []int, last bool) []int {
	if !last {
		return shape
	}
	n := len(shape) - 1
	return append([]int{shape[0], shape[n]}, shape[1:n]...)
}

// newConv checks the operands; channels are the weights' input channels of one group, kernel their window.
func newConv(b *Bind, m, channels int, kernel []int, z int) (*conv, error) {
	x, y := b.In[0], b.Out[0]
	if len(x.Shape) < 3 || len(y.Shape) != len(x.Shape) {
		return nil, b.errorf("cannot convolve a tensor of shape %v to one of %v", x.Shape, y.Shape)
	}
	groups := b.Node.Int("group", 1)
	c := &conv{m: m, x: x, y: y}
	var err error
	if c.xLast, c.yLast, err = model.ChannelsLast(b.Node); err != nil {
		return nil, b.errorf("%w", err)
	}
	xs, ys := channelsFirst(x.Shape, c.xLast), channelsFirst(y.Shape, c.yLast)
	c.batch, c.c = xs[0], xs[1]
	if groups < 1 || int64(c.c) != groups*int64(channels) || m%int(groups) != 0 {
		return nil, b.errorf("weights of %d x %d channels in %d groups for %d channels", m, channels, groups, c.c)
	}
	c.groups = int(groups)
	c.cg, c.mg = channels, m/c.groups
	if ys[0] != c.batch || ys[1] != m {
		return nil, b.errorf("the output has shape %v, want %d images of %d channels", y.Shape, c.batch, m)
	}
	if b.Has(2) {
		if err := needShape(b, "the bias", b.In[2], m); err != nil {
			return nil, err
		}
		c.bias = b.In[2]
	}
	if z > 0 && b.Has(z) {
		if err := needShape(b, "Z", b.In[z], y.Shape...); err != nil {
			return nil, err
		}
		c.z = b.In[z]
	}
	c.geo, err = newSliding(b, xs[2:], ys[2:], kernel)
	return c, err
}

// bindDskConv binds dsk.Conv, whose weights have the channels last.
func bindDskConv(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 2, 3); err != nil {
		return nil, err
	}
	w := b.In[1]
	r := len(w.Shape)
	if r != len(b.In[0].Shape) || r < 3 {
		return nil, b.errorf("weights of shape %v for an input of shape %v", w.Shape, b.In[0].Shape)
	}
	c, err := newConv(b, w.Shape[0], w.Shape[r-1], w.Shape[1:r-1], 3)
	if err != nil {
		return nil, err
	}
	if c.act, err = fusedActivation(b); err != nil {
		return nil, err
	}
	return c.bind(b, w, b.IsConst(1), nil)
}

// bindConv binds the Conv of ONNX, whose weights have the channels before the window.
func bindConv(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2); err != nil {
		return nil, err
	}
	w := b.In[1]
	if len(w.Shape) != len(b.In[0].Shape) || len(w.Shape) < 3 {
		return nil, b.errorf("weights of shape %v for an input of shape %v", w.Shape, b.In[0].Shape)
	}
	c, err := newConv(b, w.Shape[0], w.Shape[1], w.Shape[2:], 0)
	if err != nil {
		return nil, err
	}
	shape := append(append([]int{w.Shape[0]}, w.Shape[2:]...), w.Shape[1])
	last := &tensor.Tensor{DType: tensor.F32, Shape: shape}
	if b.IsConst(1) {
		last.Data = tensor.AlignedBytes(len(w.Data))
		channelsLast(last.F32(), w.F32(), c.m, c.cg, c.geo.winSize)
		return c.bind(b, last, true, nil)
	}
	scratch := b.Scratch(w.Len() * 4)
	return c.bind(b, last, false, func() {
		last.Data = scratch.Data
		channelsLast(last.F32(), w.F32(), c.m, c.cg, c.geo.winSize)
	})
}

// channelsLast turns m filters of [channels][window] into [window][channels].
func channelsLast(dst, src []float32, m, channels, window int) {
	k := channels * window
	for i := range m {
		kernels.Transpose(dst[i*k:], channels, src[i*k:], window, channels, window)
	}
}

// bind chooses the way to compute; w has the channels last, and prepare, if not nil, must be called before
// it is read.
func (c *conv) bind(b *Bind, w *tensor.Tensor, constant bool, prepare func()) (Run, error) {
	if c.y.Len() == 0 {
		return simple(func() {}), nil
	}
	var run func()
	var err error
	_, flat := c.geo.plane()
	switch {
	case c.isDirect(b, w, constant):
		run, err = c.bindDirect(b, w)
	case c.isBlocked(b, w, constant):
		run, err = c.bindBlocks(b, w)
	case c.isChannelwise(constant):
		run, err = c.bindChannelwise(b, w)
	case flat && c.cg == 1 && c.groups > 1 && !c.xLast && !c.yLast:
		run, err = c.bindDepthwise(b, w, constant)
	default:
		run, err = c.bindGathered(b, w, constant)
	}
	if err != nil {
		return nil, err
	}
	if prepare == nil {
		return simple(run), nil
	}
	return func() error {
		prepare()
		run()
		return nil
	}, nil
}

// bindDepthwise computes plane by plane: each filter reads one channel.
func (c *conv) bindDepthwise(b *Bind, w *tensor.Tensor, constant bool) (func(), error) {
	g, _ := c.geo.plane()
	k := c.geo.winSize
	var filters []float32
	if constant {
		var err error
		if filters, err = weightFloats(b, w, c.m, k); err != nil {
			return nil, err
		}
	} else if w.DType != tensor.F32 || w.Layout != tensor.RowMajor {
		return nil, b.errorf("weights that are computed must be F32 in row-major layout, not %v", w)
	}
	return b.split(c.batch*c.m, 1, c.geo.outSize*k, func(_, lo, hi int) {
		x, y, f := c.x.F32(), c.y.F32(), filters
		if !constant {
			f = w.F32()
		}
		for p := lo; p < hi; p++ {
			image, m := p/c.m, p%c.m
			plane := image*c.c + m/c.mg
			var bias float32
			if c.bias != nil {
				bias = c.bias.F32()[m]
			}
			dst := y[p*c.geo.outSize:][:c.geo.outSize]
			kernels.DepthwiseConv2D(dst, x[plane*c.geo.inSize:][:c.geo.inSize], f[m*k:(m+1)*k], bias, &g)
			c.finish(dst, p*c.geo.outSize)
		}
	}), nil
}

// finish adds Z and applies the activation to a piece of the output that begins at element at.
func (c *conv) finish(dst []float32, at int) {
	if c.z != nil {
		kernels.Add(dst, dst, c.z.F32()[at:at+len(dst)])
	}
	if c.act.Kind != kernels.ActNone {
		kernels.Activate(dst, dst, c.act)
	}
}
