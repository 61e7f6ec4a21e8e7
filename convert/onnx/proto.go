package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// The messages of onnx.proto (ONNX 1.22), with the fields that an importer needs. Field
// numbers are those of that file. Byte fields are views of the file.

type protoModel struct {
	irVersion int64
	producer  string // name and version
	graph     *protoGraph
	opsets    map[string]int
	metadata  []protoEntry
	functions []*protoFunction
}

type protoGraph struct {
	name    string
	nodes   []*protoNode
	inits   []*protoTensor
	sparse  []string // names of sparse initializers
	inputs  []protoValue
	outputs []protoValue
}

type protoNode struct {
	name     string
	op       string
	domain   string
	overload string
	inputs   []string
	outputs  []string
	attrs    []*protoAttr
}

type protoFunction struct {
	domain   string
	name     string
	overload string
	inputs   []string
	outputs  []string
	defaults []*protoAttr
	nodes    []*protoNode
	opsets   map[string]int
}

// The kinds of AttributeProto.AttributeType.
const (
	kindUndefined = iota
	kindFloat
	kindInt
	kindString
	kindTensor
	kindGraph
	kindFloats
	kindInts
	kindStrings
	kindTensors
	kindGraphs
	kindSparse
	kindSparses
	kindType
	kindTypes
)

var kindNames = [...]string{
	"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
	"TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS",
}

type protoAttr struct {
	name   string
	ref    string // name of the function's attribute that gives the value
	kind   int
	i      int64
	f      float32
	s      []byte
	t      *protoTensor
	g      *protoGraph
	ints   []int64
	floats packed
	strs   [][]byte
	tp     *protoValue
}

type protoTensor struct {
	name     string
	offset   int // in the file
	dims     []int64
	dtype    int
	segment  bool
	raw      []byte
	rawAt    int // offset of raw in the file
	hasRaw   bool
	floats   packed // float_data
	doubles  packed // double_data
	int32s   packed // int32_data
	int64s   packed // int64_data
	uint64s  packed // uint64_data
	strings  [][]byte
	external []protoEntry
	location int // 1 = EXTERNAL
}

type protoEntry struct{ key, value string }

// protoValue is a ValueInfoProto. kind is "" if the type is missing, else "tensor", "map", "sparse tensor", "opaque" or
// "nested"; sequence and optional say that the value holds tensors.
type protoValue struct {
	name     string
	kind     string
	sequence bool
	optional bool
	elem     int
	hasShape bool
	dims     []protoDim
}

type protoDim struct {
	value int64 // -1 if not given
	param string
}

