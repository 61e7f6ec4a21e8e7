package onnx

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// lowering is one source node on its way into the graph. A rule reads it, emits the
// nodes that mean the same in the newest operator set, and leaves the outputs' names as they are.
type lowering struct {
	im      *importer
	sc      *scope
	domain  string
	op      string
	path    string // names the node in messages, and what is made up for it
	name    string // of the node, "" if it has none
	opset   int
	inputs  []string
	outputs []string
	used    []bool // by output: whether anything reads it
	attrs   model.Attrs
	out     *[]*model.Node
}

// rule translates a node; an error is about broken input.
type rule func(l *lowering) error

// node lowers one node of a graph, subgraph or function body.
func (im *importer) node(sc *scope, p *protoNode, index int, out *[]*model.Node) error {
	l := &lowering{im: im, sc: sc, domain: p.domain, op: p.op, opset: sc.opsets[p.domain], attrs: model.Attrs{}, out: out}
	switch {
	case p.name != "":
		l.name = sc.path + p.name
		l.path = l.name
	case len(p.outputs) > 0 && p.outputs[0] != "":
		l.path = sc.path + p.outputs[0]
	default:
		l.path = sc.path + p.op + "#" + strconv.Itoa(index)
	}
	if im.nodes++; im.nodes > maxNodes {
		return fault.Formatf("node "+l.path, "the graph has more than %d nodes", maxNodes)
	}
	bad, odd := false, ""
	for _, in := range p.inputs {
		ours := ""
		if in != "" {
			var ok bool
			if ours, ok = sc.lookup(in); !ok {
				return fault.Formatf("node "+l.path+" ("+p.op+")", "input %s is not defined", in)
			}
		}
		bad = bad || im.bad[ours]
		l.inputs = append(l.inputs, ours)
	}
	for len(l.inputs) > 0 && l.inputs[len(l.inputs)-1] == "" {
		l.inputs = l.inputs[:len(l.inputs)-1]
	}
	if fn := im.function(p); fn != nil {
		return im.inline(l, p, fn)
	}
	before := len(im.bad)
	oddAttr, err := l.convertAttrs(p)
	if err != nil {
		return err
	}
	if oddAttr != "" {
		odd = oddAttr
	}
	for _, o := range p.outputs {
		ours := ""
		if o != "" {
			if ours, err = im.define(sc, o); err != nil {
				return err
			}
		}
		l.outputs = append(l.outputs, ours)
		l.used = append(l.used, o != "" && sc.used[o])
	}
	for len(l.outputs) > 0 && l.outputs[len(l.outputs)-1] == "" {
		l.outputs = l.outputs[:len(l.outputs)-1]
	}
	if len(l.outputs) == 0 {
		return nil // it makes nothing
	}
	l.drop("consumed_inputs") // of the first operator sets: a hint to reuse memory
	known := l.known()
	switch {
	case !known:
		im.unsupported(l.item(l.opName(), im.hint(l.domain, l.op)))
	case odd != "":
		im.unsupported(l.item(l.opName()+" with "+odd, ""))
	}
	if bad || !known || odd != "" || len(im.bad) > before {
		if im.opts.AnyOperator {
			l.keep()
		} else {
			l.spoil()
		}
		return nil
	}
	if r := findRule(l.domain, l.op); r != nil {
		return r(l)
	}
	l.keep()
	return nil
}

// known reports whether there is a way for the operator into the graph.
func (l *lowering) known() bool {
	if l.domain == "" && replaced[l.op] {
		return true
	}
	if l.domain == domainMicrosoft && microsoftRules[l.op] != nil || l.domain == model.DomainML && mlRules[l.op] != nil {
		return true
	}
	return model.KnownOp(l.domain, l.op)
}

// spoil marks the outputs as not to be had.
func (l *lowering) spoil() {
	for _, o := range l.outputs {
		if o != "" {
			l.im.bad[o] = true
		}
	}
}

