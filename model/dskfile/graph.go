package dskfile

import (
	"fmt"
	"slices"
	"unicode/utf8"
	"unsafe"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// encodeGraph returns the text of GRPH.
func encodeGraph(g *model.Graph) ([]byte, error) {
	e := &encoder{}
	e.graph(g, 0)
	return e.b, e.err
}

func (e *encoder) graph(g *model.Graph, depth int) {
	if depth > MaxDepth {
		e.fail("graph %q: subgraphs nest deeper than %d", g.Name, MaxDepth)
		return
	}
	if depth > 0 && (len(g.Init) > 0 || len(g.States) > 0) {
		e.fail("subgraph %q has initializers or states of its own", g.Name)
		return
	}
	e.open('{')
	e.field("name", g.Name)
	if len(g.Inputs) > 0 {
		e.key("inputs")
		list(e, g.Inputs, e.value)
	}
	if len(g.Outputs) > 0 {
		e.key("outputs")
		list(e, g.Outputs, e.value)
	}
	if len(g.States) > 0 {
		e.key("states")
		list(e, g.States, func(s model.State) {
			e.open('{')
			e.key("input")
			e.value(s.Input)
			e.field("output", s.Output)
			e.close('}')
		})
	}
	if len(g.Nodes) > 0 {
		e.key("nodes")
		list(e, g.Nodes, func(n *model.Node) { e.node(n, depth) })
	}
	e.close('}')
}

func (e *encoder) value(v model.Value) {
	e.open('{')
	e.field("name", v.Name)
	if v.Type.DType != tensor.Invalid {
		e.field("dtype", v.Type.DType.String())
	}
	if v.Type.Shape != nil {
		e.key("shape")
		list(e, v.Type.Shape, func(d model.Dim) {
			switch {
			case d.IsKnown():
				e.int(int64(d.N))
			case d.Sym != "":
				e.str(d.Sym)
			default:
				e.raw("null")
			}
		})
	}
	e.close('}')
}

func (e *encoder) node(n *model.Node, depth int) {
	e.open('{')
	e.field("op", n.Op)
	e.field("domain", n.Domain)
	e.field("name", n.Name)
	if len(n.Inputs) > 0 {
		e.key("in")
		list(e, n.Inputs, e.str)
	}
	if len(n.Outputs) > 0 {
		e.key("out")
		list(e, n.Outputs, e.str)
	}
	if len(n.Attrs) > 0 {
		e.key("attrs")
		e.open('{')
		for _, name := range sortedKeys(n.Attrs) {
			e.key(name)
			before := e.err
			e.attr(n.Attrs[name], depth)
			if before == nil && e.err != nil {
				e.err = fmt.Errorf("node %v: attribute %s: %w", n, name, e.err)
			}
		}
		e.close('}')
	}
	e.close('}')
}

func (e *encoder) attr(a model.Attr, depth int) {
	e.open('{')
	switch a.Kind {
	case model.AttrInt:
		e.key("int")
		e.int(a.Int)
	case model.AttrFloat:
		e.key("float")
		e.float(a.Float)
	case model.AttrString:
		if utf8.ValidString(a.Str) {
			e.key("str")
			e.str(a.Str)
		} else {
			e.key("bytes")
			e.bytes([]byte(a.Str))
		}
	case model.AttrInts:
		e.key("ints")
		list(e, a.Ints, e.int)
	case model.AttrFloats:
		e.key("floats")
		list(e, a.Floats, e.float)
	case model.AttrStrings:
		e.key("strs")
		list(e, a.Strs, func(s string) {
			if utf8.ValidString(s) {
				e.str(s)
				return
			}
			e.open('{')
			e.key("bytes")
			e.bytes([]byte(s))
			e.close('}')
		})
	case model.AttrTensor:
		e.key("tensor")
		e.tensor(a.Tensor)
	case model.AttrGraph:
		if a.Graph == nil {
			e.fail("no graph")
			return
		}
		e.key("graph")
		e.graph(a.Graph, depth+1)
	default:
		e.fail("unknown kind %d", a.Kind)
	}
	e.close('}')
}

// tensor writes the tensor of an attribute with its bytes.
func (e *encoder) tensor(t *tensor.Tensor) {
	size, err := checkTensor(t)
	if err != nil {
		e.fail("%w", err)
		return
	}
	e.open('{')
	e.tensorType(t)
	data := t.Data
	if t.IsDeferred() {
		data = tensor.AlignedBytes(size)
		if err := t.Fill(data); err != nil {
			e.fail("%w", err)
			return
		}
	}
	e.key("data")
	e.bytes(data)
	e.close('}')
}

// decodeGraph reads the text of GRPH.
func decodeGraph(text, where string, mem *ledger) (*model.Graph, error) {
	d := &decoder{text: text, where: where, mem: mem}
	g := d.graph(0)
	d.end()
	if d.err != nil {
		return nil, d.err
	}
	return g, nil
}

func (d *decoder) graph(depth int) *model.Graph {
	if depth > MaxDepth {
		d.fail("subgraphs nest deeper than %d", MaxDepth)
		return nil
	}
	g := &model.Graph{}
	d.charge(1, unsafe.Sizeof(*g))
	for key := range d.object("name", "inputs", "outputs", "states", "nodes") {
		switch key {
		case "name":
			g.Name = d.name()
		case "inputs":
			g.Inputs = d.values()
		case "outputs":
			g.Outputs = d.values()
		case "states":
			if depth > 0 {
				d.fail("states in a subgraph")
			}
			for range d.array() {
				var s model.State
				for key := range d.object("input", "output") {
					if key == "input" {
						s.Input = d.value()
					} else {
						s.Output = d.name()
					}
				}
				g.States = push(d, g.States, s)
			}
		case "nodes":
			for range d.array() {
				if d.nodes++; d.nodes > MaxNodes {
					d.fail("more than %d nodes", MaxNodes)
				}
				g.Nodes = push(d, g.Nodes, d.node(depth))
			}
		}
	}
	return g
}

func (d *decoder) values() []model.Value {
	var out []model.Value
	for range d.array() {
		out = push(d, out, d.value())
	}
	return out
}

func (d *decoder) value() (v model.Value) {
	for key := range d.object("name", "dtype", "shape") {
		switch key {
		case "name":
			v.Name = d.name()
		case "dtype":
			v.Type.DType = d.dtype()
		case "shape":
			v.Type.Shape = d.dims()
		}
	}
	return v
}

// dims reads the shape of a value; it is never nil.
func (d *decoder) dims() []model.Dim {
	var dims [MaxRank]model.Dim
	n := 0
	for i := range d.array() {
		if i == MaxRank {
			d.fail("more than %d dimensions", MaxRank)
			return nil
		}
		switch d.peek() {
		case '"':
			if dims[i] = model.Sym(d.name()); dims[i].Sym == "" {
				d.fail("dimension with an empty name")
			}
		case 'n':
			for _, c := range []byte("null") {
				d.expect(c)
			}
			dims[i] = model.Unknown
		default:
			dims[i] = model.Known(d.size())
		}
		n++
	}
	if !d.charge(n, unsafe.Sizeof(dims[0])) {
		return nil
	}
	return append(make([]model.Dim, 0, n), dims[:n]...)
}

func (d *decoder) node(depth int) *model.Node {
	n := &model.Node{}
	d.charge(1, unsafe.Sizeof(*n))
	for key := range d.object("op", "domain", "name", "in", "out", "attrs") {
		switch key {
		case "op":
			n.Op = d.name()
		case "domain":
			n.Domain = d.name()
		case "name":
			n.Name = d.name()
		case "in":
			n.Inputs = d.nameList()
		case "out":
			n.Outputs = d.nameList()
		case "attrs":
			n.Attrs = d.attrMap(depth)
		}
	}
	// Of nested nodes, the innermost puts its name to the error.
	if d.err != nil && d.err.Where == d.where {
		d.err.Where += ", node " + quote(n.Name)
	}
	return n
}

type namedAttr struct {
	name string
	attr model.Attr
}

// What a map of attributes costs: Go makes groups of 8 slots, filled to 7/8 at most
// when there are several, in powers of two.
const (
	attrMapBase = 64 + 8*unsafe.Sizeof(namedAttr{}) + 256
	attrMapSlot = 3 * unsafe.Sizeof(namedAttr{})
)

// attrMap reads {name: attr}, names ascending.
func (d *decoder) attrMap(depth int) model.Attrs {
	base := len(d.attrs)
	d.expect('{')
	for d.err == nil && !d.next('}') {
		if len(d.attrs) > base {
			d.expect(',')
		}
		name := d.name()
		d.expect(':')
		if len(d.attrs) > base && name <= d.attrs[len(d.attrs)-1].name {
			d.fail("attribute %s is repeated or out of order", quote(name))
		}
		d.attrs = push(d, d.attrs, namedAttr{name, d.attr(depth)})
	}
	found := d.attrs[base:]
	d.attrs = d.attrs[:base]
	if len(found) == 0 || !d.charge(1, attrMapBase) || len(found) > 8 && !d.charge(len(found), attrMapSlot) {
		return nil
	}
	attrs := make(model.Attrs, len(found))
	for _, a := range found {
		attrs[a.name] = a.attr
	}
	return attrs
}

func (d *decoder) attr(depth int) (a model.Attr) {
	for key := range d.object("int", "float", "str", "bytes", "ints", "floats", "strs", "tensor", "graph") {
		if a.Kind != 0 {
			d.fail("attribute with two values")
			return a
		}
		switch key {
		case "int":
			a.Kind, a.Int = model.AttrInt, d.integer()
		case "float":
			a.Kind, a.Float = model.AttrFloat, d.float()
		case "str":
			a.Kind, a.Str = model.AttrString, d.str()
		case "bytes":
			a.Kind, a.Str = model.AttrString, textOf(d.bytes())
		case "ints":
			a.Kind = model.AttrInts
			d.ints = d.ints[:0]
			for range d.array() {
				d.ints = push(d, d.ints, d.integer())
			}
			a.Ints = taken(d, d.ints)
		case "floats":
			a.Kind = model.AttrFloats
			d.floats = d.floats[:0]
			for range d.array() {
				d.floats = push(d, d.floats, d.float())
			}
			a.Floats = taken(d, d.floats)
		case "strs":
			a.Kind, a.Strs = model.AttrStrings, d.strings()
		case "tensor":
			a.Kind, a.Tensor = model.AttrTensor, d.tensor()
		case "graph":
			a.Kind, a.Graph = model.AttrGraph, d.graph(depth+1)
		}
	}
	if a.Kind == 0 {
		d.fail("attribute without a value")
	}
	return a
}

// strings reads an array of strings, of which some may be base64.
func (d *decoder) strings() []string {
	base := len(d.names)
	for range d.array() {
		var s string
		if d.peek() == '"' {
			s = d.str()
		} else {
			found := false
			for range d.object("bytes") {
				s, found = textOf(d.bytes()), true
			}
			if !found {
				d.fail("string without a value")
			}
		}
		d.names = push(d, d.names, s)
	}
	out := taken(d, d.names[base:])
	d.names = d.names[:base]
	return out
}

// tensor reads the tensor of an attribute.
func (d *decoder) tensor() *tensor.Tensor {
	t := &tensor.Tensor{}
	d.charge(1, unsafe.Sizeof(*t))
	d.levels = false
	for key := range d.object("dtype", "layout", "shape", "levels", "shift", "data") {
		if key == "data" {
			t.Data = d.bytes()
		} else {
			d.tensorType(t, key)
		}
	}
	if size := d.checkedSize(t); d.err == nil && size != len(t.Data) {
		d.fail("tensor %v takes %d bytes, has %d", t, size, len(t.Data))
	}
	if t.DType == tensor.BOOL && slices.ContainsFunc(t.Data, notBool) {
		d.fail("a boolean is neither 0 nor 1")
	}
	return t
}
