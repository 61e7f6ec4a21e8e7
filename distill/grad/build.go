package grad

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// set makes a name's value known.
func (t *Tape) set(v *value) *value {
	if v.root == nil {
		v.root = v
	}
	v.n = 1
	for _, d := range v.shape {
		v.n *= d
	}
	t.values[v.name] = v
	t.all = append(t.all, v)
	return v
}

// addInputs makes values of the graph's inputs and states.
func (t *Tape) addInputs() error {
	for _, in := range t.graph.Inputs {
		if f := t.o.Fixed[in.Name]; f != nil {
			if f.DType != in.Type.DType {
				return fmt.Errorf("input %s is %v, the fixed value is %v", in.Name, in.Type, f)
			}
			t.set(t.constant(in.Name, f))
			continue
		}
		shape, ok := t.o.Shapes[in.Name]
		if !ok {
			return fmt.Errorf("input %s has no shape", in.Name)
		}
		if len(in.Type.Shape) != len(shape) && in.Type.Shape != nil {
			return fmt.Errorf("input %s is %v, the shape given is %v", in.Name, in.Type, shape)
		}
		for i, d := range shape {
			if d < 1 || in.Type.Shape != nil && in.Type.Shape[i].IsKnown() && in.Type.Shape[i].N != d {
				return fmt.Errorf("input %s is %v, the shape given is %v", in.Name, in.Type, shape)
			}
		}
		v := t.set(&value{name: in.Name, dtype: in.Type.DType, shape: shape, external: true,
			needs: t.o.InputGrads && in.Type.DType == tensor.F32})
		v.t = &tensor.Tensor{DType: v.dtype, Shape: shape}
		t.inputs = append(t.inputs, v)
	}
	for _, s := range t.graph.States {
		shape, ok := t.o.Shapes[s.Input.Name]
		if !ok {
			return fmt.Errorf("state %s has no shape", s.Input.Name)
		}
		if err := tensor.Room(product(shape)*max(s.Input.Type.DType.Size(), 1), "the state "+s.Input.Name); err != nil {
			return err
		}
		t.set(t.constant(s.Input.Name, tensor.New(s.Input.Type.DType, shape...)))
	}
	return nil
}

// addNode binds a node. A node that cannot be is returned as a gap.
func (t *Tape) addNode(n *model.Node) (*fault.Item, error) {
	gap := func(dtype tensor.DType) *fault.Item {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + n.Op
		}
		return &fault.Item{Where: n.Name, What: op, DType: dtype.String()}
	}
	s := &step{node: n, in: make([]*operand, len(n.Inputs)), out: make([]*value, len(n.Outputs))}
	c := &model.Inference{Node: n, In: make([]model.Type, len(n.Inputs)), Val: make([]*tensor.Tensor, len(n.Inputs)),
		Sym: make([][]model.Dim, len(n.Inputs))}
	needs, folds := false, len(n.Subgraphs()) == 0
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		v := t.values[name]
		if v == nil {
			return nil, fmt.Errorf("node %v: input %q is never written", n, name)
		}
		if v.dtype == tensor.Invalid { // made by a gap
			for _, out := range n.Outputs {
				t.set(&value{name: out})
			}
			return nil, nil
		}
		s.in[i] = &operand{value: v, add: true}
		c.In[i] = model.Type{DType: v.dtype, Shape: model.Dims(v.shape...)}
		if v.constant {
			c.Val[i] = v.tensor()
		}
		needs, folds = needs || v.needs, folds && v.constant
	}
	if err := model.InferNode(c); err != nil {
		return nil, err
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		shape, ok := c.Out[i].Static()
		if !ok {
			return nil, fmt.Errorf("node %v: the shape of output %s depends on data: %v", n, name, c.Out[i])
		}
		s.out[i] = t.set(&value{name: name, dtype: c.Out[i].DType, shape: shape,
			needs: needs && c.Out[i].DType == tensor.F32})
		s.out[i].t = &tensor.Tensor{DType: s.out[i].dtype, Shape: shape}
	}
	if n.Is("", "Shape") || n.Is("", "Size") {
		folds, needs = true, false
	}
	if folds {
		return t.fold(s, gap)
	}
	bind := binders[opKey{n.Domain, n.Op}]
	float := s.out[0] != nil && s.out[0].dtype == tensor.F32
	switch {
	case bind != nil && float:
		b := &binding{tape: t, node: n, in: s.in, out: s.out, val: c.Val}
		if err := bind(b, s); err != nil {
			var form unsupported
			missing := errors.As(err, &form)
			if missing && needs {
				item := gap(s.out[0].dtype)
				item.Hint = err.Error()
				return item, nil
			}
			if !missing || t.o.Eval == nil {
				return nil, fmt.Errorf("node %v: %w", n, err)
			}
			t.late(s)
		}
	case !needs && t.o.Eval != nil:
		t.late(s)
	default:
		for _, v := range s.out {
			if v != nil {
				v.dtype = tensor.Invalid
			}
		}
		return gap(c.In[0].DType), nil
	}
	t.steps = append(t.steps, s)
	return nil, nil
}

