package runtime

import (
	"slices"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/tensor"
)

// linearStep is a dsk.Linear of constant weights in a plan. Several that follow one another on the same rows are computed by the last of them.
type linearStep struct {
	p       *rowProduct
	x, y    *tensor.Tensor
	rows    int
	scratch *tensor.Tensor

	later  bool // one that follows computes this one
	before []*linearStep
	group  *kernels.MatMulGroup // of before and this one
	dst    [][]float32          // of group
}

// run computes the product, and those that are left to it.
func (l *linearStep) run() error {
	switch {
	case l.later || l.rows == 0:
	case l.group == nil:
		l.p.run(l.y.F32(), l.p.n, l.x.F32(), l.p.k, l.rows, l.scratch.Data)
	default:
		for i, b := range l.before {
			l.dst[i] = b.y.F32()
		}
		l.dst[len(l.before)] = l.y.F32()
		l.group.Run(l.dst, l.x.F32(), l.p.k, l.rows, l.scratch.Data)
		for _, b := range l.before {
			b.p.epilogue(b.y.F32(), b.p.n, b.rows)
		}
		l.p.epilogue(l.y.F32(), l.p.n, l.rows)
	}
	return nil
}

// takeOver makes l, of which b is the step, compute what the linear right before it does, if both multiply the same rows of the same pool.
// It must be called before l's scratch is placed, and reports whether it did so.
func (l *linearStep) takeOver(prev *linearStep) bool {
	if prev.x != l.x || prev.rows != l.rows || prev.p.k != l.p.k || prev.p.n == 0 || l.p.n == 0 ||
		!prev.p.fixed.IsQuantized() || !l.p.fixed.IsQuantized() {
		return false
	}
	l.before = append(slices.Clip(prev.before), prev)
	prev.later, prev.before, prev.group, prev.dst = true, nil, nil, nil
	var products []*kernels.MatMul
	for _, b := range l.before {
		products = append(products, b.p.fixed)
	}
	l.group = kernels.NewMatMulGroup(append(products, l.p.fixed))
	l.dst = make([][]float32, len(l.before)+1)
	l.scratch.Shape = []int{l.group.ScratchBytes(l.rows)}
	return true
}

// joinLinear lets step s, number i of the graph, compute the step before it as well, if both are products of the same rows. The results of
// the one before then are written as late as that.
func (p *plan) joinLinear(i int, s *step) {
	if len(p.steps) == 0 || s.bind == nil || s.bind.linear == nil {
		return
	}
	prev := &p.steps[len(p.steps)-1]
	if prev.bind == nil || prev.bind.linear == nil || !s.bind.linear.takeOver(prev.bind.linear) {
		return
	}
	for k := range len(s.bind.linear.before) {
		name := p.steps[len(p.steps)-1-k].node.Outputs[0]
		if buf := p.values[name].buf; buf != nil {
			buf.lastRead = max(buf.lastRead, i)
		}
	}
}
