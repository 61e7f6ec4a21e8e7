package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"MaxPool":           bindMaxPool,
	"AveragePool":       widened(bindAveragePool),
	"LpPool":            widened(bindLpPool),
	"GlobalAveragePool": widened(bindGlobalAveragePool),
	"GlobalMaxPool":     widened(bindGlobalMaxPool),
	"GlobalLpPool":      widened(bindGlobalLpPool),
	"LRN":               widened(bindLRN),
}))

var _ = register(model.DomainDsk, rowMajor(map[string]Binder{
	"MaxPool":     widened(bindLastPool),
	"AveragePool": widened(bindLastPool),
}))

// bindLastPool binds MaxPool and AveragePool of images [batch, H, W, C].
func bindLastPool(b *Bind) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	if b.In[0].DType == tensor.U8 && b.Node.Op == "MaxPool" {
		return bindQPool(b)
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	if len(x.Shape) != 4 || len(y.Shape) != 4 || x.Shape[0] != y.Shape[0] || x.Shape[3] != y.Shape[3] {
		return nil, b.errorf("cannot pool %v to %v", x.Shape, y.Shape)
	}
	geo, err := newSliding(b, x.Shape[1:3], y.Shape[1:3], nil)
	if err != nil {
		return nil, err
	}
	if y.Len() == 0 {
		return simple(func() {}), nil
	}
	g, _ := geo.plane()
	c := x.Shape[3]
	pool := kernels.NewMaxPool(&g, c)
	if b.Node.Op == "AveragePool" {
		counts := geo.windowCounts(b.Node.Int("count_include_pad", 0) != 0)
		divisors := make([]float32, geo.outSize)
		for i := range divisors {
			divisors[i] = max(1, counts[1][i/g.OW]*counts[2][i%g.OW])
		}
		pool = kernels.NewMeanPool(&g, c, divisors)
	}
	return simple(b.split(x.Shape[0]*g.OH, 1, g.OW*c*geo.winSize/4, func(_, lo, hi int) {
		for lo < hi {
			image, u := lo/g.OH, lo%g.OH
			n := min(hi-lo, g.OH-u)
			pool.Run(y.F32()[image*geo.outSize*c:], x.F32()[image*geo.inSize*c:], u, u+n)
			lo += n
		}
	})), nil
}

// poolGeometry checks a pool from [batch, C, in...] to [batch, C, out...] and returns the number of planes.
func poolGeometry(b *Bind) (*sliding, int, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, 0, err
	}
	x, y := b.In[0].Shape, b.Out[0].Shape
	if len(x) < 3 || len(y) != len(x) || x[0] != y[0] || x[1] != y[1] {
		return nil, 0, b.errorf("cannot pool %v to %v", x, y)
	}
	g, err := newSliding(b, x[2:], y[2:], nil)
	return g, x[0] * x[1], err
}

// taps returns the range of i < kernel for which axis a's output o reads inside the input.
func (g *sliding) taps(a, o int) (lo, hi, first int) {
	first = o*g.stride[a] - g.pad[a]
	d := g.dilation[a]
	if first < 0 {
		lo = min((-first+d-1)/d, g.kernel[a])
	}
	hi = g.kernel[a]
	if last := first + (g.kernel[a]-1)*d; last >= g.in[a] {
		hi = max(lo, (g.in[a]-first+d-1)/d)
	}
	return lo, hi, first
}

