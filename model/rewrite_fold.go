package model

import (
	"github.com/dsk-toolkit/dsk/tensor"
)

// constants makes initializers of Constant nodes, of small integer vectors that inference
// knows completely (what becomes of Shape when the shape is fixed), and of big ConstantOfShape
// weights, whose bytes stay unmade.
func (r *rewriter) constants() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if len(n.Outputs) != 1 || r.kept[n.Outputs[0]] {
			return nil
		}
		out := n.Outputs[0]
		t, err := r.valueAhead(n, out)
		if t == nil || err != nil {
			return err
		}
		r.replace([]*Node{n})
		r.setInit(out, t)
		count++
		return nil
	})
	return count, err
}

// storable reports whether values of a type can be initializers: strings are attributes, and what holds others is made when
// the graph runs.
func storable(dt tensor.DType) bool { return dt != tensor.STRING && !dt.Holds() }

// setInit makes an initializer of a value that a node made.
func (r *rewriter) setInit(name string, t *tensor.Tensor) {
	if r.top.Init == nil {
		r.top.Init = map[string]*tensor.Tensor{}
	}
	r.top.Init[name] = t
	if r.top.Types != nil {
		r.top.Types[name] = TypeOf(t)
	}
}

// valueAhead returns the value that a node makes, if it can be told without computing.
func (r *rewriter) valueAhead(n *Node, out string) (*tensor.Tensor, error) {
	if n.Domain != "" {
		return nil, nil
	}
	switch n.Op {
	case "Constant":
		if !storable(r.typeOf(out).DType) {
			return nil, nil
		}
		return ConstantValue(n)
	case "ConstantOfShape":
		if shape, ok := r.typeOf(out).Static(); ok {
			return r.filled(n, out, shape)
		}
		return nil, nil
	}
	if r.env == nil {
		return nil, nil
	}
	t := r.typeOf(out)
	shape, ok := t.Static()
	sym := r.env.syms[out]
	if !ok || len(shape) > 1 || sym == nil || t.DType != tensor.I64 && t.DType != tensor.I32 && t.DType != tensor.BOOL {
		return nil, nil
	}
	v := tensor.New(t.DType, shape...)
	if v.Len() != len(sym) {
		return nil, nil
	}
	for i, d := range sym {
		x, ok := d.Value()
		if !ok {
			return nil, nil
		}
		switch t.DType {
		case tensor.I64:
			v.I64()[i] = x
		case tensor.I32:
			tensor.View[int32](v)[i] = int32(x)
		default:
			v.Data[i] = byte(x)
		}
	}
	return v, nil
}

// eagerFill is the most bytes of a ConstantOfShape that are made at once.
const eagerFill = 256 << 10

// filled returns the value of a ConstantOfShape: now if it is small, deferred if it is big and
// a weight, nil if it is better made when the graph runs.
func (r *rewriter) filled(n *Node, out string, shape []int) (*tensor.Tensor, error) {
	dt := tensor.F32
	elem := make([]byte, 4)
	if v := n.Attrs["value"].Tensor; v != nil {
		dt = v.DType
		w, err := v.Loaded()
		if err != nil {
			return nil, err
		}
		elem = w.Data
	}
	size, err := tensor.ByteSize(dt, shape, tensor.RowMajor)
	if err != nil {
		return nil, err
	}
	t := tensor.Deferred(dt, append([]int{}, shape...), tensor.RowMajor, nil, func(dst []byte) error {
		for i := 0; i < len(dst); i += len(elem) {
			copy(dst[i:], elem)
		}
		return nil
	})
	if size <= eagerFill {
		return t, t.Load()
	}
	for _, u := range r.users[out] {
		switch u.Op {
		case "Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "Linear", "LSTM", "GRU", "RNN":
			if u.In(0) == out {
				return nil, nil
			}
		default:
			return nil, nil
		}
	}
	return t, nil
}

// evaluator is RewriteOptions.Eval.
type evaluator = func(n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)

// fold computes nodes whose inputs are all constants.
func (r *rewriter) fold() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || len(n.Subgraphs()) > 0 || random[n.Op] || len(n.Inputs) == 0 {
			return nil
		}
		in := make([]*tensor.Tensor, len(n.Inputs))
		inBytes := 0
		for i, name := range n.Inputs {
			if name == "" {
				continue
			}
			t := r.constant(name)
			if t == nil {
				return nil
			}
			in[i] = t
			inBytes += t.Bytes()
		}
		for _, out := range n.Outputs {
			if r.kept[out] || !storable(r.typeOf(out).DType) {
				return nil
			}
		}
		done, err := r.foldNode(n, in, inBytes)
		if done {
			count++
		}
		return err
	})
	return count, err
}

