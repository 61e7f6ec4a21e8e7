package model

import (
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// quantizedSums makes QAdd and QMul of Add and Mul of two quantized tensors, or a Relu behind it, whose result is quantized. They are
// of one shape, or the second is an image of one pixel.
func (r *rewriter) quantizedSums() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || n.Op != "Add" && n.Op != "Mul" || len(n.Inputs) != 2 {
			return nil
		}
		in := slices.Clone(n.Inputs)
		if x, y := r.typeOf(in[0]), r.typeOf(in[1]); !sameShape(x, y) && !r.onePixel(x, y) {
			if !r.onePixel(y, x) {
				return nil
			}
			slices.Reverse(in)
		}
		f := &Node{Domain: DomainDsk, Op: "Q" + n.Op, Name: n.Name, Inputs: make([]string, 2), Attrs: Attrs{}}
		for i, name := range []string{"a", "b"} {
			from, l, ok := r.dequantized(in[i])
			if !ok {
				return nil
			}
			f.Inputs[i] = from
			l.set(f, name)
		}
		gone := []*Node{n}
		out := n.Outputs[0]
		if u := r.soleUser(out); u != nil && u.Is("", "Relu") {
			f.Attrs["activation"] = StringAttr(ActRelu)
			gone, out = append(gone, u), u.Outputs[0]
		}
		q, l, ok := r.quantizedUser(out)
		if !ok {
			return nil
		}
		l.set(f, "y")
		f.Outputs = q.Outputs
		r.replace(append(gone, q), f)
		count++
		return nil
	})
	return count, err
}

// onePixel reports whether y has the images x[N,H,W,C] with one pixel each.
func (r *rewriter) onePixel(x, y Type) bool {
	return len(x.Shape) == 4 && len(y.Shape) == 4 && y.Shape[1] == Known(1) && y.Shape[2] == Known(1) &&
		sameShape(Type{Shape: []Dim{x.Shape[0], x.Shape[3]}}, Type{Shape: []Dim{y.Shape[0], y.Shape[3]}})
}

// quantizedMeans makes QAveragePool and QGlobalAveragePool of means of quantized images [B,H,W,C] that are quantized again.
func (r *rewriter) quantizedMeans() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		f := &Node{Domain: DomainDsk, Op: "QAveragePool", Name: n.Name, Attrs: n.Clone().Attrs}
		switch {
		case n.Is(DomainDsk, "AveragePool") && (n.Int("ceil_mode", 0) == 0 || n.Int("count_include_pad", 0) == 0):
		case n.Is("", "ReduceMean") && len(r.typeOf(n.In(0)).Shape) == 4 && n.Int("keepdims", 1) != 0:
			axes, _ := r.intsConst(n.In(1))
			if !slices.Equal(axes, []int64{1, 2}) {
				return nil
			}
			f.Op, f.Attrs = "QGlobalAveragePool", Attrs{}
		default:
			return nil
		}
		from, l, ok := r.dequantized(n.In(0))
		q, m, quantized := r.quantizedUser(n.Outputs[0])
		if !ok || !quantized || r.typeOf(n.In(0)).DType != tensor.F32 {
			return nil
		}
		l.set(f, "x")
		m.set(f, "y")
		f.Inputs, f.Outputs = []string{from}, q.Outputs
		r.replace([]*Node{n, q}, f)
		count++
		return nil
	})
	return count, err
}