func bindMaxPool(b *Bind) (Run, error) {
	g, planes, err := poolGeometry(b)
	if err != nil {
		return nil, err
	}
	if b.Out[0].DType != b.In[0].DType {
		return nil, b.errorf("input of type %v, output of type %v", b.In[0].DType, b.Out[0].DType)
	}
	switch b.In[0].DType {
	case tensor.F32:
		return maxPool[float32](b, g, planes)
	case tensor.F64:
		return maxPool[float64](b, g, planes)
	case tensor.I8:
		return maxPool[int8](b, g, planes)
	case tensor.U8:
		return maxPool[uint8](b, g, planes)
	case tensor.F16, tensor.BF16:
		return widened(bindMaxPool)(b)
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

// maxPool is the largest element under the window; padding never wins, and a window of nothing but
// padding gives the lowest value. Indices are those of the first maximum in the whole input,
// with storage_order 1 counted with the first spatial axis running fastest.
func maxPool[T float32 | float64 | int8 | uint8](b *Bind, g *sliding, planes int) (Run, error) {
	x, y := b.In[0], b.Out[0]
	var indices *tensor.Tensor
	if b.HasOut(1) {
		indices = b.Out[1]
		if indices.DType != tensor.I64 {
			return nil, b.unsupportedType(indices.DType)
		}
		if err := needShape(b, "Indices", indices, y.Shape...); err != nil {
			return nil, err
		}
	}
	columns := b.Node.Int("storage_order", 0) != 0
	low := lowest[T]()
	return simple(b.split(planes, 1, 2*g.outSize*g.winSize, func(_, lo, hi int) {
		src, dst := tensor.View[T](x), tensor.View[T](y)
		for p := lo; p < hi; p++ {
			in, out := src[p*g.inSize:(p+1)*g.inSize], dst[p*g.outSize:(p+1)*g.outSize]
			if indices == nil {
				maxPlane(out, in, g, low)
			} else {
				argMaxPlane(out, in, indices.I64()[p*g.outSize:], g, low, p*g.inSize, columns)
			}
		}
	})), nil
}

func lowest[T float32 | float64 | int8 | uint8]() T {
	var z T
	switch v := any(&z).(type) {
	case *float32:
		*v = float32(math.Inf(-1))
	case *float64:
		*v = math.Inf(-1)
	case *int8:
		*v = math.MinInt8
	}
	return z
}

// maxPlane goes by window elements, so that the inner loop runs along a row of outputs.
func maxPlane[T float32 | float64 | int8 | uint8](dst, src []T, g *sliding, low T) {
	oh, ow := g.out[1], g.out[2]
	for oz := range g.out[0] {
		zlo, zhi, z0 := g.taps(0, oz)
		for oy := range oh {
			ylo, yhi, y0 := g.taps(1, oy)
			row := dst[(oz*oh+oy)*ow : (oz*oh+oy+1)*ow]
			for i := range row {
				row[i] = low
			}
			for i := zlo; i < zhi; i++ {
				for j := ylo; j < yhi; j++ {
					line := ((z0+i*g.dilation[0])*g.in[1] + y0 + j*g.dilation[1]) * g.in[2]
					maxLine(row, src[line:line+g.in[2]], g)
				}
			}
		}
	}
}

// maxLine folds one line of the input into a row of outputs.
func maxLine[T float32 | float64 | int8 | uint8](row, line []T, g *sliding) {
	stride := g.stride[2]
	for k := range g.kernel[2] {
		offset := k*g.dilation[2] - g.pad[2]
		lo, hi := g.reach(offset, len(line), len(row))
		if lo >= hi {
			continue
		}
		at := lo*stride + offset
		for i := range row[lo:hi] {
			if v := line[at]; v > row[lo+i] {
				row[lo+i] = v
			}
			at += stride
		}
	}
}

func argMaxPlane[T float32 | float64 | int8 | uint8](dst, src []T, indices []int64, g *sliding, low T, base int, columns bool) {
	for o := range dst {
		ox, oy, oz := o%g.out[2], o/g.out[2]%g.out[1], o/(g.out[1]*g.out[2])
		zlo, zhi, z0 := g.taps(0, oz)
		ylo, yhi, y0 := g.taps(1, oy)
		xlo, xhi, x0 := g.taps(2, ox)
		best, at := low, -1
		for i := zlo; i < zhi; i++ {
			z := z0 + i*g.dilation[0]
			for j := ylo; j < yhi; j++ {
				y := y0 + j*g.dilation[1]
				for k := xlo; k < xhi; k++ {
					x := x0 + k*g.dilation[2]
					if v := src[(z*g.in[1]+y)*g.in[2]+x]; v > best || at < 0 {
						best = v
						at = (z*g.in[1]+y)*g.in[2] + x
						if columns {
							at = (x*g.in[1]+y)*g.in[0] + z
						}
					}
				}
			}
		}
		dst[o], indices[o] = best, int64(base+at)
		if at < 0 {
			indices[o] = -1
		}
	}
}

// eachWindow makes a Run that computes every output as root of the sum of term over its window.
func eachWindow(b *Bind, g *sliding, planes int, term, root func(float64) float64) Run {
	x, y := b.In[0], b.Out[0]
	return simple(b.split(planes, 1, 4*g.outSize*g.winSize, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for p := lo; p < hi; p++ {
			src, dst := xs[p*g.inSize:(p+1)*g.inSize], ys[p*g.outSize:(p+1)*g.outSize]
			for o := range dst {
				oc := [3]int{o / (g.out[1] * g.out[2]), o / g.out[2] % g.out[1], o % g.out[2]}
				zlo, zhi, z0 := g.taps(0, oc[0])
				ylo, yhi, y0 := g.taps(1, oc[1])
				xlo, xhi, x0 := g.taps(2, oc[2])
				var sum float64
				for i := zlo; i < zhi; i++ {
					for j := ylo; j < yhi; j++ {
						line := ((z0+i*g.dilation[0])*g.in[1] + y0 + j*g.dilation[1]) * g.in[2]
						for k := xlo; k < xhi; k++ {
							sum += term(float64(src[line+x0+k*g.dilation[2]]))
						}
					}
				}
				dst[o] = float32(root(sum))
			}
		}
	}))
}

// bindAveragePool binds AveragePool: the mean of the window's elements inside the input or, with
// count_include_pad, inside the padded input.
func bindAveragePool(b *Bind) (Run, error) {
	g, planes, err := poolGeometry(b)
	if err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	counts := g.windowCounts(b.Node.Int("count_include_pad", 0) != 0)
	x, y := b.In[0], b.Out[0]
	return simple(b.split(planes, 1, g.outSize*g.winSize, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for p := lo; p < hi; p++ {
			meanPlane(ys[p*g.outSize:(p+1)*g.outSize], xs[p*g.inSize:(p+1)*g.inSize], g, &counts)
		}
	})), nil
}

