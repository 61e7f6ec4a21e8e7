package model

import (
	"math"
	"slices"
)

// poly holds the coefficients of a polynomial in x, the constant one first.
type poly []float64

// maxDegree bounds the polynomials: the tanh form of GELU multiplies x by a cube.
const maxDegree = 4

func (p poly) trim() poly {
	for len(p) > 0 && p[len(p)-1] == 0 {
		p = p[:len(p)-1]
	}
	return p
}

func (p poly) plus(q poly, factor float64) poly {
	out := make(poly, max(len(p), len(q)))
	copy(out, p)
	for i, c := range q {
		out[i] += float64(factor * c)
	}
	return out.trim()
}

func (p poly) times(q poly) poly {
	if len(p) == 0 || len(q) == 0 {
		return nil
	}
	out := make(poly, len(p)+len(q)-1)
	for i, a := range p {
		for j, b := range q {
			out[i+j] += float64(a * b)
		}
	}
	return out.trim()
}

// is reports whether p has the given coefficients, up to the rounding of constants.
func (p poly) is(coef ...float64) bool {
	p = p.trim()
	if len(p) != len(coef) {
		return false
	}
	for i, c := range coef {
		if c == 0 && p[i] != 0 || c != 0 && !(math.Abs(p[i]-c) <= 1e-4*math.Abs(c)) {
			return false
		}
	}
	return true
}

// form is a(x) + b(x) t, where t is the value of one other operator.
type form struct{ a, b poly }

// chain reads an expression as a form in the values x and t.
type chain struct {
	r    *rewriter
	x, t string
	used []*Node
}

// expr returns the form of a value; false if it is no such expression.
func (c *chain) expr(name string) (form, bool) {
	switch name {
	case c.x:
		return form{a: poly{0, 1}}, true
	case c.t:
		return form{b: poly{1}}, true
	}
	if v, ok := c.r.scalarConst(name); ok {
		return form{a: poly{v}.trim()}, true
	}
	n := c.r.maker[name]
	if n == nil || n.Domain != "" || len(n.Inputs) != 2 || len(c.used) > 16 {
		return form{}, false
	}
	switch n.Op {
	case "Add", "Sub", "Mul", "Div", "Pow":
	default:
		return form{}, false
	}
	if !slices.Contains(c.used, n) {
		c.used = append(c.used, n)
	}
	l, ok := c.expr(n.In(0))
	if !ok {
		return form{}, false
	}
	q, ok := c.expr(n.In(1))
	if !ok {
		return form{}, false
	}
	constant := len(q.b) == 0 && len(q.a) <= 1
	k := 0.0
	if len(q.a) == 1 {
		k = q.a[0]
	}
	out := l
	switch n.Op {
	case "Add":
		out = form{l.a.plus(q.a, 1), l.b.plus(q.b, 1)}
	case "Sub":
		out = form{l.a.plus(q.a, -1), l.b.plus(q.b, -1)}
	case "Mul":
		if len(l.b) > 0 && len(q.b) > 0 {
			return form{}, false
		}
		out = form{l.a.times(q.a), l.a.times(q.b).plus(l.b.times(q.a), 1)}
	case "Div":
		if !constant || k == 0 {
			return form{}, false
		}
		out = form{l.a.times(poly{1 / k}), l.b.times(poly{1 / k})}
	case "Pow":
		if !constant || len(l.b) > 0 || k != 2 && k != 3 {
			return form{}, false
		}
		out = form{a: l.a.times(l.a)}
		if k == 3 {
			out.a = out.a.times(l.a)
		}
	}
	return out, len(out.a) <= maxDegree && len(out.b) <= maxDegree
}

// bases returns the values that may be x in the argument of an activation: what the argument is
// made of by arithmetic with constants, the argument itself first.
func (r *rewriter) bases(name string) []string {
	var out []string
	for range 8 {
		out = append(out, name)
		n := r.maker[name]
		if n == nil || n.Domain != "" || len(n.Inputs) != 2 {
			break
		}
		switch n.Op {
		case "Add", "Sub", "Mul", "Div", "Pow":
		default:
			return out
		}
		next := n.In(0)
		if _, ok := r.scalarConst(next); ok {
			next = n.In(1)
		}
		name = next
	}
	return out
}

// activationChains replaces what exporters write for GELU, Swish, HardSwish and Mish by the operator.
func (r *rewriter) activationChains() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		if n.Domain != "" || !r.typeOf(n.Outputs[0]).DType.IsFloat() {
			return nil
		}
		switch n.Op {
		case "Erf", "Tanh", "Sigmoid", "HardSigmoid", "Clip":
			if r.activationChain(n) {
				count++
			}
		}
		return nil
	})
	return count, err
}

// activationChain tries to find the product around the value t of an inner activation.
func (r *rewriter) activationChain(t *Node) bool {
	if t.Op == "Tanh" {
		if s := r.sole(t.In(0)); s != nil && s.Is("", "Softplus") {
			return r.productChain(t, s.In(0), []*Node{s}, func(f form) *Node {
				if len(f.a) > 0 || !f.b.is(0, 1) {
					return nil
				}
				return &Node{Op: "Mish"}
			})
		}
	}
	for _, x := range r.bases(t.In(0)) {
		arg := &chain{r: r, x: x}
		f, ok := arg.expr(t.In(0))
		if !ok || len(f.b) > 0 {
			continue
		}
		found := r.productChain(t, x, arg.used, func(g form) *Node { return r.recognize(t, f.a, g) })
		if found {
			return true
		}
	}
	return false
}

