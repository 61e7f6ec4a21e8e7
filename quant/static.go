package quant

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dsk-toolkit/dsk/eval"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	// staticPixels is how many pixels of a value each run of the calibration data gives, spread evenly.
	staticPixels = 64
	// staticError is the part of a value's mean square above which its quantization error keeps the convolutions that read it
	// in floats.
	staticError = 0.01
)

// statics chooses scales and zero points for the images between convolutions (static activations), and 8-bit weights for the
// convolutions that read them. Steps: find, observe (a run of the calibration data), equalize (static_equalize.go), choose,
// rewrite.
type statics struct {
	g      *model.Graph
	maker  map[string]*model.Node
	seen   map[string]*observed // by value
	group  map[string]*staticRange
	convs  []*staticConv
	report map[string]string // by weight: how the convolution computes
	grids  map[string]string // by weight: the name of what takes its place
}

// staticConv is a convolution that could compute with bytes.
type staticConv struct {
	node    *model.Node
	w, bias []float32 // rows of filters, channels last
	k       int       // of a row
	group   int
}

// channel is the input channel that element k of row m reads.
func (c *staticConv) channel(m, k int) int {
	if c.group > 1 {
		return m // depthwise
	}
	return k % c.depth()
}

// depth is the number of channels that a filter reads.
func (c *staticConv) depth() int { return c.k / c.window() }

func (c *staticConv) window() int {
	n := 1
	for _, d := range c.node.Ints("kernel_shape") {
		n *= int(d)
	}
	return n
}

// observed is what calibration knows of a value.
type observed struct {
	channels int
	samples  []float32 // pixels with all channels
	lo, hi   []float32 // by channel
	sum      []float64 // by channel
	count    int       // pixels
}

// staticLoss and staticRelative are the divergence on calibration data, and where there are no logits the relative error, up to which static levels
// are used, or up to what quantized weights alone bring.
const (
	staticLoss     = 0.01
	staticRelative = 0.001
)

// staticRange is the quantization of values that must be quantized alike.
type staticRange struct {
	values []string
	scale  float32
	zero   uint8
	err    float64 // mean square error over mean square
}

// usesStatic reports whether activations of convolutions get static scales: their ranges must be known from
// calibration data, and weights have 8 bits.
func (q *quantizer) usesStatic() bool {
	return q.o.Calib != nil && q.o.Strategy == Uniform && q.o.Bits == 8 && q.o.ActBits != 32
}

// makeStatic gives the images between convolutions static scales: QuantizeLinear and DequantizeLinear, which
// become part of integer convolutions.
func (q *quantizer) makeStatic(ctx context.Context, out *model.Model) error {
	if !q.usesStatic() {
		return nil
	}
	s := &statics{g: q.m.Graph, maker: map[string]*model.Node{}, seen: map[string]*observed{}, group: map[string]*staticRange{}, report: map[string]string{}, grids: map[string]string{}}
	if found, err := s.find(); err != nil || !found {
		return err
	}
	o := q.o.EvalOptions
	o.Threads = q.o.Threads
	o.Progress = func(done, total int64) { q.o.progress("ranges", int(done), int(total)) }
	o.Observe = s.observe
	if _, err := eval.NewProbe(ctx, q.m, q.o.Calib, o); err != nil {
		return err
	}
	s.equalize()
	for _, r := range s.ranges() {
		s.choose(r)
	}
	floats, err := q.probe.Compare(ctx, out)
	if err != nil {
		return err
	}
	trial := out.Clone()
	if err := s.rewrite(trial.Graph); err != nil {
		return err
	}
	static, err := q.probe.Compare(ctx, trial)
	if err != nil {
		return err
	}
	q.integer, q.grids = s.report, s.grids
	limit := staticLoss
	if math.IsNaN(static.MeanKL) {
		limit = staticRelative
	}
	if static.Loss() > max(limit, floats.Loss()) {
		for w := range q.integer {
			q.integer[w] = fmt.Sprintf("static levels of images do harm: loss %.2g on calibration data with them, %.2g without", static.Loss(), floats.Loss())
		}
		return nil
	}
	*out = *trial
	return nil
}

