// Package distill trains students: losses against labels and a teacher, optimizers, the augmentation of pictures, checkpoints
// that resume to the same bytes, and untrained models from a line of text. Derivatives are distill/grad's.
package distill

import (
	"math"

	"github.com/dsk-toolkit/dsk/distill/grad"
	"github.com/dsk-toolkit/dsk/kernels"
)

// Optimizer changes parameters by their gradients. Its state is part of a checkpoint.
type Optimizer interface {
	// Step changes values, the concatenation of all parameters, by their gradients at a learning rate. step counts from 1.
	Step(values, grads []float32, rate float64, step int)
	// State returns the optimizer's memory, as long as the parameters each; a checkpoint overwrites it.
	State() [][]float32
}

// span is a range of parameters with the weight decay that applies to it.
type span struct {
	lo, hi int
	decay  float32
}

// spans gives matrices the decay, and vectors (biases, the scales of normalizations) none.
func spans(params []grad.Param, decay float64) []span {
	var list []span
	at := 0
	for _, p := range params {
		s := span{at, at + len(p.Value), 0}
		if at = s.hi; len(p.Shape) > 1 {
			s.decay = float32(decay)
		}
		list = append(list, s)
	}
	return list
}

// blockElements is how many elements are worked on at once.
const blockElements = 4096

// SGD is gradient descent with momentum (Polyak 1964; Sutskever et al. 2013). With d = g + decay w
//
//	v = momentum v + d,  w -= rate v,  or w -= rate (d + momentum v) with Nesterov's form
type SGD struct {
	momentum float32
	nesterov bool
	spans    []span
	velocity []float32
	work     []float32
}

// NewSGD returns an optimizer of params, in the order of grad.Tape.Flat.
func NewSGD(params []grad.Param, momentum, decay float64, nesterov bool) *SGD {
	s := &SGD{momentum: float32(momentum), nesterov: nesterov, spans: spans(params, decay), work: make([]float32, blockElements)}
	s.velocity = make([]float32, count(params))
	return s
}

func count(params []grad.Param) int {
	n := 0
	for _, p := range params {
		n += len(p.Value)
	}
	return n
}

// State is the velocity.
func (s *SGD) State() [][]float32 { return [][]float32{s.velocity} }

// Step implements Optimizer.
func (s *SGD) Step(values, grads []float32, rate float64, _ int) {
	for _, sp := range s.spans {
		for lo := sp.lo; lo < sp.hi; lo += blockElements {
			hi := min(lo+blockElements, sp.hi)
			w, g, v := values[lo:hi], grads[lo:hi], s.velocity[lo:hi]
			d := s.work[:hi-lo]
			copy(d, g)
			kernels.Axpy(d, w, sp.decay)
			kernels.Scale(v, v, s.momentum)
			kernels.Add(v, v, d)
			if s.nesterov {
				kernels.Axpy(d, v, s.momentum)
			} else {
				copy(d, v)
			}
			kernels.Axpy(w, d, float32(-rate))
		}
	}
}

// AdamW is Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019):
//
//	m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2
//	w -= rate (m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps) + decay w)
type AdamW struct {
	beta1, beta2, eps float64
	spans             []span
	m, v              []float32
	work              []float32
}

// NewAdamW returns an optimizer of params, in the order of grad.Tape.Flat, with b1 = .9 and eps = 1e-8.
func NewAdamW(params []grad.Param, beta2, decay float64) *AdamW {
	n := count(params)
	return &AdamW{beta1: 0.9, beta2: beta2, eps: 1e-8, spans: spans(params, decay),
		m: make([]float32, n), v: make([]float32, n), work: make([]float32, blockElements)}
}

// State has both moments.
func (a *AdamW) State() [][]float32 { return [][]float32{a.m, a.v} }

// Step implements Optimizer.
func (a *AdamW) Step(values, grads []float32, rate float64, step int) {
	c1, c2 := 1-math.Pow(a.beta1, float64(step)), 1-math.Pow(a.beta2, float64(step))
	root := math.Sqrt(c2)
	for _, sp := range a.spans {
		for lo := sp.lo; lo < sp.hi; lo += blockElements {
			hi := min(lo+blockElements, sp.hi)
			w, g, m, v := values[lo:hi], grads[lo:hi], a.m[lo:hi], a.v[lo:hi]
			d := a.work[:hi-lo]
			kernels.Scale(m, m, float32(a.beta1))
			kernels.Axpy(m, g, float32(1-a.beta1))
			kernels.Mul(d, g, g)
			kernels.Scale(v, v, float32(a.beta2))
			kernels.Axpy(v, d, float32(1-a.beta2))
			// m/c1 / (sqrt(v/c2) + eps) = m root/c1 / (sqrt v + eps root)
			kernels.Sqrt(d, v)
			kernels.AddScalar(d, d, float32(a.eps*root))
			kernels.Div(d, m, d)
			kernels.Scale(w, w, 1-float32(rate)*sp.decay)
			kernels.Axpy(w, d, float32(-rate*root/c1))
		}
	}
}

// Schedule is a learning rate that rises linearly to Peak over Warmup steps and then falls along half a cosine to Floor at
// Total steps (Loshchilov and Hutter 2017).
type Schedule struct {
	Peak, Floor   float64
	Warmup, Total int
}

// At returns the rate of a step, counted from 1.
func (s Schedule) At(step int) float64 {
	if step <= s.Warmup {
		return s.Peak * float64(step) / float64(s.Warmup)
	}
	if step >= s.Total {
		return s.Floor
	}
	part := float64(step-s.Warmup) / float64(s.Total-s.Warmup)
	return s.Floor + (s.Peak-s.Floor)*(1+math.Cos(math.Pi*part))/2
}

// ClipNorm scales grads so that their Euclidean norm is at most limit, if that is not 0, and returns the norm that they had
// (Pascanu, Mikolov and Bengio 2013).
func ClipNorm(grads []float32, limit float64) float64 {
	var sum float64
	for lo := 0; lo < len(grads); lo += blockElements {
		g := grads[lo:min(lo+blockElements, len(grads))]
		sum += float64(kernels.Dot(g, g))
	}
	norm := math.Sqrt(sum)
	if limit > 0 && norm > limit {
		kernels.Scale(grads, grads, float32(limit/norm))
	}
	return norm
}
