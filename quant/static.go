package quant

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// staticSamples is how many elements of a value each run of the calibration data gives, spread evenly.
	staticSamples = 2048
	// staticError is the part of a value's mean square above which its quantization error keeps the convolutions that read it
	// in floats.
	staticError = 0.01
)

// staticRange is what calibration knows of a value, or of several that must be quantized alike.
type staticRange struct {
	samples []float32
	lo, hi  float32
	scale   float32
	zero    uint8
	err     float64 // mean square error over mean square
}

// statics chooses scales and zero points for the images between convolutions.
type statics struct {
	g      *model.Graph
	maker  map[string]*model.Node
	group  map[string]*staticRange // by value
	seen   map[string]bool         // values that have been observed in this run
	report map[string]string       // by weight: how the convolution computes
}

// usesStatic reports whether activations of convolutions get static scales: their ranges must be known from
// calibration data, and weights have 8 bits.
func (q *quantizer) usesStatic() bool {
	return q.o.Calib != nil && q.o.Bits == 8 && q.o.ActBits != 32
}

// makeStatic gives the images between convolutions static scales: QuantizeLinear and DequantizeLinear, which
// become part of integer convolutions.
func (q *quantizer) makeStatic(ctx context.Context, out *model.Model) error {
	if !q.usesStatic() {
		return nil
	}
	s := &statics{g: q.m.Graph, maker: map[string]*model.Node{}, group: map[string]*staticRange{}, report: map[string]string{}}
	if !s.find() {
		return nil
	}
	o := q.o.EvalOptions
	o.Threads = q.o.Threads
	o.Progress = func(done, total int64) { q.o.progress("ranges", int(done), int(total)) }
	o.Observe = s.observe
	if _, err := eval.NewProbe(ctx, q.m, q.o.Calib, o); err != nil {
		return err
	}
	done := map[*staticRange]bool{}
	for _, r := range s.group {
		if !done[r] {
			done[r] = true
			r.choose()
		}
	}
	if err := s.rewrite(out.Graph); err != nil {
		return err
	}
	q.integer = s.report
	return nil
}

// find collects the values to quantize: the images that convolutions read, and what these are put together from.
func (s *statics) find() bool {
	for _, n := range s.g.Nodes {
		for _, o := range n.Outputs {
			s.maker[o] = n
		}
	}
	var add func(name string, r *staticRange)
	add = func(name string, r *staticRange) {
		if old := s.group[name]; old != nil {
			for v, g := range s.group {
				if g == r {
					s.group[v] = old
				}
			}
			return
		}
		s.group[name] = r
		n := s.maker[name]
		if n == nil || model.DataInputs(n) == 0 {
			return
		}
		for _, v := range append(slices.Clone(n.Inputs[:model.DataInputs(n)]), n.Outputs...) {
			add(v, s.group[name])
		}
	}
	for _, n := range s.g.Nodes {
		if w := s.g.Init[n.In(1)]; w != nil && model.IntConvFits(n, w.Shape, true) {
			for _, i := range []int{0, 3} {
				if v := n.In(i); v != "" && s.group[v] == nil && s.g.Init[v] == nil {
					add(v, &staticRange{})
				}
			}
		}
	}
	return len(s.group) > 0
}

// observe takes samples of the values that a node is about to read.
func (s *statics) observe(n *model.Node, in []*tensor.Tensor) {
	for i, name := range n.Inputs {
		r := s.group[name]
		if r == nil || in[i] == nil || in[i].DType != tensor.F32 || len(in[i].Data) == 0 {
			continue
		}
		x := in[i].F32()
		step := max(len(x)/staticSamples, 1) | 1 // odd: all channels come by
		for at := 0; at < len(x); at += step {
			r.samples = append(r.samples, x[at])
		}
		for _, v := range x {
			r.lo, r.hi = min(r.lo, v), max(r.hi, v)
		}
	}
}

// choose searches the range whose levels lose least: what lies beyond it is clipped.
func (r *staticRange) choose() {
	var square float64
	for _, v := range r.samples {
		square += float64(v) * float64(v)
	}
	r.scale, r.err = 1, math.Inf(1)
	if square == 0 || math.IsNaN(square) || math.IsInf(square, 0) {
		return
	}
	best := math.Inf(1)
	for i := range 40 {
		part := 1 - float32(i)*0.02
		lo, hi := r.lo*part, r.hi*part
		scale := (hi - lo) / 255
		if !(scale > 1e-20) {
			continue
		}
		zero := uint8(math.RoundToEven(float64(-lo / scale)))
		var lost float64
		inverse := 1 / scale
		for _, v := range r.samples {
			level := min(max(math.RoundToEven(float64(v*inverse)), -float64(zero)), 255-float64(zero))
			d := float64(v) - level*float64(scale)
			lost += d * d
		}
		if lost < best {
			best, r.scale, r.zero, r.err = lost, scale, zero, lost/square
		}
	}
}