// windowCounts returns, along each axis, how many of the window's places an output's mean counts: those inside
// the input, or inside the padded input.
func (g *sliding) windowCounts(padded bool) (counts [3][]float32) {
	for a := range 3 {
		counts[a] = make([]float32, g.out[a])
		for o := range counts[a] {
			lo, hi, _ := g.taps(a, o)
			if padded {
				lo, hi = 0, g.padded(a, o)
			}
			counts[a][o] = float32(max(hi-lo, 0))
		}
	}
	return counts
}

// padded counts the window's places along one axis that lie in the input or its pads: in ceil mode the last
// window may reach beyond them.
func (g *sliding) padded(a, o int) int {
	room := g.in[a] + g.padEnd[a] + g.pad[a] - o*g.stride[a]
	return max(0, min(g.kernel[a], (room+g.dilation[a]-1)/g.dilation[a]))
}

// meanPlane goes by window elements, as maxPlane does. An empty window gives 0.
func meanPlane(dst, src []float32, g *sliding, counts *[3][]float32) {
	oh, ow := g.out[1], g.out[2]
	for o := range g.out[0] * oh {
		oz, oy := o/oh, o%oh
		zlo, zhi, z0 := g.taps(0, oz)
		ylo, yhi, y0 := g.taps(1, oy)
		row := dst[o*ow : (o+1)*ow]
		clear(row)
		for i := zlo; i < zhi; i++ {
			for j := ylo; j < yhi; j++ {
				line := ((z0+i*g.dilation[0])*g.in[1] + y0 + j*g.dilation[1]) * g.in[2]
				sumLine(row, src[line:line+g.in[2]], g)
			}
		}
		lines := counts[0][oz] * counts[1][oy]
		for i, n := range counts[2] {
			if n *= lines; n > 0 {
				row[i] /= n
			}
		}
	}
}

