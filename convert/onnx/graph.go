package onnx

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// importer turns the messages of one model into a model.Graph. Lifted constants, renamed
// values and inlined functions all draw their names from one space.
type importer struct {
	opts  Options
	src   *sources
	funcs map[funcKey]*protoFunction
	graph *model.Graph

	taken map[string]int // every name in use; the number of the last suffix tried
	types map[string]model.Type
	vals  map[string]*tensor.Tensor // small constants
	syms  map[string][]model.Dim

	items      []fault.Item
	strings    []*model.Node   // constants of strings, which come before all other nodes
	bad        map[string]bool // values that are not supported or hang on one that is not
	nodes      int
	parameters int64
	statistics map[string]bool // source names of running means and variances
	warnings   []string
	labels     []string        // of classes, if the graph names them
	tables     map[string]bool // values that are tensors here and lists of maps in the source
}

type funcKey struct{ domain, name, overload string }

// scope is where names of the source are looked up: a graph, a subgraph or a function's body.
type scope struct {
	parent *scope
	names  map[string]string // source name to ours; "" is an input that the caller left out
	preset map[string]string // ours for values that are yet to be made; others get a free name
	path   string            // for messages: "" or "loop_1/body/"
	opsets map[string]int
	attrs  map[string]boundAttr // of the call, in a function's body
	depth  int                  // of inlining
	used   map[string]bool      // source names that something reads
}

// boundAttr is an attribute and the scope that its subgraphs see.
type boundAttr struct {
	attr *protoAttr
	sc   *scope
}

// lookup returns our name of a value.
func (sc *scope) lookup(name string) (string, bool) {
	for s := sc; s != nil; s = s.parent {
		if ours, ok := s.names[name]; ok {
			return ours, true
		}
	}
	return "", false
}

// unique returns name itself or, if it is taken, name with a number.
func (im *importer) unique(name string) string {
	if name == "" {
		name = "value"
	}
	if _, ok := im.taken[name]; !ok {
		im.taken[name] = 0
		return name
	}
	for i := im.taken[name] + 1; ; i++ {
		s := name + "_" + strconv.Itoa(i)
		if _, ok := im.taken[s]; !ok {
			im.taken[name] = i
			im.taken[s] = 0
			return s
		}
	}
}

// define gives a value of sc its name.
func (im *importer) define(sc *scope, name string) (string, error) {
	if _, dup := sc.names[name]; dup {
		return "", fault.Formatf("value "+sc.path+name, "it is made twice")
	}
	ours, ok := sc.preset[name]
	if !ok {
		ours = im.unique(name)
	}
	sc.names[name] = ours
	return ours, nil
}

func (im *importer) unsupported(it fault.Item) { im.items = append(im.items, it) }

// addInit makes t a constant of the graph; name must be ours already.
func (im *importer) addInit(name string, t *tensor.Tensor) {
	if t.DType == tensor.STRING {
		im.addStrings(name, t)
		return
	}
	im.graph.Init[name] = t
	im.types[name] = model.TypeOf(t)
	if t.Data != nil && len(t.Data) <= smallTensor {
		im.vals[name] = t
	}
}

// addStrings makes strings a Constant of the top graph: they are kept in attributes.
func (im *importer) addStrings(name string, t *tensor.Tensor) {
	l := &lowering{im: im, path: name, out: &im.strings}
	value := model.Attrs{"value_strings": {Kind: model.AttrStrings, Strs: t.Strings()}}
	if len(t.Shape) == 1 {
		l.emit("", "Constant", name, nil, []string{name}, value)
		return
	}
	shape := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int64(d)
	}
	flat := l.apply("Constant", value)
	l.emit("", "Reshape", name, []string{flat, l.ints("shape", shape...)}, []string{name}, nil)
}