// find collects the values to quantize: the images that convolutions read, and what these are put together from.
func (s *statics) find() (bool, error) {
	for _, n := range s.g.Nodes {
		for _, o := range n.Outputs {
			s.maker[o] = n
		}
	}
	for _, n := range s.g.Nodes {
		w := s.g.Init[n.In(1)]
		if w == nil || !model.IntConvFits(n, w.Shape, true) {
			continue
		}
		c := &staticConv{node: n, group: int(n.Int("group", 1)), k: w.Len() / max(w.Shape[0], 1), bias: make([]float32, w.Shape[0])}
		if b := s.g.Init[n.In(2)]; b != nil {
			if b.DType != tensor.F32 || b.Len() != len(c.bias) {
				continue
			}
			loaded, err := b.Loaded()
			if err != nil {
				return false, err
			}
			copy(c.bias, loaded.F32())
		} else if n.In(2) != "" {
			continue
		}
		var err error
		if c.w, err = floatRows(w); err != nil {
			return false, err
		}
		if c.w == nil || s.g.Init[n.In(0)] != nil {
			continue
		}
		s.convs = append(s.convs, c)
		for _, i := range []int{0, 3} {
			if v := n.In(i); v != "" && s.g.Init[v] == nil {
				s.add(v, &staticRange{})
			}
		}
	}
	return len(s.convs) > 0, nil
}

// add puts a value into a group, with what it is put together from, or joins the groups.
func (s *statics) add(name string, r *staticRange) {
	if old := s.group[name]; old != nil {
		if old != r {
			for _, v := range r.values {
				s.group[v] = old
			}
			old.values = append(old.values, r.values...)
		}
		return
	}
	s.group[name] = r
	r.values = append(r.values, name)
	if n := s.maker[name]; n != nil {
		for _, v := range moved(n) {
			s.add(v, s.group[name])
		}
	}
}

// moved lists the values that an operator moves elements from and to; none if it does anything else.
func moved(n *model.Node) []string {
	k := model.DataInputs(n)
	if k == 0 {
		return nil
	}
	return append(slices.Clone(n.Inputs[:k]), n.Outputs...)
}