// sumLine adds one line of the input to a row of outputs.
func sumLine(row, line []float32, g *sliding) {
	stride := g.stride[2]
	for k := range g.kernel[2] {
		offset := k*g.dilation[2] - g.pad[2]
		lo, hi := g.reach(offset, len(line), len(row))
		at := lo*stride + offset
		for i := lo; i < hi; i++ {
			row[i] += line[at]
			at += stride
		}
	}
}

// bindLpPool binds LpPool: (sum |x|^p)^(1/p) over the window.
func bindLpPool(b *Bind) (Run, error) {
	g, planes, err := poolGeometry(b)
	if err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	term, root, err := lpNorm(b)
	if err != nil {
		return nil, err
	}
	return eachWindow(b, g, planes, term, root), nil
}

// lpNorm returns what a norm of the order in attribute p sums, and what it makes of the sum.
func lpNorm(b *Bind) (term, root func(float64) float64, err error) {
	p := float64(b.Node.Int("p", 2))
	switch {
	case p < 1:
		return nil, nil, b.errorf("norm of order %v", p)
	case p == 1:
		return math.Abs, func(s float64) float64 { return s }, nil
	case p == 2:
		return func(v float64) float64 { return v * v }, math.Sqrt, nil
	}
	return func(v float64) float64 { return math.Pow(math.Abs(v), p) },
		func(s float64) float64 { return math.Pow(s, 1/p) }, nil
}

// eachPlane binds a global pool: f makes one number of each plane.
func eachPlane(b *Bind, f func(plane []float32) float32) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	if len(x.Shape) < 2 {
		return nil, b.errorf("cannot pool %v", x.Shape)
	}
	planes, size := x.Shape[0]*x.Shape[1], product(x.Shape[2:])
	if y.Len() != planes || len(y.Shape) != len(x.Shape) {
		return nil, b.errorf("cannot pool %v to %v", x.Shape, y.Shape)
	}
	if size == 0 && planes > 0 {
		return nil, b.errorf("cannot pool planes without elements")
	}
	return simple(b.split(planes, 1, size, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for p := lo; p < hi; p++ {
			ys[p] = f(xs[p*size : (p+1)*size])
		}
	})), nil
}

func bindGlobalAveragePool(b *Bind) (Run, error) {
	return eachPlane(b, func(x []float32) float32 { return float32(float64(kernels.SumRow(x)) / float64(len(x))) })
}

func bindGlobalMaxPool(b *Bind) (Run, error) { return eachPlane(b, kernels.MaxRow) }

func bindGlobalLpPool(b *Bind) (Run, error) {
	term, root, err := lpNorm(b)
	if err != nil {
		return nil, err
	}
	return eachPlane(b, func(x []float32) float32 {
		var sum float64
		for _, v := range x {
			sum += term(float64(v))
		}
		return float32(root(sum))
	})
}

// bindLRN binds LRN (Krizhevsky et al. 2012): y = x / (bias + alpha/size sum x^2)^beta, the sum over size channels around.
func bindLRN(b *Bind) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	batch, c, plane, err := channels(b)
	if err != nil {
		return nil, err
	}
	size := int(b.Node.Int("size", 0))
	if size < 1 {
		return nil, b.errorf("size %d", size)
	}
	alpha, beta := float64(b.Node.Float("alpha", 1e-4)), float64(b.Node.Float("beta", 0.75))
	bias := float64(b.Node.Float("bias", 1))
	x, y := b.In[0], b.Out[0]
	return simple(b.split(batch*c, 1, plane*(size+32), func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for u := lo; u < hi; u++ {
			image, ch := u/c, u%c
			first, last := max(0, ch-(size-1)/2), min(c-1, ch+size/2)
			for p := range plane {
				var sum float64
				for k := first; k <= last; k++ {
					v := float64(xs[(image*c+k)*plane+p])
					sum += float64(v * v)
				}
				scale := bias + float64(alpha/float64(size)*sum)
				ys[u*plane+p] = float32(float64(xs[u*plane+p]) * math.Pow(scale, -beta))
			}
		}
	})), nil
}