// top lowers the main graph.
func (im *importer) top(g *protoGraph, opsets map[string]int, irVersion int64) error {
	sc := &scope{names: map[string]string{}, preset: map[string]string{}, opsets: opsets}
	im.graph.Name = g.name
	im.findStatistics(g)
	// The top graph's names stay as they are, so they are all taken before any is made up.
	reserve := func(name string) {
		im.taken[name] = 0
		sc.preset[name] = name
	}
	for _, v := range g.inputs {
		reserve(v.name)
	}
	for _, t := range g.inits {
		reserve(t.name)
	}
	for _, n := range g.nodes {
		for _, o := range n.outputs {
			if o != "" {
				reserve(o)
			}
		}
	}
	constant, err := im.initializers(sc, g)
	if err != nil {
		return err
	}
	defaults := 0
	for _, v := range g.inputs {
		if constant[v.name] {
			defaults++
			continue
		}
		name, err := im.define(sc, v.name)
		if err != nil {
			return err
		}
		t, ok, err := im.valueType(v, "input "+v.name)
		if err != nil {
			return err
		}
		if !ok {
			im.bad[name] = true
			continue
		}
		if t.DType == tensor.Invalid {
			return fault.Formatf("input "+v.name, "it has no type")
		}
		im.graph.Inputs = append(im.graph.Inputs, model.Value{Name: name, Type: t})
	}
	if defaults > 0 && irVersion >= 4 {
		im.warnings = append(im.warnings, fmt.Sprintf("%d inputs with a default value became constants", defaults))
	}
	if err := im.fixShapes(); err != nil {
		return err
	}
	for _, in := range im.graph.Inputs {
		im.types[in.Name] = in.Type
	}
	if im.graph.Nodes, err = im.body(sc, g.nodes, names(g.outputs)); err != nil {
		return err
	}
	im.graph.Nodes = append(im.strings, im.graph.Nodes...)
	return im.topOutputs(sc, g)
}

func (im *importer) topOutputs(sc *scope, g *protoGraph) error {
	if len(g.outputs) == 0 {
		return fault.Formatf("graph "+g.name, "it has no outputs")
	}
	seen := map[string]bool{}
	for _, v := range g.outputs {
		name, ok := sc.lookup(v.name)
		if !ok {
			return fault.Formatf("output "+v.name, "no node makes it")
		}
		if seen[name] {
			return fault.Formatf("output "+v.name, "it is listed twice")
		}
		seen[name] = true
		if im.tables[name] {
			v = protoValue{name: v.name}
		}
		t, ok, err := im.valueType(v, "output "+v.name)
		if err != nil {
			return err
		}
		if !ok {
			im.bad[name] = true
		}
		im.graph.Outputs = append(im.graph.Outputs, model.Value{Name: name, Type: t})
	}
	return nil
}

// initializers makes a graph's initializers constants of the top graph and returns their names.
func (im *importer) initializers(sc *scope, g *protoGraph) (map[string]bool, error) {
	constant := map[string]bool{}
	formal := map[string]bool{}
	if sc.parent != nil {
		// Loop and Scan always feed their bodies: a default value is never used.
		for _, v := range g.inputs {
			formal[v.name] = true
		}
	}
	for _, p := range g.inits {
		if p.name == "" {
			return nil, &fault.Format{Offset: int64(p.offset), Where: "initializer", Why: "it has no name"}
		}
		if formal[p.name] {
			continue
		}
		name, err := im.define(sc, p.name)
		if err != nil {
			return nil, err
		}
		constant[p.name] = true
		if t := im.constant(p, "initializer "+sc.path+p.name, &err); t != nil {
			im.addInit(name, t)
			im.countWeight(p.name, t)
		} else if err != nil {
			return nil, err
		} else {
			im.bad[name] = true
		}
	}
	for _, s := range g.sparse {
		im.unsupported(fault.Item{
			Where: "initializer " + sc.path + s, What: "sparse initializer", Hint: "export the model with dense weights",
		})
		if _, ok := sc.names[s]; !ok {
			name, err := im.define(sc, s)
			if err != nil {
				return nil, err
			}
			im.bad[name] = true
			constant[s] = true
		}
	}
	return constant, nil
}

// constant returns p as a tensor; nil if it is of an unsupported type, which is then
// listed, or if it is broken, with *err set.
func (im *importer) constant(p *protoTensor, where string, err *error) *tensor.Tensor {
	t, e := im.src.tensor(p)
	var u *unsupportedType
	if errors.As(e, &u) {
		im.unsupported(fault.Item{Where: where, What: u.what})
		return nil
	}
	*err = e
	return t
}

