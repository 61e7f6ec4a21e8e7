package model

import (
	"math"

	"github.com/dsk-toolkit/dsk/tensor"
)

// IntActivation reports whether convolutions to bytes apply an activation as they store them.
func IntActivation(name string) bool {
	return name == ActNone || name == "Relu" || name == ActClip || name == ActLeakyRelu
}

// IntConvFits reports whether a dsk.Conv of images could be a QConv, if its operands are quantized; last says whether
// its output is.
func IntConvFits(n *Node, weights []int, last bool) bool {
	xLast, yLast, err := ChannelsLast(n)
	if !n.Is(DomainDsk, "Conv") || err != nil || !xLast && n.Int("group", 1) != 1 || !yLast || len(weights) != 4 {
		return false
	}
	group, dilations := n.Int("group", 1), n.Ints("dilations")
	if group == 1 {
		return len(dilations) < 2 || dilations[1] == 1
	}
	// Depthwise, in windows that always see a part of the image.
	pads, ks := n.Ints("pads"), n.Ints("kernel_shape")
	for i, k := range ks {
		if len(pads) == 4 && (pads[i] >= k || pads[i+2] >= k || pads[i] < 0 || pads[i+2] < 0) {
			return false
		}
	}
	return last && n.In(3) == "" && int64(weights[0]) == group && weights[3] == 1 && IntActivation(n.Str("activation", "")) && n.Str("auto_pad", "NOTSET") == "NOTSET"
}

// quantizedConvs makes QConv of convolutions of quantized images whose weights lie on a grid of int8 for each filter.
func (r *rewriter) quantizedConvs() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		w := r.constant(n.In(1))
		if !n.Is(DomainDsk, "Conv") || w == nil {
			return nil
		}
		p, err := r.quantizedProduct(n, "QConv")
		if p == nil || err != nil || !IntConvFits(n, w.Shape, p.last) {
			return err
		}
		var before []*Node
		if xLast, _, _ := ChannelsLast(n); !xLast {
			x := p.node.Inputs[0]
			t := r.typeOf(x)
			last := r.value(x+".last", Type{t.DType, []Dim{t.Shape[0], t.Shape[2], t.Shape[3], t.Shape[1]}})
			before, p.node.Inputs[0] = append(before, transposeNode(x, last, channelsLast)), last
		}
		if n.In(3) != "" {
			z, l, ok := r.dequantized(n.In(3))
			if !ok {
				return nil
			}
			l.set(p.node, "z")
			p.node.Inputs = append(p.node.Inputs, z)
		}
		if done, err := r.onGrid(p, w); err != nil || !done {
			return err
		}
		r.replace(p.gone, append(before, p.node)...)
		count++
		return nil
	})
	return count, err
}

// quantizedLinears makes QLinear of products of quantized rows with weights on a grid of int8 for each row.
func (r *rewriter) quantizedLinears() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		w := r.constant(n.In(1))
		if !n.Is(DomainDsk, "Linear") || w == nil || len(w.Shape) != 2 || !IntLinearFits(w.Shape) {
			return nil
		}
		p, err := r.quantizedProduct(n, "QLinear")
		if p == nil || err != nil {
			return err
		}
		if done, err := r.onGrid(p, w); err != nil || !done {
			return err
		}
		r.replace(p.gone, p.node)
		count++
		return nil
	})
	return count, err
}

// IntLinearFits reports whether sums of a product of bytes with weights [N,K] stay within 32 bits.
func IntLinearFits(weights []int) bool { return weights[1] <= math.MaxInt32/(255*128) }

// intProduct is a product of bytes in the making.
type intProduct struct {
	node *Node // its inputs are X, two places for the weights, and the bias
	gone []*Node
	last bool // it yields bytes
}