// reject lists the node as unsupported for a reason that a rule found.
func (l *lowering) reject(what, hint string) error {
	l.im.unsupported(l.item(what, hint))
	if l.im.opts.AnyOperator {
		l.keep()
	} else {
		l.spoil()
	}
	return nil
}

func (l *lowering) broken(format string, args ...any) error {
	return fault.Formatf("node "+l.path+" ("+l.opName()+")", format, args...)
}

func (l *lowering) opName() string {
	if l.domain == "" {
		return l.op
	}
	return l.domain + "." + l.op
}

func (l *lowering) item(what, hint string) fault.Item {
	it := fault.Item{Where: "node " + l.path, What: what, Opset: l.opset, Hint: hint}
	if len(l.inputs) > 0 {
		if t, ok := l.im.types[l.inputs[0]]; ok {
			it.DType = t.DType.String()
		}
	}
	return it
}

// convertAttrs fills attrs. odd names an attribute of a kind that the graph cannot hold.
func (l *lowering) convertAttrs(p *protoNode) (odd string, err error) {
	for _, a := range p.attrs {
		if _, dup := l.attrs[a.name]; dup {
			return "", l.broken("attribute %s is given twice", a.name)
		}
		b := boundAttr{a, l.sc}
		if a.ref != "" {
			var ok bool
			// An attribute that the caller left out, and that has no default, is not there.
			if b, ok = l.sc.attrs[a.ref]; !ok {
				continue
			}
		}
		attr, ok, err := l.convertAttr(b, a.name)
		if err != nil {
			return "", err
		}
		if !ok {
			odd = "attribute " + a.name + " (" + kindNames[b.attr.kind] + ")"
			continue
		}
		switch a.name {
		case "to", "dtype", "output_dtype":
			if _, err := model.ElemType(attr.Int); err != nil && attr.Kind == model.AttrInt && attr.Int != 0 {
				odd = "element type " + dtypeName(int(attr.Int))
			}
		}
		l.attrs[a.name] = attr
	}
	return odd, nil
}

func (l *lowering) convertAttr(b boundAttr, name string) (attr model.Attr, ok bool, err error) {
	a := b.attr
	switch a.kind {
	case kindInt:
		return model.IntAttr(a.i), true, nil
	case kindFloat:
		return model.FloatAttr(a.f), true, nil
	case kindString:
		return model.StringAttr(string(a.s)), true, nil
	case kindInts:
		return model.IntsAttr(a.ints...), true, nil
	case kindFloats:
		f := make([]float32, len(a.floats.data)/4)
		for i := range f {
			f[i] = math.Float32frombits(binary.LittleEndian.Uint32(a.floats.data[4*i:]))
		}
		return model.FloatsAttr(f...), true, nil
	case kindStrings:
		s := make([]string, len(a.strs))
		for i := range s {
			s[i] = string(a.strs[i])
		}
		return model.Attr{Kind: model.AttrStrings, Strs: s}, true, nil
	case kindTensor:
		t := l.im.constant(a.t, "node "+l.path+", attribute "+name, &err)
		if t != nil && t.DType == tensor.STRING && l.op != "Constant" {
			return model.Attr{Kind: model.AttrStrings, Strs: t.Strings()}, true, err
		}
		return model.Attr{Kind: model.AttrTensor, Tensor: t}, t != nil, err
	case kindType:
		t, ok, err := l.im.valueType(*a.tp, "node "+l.path+", attribute "+name)
		return model.StringAttr(t.DType.String()), ok, err
	case kindGraph:
		g, err := l.im.subgraph(b.sc, a.g, l.path+"/"+name)
		return model.Attr{Kind: model.AttrGraph, Graph: g}, true, err
	}
	return attr, false, nil
}

// function returns the model's own definition of a node's operator, if it is to be used:
// where the graph language has the operator, that is better.
func (im *importer) function(p *protoNode) *protoFunction {
	fn := im.funcs[funcKey{p.domain, p.op, p.overload}]
	if fn == nil || p.domain == "" && model.KnownOp("", p.op) {
		return nil
	}
	return fn
}