// body lowers a graph's or function's nodes in topological order.
func (im *importer) body(sc *scope, nodes []*protoNode, outputs []string) ([]*model.Node, error) {
	nodes, err := sortNodes(im.lastConstants(sc, nodes))
	if err != nil {
		return nil, err
	}
	sc.used = map[string]bool{}
	for _, o := range outputs {
		sc.used[o] = true
	}
	for _, n := range nodes {
		n.uses(func(name string) { sc.used[name] = true })
	}
	var out []*model.Node
	for i, n := range nodes {
		if err := im.node(sc, n, i, &out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func names(values []protoValue) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.name
	}
	return out
}

// subgraph lowers a graph attribute.
func (im *importer) subgraph(parent *scope, g *protoGraph, path string) (*model.Graph, error) {
	sc := &scope{
		parent: parent, names: map[string]string{}, path: path + "/",
		opsets: parent.opsets, attrs: parent.attrs, depth: parent.depth,
	}
	out := &model.Graph{Name: g.name}
	if _, err := im.initializers(sc, g); err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, v := range g.inputs {
		name, err := im.define(sc, v.name)
		if err != nil {
			return nil, err
		}
		t, ok, err := im.valueType(v, "input "+sc.path+v.name)
		if err != nil {
			return nil, err
		}
		if !ok {
			im.bad[name] = true
		}
		if t.DType != tensor.Invalid {
			im.types[name] = t
		}
		out.Inputs = append(out.Inputs, model.Value{Name: name, Type: t})
	}
	var err error
	if out.Nodes, err = im.body(sc, g.nodes, names(g.outputs)); err != nil {
		return nil, err
	}
	for _, n := range out.Nodes {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	for _, v := range g.outputs {
		name, ok := sc.lookup(v.name)
		if !ok {
			return nil, fault.Formatf("output "+sc.path+v.name, "no node makes it")
		}
		t, ok, err := im.valueType(v, "output "+sc.path+v.name)
		if err != nil {
			return nil, err
		}
		if !ok {
			im.bad[name] = true
		}
		if !made[name] {
			// Inputs, constants, captured values and second mentions get a node, so that
			// every output of a subgraph is made inside it, once.
			l := &lowering{im: im, sc: sc, path: sc.path + v.name, out: &out.Nodes}
			name = l.apply("Identity", nil, name)
		}
		delete(made, name)
		out.Outputs = append(out.Outputs, model.Value{Name: name, Type: t})
	}
	return out, nil
}

// holdingType is valueType for sequences and optional values.
func (im *importer) holdingType(v protoValue, where string) (t model.Type, ok bool, err error) {
	item := protoValue{elem: v.elem}
	if t, ok, err = im.valueType(item, where); err != nil || !ok {
		return t, ok, err
	}
	if t.DType == tensor.Invalid {
		return t, false, fault.Formatf(where, "it does not say what it holds")
	}
	if v.sequence {
		t.DType = tensor.SequenceOf(t.DType)
	}
	if v.optional {
		t.DType = tensor.OptionalOf(t.DType)
	}
	t.Shape = model.Dims()
	return t, true, nil
}

// valueType converts a declared type; ok is false if it is not supported and was listed.
func (im *importer) valueType(v protoValue, where string) (t model.Type, ok bool, err error) {
	if v.kind != "" && v.kind != "tensor" {
		im.unsupported(fault.Item{Where: where, What: v.kind + " value", Hint: "only tensors, sequences of tensors and optional values are supported"})
		return t, false, nil
	}
	if v.sequence || v.optional {
		return im.holdingType(v, where)
	}
	if v.elem != 0 {
		dt, e := model.ElemType(int64(v.elem))
		if e != nil {
			if v.elem < 0 || v.elem >= len(dtypeNames) {
				return t, false, fault.Formatf(where, "unknown data type %d", v.elem)
			}
			im.unsupported(fault.Item{Where: where, What: dtypeName(v.elem) + " tensor"})
			return t, false, nil
		}
		t.DType = dt
	}
	if v.hasShape {
		t.Shape = make([]model.Dim, len(v.dims))
		for i, d := range v.dims {
			switch {
			case d.value >= 0 && int64(int32(d.value)) == d.value:
				t.Shape[i] = model.Known(int(d.value))
			case d.value >= 0:
				return t, false, fault.Formatf(where, "dimension %d is %d", i, d.value)
			default: // some exporters write -1
				t.Shape[i] = model.Dim{N: -1, Sym: d.param}
			}
		}
	}
	return t, true, nil
}
