package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{
	"BatchNormalization":        widened(bindBatchNorm),
	"InstanceNormalization":     widened(bindInstanceNorm),
	"GroupNormalization":        widened(bindGroupNorm),
	"LayerNormalization":        widened(bindLayerNorm),
	"RMSNormalization":          widened(bindRMSNorm),
	"LpNormalization":           widened(bindLpNorm),
	"MeanVarianceNormalization": widened(bindMeanVariance),
}))

// channels checks an input [batch, C, ...] and an output of the same shape, and returns the axes.
func channels(b *Bind) (batch, c, size int, err error) {
	x := b.In[0].Shape
	if len(x) < 2 {
		return 0, 0, 0, b.errorf("input of shape %v has no channel axis", x)
	}
	return x[0], x[1], product(x[2:]), needShape(b, "the output", b.Out[0], x...)
}

// bindBatchNorm binds BatchNormalization: y = (x-mean)/sqrt(var+epsilon) scale + bias per channel, with the given
// statistics or, in training mode, those of the batch, which then update the running ones.
func bindBatchNorm(b *Bind) (Run, error) {
	if err := needInputs(b, 5); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2, 3, 4); err != nil {
		return nil, err
	}
	batch, c, size, err := channels(b)
	if err != nil {
		return nil, err
	}
	for i := 1; i < 5; i++ {
		if err := needShape(b, "a parameter", b.In[i], c); err != nil {
			return nil, err
		}
	}
	training := b.Node.Int("training_mode", 0) != 0
	eps, momentum := float64(b.Node.Float("epsilon", 1e-5)), float64(b.Node.Float("momentum", 0.9))
	for i := 1; i <= 2; i++ {
		if !b.HasOut(i) {
			continue
		}
		if !training {
			return nil, b.errorf("running statistics are updated in training mode only")
		}
		if err := needShape(b, "a running statistic", b.Out[i], c); err != nil {
			return nil, err
		}
	}
	if !training {
		b.InPlace(0, 0)
	}
	x, y := b.In[0], b.Out[0]
	return simple(b.split(c, 1, 2*batch*size, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for ch := lo; ch < hi; ch++ {
			mean, variance := float64(b.In[3].F32()[ch]), float64(b.In[4].F32()[ch])
			if training {
				m, v := channelMoments(xs, batch, c, size, ch)
				for i, s := range [2]float64{m, v} {
					if b.HasOut(1 + i) {
						b.Out[1+i].F32()[ch] = float32(float64(b.In[3+i].F32()[ch])*momentum + s*(1-momentum))
					}
				}
				mean, variance = m, v
			}
			scale := float64(b.In[1].F32()[ch]) / math.Sqrt(variance+eps)
			shift := float32(float64(b.In[2].F32()[ch]) - mean*scale)
			for i := range batch {
				at := (i*c + ch) * size
				row := ys[at : at+size]
				kernels.Scale(row, xs[at:at+size], float32(scale))
				kernels.AddScalar(row, row, shift)
			}
		}
	})), nil
}

// channelMoments returns the mean and variance of one channel over the batch.
func channelMoments(x []float32, batch, c, size, ch int) (mean, variance float64) {
	n := float64(batch * size)
	for i := range batch {
		for _, v := range x[(i*c+ch)*size:][:size] {
			mean += float64(v)
		}
	}
	mean /= n
	for i := range batch {
		for _, v := range x[(i*c+ch)*size:][:size] {
			d := float64(v) - mean
			variance += float64(d * d)
		}
	}
	return mean, variance / n
}

// moments returns the mean and variance of x, summed in double precision in a second pass.
func moments(x []float32) (mean, variance float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		d := float64(v) - mean
		variance += float64(d * d)
	}
	return mean, variance / float64(len(x))
}

// bindInstanceNorm binds InstanceNormalization: each channel of each image is normalized by itself.
func bindInstanceNorm(b *Bind) (Run, error) {
	return bindGroups(b, func(c int) (int, error) { return c, nil })
}

// bindGroupNorm binds GroupNormalization: num_groups groups of channels are normalized together.
func bindGroupNorm(b *Bind) (Run, error) {
	return bindGroups(b, func(c int) (int, error) {
		g := int(b.Node.Int("num_groups", 0))
		if g < 1 || c%g != 0 {
			return 0, b.errorf("%d groups of %d channels", g, c)
		}
		return g, nil
	})
}