// inline puts a function's body in the place of a call.
func (im *importer) inline(l *lowering, p *protoNode, fn *protoFunction) error {
	if l.sc.depth == maxInline {
		return l.broken("functions call each other more than %d deep", maxInline)
	}
	sc := &scope{
		names: map[string]string{}, preset: map[string]string{}, path: l.path + "/", opsets: fn.opsets,
		attrs: map[string]boundAttr{}, depth: l.sc.depth + 1,
	}
	for _, a := range fn.defaults {
		sc.attrs[a.name] = boundAttr{a, l.sc}
	}
	for _, a := range p.attrs {
		b := boundAttr{a, l.sc}
		if a.ref != "" {
			var ok bool
			if b, ok = l.sc.attrs[a.ref]; !ok {
				continue
			}
		}
		sc.attrs[a.name] = b
	}
	if len(l.inputs) > len(fn.inputs) {
		return l.broken("it has %d inputs, its function %d", len(l.inputs), len(fn.inputs))
	}
	if len(p.outputs) > len(fn.outputs) {
		return l.broken("it has %d outputs, its function %d", len(p.outputs), len(fn.outputs))
	}
	for i, in := range fn.inputs {
		if _, dup := sc.names[in]; dup {
			return l.broken("its function has two inputs %s", in)
		}
		sc.names[in] = ""
		if i < len(l.inputs) {
			sc.names[in] = l.inputs[i]
		}
	}
	ours := make([]string, len(p.outputs))
	for i, o := range p.outputs {
		if o == "" {
			continue
		}
		var err error
		if ours[i], err = im.define(l.sc, o); err != nil {
			return err
		}
		if _, passed := sc.names[fn.outputs[i]]; !passed && sc.preset[fn.outputs[i]] == "" {
			sc.preset[fn.outputs[i]] = ours[i]
		}
	}
	nodes, err := im.body(sc, fn.nodes, fn.outputs)
	if err != nil {
		return err
	}
	*l.out = append(*l.out, nodes...)
	for i, o := range fn.outputs {
		if i >= len(ours) || ours[i] == "" || sc.preset[o] == ours[i] && sc.names[o] == ours[i] {
			continue
		}
		// The function passes an input on, or one value out twice.
		from, ok := sc.names[o]
		if !ok || from == "" {
			return l.broken("its function does not make output %s", o)
		}
		copying := *l
		copying.outputs = []string{ours[i]}
		copying.emit("", "Identity", l.name, []string{from}, copying.outputs, nil)
	}
	return nil
}

// keep emits the node as it is.
func (l *lowering) keep() { l.finish(l.op, l.attrs, l.inputs...) }

// finish emits the node that makes the outputs.
func (l *lowering) finish(op string, attrs model.Attrs, inputs ...string) {
	domain := l.domain
	if domain == domainMicrosoft && op != l.op {
		domain = ""
	}
	l.emit(domain, op, l.name, inputs, l.outputs, attrs)
}

// apply emits a node of the default domain with one new output, and returns that.
func (l *lowering) apply(op string, attrs model.Attrs, inputs ...string) string {
	name := l.im.unique(l.path + "/" + op)
	l.emit("", op, name, inputs, []string{name}, attrs)
	return name
}

// emit appends a node, unless an input of it is not to be had, and infers its outputs' types.
func (l *lowering) emit(domain, op, name string, inputs, outputs []string, attrs model.Attrs) {
	for _, in := range inputs {
		if l.im.bad[in] && !l.im.opts.AnyOperator {
			for _, o := range outputs {
				l.im.bad[o] = true
			}
			return
		}
	}
	for len(inputs) > 0 && inputs[len(inputs)-1] == "" {
		inputs = inputs[:len(inputs)-1]
	}
	if attrs == nil {
		attrs = model.Attrs{}
	}
	n := &model.Node{
		Domain: domain, Op: op, Name: name, Attrs: attrs,
		Inputs: append([]string(nil), inputs...), Outputs: append([]string(nil), outputs...),
	}
	*l.out = append(*l.out, n)
	l.im.infer(n)
}