func (r *rewriter) foldNode(n *Node, in []*tensor.Tensor, inBytes int) (bool, error) {
	out := n.Outputs[0]
	shape, static := r.typeOf(out).Static()
	if r.waitsForWeight(n) {
		return false, nil
	}
	switch n.Op {
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity":
		if static && len(n.Outputs) == 1 {
			r.replace([]*Node{n})
			r.setInit(out, in[0].Reshaped(shape...))
			return true, nil
		}
	case "Transpose":
		perm := make([]int, len(in[0].Shape))
		for i := range perm {
			perm[i] = len(perm) - 1 - i
		}
		for i, p := range n.Ints("perm") {
			perm[i], _ = axisOf(p, len(perm))
		}
		t, err := tensor.Permuted(in[0], perm...)
		if err != nil {
			return false, nil // a type without a fixed width
		}
		r.replace([]*Node{n})
		r.setInit(out, t)
		return true, nil
	}
	if r.o.Eval == nil {
		return false, nil
	}
	total := 0
	for _, name := range n.Outputs {
		if name == "" {
			continue
		}
		t := r.typeOf(name)
		s, ok := t.Static()
		if !ok {
			// The shape depends on the values: computed if the inputs are no more than tables.
			if inBytes > 1<<20 {
				return false, nil
			}
			continue
		}
		size, err := tensor.ByteSize(t.DType, s, tensor.RowMajor)
		if err != nil {
			return false, err
		}
		total += size
	}
	// A result much larger than its inputs is cheaper to make again than to store.
	if total > 1<<20 && total > 4*inBytes {
		return false, nil
	}
	if total > r.o.MaxFold {
		return r.foldLater(n, in)
	}
	res, err := evalConst(r.o.Eval, n, in)
	if err != nil || res == nil {
		return false, err
	}
	size := 0
	for i, name := range n.Outputs {
		if name != "" {
			size += res[i].Bytes()
		}
	}
	if size > r.o.MaxFold {
		return false, nil
	}
	r.replace([]*Node{n})
	for i, name := range n.Outputs {
		if name != "" {
			r.setInit(name, res[i])
		}
	}
	return true, nil
}

// evalConst computes a node without keeping what deferred inputs load to.
func evalConst(eval evaluator, n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	loaded := make([]*tensor.Tensor, len(in))
	for i, t := range in {
		if t == nil {
			continue
		}
		var err error
		if loaded[i], err = t.Loaded(); err != nil {
			return nil, err
		}
	}
	return eval(n, loaded)
}

// foldLater replaces a node of large weights by an initializer that is computed when it is read.
func (r *rewriter) foldLater(n *Node, in []*tensor.Tensor) (bool, error) {
	out := n.Outputs[0]
	t := r.typeOf(out)
	shape, ok := t.Static()
	if len(n.Outputs) != 1 || !ok || n.Op != "DequantizeLinear" && n.Op != "Cast" && n.Op != "Mul" {
		return false, nil
	}
	r.replace([]*Node{n})
	eval := r.o.Eval
	r.setInit(out, tensor.Deferred(t.DType, shape, tensor.RowMajor, nil, func(dst []byte) error {
		res, err := evalConst(eval, n, in)
		if err != nil {
			return err
		}
		copy(dst, res[0].Data)
		return nil
	}))
	return true, nil
}

// waitsForWeight reports whether a node of constants is left for the pass linear, which reads
// through it and so keeps one copy of a tied weight, or a half-width one.
func (r *rewriter) waitsForWeight(n *Node) bool {
	if r.o.NoFuse || r.kept[n.Outputs[0]] || len(r.users[n.Outputs[0]]) == 0 {
		return false
	}
	swap := n.Op == "Transpose" && len(r.constant(n.In(0)).Shape) == 2
	if widens := n.Op == "Cast" && r.widens(n); !swap && !widens {
		return false
	}
	for _, u := range r.users[n.Outputs[0]] {
		// With alpha the weight is multiplied, which needs F32.
		if u.Op == "Gemm" && u.Float("alpha", 1) != 1 {
			return false
		}
		if !r.becomesLinear(u) || u.In(1) != n.Outputs[0] || u.In(0) == n.Outputs[0] {
			return false
		}
	}
	return true
}

// widens reports whether a Cast makes F32 of a half-width constant matrix.
func (r *rewriter) widens(n *Node) bool {
	t := r.constant(n.In(0))
	return t != nil && len(t.Shape) == 2 && (t.DType == tensor.F16 || t.DType == tensor.BF16) &&
		n.Int("to", 0) == ElemCode(tensor.F32)
}

// knownBranches puts the branch in the place of an If whose condition is constant.
func (r *rewriter) knownBranches() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if !n.Is("", "If") {
			return nil
		}
		c := r.constant(n.In(0))
		if c == nil || c.Len() != 1 {
			return nil
		}
		if err := c.Load(); err != nil {
			return err
		}
		name := "else_branch"
		if c.Data[0] != 0 {
			name = "then_branch"
		}
		g := n.Attrs[name].Graph
		if g == nil || len(g.Outputs) != len(n.Outputs) {
			return nil
		}
		with := append([]*Node{}, g.Nodes...)
		for i, out := range n.Outputs {
			if out != "" {
				with = append(with, &Node{Op: "Identity", Name: n.Name, Inputs: []string{g.Outputs[i].Name}, Outputs: []string{out}})
			}
		}
		for name, t := range g.Types {
			r.g.Types[name] = t
		}
		r.replace([]*Node{n}, with...)
		count++
		return nil
	})
	return count, err
}