// bindGroups normalizes groups of channels: y = (x-mean)/sqrt(var+epsilon) scale[c] + bias[c].
func bindGroups(b *Bind, groupsOf func(channels int) (int, error)) (Run, error) {
	if err := needInputs(b, 3); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2); err != nil {
		return nil, err
	}
	batch, c, size, err := channels(b)
	if err != nil {
		return nil, err
	}
	groups, err := groupsOf(c)
	if err != nil {
		return nil, err
	}
	for i := 1; i < 3; i++ {
		if err := needShape(b, "a parameter", b.In[i], c); err != nil {
			return nil, err
		}
	}
	eps := float64(b.Node.Float("epsilon", 1e-5))
	x, scale, bias, y := b.In[0], b.In[1], b.In[2], b.Out[0]
	per := 0
	if groups > 0 {
		per = c / groups
	}
	b.InPlace(0, 0)
	return simple(b.split(batch*groups, 1, 4*per*size, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for u := lo; u < hi; u++ {
			at := u * per * size
			mean, variance := moments(xs[at : at+per*size])
			inv := 1 / math.Sqrt(variance+eps)
			for i := range per {
				ch := u%groups*per + i
				row := ys[at+i*size:][:size]
				kernels.AddScalar(row, xs[at+i*size:][:size], float32(-mean))
				kernels.Scale(row, row, float32(inv*float64(scale.F32()[ch])))
				kernels.AddScalar(row, row, bias.F32()[ch])
			}
		}
	})), nil
}

// normRows checks an input normalized over the axes from attribute axis on, with parameters that
// broadcast to them, and returns the number of rows and their length.
func normRows(b *Bind, params ...int) (rows, n int, err error) {
	x := b.In[0].Shape
	axis, err := b.axis("axis", -1, len(x))
	if err != nil {
		return 0, 0, err
	}
	if err := needShape(b, "the output", b.Out[0], x...); err != nil {
		return 0, 0, err
	}
	rows, n = product(x[:axis]), product(x[axis:])
	for _, i := range params {
		if b.Has(i) && b.In[i].Len() != n {
			return 0, 0, b.errorf("a parameter of shape %v for rows of %v", b.In[i].Shape, x[axis:])
		}
	}
	return rows, n, nil
}

// bindLayerNorm binds LayerNormalization over the axes from axis on, and its outputs Mean and InvStdDev.
func bindLayerNorm(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1, 2); err != nil {
		return nil, err
	}
	rows, n, err := normRows(b, 1, 2)
	if err != nil {
		return nil, err
	}
	for i := 1; i < 3; i++ {
		if b.HasOut(i) && (b.Out[i].Len() != rows || b.Out[i].DType != tensor.F32) {
			return nil, b.errorf("a statistic as %v for %d rows", b.Out[i], rows)
		}
	}
	eps := b.Node.Float("epsilon", 1e-5)
	statistics := b.HasOut(1) || b.HasOut(2)
	if !statistics {
		b.InPlace(0, 0)
	}
	x, scale, y := b.In[0], b.In[1], b.Out[0]
	return simple(b.split(rows, 1, 2*n, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		var bias []float32
		if b.Has(2) {
			bias = b.In[2].F32()
		}
		for r := lo; r < hi; r++ {
			row := xs[r*n : (r+1)*n]
			kernels.LayerNormRow(ys[r*n:(r+1)*n], row, scale.F32(), bias, eps)
			if !statistics {
				continue
			}
			mean, variance := moments(row)
			if b.HasOut(1) {
				b.Out[1].F32()[r] = float32(mean)
			}
			if b.HasOut(2) {
				b.Out[2].F32()[r] = float32(1 / math.Sqrt(variance+float64(eps)))
			}
		}
	})), nil
}