// infer notes the types of a node's outputs as far as they can be known while lowering:
// some old forms can only be translated when a rank is known. What is missing or wrong
// here comes out in Graph.Infer.
func (im *importer) infer(n *model.Node) {
	c := &model.Inference{
		Node: n, In: make([]model.Type, len(n.Inputs)), Val: make([]*tensor.Tensor, len(n.Inputs)),
		Sym: make([][]model.Dim, len(n.Inputs)), Outer: im.types, OuterVal: im.vals, OuterSym: im.syms,
	}
	for i, in := range n.Inputs {
		if in == "" {
			continue
		}
		t, ok := im.types[in]
		if !ok {
			return
		}
		c.In[i], c.Val[i], c.Sym[i] = t, im.vals[in], im.syms[in]
	}
	if model.InferNode(c) != nil {
		return
	}
	for i, o := range n.Outputs {
		if o != "" {
			im.types[o] = c.Out[i]
			if c.OutSym[i] != nil {
				im.syms[o] = c.OutSym[i]
			}
		}
	}
}

// in returns input i, "" if it is absent.
func (l *lowering) in(i int) string {
	if i < len(l.inputs) {
		return l.inputs[i]
	}
	return ""
}

// setIn makes name input i.
func (l *lowering) setIn(i int, name string) {
	for len(l.inputs) <= i {
		l.inputs = append(l.inputs, "")
	}
	l.inputs[i] = name
}

// rank returns the rank of a value, -1 if it is not known.
func (l *lowering) rank(name string) int {
	if t, ok := l.im.types[name]; ok && t.Shape != nil {
		return len(t.Shape)
	}
	return -1
}

// shape returns the dimensions of a value, nil if not even the rank is known.
func (l *lowering) shape(name string) []model.Dim { return l.im.types[name].Shape }

// dtype returns the element type of a value, F32 if it is not known.
func (l *lowering) dtype(name string) tensor.DType {
	if t := l.im.types[name]; t.DType != tensor.Invalid {
		return t.DType
	}
	return tensor.F32
}

// constant makes t a constant of the graph.
func (l *lowering) constant(what string, t *tensor.Tensor) string {
	name := l.im.unique(l.path + "/" + what)
	l.im.addInit(name, t)
	return name
}

// ints makes a vector of integers a constant.
func (l *lowering) ints(what string, v ...int64) string {
	return l.constant(what, tensor.FromSlice(append([]int64{}, v...), len(v)))
}

// floats makes a vector of floats a constant.
func (l *lowering) floats(what string, v ...float32) string {
	return l.constant(what, tensor.FromSlice(append([]float32{}, v...), len(v)))
}

// scalar makes a scalar of a type a constant.
func (l *lowering) scalar(what string, dt tensor.DType, v float64) (string, error) {
	t := tensor.New(dt)
	switch dt {
	case tensor.F32:
		tensor.View[float32](t)[0] = float32(v)
	case tensor.F64:
		tensor.View[float64](t)[0] = v
	case tensor.F16:
		tensor.View[uint16](t)[0] = float16.Fromfloat32(float32(v)).Bits()
	case tensor.BF16:
		tensor.View[uint16](t)[0] = uint16(math.Float32bits(float32(v)) >> 16)
	case tensor.I32:
		tensor.View[int32](t)[0] = int32(v)
	case tensor.I64:
		tensor.View[int64](t)[0] = int64(v)
	case tensor.BOOL, tensor.U8, tensor.I8:
		t.Data[0] = byte(int(v))
	default:
		return "", l.broken("%s cannot be of type %v", what, dt)
	}
	return l.constant(what, t), nil
}

// attr removes an attribute and returns it.
func (l *lowering) attr(name string) (model.Attr, bool) {
	a, ok := l.attrs[name]
	delete(l.attrs, name)
	return a, ok
}

// drop removes attributes that mean nothing (any more).
func (l *lowering) drop(names ...string) {
	for _, n := range names {
		delete(l.attrs, n)
	}
}
