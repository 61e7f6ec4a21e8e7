package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", operands(1, map[string]Binder{
	"Softmax":    func(b *Bind) (Run, error) { return bindSoftmax(b, false) },
	"LogSoftmax": func(b *Bind) (Run, error) { return bindSoftmax(b, true) },
	"Hardmax":    bindHardmax,
}))

// bindSoftmax binds exp(x - m) / sum(exp(x - m)) along an axis, m being the largest x, or its logarithm.
func bindSoftmax(b *Bind, logarithm bool) (Run, error) {
	in, out := b.In[0], b.Out[0]
	axis, err := b.axis("axis", -1, len(in.Shape))
	if err != nil {
		return nil, err
	}
	l := newLanes(in.Shape, axis)
	b.InPlace(0, 0)
	switch dt := in.DType; {
	case dt == tensor.F32 && l.inner == 1:
		row := kernels.SoftmaxRow
		if logarithm {
			row = kernels.LogSoftmaxRow
		}
		return simple(b.split(l.outer, 1, 8*l.n, func(_, lo, hi int) {
			dst, src := out.F32(), in.F32()
			for i := lo; i < hi; i++ {
				row(dst[i*l.n:(i+1)*l.n], src[i*l.n:(i+1)*l.n])
			}
		})), nil
	case dt == tensor.F32 && !logarithm && l.n > 0:
		return softmaxColumns(b, l), nil
	case dt == tensor.F32:
		return softmaxLanes(b, l, logarithm, func(v float32) float64 { return float64(v) }, func(v float64) float32 { return float32(v) }), nil
	case dt == tensor.F64:
		return softmaxLanes(b, l, logarithm, func(v float64) float64 { return v }, func(v float64) float64 { return v }), nil
	case isHalf(dt):
		h := halfOf(dt)
		return softmaxLanes(b, l, logarithm, func(u uint16) float64 { return float64(h.from(u)) },
			func(v float64) uint16 { return h.to(float32(v)) }), nil
	}
	return nil, b.unsupportedType(in.DType)
}

// softmaxColumns is Softmax over the first axis of n x inner blocks, on F32: rows are added up as vectors.
func softmaxColumns(b *Bind, l lanes) Run {
	in, out := b.In[0], b.Out[0]
	acc := b.Scratch(b.parts() * 2 * columns * 4)
	blocks := (l.inner + columns - 1) / columns
	return simple(b.split(l.outer*blocks, 1, 8*l.n*min(l.inner, columns), func(part, lo, hi int) {
		dst, src := out.F32(), in.F32()
		scratch := acc.F32()[part*2*columns:][:2*columns]
		for i := lo; i < hi; i++ {
			c0 := i % blocks * columns
			n := min(columns, l.inner-c0)
			at := i/blocks*l.n*l.inner + c0
			peak, sum := scratch[:n], scratch[columns:][:n]
			copy(peak, src[at:at+n])
			for r := 1; r < l.n; r++ {
				kernels.Max(peak, peak, src[at+r*l.inner:][:n])
			}
			clear(sum)
			for r := range l.n {
				row := dst[at+r*l.inner:][:n]
				kernels.Sub(row, src[at+r*l.inner:][:n], peak)
				kernels.Exp(row, row)
				kernels.Add(sum, sum, row)
			}
			for r := range l.n {
				row := dst[at+r*l.inner:][:n]
				kernels.Div(row, row, sum)
			}
		}
	}))
}

// softmaxLanes takes columns of neighbouring lanes together, so that memory is read in rows.
func softmaxLanes[T tensor.Element](b *Bind, l lanes, logarithm bool, load func(T) float64, store func(float64) T) Run {
	in, out := b.In[0], b.Out[0]
	acc := b.Scratch(b.parts() * 2 * columns * 8)
	blocks := (l.inner + columns - 1) / columns
	return simple(b.split(l.outer*blocks, 1, 40*l.n*min(l.inner, columns), func(part, lo, hi int) {
		dst, src := tensor.View[T](out), tensor.View[T](in)
		scratch := tensor.View[float64](acc)[part*2*columns:][:2*columns]
		for i := lo; i < hi; i++ {
			c0 := i % blocks * columns
			n := min(columns, l.inner-c0)
			at := i/blocks*l.n*l.inner + c0
			peak, sum := scratch[:n], scratch[columns:][:n]
			fillSlice(peak, math.Inf(-1))
			clear(sum)
			for r := range l.n {
				for j, v := range src[at+r*l.inner:][:n] {
					peak[j] = max(peak[j], load(v))
				}
			}
			for r := range l.n {
				for j, v := range src[at+r*l.inner:][:n] {
					sum[j] += math.Exp(load(v) - peak[j])
				}
			}
			for r := range l.n {
				d := dst[at+r*l.inner:][:n]
				for j, v := range src[at+r*l.inner:][:n] {
					x := load(v) - peak[j]
					if logarithm {
						d[j] = store(x - math.Log(sum[j]))
					} else {
						d[j] = store(math.Exp(x) / sum[j])
					}
				}
			}
		}
	}))
}

// bindHardmax binds 1 at the first largest element of each lane, else 0.
func bindHardmax(b *Bind) (Run, error) {
	switch dt := b.In[0].DType; dt {
	case tensor.F32:
		return hardmax(b, func(v float32) float64 { return float64(v) })
	case tensor.F64:
		return hardmax(b, func(v float64) float64 { return v })
	case tensor.F16, tensor.BF16:
		h := halfOf(dt)
		return hardmax(b, func(u uint16) float64 { return float64(h.from(u)) })
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

func hardmax[T tensor.Element](b *Bind, load func(T) float64) (Run, error) {
	in, out := b.In[0], b.Out[0]
	axis, err := b.axis("axis", -1, len(in.Shape))
	if err != nil {
		return nil, err
	}
	l := newLanes(in.Shape, axis)
	one, size := oneBytes(out.DType), out.DType.Size()
	return simple(func() {
		clear(out.Data)
		src := tensor.View[T](in)
		for i := range l.outer * l.inner {
			at, best := l.start(i), 0
			for j := 1; j < l.n; j++ {
				if load(src[at+j*l.inner]) > load(src[at+best*l.inner]) {
					best = j
				}
			}
			if l.n > 0 {
				copy(out.Data[(at+best*l.inner)*size:], one)
			}
		}
	}), nil
}