// productChain walks from t through its only users until what they compute is an activation of
// x, and replaces all of it.
func (r *rewriter) productChain(t *Node, x string, inner []*Node, recognize func(form) *Node) bool {
	value := t.Outputs[0]
	if r.typeOf(x).Shape == nil {
		return false
	}
	for range 4 {
		root := r.soleUser(value)
		if root == nil || len(root.Outputs) != 1 {
			return false
		}
		value = root.Outputs[0]
		c := &chain{r: r, x: x, t: t.Outputs[0]}
		f, ok := c.expr(value)
		if !ok {
			return false
		}
		n := recognize(f)
		// A constant of one element may still have more axes than x.
		if n == nil || len(r.typeOf(value).Shape) != len(r.typeOf(x).Shape) {
			continue
		}
		gone := []*Node{root}
		for _, u := range append(append([]*Node{t}, inner...), c.used...) {
			if !slices.Contains(gone, u) {
				gone = append(gone, u)
			}
		}
		// Nothing else may read what disappears.
		for _, u := range gone[1:] {
			for _, out := range u.Outputs {
				if r.kept[out] || slices.ContainsFunc(r.users[out], func(v *Node) bool { return !slices.Contains(gone, v) }) {
					return false
				}
			}
		}
		n.Name = root.Name
		n.Inputs, n.Outputs = []string{x}, root.Outputs
		if n.Attrs == nil {
			n.Attrs = Attrs{}
		}
		r.replace(gone, n)
		return true
	}
	return false
}

// recognize returns the activation of x that a(x) + b(x) t is, where t is applied to arg(x), or nil.
func (r *rewriter) recognize(t *Node, arg poly, f form) *Node {
	root := math.Sqrt(2 / math.Pi)
	plain := len(f.a) == 0 // nothing beside the product with t
	switch t.Op {
	case "Erf":
		if arg.is(0, math.Sqrt(0.5)) && f.a.is(0, 0.5) && f.b.is(0, 0.5) {
			return &Node{Op: "Gelu"}
		}
	case "Tanh":
		if arg.is(0, root, 0, 0.044715*root) && f.a.is(0, 0.5) && f.b.is(0, 0.5) {
			return &Node{Op: "Gelu", Attrs: Attrs{"approximate": StringAttr("tanh")}}
		}
	case "Sigmoid":
		if len(arg) == 2 && arg[0] == 0 && plain && f.b.is(0, 1) {
			n := &Node{Op: "Swish"}
			if arg[1] != 1 {
				n.Attrs = Attrs{"alpha": FloatAttr(float32(arg[1]))}
			}
			return n
		}
	case "HardSigmoid":
		if arg.is(0, 1) && plain && f.b.is(0, 1) && near(float64(t.Float("alpha", 0.2)), 1.0/6) && t.Float("beta", 0.5) == 0.5 {
			return &Node{Op: "HardSwish"}
		}
	case "Clip":
		lo, ok1 := r.scalarConst(t.In(1))
		hi, ok2 := r.scalarConst(t.In(2))
		if !ok1 || !ok2 || lo != 0 || !plain {
			return nil
		}
		switch {
		case hi == 6 && arg.is(3, 1) && f.b.is(0, 1.0/6), hi == 1 && arg.is(0.5, 1.0/6) && f.b.is(0, 1):
			return &Node{Op: "HardSwish"}
		case hi == 6 && arg.is(3, 1) && f.b.is(1.0/6):
			return &Node{Op: "HardSigmoid", Attrs: Attrs{"alpha": FloatAttr(1.0 / 6), "beta": FloatAttr(0.5)}}
		}
	}
	return nil
}

// activations moves an activation into the dsk.Linear or dsk.Conv whose only user it is.
func (r *rewriter) activations() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		name, params := r.fusedActivation(n)
		if name == ActNone {
			return nil
		}
		m := r.sole(n.In(0))
		if m == nil || m.Domain != DomainDsk || m.Op != "Linear" && m.Op != "Conv" && m.Op != "QLinear" || m.Str("activation", "") != ActNone {
			return nil
		}
		f := m.Clone()
		f.Outputs = n.Outputs
		f.Attrs["activation"] = StringAttr(name)
		if params != nil {
			f.Attrs["activation_params"] = FloatsAttr(params...)
		}
		r.replace([]*Node{n, m}, f)
		count++
		return nil
	})
	return count, err
}

// fusedActivation returns the name and parameters of the activation that a node is, or ActNone.
func (r *rewriter) fusedActivation(n *Node) (string, []float32) {
	if n.Domain != "" || !real(r.typeOf(n.Outputs[0]).DType) {
		return ActNone, nil
	}
	switch n.Op {
	case "Relu", "Sigmoid", "Tanh", "HardSwish":
		return n.Op, nil
	case "LeakyRelu":
		return ActLeakyRelu, []float32{n.Float("alpha", 0.01)}
	case "Swish":
		if n.Float("alpha", 1) == 1 {
			return ActSwish, nil
		}
	case "Gelu":
		if n.Str("approximate", "none") == "tanh" {
			return ActGeluTanh, nil
		}
		return ActGelu, nil
	case "Clip":
		lo, hi := -math.MaxFloat32, math.MaxFloat32
		for i, v := range []*float64{1: &lo, 2: &hi} {
			if i == 0 || n.In(i) == "" {
				continue
			}
			x, ok := r.scalarConst(n.In(i))
			if !ok {
				return ActNone, nil
			}
			*v = x
		}
		return ActClip, []float32{float32(lo), float32(hi)}
	}
	return ActNone, nil
}