// bindRMSNorm binds RMSNormalization over the axes from axis on.
func bindRMSNorm(b *Bind) (Run, error) {
	if err := needInputs(b, 2); err != nil {
		return nil, err
	}
	if err := needF32(b, 0, 1); err != nil {
		return nil, err
	}
	rows, n, err := normRows(b)
	if err != nil {
		return nil, err
	}
	x, scale, y := b.In[0], b.In[1], b.Out[0]
	full := scale.Len() == n
	if !full && scale.Len() != 1 {
		return nil, b.errorf("scale of shape %v for rows of %d", scale.Shape, n)
	}
	eps := b.Node.Float("epsilon", 1e-5)
	b.InPlace(0, 0)
	return simple(b.split(rows, 1, n, func(_, lo, hi int) {
		xs, ys, s := x.F32(), y.F32(), scale.F32()
		for r := lo; r < hi; r++ {
			row := ys[r*n : (r+1)*n]
			if full {
				kernels.RMSNormRow(row, xs[r*n:(r+1)*n], s, eps)
				continue
			}
			kernels.RMSNormRow(row, xs[r*n:(r+1)*n], nil, eps)
			kernels.Scale(row, row, s[0])
		}
	})), nil
}

// bindLpNorm binds LpNormalization: x divided by its norm, p of 1 or 2, along an axis; a norm of 0 gives 0.
func bindLpNorm(b *Bind) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	axis, err := b.axis("axis", -1, len(x.Shape))
	if err != nil {
		return nil, err
	}
	if err := needShape(b, "the output", y, x.Shape...); err != nil {
		return nil, err
	}
	p := b.Node.Int("p", 2)
	if p != 1 && p != 2 {
		return nil, b.errorf("norm of order %d", p)
	}
	n, inner := x.Shape[axis], product(x.Shape[axis+1:])
	b.InPlace(0, 0)
	return simple(b.split(product(x.Shape[:axis])*inner, 1, 2*n, func(_, lo, hi int) {
		xs, ys := x.F32(), y.F32()
		for u := lo; u < hi; u++ {
			at := u/inner*n*inner + u%inner
			var sum float64
			for i := range n {
				v := float64(xs[at+i*inner])
				if p == 2 {
					sum += float64(v * v)
				} else {
					sum += math.Abs(v)
				}
			}
			if p == 2 {
				sum = math.Sqrt(sum)
			}
			for i := range n {
				if o := at + i*inner; sum == 0 {
					ys[o] = 0
				} else {
					ys[o] = float32(float64(xs[o]) / sum)
				}
			}
		}
	})), nil
}

// bindMeanVariance binds MeanVarianceNormalization: (x-mean)/(deviation + 1e-9) over attribute axes.
func bindMeanVariance(b *Bind) (Run, error) {
	if err := needInputs(b, 1); err != nil {
		return nil, err
	}
	if err := needF32(b, 0); err != nil {
		return nil, err
	}
	x, y := b.In[0], b.Out[0]
	if err := needShape(b, "the output", y, x.Shape...); err != nil {
		return nil, err
	}
	rank := len(x.Shape)
	axes := b.Node.Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	over := make([]bool, rank)
	for _, a := range axes {
		i, err := b.normAxis(int(a), rank)
		if err != nil {
			return nil, err
		}
		over[i] = true
	}
	// Element i belongs to group of[i]: its place along the axes that are kept.
	groups := 1
	step := make([]int, rank)
	for a := rank - 1; a >= 0; a-- {
		if !over[a] {
			step[a] = groups
			groups *= x.Shape[a]
		}
	}
	of := groupIndex(x.Shape, step)
	sums, squares := make([]float64, groups), make([]float64, groups)
	b.InPlace(0, 0)
	return func() error {
		clear(sums)
		clear(squares)
		xs, ys := x.F32(), y.F32()
		if len(xs) == 0 {
			return nil
		}
		n := float64(len(xs) / groups)
		for i, v := range xs {
			sums[of[i]] += float64(v)
		}
		for i, v := range xs {
			d := float64(v) - sums[of[i]]/n
			squares[of[i]] += float64(d * d)
		}
		for i, v := range xs {
			g := of[i]
			ys[i] = float32((float64(v) - sums[g]/n) / (math.Sqrt(squares[g]/n) + 1e-9))
		}
		return nil
	}, nil
}

// groupIndex returns, for every element of a row-major tensor, the sum of its coordinates times step.
func groupIndex(shape, step []int) []int32 {
	of := make([]int32, product(shape))
	coord := make([]int, len(shape))
	for i := range of {
		at := 0
		for a, c := range coord {
			at += c * step[a]
		}
		of[i] = int32(at)
		for a := len(coord) - 1; a >= 0; a-- {
			if coord[a]++; coord[a] < shape[a] {
				break
			}
			coord[a] = 0
		}
	}
	return of
}