// ranges lists the groups in the order of the convolutions.
func (s *statics) ranges() []*staticRange {
	var out []*staticRange
	for _, c := range s.convs {
		for _, i := range []int{0, 3} {
			if r := s.group[c.node.In(i)]; r != nil && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// observe takes samples of the values that a node is about to read.
func (s *statics) observe(n *model.Node, in []*tensor.Tensor) {
	for i, name := range n.Inputs {
		if s.group[name] == nil || in[i] == nil || in[i].DType != tensor.F32 || len(in[i].Data) == 0 {
			continue
		}
		x, shape := in[i].F32(), in[i].Shape
		o := s.seen[name]
		if o == nil {
			o = &observed{channels: 1}
			if last, _, err := model.ChannelsLast(n); len(shape) == 4 && (err == nil && last || n.Op != "Conv") {
				o.channels = shape[3]
			}
			o.lo, o.hi, o.sum = make([]float32, o.channels), make([]float32, o.channels), make([]float64, o.channels)
			s.seen[name] = o
		}
		c := o.channels
		if len(x)%c != 0 {
			continue
		}
		pixels := len(x) / c
		step := max(pixels/(staticPixels*max(1, 64/c)), 1) | 1
		for p := range pixels {
			row := x[p*c : (p+1)*c]
			for ch, v := range row {
				o.lo[ch], o.hi[ch] = min(o.lo[ch], v), max(o.hi[ch], v)
				o.sum[ch] += float64(v)
			}
			if p%step == 0 {
				o.samples = append(o.samples, row...)
			}
		}
		o.count += pixels
	}
}

// choose searches the range whose levels lose least: what lies beyond it is clipped.
func (s *statics) choose(r *staticRange) {
	r.scale, r.err = 1, math.Inf(1)
	var square float64
	var lo, hi float32
	for _, name := range r.values {
		o := s.seen[name]
		if o == nil {
			continue
		}
		for _, v := range o.samples {
			square += float64(v) * float64(v)
		}
		lo, hi = min(lo, slices.Min(o.lo)), max(hi, slices.Max(o.hi))
	}
	if square == 0 || math.IsNaN(square) || math.IsInf(square, 0) {
		return
	}
	best := math.Inf(1)
	for i := range 40 {
		part := 1 - float32(i)*0.02
		scale := (float32(hi*part) - float32(lo*part)) / 255
		if !(scale > 1e-20) {
			continue
		}
		zero := math.RoundToEven(float64(-lo * part / scale))
		var lost float64
		inverse := 1 / scale
		for _, name := range r.values {
			o := s.seen[name]
			if o == nil {
				continue
			}
			for _, v := range o.samples {
				level := min(max(math.RoundToEven(float64(v*inverse)), -zero), 255-zero)
				d := float64(v) - float64(level*float64(scale))
				lost += float64(d * d)
			}
		}
		if lost < best {
			best, r.scale, r.zero, r.err = lost, scale, uint8(zero), lost/square
		}
	}
}

// rewrite puts the quantization into a graph.
func (s *statics) rewrite(g *model.Graph) error {
	now := map[string]string{} // the value that takes another's place
	done := map[string]*staticConv{}
	for _, c := range s.convs {
		n := c.node
		if v, r := s.worst(n); r.err > staticError {
			s.report[n.In(1)] = fmt.Sprintf("stays float: levels of %s lose %.2g of its mean square", v, r.err)
			continue
		}
		for _, i := range []int{0, 3} {
			if v := n.In(i); v != "" {
				s.mark(v, now)
			}
		}
		done[n.Outputs[0]] = c
		s.report[n.In(1)] = "int8 for each filter; static activations"
	}
	var nodes []*model.Node
	quantize := func(v string) {
		r := s.group[v]
		base := g.Fresh(v + ".levels")
		scale, zero := g.Fresh(base+".scale"), g.Fresh(base+".zero")
		g.Init[scale], g.Init[zero] = tensor.FromSlice([]float32{r.scale}), tensor.FromSlice([]uint8{r.zero})
		nodes = append(nodes,
			&model.Node{Op: "QuantizeLinear", Name: base, Inputs: []string{v, scale, zero}, Outputs: []string{base}, Attrs: model.Attrs{}},
			&model.Node{Op: "DequantizeLinear", Name: now[v], Inputs: []string{base, scale, zero}, Outputs: []string{now[v]}, Attrs: model.Attrs{}})
	}
	for _, v := range g.Inputs {
		if now[v.Name] != "" {
			quantize(v.Name)
		}
	}
	for _, n := range g.Nodes {
		if c := done[n.Outputs[0]]; c != nil {
			s.place(g, n, c)
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

// place gives a convolution its weights on grids, and its bias.
func (s *statics) place(g *model.Graph, n *model.Node, c *staticConv) {
	w, bias := g.Fresh(n.In(1)+".grid"), g.Fresh(n.Outputs[0]+".bias8")
	s.grids[n.In(1)] = w
	rows, shift := c.gridded(s.seen[c.node.In(0)])
	g.Init[w] = tensor.FromSlice(rows, g.Init[n.In(1)].Shape...)
	g.Init[bias] = tensor.FromSlice(shift, len(shift))
	n.Inputs[1] = w
	for len(n.Inputs) < 3 {
		n.Inputs = append(n.Inputs, "")
	}
	n.Inputs[2] = bias
}

// mark notes that a value is quantized, and what it is put together from.
func (s *statics) mark(v string, now map[string]string) {
	if now[v] != "" || s.group[v] == nil {
		return
	}
	now[v] = s.g.Fresh(v + ".dequantized")
	if n := s.maker[v]; n != nil {
		for _, o := range moved(n) {
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
		if coded := q.coded(out.Graph, t.Name); coded != nil {
			t.Bits, t.Bytes, t.Why = 8, int64(coded.Bytes()), why
			continue
		}
		t.Why += "; " + why
	}
}

// coded returns what an integer convolution reads in place of a weight, nil if none does.
func (q *quantizer) coded(g *model.Graph, weight string) *tensor.Tensor {
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if grid := q.grids[weight]; grid != "" && n.Is(model.DomainDsk, "QConv") && strings.HasPrefix(in, grid+".int8") {
				return g.Init[in]
			}
		}
	}
	return nil
}
