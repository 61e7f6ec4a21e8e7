package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Graphs say what is quantized by QuantizeLinear and DequantizeLinear around operators on floats. These passes put
// operators on bytes in the place of both, after the layout of images is settled.
var quantPasses = []pass{
	{"unsigned-levels", true, (*rewriter).unsignedLevels},
	{"quantized-moves", true, (*rewriter).quantizedMoves},
	{"quantized-convs", true, (*rewriter).quantizedConvs},
}

// FuseQuantized makes operators on bytes of operators between DequantizeLinear and QuantizeLinear, and returns how many.
func FuseQuantized(g *Graph) (int, error) {
	w := &rewrite{g: g, o: &RewriteOptions{}, derived: map[string]string{}}
	total := 0
	for _, p := range append(slices.Clone(quantPasses), passes[0]) {
		n, err := w.run(p)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, g.Infer()
}

// levels is a quantization of a whole tensor to or from bytes.
type levels struct {
	scale float32
	zero  int64
}

// levelsOf returns the quantization of a QuantizeLinear or DequantizeLinear whose bytes are of type dt.
func (r *rewriter) levelsOf(n *Node, op string, dt tensor.DType) (levels, bool) {
	if n == nil || !n.Is("", op) || n.Int("block_size", 0) != 0 {
		return levels{}, false
	}
	coded, float := n.In(0), n.Outputs[0]
	if op == "QuantizeLinear" {
		coded, float = float, coded
	}
	scale, ok := r.scalarConst(n.In(1))
	if !ok || r.typeOf(coded).DType != dt || r.typeOf(float).DType != tensor.F32 || !(scale > 1e-30) || scale > 1e30 {
		return levels{}, false
	}
	zero := 0.0
	if n.In(2) != "" {
		if zero, ok = r.scalarConst(n.In(2)); !ok {
			return levels{}, false
		}
	}
	return levels{float32(scale), int64(zero)}, true
}

// dequantized returns the bytes that a value is made of.
func (r *rewriter) dequantized(name string) (string, levels, bool) {
	m := r.maker[name]
	l, ok := r.levelsOf(m, "DequantizeLinear", tensor.U8)
	if !ok {
		return "", l, false
	}
	return m.In(0), l, true
}

// quantizedUser returns the QuantizeLinear that alone reads a value.
func (r *rewriter) quantizedUser(name string) (*Node, levels, bool) {
	q := r.soleUser(name)
	l, ok := r.levelsOf(q, "QuantizeLinear", tensor.U8)
	return q, l, ok
}

// unsignedLevels makes I8 levels that only DequantizeLinear reads U8, which differ by 128.
func (r *rewriter) unsignedLevels() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		l, ok := r.levelsOf(n, "QuantizeLinear", tensor.I8)
		if !ok || r.kept[n.Outputs[0]] || n.In(2) == "" {
			return nil
		}
		users := slices.Clone(r.users[n.Outputs[0]])
		for _, u := range users {
			if m, ok := r.levelsOf(u, "DequantizeLinear", tensor.I8); !ok || m != l || u.In(2) == "" {
				return nil
			}
		}
		zero, err := r.addInit(n.In(2)+".unsigned", fmt.Sprint("unsigned ", n.In(2)), func() (*tensor.Tensor, error) {
			return tensor.FromSlice([]uint8{uint8(l.zero + 128)}), nil
		})
		if err != nil {
			return err
		}
		for _, u := range append(users, n) {
			r.edit(u, func() {
				u.Inputs[2] = zero
				delete(u.Attrs, "output_dtype")
			})
		}
		r.g.Types[n.Outputs[0]] = Type{tensor.U8, r.typeOf(n.Outputs[0]).Shape}
		count++
		return nil
	})
	return count, err
}

// movers yield what they read, in another order, by their data inputs.
var movers = map[string]bool{"Concat": true, "Split": true, "Slice": true, "Reshape": true, "Transpose": true, "Squeeze": true,
	"Unsqueeze": true, "Flatten": true, "Identity": true}

// quantizedMoves lets operators that only move elements move bytes, if all operands are quantized alike.
func (r *rewriter) quantizedMoves() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || !movers[n.Op] {
			return nil
		}
		f := n.Clone()
		data := 1
		if n.Op == "Concat" {
			data = len(n.Inputs)
		}
		var l levels
		for i := range data {
			from, m, ok := r.dequantized(n.In(i))
			if !ok || i > 0 && m != l {
				return nil
			}
			f.Inputs[i], l = from, m
		}
		gone := []*Node{n}
		for i, out := range n.Outputs {
			q, m, ok := r.quantizedUser(out)
			if !ok || m != l {
				return nil
			}
			f.Outputs[i] = q.Outputs[0]
			gone = append(gone, q)
		}
		r.replace(gone, f)
		count++
		return nil
	})
	return count, err
}

// IntActivation reports whether convolutions to bytes apply an activation as they store them.
func IntActivation(name string) bool {
	return name == ActNone || name == "Relu" || name == ActClip || name == ActLeakyRelu
}

// IntConvFits reports whether a dsk.Conv of images could be a QConv, if its operands are quantized; last says whether
// its output is.
func IntConvFits(n *Node, weights []int, last bool) bool {
	xLast, yLast, err := ChannelsLast(n)
	if !n.Is(DomainDsk, "Conv") || err != nil || !xLast || !yLast || len(weights) != 4 {
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
		if !n.Is(DomainDsk, "Conv") || n.Int("act_bits", 8) == 32 {
			return nil
		}
		w := r.constant(n.In(1))
		x, xl, ok := r.dequantized(n.In(0))
		if !ok || w == nil || w.DType != tensor.F32 {
			return nil
		}
		bias, plain := r.floatConst(n.In(2))
		if n.In(2) != "" && !plain {
			return nil
		}
		f := &Node{Domain: DomainDsk, Op: "QConv", Name: n.Name, Outputs: n.Outputs, Attrs: n.Clone().Attrs}
		for _, a := range []string{"layout", "input_layout", "act_bits"} {
			delete(f.Attrs, a)
		}
		gone := []*Node{n}
		set := func(name string, l levels) {
			f.Attrs[name+"_scale"], f.Attrs[name+"_zero"] = FloatAttr(l.scale), IntAttr(l.zero)
		}
		set("x", xl)
		z := ""
		if n.In(3) != "" {
			var zl levels
			if z, zl, ok = r.dequantized(n.In(3)); !ok {
				return nil
			}
			set("z", zl)
		}
		q, yl, last := r.quantizedUser(n.Outputs[0])
		if !IntConvFits(n, w.Shape, last) {
			return nil
		}
		coded, scale, err := onGrid(w)
		if err != nil || coded == nil {
			return err
		}
		if last {
			set("y", yl)
			f.Outputs = q.Outputs
			gone = append(gone, q)
		}
		name, err := r.addInit(n.In(1)+".int8", "int8 "+n.In(1), func() (*tensor.Tensor, error) { return coded, nil })
		if err != nil {
			return err
		}
		scales, err := r.addInit(n.In(1)+".scale", "scale "+n.In(1), func() (*tensor.Tensor, error) { return scale, nil })
		if err != nil {
			return err
		}
		f.Inputs = []string{x, name, scales, n.In(2), z}
		if b := r.constant(n.In(2)); b != nil && b.DType != tensor.F32 {
			f.Inputs[3] = r.addFloats(n.In(2)+".wide", tensor.F32, bias, b.Shape...)
		}
		for f.Inputs[len(f.Inputs)-1] == "" {
			f.Inputs = f.Inputs[:len(f.Inputs)-1]
		}
		r.replace(gone, f)
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