// decodeModel reads a ModelProto. The result shares data's memory.
func decodeModel(data []byte) (*protoModel, error) {
	r := newReader(data, "model")
	m := &protoModel{opsets: map[string]int{}}
	version := ""
	for r.more() {
		switch r.num {
		case 1:
			m.irVersion = r.int64()
		case 2:
			m.producer = r.text()
		case 3:
			version = r.text()
		case 7:
			if m.graph != nil {
				r.fail("the model has two graphs")
				break
			}
			m.graph = decodeGraph(r, r.message("graph"))
		case 8:
			decodeOpset(r, m.opsets)
		case 14:
			m.metadata = append(m.metadata, decodeEntry(r, "metadata"))
		case 25:
			m.functions = append(m.functions, decodeFunction(r))
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if m.graph == nil {
		return nil, &fault.Format{Offset: -1, Where: "model", Why: "there is no graph"}
	}
	if version != "" {
		m.producer += " " + version
	}
	return m, nil
}

func decodeOpset(r *reader, to map[string]int) {
	m := r.message("opset import")
	domain, version := "", int64(1)
	for m.more() {
		switch m.num {
		case 1:
			domain = canonicalDomain(m.text())
		case 2:
			version = m.int64()
		default:
			m.skip()
		}
	}
	if m.err == nil && (version < 1 || version > math.MaxInt32) {
		m.fail("version %d", version)
	}
	r.failWith(m.err)
	to[domain] = int(version)
}

// canonicalDomain gives the default domain, which has two spellings, the shorter.
func canonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func decodeEntry(r *reader, what string) protoEntry {
	m := r.message(what)
	var e protoEntry
	for m.more() {
		switch m.num {
		case 1:
			e.key = m.text()
		case 2:
			e.value = m.text()
		default:
			m.skip()
		}
	}
	r.failWith(m.err)
	return e
}

func decodeGraph(parent, r *reader) *protoGraph {
	g := &protoGraph{}
	for r.more() {
		switch r.num {
		case 1:
			g.nodes = append(g.nodes, decodeNode(r))
		case 2:
			g.name = r.text()
		case 5:
			m := r.message("initializer")
			t := decodeTensor(m)
			r.failWith(m.err)
			g.inits = append(g.inits, t)
		case 11:
			g.inputs = append(g.inputs, decodeValue(r, "graph input"))
		case 12:
			g.outputs = append(g.outputs, decodeValue(r, "graph output"))
		case 15:
			g.sparse = append(g.sparse, decodeSparseName(r))
		default:
			r.skip()
		}
	}
	parent.failWith(r.err)
	return g
}

// decodeSparseName returns the name of a SparseTensorProto, which its values carry.
func decodeSparseName(r *reader) string {
	m := r.message("sparse initializer")
	name := ""
	for m.more() {
		if m.num == 1 {
			v := m.message("sparse values")
			name = decodeTensor(v).name
			m.failWith(v.err)
			continue
		}
		m.skip()
	}
	r.failWith(m.err)
	return name
}

func decodeNode(r *reader) *protoNode {
	m := r.message("node")
	n := &protoNode{}
	start := m.offset()
	for m.more() {
		switch m.num {
		case 1:
			n.inputs = append(n.inputs, m.text())
		case 2:
			n.outputs = append(n.outputs, m.text())
		case 3:
			n.name = m.text()
		case 4:
			n.op = m.text()
		case 5:
			n.attrs = append(n.attrs, decodeAttr(m))
		case 7:
			n.domain = canonicalDomain(m.text())
		case 8:
			n.overload = m.text()
		default:
			m.skip()
		}
	}
	if m.err == nil && n.op == "" {
		m.err = &fault.Format{Offset: int64(start), Where: "node " + n.name, Why: "the operator's name is missing"}
	}
	r.failWith(m.err)
	return n
}

func decodeAttr(r *reader) *protoAttr {
	m := r.message("attribute")
	a := &protoAttr{}
	present := kindUndefined
	start := m.offset()
	for m.more() {
		switch m.num {
		case 1:
			a.name = m.text()
			m.what = "attribute " + a.name
		case 2:
			a.f, present = math.Float32frombits(m.fixed32()), kindFloat
		case 3:
			a.i, present = m.int64(), kindInt
		case 4:
			a.s, present = m.bytes(), kindString
		case 5:
			t := m.message("attribute " + a.name)
			a.t, present = decodeTensor(t), kindTensor
			m.failWith(t.err)
		case 6:
			a.g, present = decodeGraph(m, m.message("subgraph "+a.name)), kindGraph
		case 7:
			m.packed(&a.floats, protowire.Fixed32Type)
			present = kindFloats
		case 8:
			a.ints, present = m.int64s(a.ints, len(m.data)), kindInts
		case 9:
			a.strs, present = append(a.strs, m.bytes()), kindStrings
		case 14:
			t := m.message("attribute " + a.name)
			a.tp, present = &protoValue{}, kindType
			decodeType(t, a.tp)
			m.failWith(t.err)
		case 20:
			a.kind = m.enum()
		case 21:
			a.ref = m.text()
		default:
			m.skip()
		}
	}
	// Models before IR version 3 do not say the kind.
	if a.kind == kindUndefined {
		a.kind = present
	}
	switch {
	case m.err != nil:
	case a.name == "":
		m.fail("an attribute has no name")
	case a.kind < 0 || a.kind >= len(kindNames):
		m.fail("unknown attribute type %d", a.kind)
	case a.ref == "" && (a.kind == kindTensor && a.t == nil || a.kind == kindGraph && a.g == nil || a.kind == kindType && a.tp == nil):
		m.err = &fault.Format{Offset: int64(start), Where: m.what, Why: "the " + kindNames[a.kind] + " is missing"}
	case len(a.floats.data)%4 != 0:
		m.fail("packed floats are cut off")
	}
	r.failWith(m.err)
	return a
}

func decodeFunction(r *reader) *protoFunction {
	m := r.message("function")
	f := &protoFunction{opsets: map[string]int{}}
	for m.more() {
		switch m.num {
		case 1:
			f.name = m.text()
		case 4:
			f.inputs = append(f.inputs, m.text())
		case 5:
			f.outputs = append(f.outputs, m.text())
		case 7:
			f.nodes = append(f.nodes, decodeNode(m))
		case 9:
			decodeOpset(m, f.opsets)
		case 10:
			f.domain = canonicalDomain(m.text())
		case 11:
			f.defaults = append(f.defaults, decodeAttr(m))
		case 13:
			f.overload = m.text()
		default:
			m.skip()
		}
	}
	r.failWith(m.err)
	return f
}

// decodeTensor reads a TensorProto; errors stay in r.
func decodeTensor(r *reader) *protoTensor {
	t := &protoTensor{offset: r.offset()}
	for r.more() {
		switch r.num {
		case 1:
			t.dims = r.int64s(t.dims, maxRank)
		case 2:
			t.dtype = r.enum()
		case 3:
			t.segment = true
			r.skip()
		case 4:
			r.packed(&t.floats, protowire.Fixed32Type)
		case 5:
			r.packed(&t.int32s, protowire.VarintType)
		case 6:
			t.strings = append(t.strings, r.bytes())
		case 7:
			r.packed(&t.int64s, protowire.VarintType)
		case 8:
			t.name = r.text()
			r.what = "tensor " + t.name
		case 9:
			t.raw, t.hasRaw = r.bytes(), true
			t.rawAt = r.offset() - len(t.raw)
		case 10:
			r.packed(&t.doubles, protowire.Fixed64Type)
		case 11:
			r.packed(&t.uint64s, protowire.VarintType)
		case 13:
			t.external = append(t.external, decodeEntry(r, "external data"))
		case 14:
			t.location = r.enum()
		default:
			r.skip()
		}
	}
	return t
}