// quantizedProduct starts the operator op in the place of a dsk.Conv or dsk.Linear that reads quantized values; nil if it does not.
func (r *rewriter) quantizedProduct(n *Node, op string) (*intProduct, error) {
	x, l, ok := r.dequantized(n.In(0))
	w := r.constant(n.In(1))
	if !ok || w.DType != tensor.F32 || n.Int("act_bits", 8) == 32 {
		return nil, nil
	}
	bias, plain := r.floatConst(n.In(2))
	if n.In(2) != "" && !plain {
		return nil, nil
	}
	f := &Node{Domain: DomainDsk, Op: op, Name: n.Name, Inputs: []string{x, "", "", n.In(2)}, Outputs: n.Outputs, Attrs: n.Clone().Attrs}
	for _, a := range []string{"layout", "input_layout", "act_bits"} {
		delete(f.Attrs, a)
	}
	l.set(f, "x")
	if b := r.constant(n.In(2)); b != nil && b.DType != tensor.F32 {
		f.Inputs[3] = r.addFloats(n.In(2)+".wide", tensor.F32, bias, b.Shape...)
	}
	p := &intProduct{node: f, gone: []*Node{n}}
	if q, l, ok := r.quantizedUser(n.Outputs[0]); ok {
		l.set(f, "y")
		f.Outputs, p.gone, p.last = q.Outputs, append(p.gone, q), true
	}
	return p, nil
}

// onGrid gives a product the levels of its weights and their scales; false if they lie on no grid.
func (r *rewriter) onGrid(p *intProduct, w *tensor.Tensor) (bool, error) {
	coded, scale, err := onGrid(w)
	if err != nil || coded == nil {
		return false, err
	}
	f, weight := p.node, p.gone[0].In(1)
	f.Inputs[1], f.Inputs[2] = r.codedWeight(weight, coded, scale)
	for f.Inputs[len(f.Inputs)-1] == "" {
		f.Inputs = f.Inputs[:len(f.Inputs)-1]
	}
	return true, nil
}

// codedWeight adds the levels and scales of a weight.
func (r *rewriter) codedWeight(name string, coded, scale *tensor.Tensor) (string, string) {
	w, _ := r.addInit(name+".int8", "int8 "+name, func() (*tensor.Tensor, error) { return coded, nil })
	s, _ := r.addInit(name+".scale", "scale "+name, func() (*tensor.Tensor, error) { return scale, nil })
	return w, s
}

// tablesOfConvs gives a QConv the ByteTable that alone reads its bytes.
func (r *rewriter) tablesOfConvs() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if !n.Is(DomainDsk, "QConv") || !n.Has("y_scale") || n.In(5) != "" {
			return nil
		}
		t := r.soleUser(n.Outputs[0])
		if t == nil || !t.Is(DomainDsk, "ByteTable") {
			return nil
		}
		f := n.Clone()
		for len(f.Inputs) < 5 {
			f.Inputs = append(f.Inputs, "")
		}
		f.Inputs, f.Outputs = append(f.Inputs, t.In(1)), t.Outputs
		r.replace([]*Node{n, t}, f)
		count++
		return nil
	})
	return count, err
}

// onGrid returns the levels of filters and their scales, if each filter's weights are multiples of one number, of at
// most 127 times it; nil if not.
func onGrid(w *tensor.Tensor) (coded, scale *tensor.Tensor, err error) {
	loaded, err := w.Loaded()
	if err != nil {
		return nil, nil, err
	}
	m := w.Shape[0]
	coded, scale = tensor.New(tensor.I8, w.Shape...), tensor.New(tensor.F32, m)
	if m == 0 {
		return nil, nil, nil
	}
	k := w.Len() / m
	for i := range m {
		s, ok := gridOf(tensor.View[int8](coded)[i*k:(i+1)*k], loaded.F32()[i*k:(i+1)*k])
		if !ok {
			return nil, nil, nil
		}
		scale.F32()[i] = s
	}
	return coded, scale, nil
}

// gridOf finds the grid that a row lies on and writes its levels.
func gridOf(dst []int8, row []float32) (float32, bool) {
	var most float64
	for _, v := range row {
		most = max(most, math.Abs(float64(v)))
	}
	if most == 0 {
		clear(dst)
		return 1, true
	}
	if math.IsNaN(most) || math.IsInf(most, 0) {
		return 0, false
	}
	for top := 128; top > 0; top-- {
		inverse := float64(top) / most
		fits := true
		for i, v := range row {
			f := float64(v) * inverse
			q := math.RoundToEven(f)
			// Levels times a float32 scale are off by some units of the last place.
			if math.Abs(f-q) > 1e-4 || q > 127 {
				fits = false
				break
			}
			dst[i] = int8(q)
		}
		if fits {
			return float32(1 / inverse), true
		}
	}
	return 0, false
}