// fold computes a node of constants now.
func (t *Tape) fold(s *step, gap func(tensor.DType) *fault.Item) (*fault.Item, error) {
	n := s.node
	var out []*tensor.Tensor
	if n.Is("", "Constant") {
		c, err := model.ConstantValue(n)
		if err != nil {
			return nil, err
		}
		out = []*tensor.Tensor{c}
	} else {
		if t.o.Eval == nil {
			return gap(s.out[0].dtype), nil
		}
		in := make([]*tensor.Tensor, len(s.in))
		for i, o := range s.in {
			if o != nil {
				in[i] = o.tensor()
			}
		}
		var err error
		if out, err = t.o.Eval(n, in); err != nil {
			return nil, err
		}
	}
	for i, v := range s.out {
		if v != nil {
			*v = *t.constant(v.name, out[i])
			v.root, v.n = v, out[i].Len()
		}
	}
	return nil, nil
}

// late lets Eval compute the node at each step.
func (t *Tape) late(s *step) {
	for _, v := range s.out {
		if v != nil {
			v.root, v.needs, v.external = v, false, true
		}
	}
	in := make([]*tensor.Tensor, len(s.in))
	s.forward = func() error {
		for i, o := range s.in {
			if o != nil {
				in[i] = o.tensor()
			}
		}
		out, err := t.o.Eval(s.node, in)
		if err != nil {
			return err
		}
		for i, v := range s.out {
			if v == nil {
				continue
			}
			v.t.Data = out[i].Data
			if v.dtype == tensor.F32 {
				v.data = v.t.F32()
			}
		}
		return nil
	}
}

// connect finds for every node whether a gradient reaches it, and for every gradient who writes it first.
func (t *Tape) connect() {
	written := map[*value]bool{}
	for _, o := range t.outs {
		if o.v.needs {
			o.first = !written[o.v.root]
			written[o.v.root] = true
		}
	}
	for _, o := range t.outs {
		o.alone = o.first && (t.o.GradsWritten && o.v.root.grad == nil || !t.shared(o))
	}
	for i := range t.params {
		written[t.values[t.params[i].Name]] = true
	}
	for i := len(t.steps) - 1; i >= 0; i-- {
		s := t.steps[i]
		if s.backward == nil {
			continue
		}
		for _, v := range s.out {
			s.live = s.live || v != nil && v.needs && written[v.root]
		}
		if !s.live {
			continue
		}
		for _, v := range s.out {
			if v != nil && v.needs && !written[v.root] {
				written[v.root] = true
				s.clear = append(s.clear, v.root)
			}
		}
		uses := map[*value]int{}
		for _, o := range s.in {
			if o != nil && o.needs {
				uses[o.root]++
			}
		}
		for _, o := range s.in {
			if o == nil || !o.needs || written[o.root] {
				continue
			}
			if uses[o.root] == 1 {
				o.add = false
			} else if !slices.Contains(s.clear, o.root) {
				s.clear = append(s.clear, o.root)
			}
		}
		for v := range uses {
			written[v] = true
		}
	}
}

// shared reports whether the gradient of an output is also written by a node that reads the value, or for another output.
func (t *Tape) shared(o *output) bool {
	for _, other := range t.outs {
		if other != o && other.v.root == o.v.root {
			return true
		}
	}
	for _, s := range t.steps {
		for _, in := range s.in {
			if in != nil && in.root == o.v.root {
				return true
			}
		}
	}
	return o.v.root.grad != nil // a parameter's
}

// lineFloats is how many elements fill a line of the cache: the places in the arena are multiples.
const lineFloats = kernels.LineBytes / 4

// place gives values, gradients and buffers their places in one arena.
func (t *Tape) place() error {
	var wants []*[]float32
	var sizes []int
	total := 0
	want := func(at *[]float32, n int) {
		wants, sizes = append(wants, at), append(sizes, n)
		total += (n + lineFloats - 1) / lineFloats * lineFloats
	}
	for _, v := range t.all {
		if v.root != v || v.dtype != tensor.F32 {
			continue
		}
		if !v.external && !v.constant {
			want(&v.data, v.n)
		}
		if v.needs && v.grad == nil {
			want(&v.grad, v.n)
		}
	}
	for _, b := range t.bufs {
		want(&b.data, b.n)
	}
	var room []float32
	most := 0
	for _, b := range t.rooms {
		most = max(most, b.n)
	}
	want(&room, most)
	for _, o := range t.outs {
		if o.v.needs && !o.alone {
			want(&o.seed, o.v.n)
		}
	}
	if err := tensor.Room(total*4, "the values and gradients of a training step"); err != nil {
		return err
	}
	t.arena = total * 4
	all := tensor.New(tensor.F32, total).F32()
	for i, at := range wants {
		*at, all = all[:sizes[i]:sizes[i]], all[(sizes[i]+lineFloats-1)/lineFloats*lineFloats:]
	}
	for _, b := range t.rooms {
		b.data = room[:b.n]
		b.bytes = tensor.FromSlice(b.data, b.n).Data
	}
	for _, o := range t.outs {
		if o.v.needs && o.alone {
			o.seed = o.v.dy()
		}
	}
	for _, v := range t.all {
		if v.root == v && v.dtype == tensor.F32 && v.data != nil && !v.constant {
			v.t.Data = tensor.FromSlice(v.data, v.n).Data
		}
	}
	return nil
}
