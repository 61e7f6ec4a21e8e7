package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
)

var _ = register("", map[string]binder{
	"BatchNormalization": bindBatchNorm, "LayerNormalization": layerNorm(true), "RMSNormalization": layerNorm(false),
})

// layerNorm makes a binder of LayerNormalization (Ba et al. 2016) or, if it is not centered, RMSNormalization (Zhang and Sennrich
// 2019). With h = (x - mean) / sqrt(var + eps), or x / sqrt(mean x^2 + eps), y = h scale + bias, and g = dy scale
//
//	dx = (g - mean(g) - h mean(g h)) / sqrt(var + eps)
//
// where mean(g) is left out if it is not centered.
func layerNorm(centered bool) binder {
	return func(b *binding, s *step) error {
		if err := b.floats(0, 1, 2); err != nil {
			return err
		}
		if len(b.out) > 1 && (b.out[1] != nil || len(b.out) > 2 && b.out[2] != nil) {
			return unsupported("the statistics as outputs")
		}
		x, scale, y := b.in[0], b.in[1], b.out[0]
		axis, err := b.axis("axis", -1, len(x.shape))
		if err != nil {
			return err
		}
		n := product(x.shape[axis:])
		rows := x.n / n
		var bias *operand
		if b.has(2) {
			bias = b.in[2]
		}
		if scale.n != n || bias != nil && bias.n != n {
			return unsupported("a scale of other dimensions than the normalized ones")
		}
		eps := b.node.Float("epsilon", 1e-5)
		mean, inv := b.scratch(rows), b.scratch(rows)
		normal := b.scratch(b.parts() * n)
		// unit writes h of a row.
		unit := func(h []float32, r int) {
			kernels.AddScalar(h, x.x()[r*n:], -mean.data[r])
			kernels.Scale(h, h, inv.data[r])
		}
		s.forward = run(b.split(rows, n, func(_, lo, hi int) {
			for r := lo; r < hi; r++ {
				row, out := x.x()[r*n:(r+1)*n], y.x()[r*n:(r+1)*n]
				if mean.data[r] = 0; centered {
					mean.data[r] = float32(float64(kernels.SumRow(row)) / float64(n))
				}
				kernels.AddScalar(out, row, -mean.data[r])
				inv.data[r] = float32(1 / math.Sqrt(float64(kernels.Dot(out, out))/float64(n)+float64(eps)))
				kernels.Scale(out, out, inv.data[r])
				kernels.Mul(out, out, scale.x())
				if bias != nil {
					kernels.Add(out, out, bias.x())
				}
			}
		}))
		var backX, backScale, backBias func()
		if x.needs {
			grads := b.scratch(b.parts() * n)
			backX = b.split(rows, n, func(part, lo, hi int) {
				h, g := normal.data[part*n:(part+1)*n], grads.data[part*n:(part+1)*n]
				for r := lo; r < hi; r++ {
					unit(h, r)
					kernels.Mul(g, y.dy()[r*n:], scale.x())
					share := kernels.Dot(g, h) / float32(n)
					if centered {
						kernels.AddScalar(g, g, -kernels.SumRow(g)/float32(n))
					}
					kernels.Axpy(g, h, -share)
					if dx := x.root.grad[r*n : (r+1)*n]; x.add {
						kernels.Axpy(dx, g, inv.data[r])
					} else {
						kernels.Scale(dx, g, inv.data[r])
					}
				}
			})
		}
		if scale.needs {
			backScale = b.chunked(scale, rows, n, func(part int, sum []float32, lo, hi int) {
				h := normal.data[part*n : (part+1)*n]
				for r := lo; r < hi; r++ {
					unit(h, r)
					kernels.Mul(h, h, y.dy()[r*n:])
					kernels.Add(sum, sum, h)
				}
			})
		}
		if b.needs(2) {
			backBias = b.chunked(bias, rows, n, func(_ int, sum []float32, lo, hi int) {
				for r := lo; r < hi; r++ {
					kernels.Add(sum, sum, y.dy()[r*n:])
				}
			})
		}
		s.backward = all(backX, backScale, backBias)
		return nil
	}
}

// batchNorm is BatchNormalization (Ioffe and Szegedy 2015) over [batch, channels, inner]: a channel's elements are normalized by
// their own statistics, which move the running ones, or by the running ones.
type batchNorm struct {
	x, scale, bias, mean, variance *operand
	y                              *value
	batch, channels, inner         int
	eps, momentum                  float32
	train                          bool
	center, inv                    *buffer // per channel, of the last forward
}

