package runtime

import (
	"strings"

	"github.com/dsk-toolkit/dsk/tensor"
)

var _ = register("", rowMajor(map[string]Binder{"Einsum": bindEinsum}))

// einsum is an equation with its labels resolved: out labels come first, summed ones after them. An ellipsis
// stands for one label per axis that it covers.
type einsum struct {
	dims []int   // extent of each label
	outs int     // labels of the output
	step [][]int // per operand: distance between neighbours along each label, 0 if it lacks it
	has  [][]bool
}

// ellipsisLabel is the label of an ellipsis' last axis; those before it count down.
const ellipsisLabel = -1

// einsumTerm splits one term of the equation into labels for a tensor of the given rank.
func einsumTerm(b *Bind, term string, rank int) ([]int, error) {
	var labels []int
	before, after, dots := strings.Cut(term, "...")
	for _, r := range before {
		labels = append(labels, int(r))
	}
	if dots {
		covered := rank - len([]rune(before)) - len([]rune(after))
		for i := covered; i > 0; i-- {
			labels = append(labels, ellipsisLabel-i+1)
		}
		for _, r := range after {
			labels = append(labels, int(r))
		}
	}
	if len(labels) != rank {
		return nil, b.errorf("term %q for a tensor of rank %d", term, rank)
	}
	for _, l := range labels {
		if l >= 0 && !(l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z') {
			return nil, b.errorf("label %q in term %q", rune(l), term)
		}
	}
	return labels, nil
}