// rewrite puts the quantization into a graph.
func (s *statics) rewrite(g *model.Graph) error {
	now := map[string]string{} // the value that takes another's place
	weights := map[string]string{}
	for _, n := range s.g.Nodes {
		w := s.g.Init[n.In(1)]
		if w == nil || !model.IntConvFits(n, w.Shape, true) {
			continue
		}
		if v, r := s.worst(n); r.err > staticError {
			s.report[n.In(1)] = fmt.Sprintf("stays float: levels of %s lose %.2g of its mean square", v, r.err)
			continue
		}
		for _, i := range []int{0, 3} {
			if v := n.In(i); v != "" {
				s.mark(v, now)
			}
		}
		rows, err := gridRows(w)
		if err != nil {
			return err
		}
		name := n.In(1) + ".grid"
		g.Init[name] = rows
		weights[n.Outputs[0]] = name
		s.report[n.In(1)] = "int8 for each filter; static activations"
	}
	var nodes []*model.Node
	quantize := func(v string) {
		r := s.group[v]
		base := v + ".levels"
		g.Init[base+".scale"], g.Init[base+".zero"] = tensor.FromSlice([]float32{r.scale}), tensor.FromSlice([]uint8{r.zero})
		nodes = append(nodes,
			&model.Node{Op: "QuantizeLinear", Name: base, Inputs: []string{v, base + ".scale", base + ".zero"}, Outputs: []string{base}, Attrs: model.Attrs{}},
			&model.Node{Op: "DequantizeLinear", Name: now[v], Inputs: []string{base, base + ".scale", base + ".zero"}, Outputs: []string{now[v]}, Attrs: model.Attrs{}})
	}
	for _, v := range g.Inputs {
		if now[v.Name] != "" {
			quantize(v.Name)
		}
	}
	for _, n := range g.Nodes {
		if name := weights[n.Outputs[0]]; name != "" {
			n.Inputs[1] = name
		}
		for i, in := range n.Inputs {
			if now[in] != "" {
				n.Inputs[i] = now[in]
			}
		}
		nodes = append(nodes, n)
		for _, o := range n.Outputs {
			if now[o] != "" {
				quantize(o)
			}
		}
	}
	g.Nodes = nodes
	if err := g.Infer(); err != nil {
		return err
	}
	_, err := model.FuseQuantized(g, runtime.Eval)
	return err
}

// mark notes that a value is quantized, and what it is put together from.
func (s *statics) mark(v string, now map[string]string) {
	if now[v] != "" || s.group[v] == nil {
		return
	}
	now[v] = v + ".dequantized"
	if n := s.maker[v]; n != nil && model.DataInputs(n) > 0 {
		for _, o := range append(slices.Clone(n.Inputs[:model.DataInputs(n)]), n.Outputs...) {
			s.mark(o, now)
		}
	}
}

// worst returns the operand of a convolution that quantization hurts most.
func (s *statics) worst(n *model.Node) (string, *staticRange) {
	v := n.In(0)
	if z := n.In(3); z != "" && s.group[z] != nil && s.group[z].err > s.group[v].err {
		v = z
	}
	return v, s.group[v]
}

// gridRows returns filters in row-major order, rounded to multiples of the largest weight over 127.
func gridRows(w *tensor.Tensor) (*tensor.Tensor, error) {
	loaded, err := w.Loaded()
	if err != nil {
		return nil, err
	}
	n, k := w.Shape[0], 1
	for _, d := range w.Shape[1:] {
		k *= d
	}
	out := tensor.New(tensor.F32, w.Shape...)
	for r := range n {
		row := out.F32()[r*k : (r+1)*k]
		switch {
		case loaded.Layout == tensor.Panel16:
			kernels.PanelRowF32(row, kernels.Weights{Kind: floatKind(loaded.DType), N: n, K: k, Data: loaded.Data}, r)
		case loaded.DType == tensor.F32:
			copy(row, loaded.F32()[r*k:])
		default:
			return nil, fmt.Errorf("weights %v are not in float32", w)
		}
		var most float64
		for _, v := range row {
			most = max(most, math.Abs(float64(v)))
		}
		scale := float32(most / 127)
		if scale == 0 {
			continue
		}
		for i, v := range row {
			row[i] = float32(math.RoundToEven(float64(v)/float64(scale))) * scale
		}
	}
	return out, nil
}

// noteStatic says in the report how convolutions with static activations compute.
func (q *quantizer) noteStatic(r *Report, out *model.Model) {
	if r == nil {
		return
	}
	for i := range r.Tensors {
		t := &r.Tensors[i]
		why := q.integer[t.Name]
		if why == "" {
			continue
		}
		if coded := out.Graph.Init[t.Name+".grid.int8"]; coded != nil {
			t.Bits, t.Bytes, t.Why = 8, int64(coded.Bytes()), why
			continue
		}
		t.Why += "; " + why
	}
}