func bindBatchNorm(b *binding, s *step) error {
	if err := b.floats(0, 1, 2, 3, 4); err != nil {
		return err
	}
	if err := b.fixed(3, 4); err != nil {
		return err
	}
	if len(b.in[0].shape) < 2 {
		return unsupported("a single channel")
	}
	c := b.in[0].shape[1]
	v := &batchNorm{x: b.in[0], scale: b.in[1], bias: b.in[2], mean: b.in[3], variance: b.in[4], y: b.out[0], batch: b.in[0].shape[0],
		channels: c, inner: product(b.in[0].shape[2:]), eps: b.node.Float("epsilon", 1e-5), momentum: b.node.Float("momentum", 0.9),
		train: b.tape.o.BatchStats, center: b.scratch(c), inv: b.scratch(c)}
	cost := v.batch * v.inner
	s.forward = run(b.split(c, cost, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			v.forward(i)
		}
	}))
	s.backward = b.split(c, cost, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			v.backward(i)
		}
	})
	return nil
}

// at returns where the elements of a channel of a picture begin.
func (v *batchNorm) at(picture, channel int) int { return (picture*v.channels + channel) * v.inner }

func (v *batchNorm) forward(c int) {
	mean, variance := float64(v.mean.x()[c]), float64(v.variance.x()[c])
	if v.train {
		n := float64(v.batch * v.inner)
		mean = 0
		for i := range v.batch {
			mean += float64(kernels.SumRow(v.x.x()[v.at(i, c):][:v.inner]))
		}
		mean /= n
		variance = 0
		for i := range v.batch {
			out := v.y.x()[v.at(i, c):][:v.inner]
			kernels.AddScalar(out, v.x.x()[v.at(i, c):], float32(-mean))
			variance += float64(kernels.Dot(out, out))
		}
		variance /= n
		keep := float64(v.momentum)
		v.mean.x()[c] = float32(keep*float64(v.mean.x()[c]) + (1-keep)*mean)
		v.variance.x()[c] = float32(keep*float64(v.variance.x()[c]) + (1-keep)*variance)
	}
	v.center.data[c] = float32(mean)
	v.inv.data[c] = float32(1 / math.Sqrt(variance+float64(v.eps)))
	a := v.inv.data[c] * v.scale.x()[c]
	for i := range v.batch {
		out := v.y.x()[v.at(i, c):][:v.inner]
		if !v.train { // else it is centered already
			kernels.AddScalar(out, v.x.x()[v.at(i, c):], -v.center.data[c])
		}
		kernels.Scale(out, out, a)
		kernels.AddScalar(out, out, v.bias.x()[c])
	}
}

// backward is, with h the normalized elements, g = dy and n their number,
//
//	dbias = sum g,  dscale = sum g h,  dx = scale inv (g - dbias/n - h dscale/n)
//
// without the last two terms if the statistics are constants. As h = (x - center) inv, dx is a sum of g, x and a number, each with a
// factor that is the channel's.
func (v *batchNorm) backward(c int) {
	var sum, dot float64
	for i := range v.batch {
		g := v.y.dy()[v.at(i, c):][:v.inner]
		sum += float64(kernels.SumRow(g))
		dot += float64(kernels.Dot(g, v.x.x()[v.at(i, c):]))
	}
	inv, center := v.inv.data[c], float64(v.center.data[c])
	dot = (dot - center*sum) * float64(inv)
	if v.scale.needs {
		v.scale.sink(c, c+1)[0] += float32(dot)
	}
	if v.bias.needs {
		v.bias.sink(c, c+1)[0] += float32(sum)
	}
	if !v.x.needs {
		return
	}
	n := float64(v.batch * v.inner)
	ofG := inv * v.scale.x()[c]
	ofX := -float64(ofG*inv) * dot / n
	number := -ofX*center - float64(ofG)*sum/n
	for i := range v.batch {
		at := v.at(i, c)
		dx := v.x.root.grad[at : at+v.inner]
		if v.x.add {
			kernels.Axpy(dx, v.y.dy()[at:], ofG)
		} else {
			kernels.Scale(dx, v.y.dy()[at:], ofG)
		}
		if v.train {
			kernels.Axpy(dx, v.x.x()[at:], float32(ofX))
			kernels.AddScalar(dx, dx, float32(number))
		}
	}
}