// newEinsum resolves attribute equation for the operands' shapes.
func newEinsum(b *Bind) (*einsum, error) {
	eq := strings.ReplaceAll(b.Node.Str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(b.In) {
		return nil, b.errorf("equation %q for %d operands", eq, len(b.In))
	}
	extent, count := map[int]int{}, map[int]int{}
	inputs := make([][]int, len(terms))
	for i, term := range terms {
		shape := b.In[i].Shape
		labels, err := einsumTerm(b, term, len(shape))
		if err != nil {
			return nil, err
		}
		inputs[i] = labels
		for a, l := range labels {
			count[l]++
			switch d, seen := extent[l]; {
			case !seen || d == 1:
				extent[l] = shape[a]
			case shape[a] != d && shape[a] != 1:
				return nil, b.errorf("equation %q: a label has extents %d and %d", eq, d, shape[a])
			}
		}
	}
	out := b.Out[0]
	var outputs []int
	if explicit {
		var err error
		if outputs, err = einsumTerm(b, right, len(out.Shape)); err != nil {
			return nil, err
		}
	} else {
		outputs = implicitOutput(count)
	}
	e := &einsum{outs: len(outputs)}
	index := map[int]int{}
	for _, l := range outputs {
		if _, twice := index[l]; twice || count[l] == 0 {
			return nil, b.errorf("equation %q: an output label is repeated or unknown", eq)
		}
		index[l] = len(e.dims)
		e.dims = append(e.dims, extent[l])
	}
	if !tensor.SameShape(e.dims, out.Shape) {
		return nil, b.errorf("the output has shape %v, want %v", out.Shape, e.dims)
	}
	for i, labels := range inputs {
		st := strides(b.In[i].Shape)
		step, has := make([]int, len(index), len(index)+len(labels)), make([]bool, len(index), len(index)+len(labels))
		for a, l := range labels {
			j, seen := index[l]
			if !seen {
				j = len(e.dims)
				index[l] = j
				e.dims = append(e.dims, extent[l])
				step, has = append(step, 0), append(has, false)
			}
			if has[j] = true; b.In[i].Shape[a] != 1 {
				step[j] += st[a]
			}
		}
		e.step, e.has = append(e.step, step), append(e.has, has)
	}
	for i := range e.step {
		for len(e.step[i]) < len(e.dims) {
			e.step[i], e.has[i] = append(e.step[i], 0), append(e.has[i], false)
		}
	}
	return e, nil
}

// implicitOutput is the output of an equation without an arrow: the ellipsis, then the labels that occur
// once in alphabetical order.
func implicitOutput(count map[int]int) []int {
	var out []int
	for l := -len(count); l < 0; l++ {
		if count[l] > 0 {
			out = append(out, l)
		}
	}
	for l := int('A'); l <= 'z'; l++ {
		if count[l] == 1 {
			out = append(out, l)
		}
	}
	return out
}

// bindEinsum binds Einsum.
func bindEinsum(b *Bind) (Run, error) {
	if err := needInputs(b, len(b.In)); err != nil {
		return nil, err
	}
	if len(b.In) == 0 {
		return nil, b.errorf("no operands")
	}
	for _, t := range append(b.In[1:len(b.In):len(b.In)], b.Out[0]) {
		if t.DType != b.In[0].DType {
			return nil, b.errorf("operands of types %v and %v", b.In[0].DType, t.DType)
		}
	}
	e, err := newEinsum(b)
	if err != nil {
		return nil, err
	}
	switch b.In[0].DType {
	case tensor.F32:
		if run := e.bindProduct(b); run != nil {
			return run, nil
		}
		return einsumLoop[float32](b, e), nil
	case tensor.F16, tensor.BF16:
		return widened(bindEinsum)(b)
	case tensor.F64:
		return einsumLoop[float64](b, e), nil
	case tensor.I32:
		return einsumLoop[int32](b, e), nil
	case tensor.I64:
		return einsumLoop[int64](b, e), nil
	}
	return nil, b.unsupportedType(b.In[0].DType)
}

// einsumLoop computes output by output: the sum over all summed labels of the operands' product.
func einsumLoop[T float32 | float64 | int32 | int64](b *Bind, e *einsum) Run {
	y := b.Out[0]
	terms := product(e.dims[e.outs:])
	n := len(b.In)
	// What each summed label's element adds to an operand's place: terms x n offsets.
	offsets := make([]int, terms*n)
	for t := range terms {
		for i := range n {
			offsets[t*n+i] = e.place(i, t, e.outs, len(e.dims))
		}
	}
	data := make([][]T, n)
	loop := b.split(product(e.dims[:e.outs]), 1, terms*n, func(_, lo, hi int) {
		dst := tensor.View[T](y)
		for o := lo; o < hi; o++ {
			var sum T
			for t := range terms {
				v := T(1)
				for i := range n {
					v *= data[i][e.place(i, o, 0, e.outs)+offsets[t*n+i]]
				}
				sum += T(v)
			}
			dst[o] = sum
		}
	})
	return func() error {
		for i, t := range b.In {
			data[i] = tensor.View[T](t)
		}
		loop()
		return nil
	}
}

// place returns operand i's offset of combination c of the labels [from, to).
func (e *einsum) place(i, c, from, to int) int {
	at := 0
	for l := to - 1; l >= from; l-- {
		at += c % e.dims[l] * e.step[i][l]
		c /= e.dims[l]
	}
	return at
}

// bindProduct makes a batch of matrix products of an equation of two operands, by ordering their axes as
// [batch][m][k] and [batch][n][k]; nil if a label is summed over one operand alone.
func (e *einsum) bindProduct(b *Bind) Run {
	if len(b.In) != 2 || len(e.dims) > maxRank {
		return nil
	}
	var batch, ms, ns, ks []int
	for l := range e.dims {
		x, w := e.has[0][l], e.has[1][l]
		switch out := l < e.outs; {
		case x && w && out:
			batch = append(batch, l)
		case x && w:
			ks = append(ks, l)
		case !out:
			return nil
		case x:
			ms = append(ms, l)
		default:
			ns = append(ns, l)
		}
	}
	size := func(labels []int) int {
		n := 1
		for _, l := range labels {
			n *= e.dims[l]
		}
		return n
	}
	nb, m, n, k := size(batch), size(ms), size(ns), size(ks)
	if nb*m*n*k == 0 || k == 1 {
		return nil
	}
	left, right, prod := b.Scratch(nb*m*k*4), b.Scratch(nb*n*k*4), b.Scratch(nb*m*n*4)
	order := func(groups ...[]int) (labels []int) {
		for _, g := range groups {
			labels = append(labels, g...)
		}
		return labels
	}
	packLeft := b.bindStrided(e.strided(order(batch, ms, ks), e.step[0], nil), left, b.In[0])
	packRight := b.bindStrided(e.strided(order(batch, ns, ks), e.step[1], nil), right, b.In[1])
	unpack := b.bindStrided(e.strided(order(batch, ms, ns), nil, strides(e.dims[:e.outs])), b.Out[0], prod)
	g := &gemms{a: left, b: right, y: prod, m: m, n: n, k: k, ldb: k, transB: true}
	for i := range nb {
		g.offA, g.offB = append(g.offA, i*m*k), append(g.offB, i*n*k)
	}
	multiply := g.bind(b)
	return func() error {
		packLeft()
		packRight()
		if err := multiply(); err != nil {
			return err
		}
		unpack()
		return nil
	}
}

// strided is a copy over labels in the given order; a nil src or dst is contiguous in that order.
func (e *einsum) strided(labels, src, dst []int) *strided {
	dims := make([]int, len(labels))
	for i, l := range labels {
		dims[i] = e.dims[l]
	}
	pick := func(step []int) []int {
		if step == nil {
			return strides(dims)
		}
		out := make([]int, len(labels))
		for i, l := range labels {
			out[i] = step[l]
		}
		return out
	}
	return newStrided(4, dims, pick(src), pick(dst), 0, 0)
}
