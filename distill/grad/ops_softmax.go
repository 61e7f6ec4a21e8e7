package grad

import "github.com/dsk-toolkit/dsk/kernels"

var _ = register("", map[string]binder{"Softmax": softmax(false), "LogSoftmax": softmax(true)})

// softmax makes a binder of Softmax, or of LogSoftmax, along an axis. With g the gradient of y
//
//	Softmax:    dx = y (g - sum g y)
//	LogSoftmax: dx = g - exp(y) sum g
func softmax(log bool) binder {
	return func(b *binding, s *step) error {
		if err := b.floats(0); err != nil {
			return err
		}
		x, y := b.in[0], b.out[0]
		axis, err := b.axis("axis", -1, len(x.shape))
		if err != nil {
			return err
		}
		n, inner := x.shape[axis], product(x.shape[axis+1:])
		rows := x.n / n
		size := 3 * n
		scratch := b.scratch(b.parts() * size)
		// row returns where row r of the axis lies.
		row := func(r int) int { return r/inner*n*inner + r%inner }
		s.forward = run(b.split(rows, 4*n, func(part, lo, hi int) {
			in, out := scratch.data[part*size:][:n], scratch.data[part*size+n:][:n]
			for r := lo; r < hi; r++ {
				pick(in, x.x()[row(r):], inner)
				if log {
					kernels.LogSoftmaxRow(out, in)
				} else {
					kernels.SoftmaxRow(out, in)
				}
				put(y.x()[row(r):], out, inner)
			}
		}))
		backRow := func(d, out, g []float32) {
			if log {
				kernels.Exp(d, out)
				kernels.Scale(d, d, -kernels.SumRow(g))
				kernels.Add(d, d, g)
				return
			}
			kernels.AddScalar(d, g, -kernels.Dot(g, out))
			kernels.Mul(d, d, out)
		}
		prepare := b.elements(x.n, func(lo, hi int) { x.sink(lo, hi) })
		s.backward = all(prepare, b.split(rows, 4*n, func(part, lo, hi int) {
			at := scratch.data[part*size : (part+1)*size]
			d, out, g := at[:n], at[n:2*n], at[2*n:]
			for r := lo; r < hi; r++ {
				pick(out, y.x()[row(r):], inner)
				pick(g, y.dy()[row(r):], inner)
				backRow(d, out, g)
				axpy(n, 1, d, 1, x.root.grad[row(r):], inner)
			}
		}))
		return nil
	}
}

// pick copies elements in steps of step.
func pick(dst, src []float32, step int) {
	if step == 1 {
		copy(dst, src)
		return
	}
	for i := range dst {
		dst[i] = src[i*step]
	}
}

// put is the inverse of pick.
func put(dst, src []float32, step int) {
	if step == 1 {
		copy(dst, src)
		return
	}
	for i, v := range src {
		dst[i*step] = v
	}
}
