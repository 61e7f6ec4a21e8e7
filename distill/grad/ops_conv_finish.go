package grad

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

// keptActivation returns the activation of a dsk.Conv, and whether its derivative can be told from its result alone.
func keptActivation(n *model.Node) (kernels.Activation, bool) {
	params := n.Floats("activation_params")
	switch n.Str("activation", model.ActNone) {
	case model.ActNone:
		return kernels.Activation{}, true
	case model.ActRelu:
		return kernels.Activation{Kind: kernels.ActRelu}, true
	case model.ActClip:
		if len(params) == 2 {
			return kernels.Activation{Kind: kernels.ActClip, Alpha: params[0], Beta: params[1]}, true
		}
	case model.ActLeakyRelu:
		if len(params) == 1 && params[0] > 0 && params[0] <= 1 {
			return kernels.Activation{Kind: kernels.ActLeakyRelu, Alpha: params[0]}, true
		}
	}
	return kernels.Activation{}, false
}

// pass writes to g the gradient of elements that the activation made y of, given that of y. At a limit nothing passes.
func (v *conv) pass(g, dy, y []float32) {
	low, high, slope := float32(0), float32(math.Inf(1)), float32(0)
	switch v.act.Kind {
	case kernels.ActLeakyRelu:
		slope = v.act.Alpha
	case kernels.ActClip:
		low, high = v.act.Alpha, v.act.Beta
	}
	kernels.Pass(g, dy, y, low, high, slope)
}

// dy returns the gradient of the sums: what bindFinish makes of the output's.
func (v *conv) dy() []float32 {
	if v.sums != nil {
		return v.sums.data
	}
	return v.out.dy()
}

// bindFinish adds bias, Z and the activation to what forward and backward do.
func (v *conv) bindFinish(b *binding, s *step) {
	if v.bias == nil && v.z == nil && v.act.Kind == kernels.ActNone {
		return
	}
	forward := s.forward
	finish := b.split(v.batch, v.y.ns, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			dst := v.out.x()[i*v.y.ns : (i+1)*v.y.ns]
			if v.bias != nil {
				v.addBias(dst)
			}
			if v.z != nil {
				kernels.Add(dst, dst, v.z.x()[i*v.y.ns:])
			}
			if v.act.Kind != kernels.ActNone {
				kernels.Activate(dst, dst, v.act)
			}
		}
	})
	s.forward = func() error {
		if err := forward(); err != nil {
			return err
		}
		finish()
		return nil
	}
	var before, backBias func()
	if v.sums != nil || v.z != nil && v.z.needs {
		before = b.split(v.batch, v.y.ns, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				at, end := i*v.y.ns, (i+1)*v.y.ns
				if v.sums != nil {
					v.pass(v.sums.data[at:end], v.out.dy()[at:end], v.out.x()[at:end])
				}
				if v.z != nil && v.z.needs {
					v.z.give(v.dy()[at:end], at)
				}
			}
		})
	}
	if v.bias != nil && v.bias.needs {
		backBias = b.chunked(v.bias, v.batch, v.y.ns, func(_ int, sum []float32, lo, hi int) {
			for i := lo; i < hi; i++ {
				v.sumBias(sum, v.dy()[i*v.y.ns:(i+1)*v.y.ns])
			}
		})
	}
	s.backward = all(before, s.backward, backBias)
}

// anyGradient reports whether some operand wants a gradient.
func (v *conv) anyGradient() bool {
	return v.in.needs || v.weights.needs || v.bias != nil && v.bias.needs || v.z != nil && v.z.needs
}

// addBias adds the bias to a picture of Y.
func (v *conv) addBias(dst []float32) {
	if v.last {
		for p := range v.p {
			row := dst[p*v.y.c : (p+1)*v.y.c]
			kernels.Add(row, row, v.bias.x())
		}
		return
	}
	for c, a := range v.bias.x() {
		kernels.AddScalar(dst[c*v.p:(c+1)*v.p], dst[c*v.p:], a)
	}
}

// sumBias adds the gradients of a picture's pixels to those of the channels.
func (v *conv) sumBias(sum, dy []float32) {
	if v.last {
		for p := range v.p {
			kernels.Add(sum, sum, dy[p*v.y.c:])
		}
		return
	}
	for c := range sum {
		sum[c] += kernels.SumRow(dy[c*v.p : (c+1)*v.p])
	}
}
