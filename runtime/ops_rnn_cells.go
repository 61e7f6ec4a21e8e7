package runtime

import (
	"math"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

func bindRNN(b *Bind) (Run, error) {
	r, err := newRecurrent(b, 1, []int{1}, []string{"Tanh"}, false)
	if err != nil {
		return nil, err
	}
	return r.bind(&rnnCell{})
}

// rnnCell is H = f(X W^T + H R^T + Wb + Rb).
type rnnCell struct{}

func (*rnnCell) step(r *recurrent, dir int, x, rec, h, _ []float32) {
	r.gate(dir, 0, x, rec)
	copy(h, x)
}

func bindLSTM(b *Bind) (Run, error) {
	r, err := newRecurrent(b, 4, []int{4}, []string{"Sigmoid", "Tanh", "Tanh"}, true)
	if err != nil {
		return nil, err
	}
	c := &lstmCell{coupled: b.Node.Int("input_forget", 0) != 0, tmp: b.Scratch(r.hidden * 4)}
	if b.Has(7) {
		c.peepholes = b.In[7]
		if err := needShape(b, "P", c.peepholes, r.dirs, 3*r.hidden); err != nil {
			return nil, err
		}
	}
	return r.bind(c)
}

// lstmCell has the gates i, o, f, c in this order:
//
//	i = f(.. + Pi C)    f = f(.. + Pf C), or 1 - i if coupled    c = g(..)
//	C = f C + i c       o = f(.. + Po C)                         H = o h(C)
type lstmCell struct {
	coupled   bool
	peepholes *tensor.Tensor
	tmp       *tensor.Tensor
}

func (l *lstmCell) step(r *recurrent, dir int, x, rec, h, c []float32) {
	n := r.hidden
	kernels.Add(x, x, rec)
	i, o, f, g := x[:n], x[n:2*n], x[2*n:3*n], x[3*n:]
	tmp := l.tmp.F32()
	var pi, po, pf []float32
	if l.peepholes != nil {
		p := l.peepholes.F32()[dir*3*n : (dir+1)*3*n]
		pi, po, pf = p[:n], p[n:2*n], p[2*n:]
		kernels.Mul(tmp, pi, c)
		kernels.Add(i, i, tmp)
		kernels.Mul(tmp, pf, c)
		kernels.Add(f, f, tmp)
	}
	r.apply(dir, 0, i)
	if l.coupled {
		for j, v := range i {
			f[j] = 1 - v
		}
	} else {
		r.apply(dir, 0, f)
	}
	r.apply(dir, 1, g)
	kernels.Mul(c, c, f)
	kernels.Mul(g, g, i)
	kernels.Add(c, c, g)
	if po != nil {
		kernels.Mul(tmp, po, c)
		kernels.Add(o, o, tmp)
	}
	r.apply(dir, 0, o)
	copy(h, c)
	r.apply(dir, 2, h)
	kernels.Mul(h, h, o)
}

func bindGRU(b *Bind) (Run, error) {
	linear := b.Node.Int("linear_before_reset", 0) != 0
	pieces := []int{2, 1}
	if linear {
		pieces = []int{3}
	}
	r, err := newRecurrent(b, 3, pieces, []string{"Sigmoid", "Tanh"}, false)
	if err != nil {
		return nil, err
	}
	return r.bind(&gruCell{linearBeforeReset: linear, reset: b.Scratch(r.hidden * 4)})
}

// gruCell has the gates z, r, h in this order:
//
//	z = f(..)    r = f(..)    h = g(X Wh^T + Wbh + (r H) Rh^T + Rbh)
//	                          or g(X Wh^T + Wbh + r (H Rh^T + Rbh)) if linearBeforeReset
//	H = (1-z) h + z H
type gruCell struct {
	linearBeforeReset bool
	reset             *tensor.Tensor
}

func (g *gruCell) step(r *recurrent, dir int, x, rec, h, _ []float32) {
	n := r.hidden
	r.gate(dir, 0, x[:2*n], rec[:2*n])
	z, reset, cand, rec := x[:n], x[n:2*n], x[2*n:], rec[2*n:]
	if g.linearBeforeReset {
		if r.bias != nil {
			kernels.Add(rec, rec, r.bias.F32()[(dir*6+5)*n:][:n])
		}
		kernels.Mul(rec, rec, reset)
	} else {
		tmp := g.reset.F32()
		kernels.Mul(tmp, reset, h)
		r.recurrent[dir][1].run(rec, n, tmp, n, 1, r.scratch.Data)
	}
	r.gate(dir, 1, cand, rec)
	for i, v := range z {
		h[i] = float32((1-v)*cand[i]) + float32(v*h[i])
	}
}

// gateFunc is an activation function of a recurrent cell.
type gateFunc struct {
	vector kernels.Activation    // if its Kind is set
	scalar func(float64) float64 // otherwise
}

func (g *gateFunc) apply(x []float32) {
	if g.vector.Kind != kernels.ActNone {
		kernels.Activate(x, x, g.vector)
		return
	}
	for i, v := range x {
		x[i] = float32(g.scalar(float64(v)))
	}
}

// gateParams says which of alpha and beta a function takes, and their defaults.
var gateParams = map[string]struct {
	n           int
	alpha, beta float64
}{
	"Relu": {}, "Tanh": {}, "Sigmoid": {}, "Softsign": {}, "Softplus": {},
	"LeakyRelu": {1, 0.01, 0}, "ThresholdedRelu": {1, 1, 0}, "Elu": {1, 1, 0},
	"Affine": {2, 1, 0}, "ScaledTanh": {2, 1, 1}, "HardSigmoid": {2, 0.2, 0.5},
}

// gateFunctions reads activations, activation_alpha and activation_beta. The lists of parameters
// have an entry for each function that takes one, in order.
func gateFunctions(b *Bind, defaults []string, dirs int) ([]gateFunc, error) {
	names := b.Node.Attrs["activations"].Strs
	if names == nil {
		for range dirs {
			names = append(names, defaults...)
		}
	}
	if len(names) != dirs*len(defaults) {
		return nil, b.errorf("%d activations for %d", len(names), dirs*len(defaults))
	}
	alphas, betas := b.Node.Floats("activation_alpha"), b.Node.Floats("activation_beta")
	var out []gateFunc
	for _, name := range names {
		p, ok := gateParams[name]
		if !ok {
			return nil, b.errorf("unknown activation %q", name)
		}
		if p.n > 0 && len(alphas) > 0 {
			p.alpha, alphas = float64(alphas[0]), alphas[1:]
		}
		if p.n > 1 && len(betas) > 0 {
			p.beta, betas = float64(betas[0]), betas[1:]
		}
		out = append(out, newGateFunc(name, p.alpha, p.beta))
	}
	return out, nil
}

func newGateFunc(name string, alpha, beta float64) gateFunc {
	vector := func(k kernels.ActKind) gateFunc {
		return gateFunc{vector: kernels.Activation{Kind: k, Alpha: float32(alpha)}}
	}
	switch name {
	case "Relu":
		return vector(kernels.ActRelu)
	case "Tanh":
		return vector(kernels.ActTanh)
	case "Sigmoid":
		return vector(kernels.ActSigmoid)
	case "LeakyRelu":
		return vector(kernels.ActLeakyRelu)
	}
	scalar := map[string]func(float64) float64{
		"Softsign": func(v float64) float64 { return v / (1 + math.Abs(v)) },
		"Softplus": func(v float64) float64 { return math.Max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) },
		"ThresholdedRelu": func(v float64) float64 {
			if v > alpha {
				return v
			}
			return 0
		},
		"Elu": func(v float64) float64 {
			if v >= 0 {
				return v
			}
			return alpha * math.Expm1(v)
		},
		"Affine":      func(v float64) float64 { return float64(alpha*v) + beta },
		"ScaledTanh":  func(v float64) float64 { return alpha * math.Tanh(beta*v) },
		"HardSigmoid": func(v float64) float64 { return max(0, min(1, float64(alpha*v)+beta)) },
	}
	return gateFunc{scalar: scalar[name]}
}
