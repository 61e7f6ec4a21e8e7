package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"
)

func decodeValue(r *reader, what string) protoValue {
	m := r.message(what)
	var v protoValue
	for m.more() {
		switch m.num {
		case 1:
			v.name = m.text()
			m.what = what + " " + v.name
		case 2:
			t := m.message(m.what)
			decodeType(t, &v)
			m.failWith(t.err)
		default:
			m.skip()
		}
	}
	if m.err == nil && v.name == "" {
		m.fail("a name is missing")
	}
	r.failWith(m.err)
	return v
}

func decodeType(r *reader, v *protoValue) {
	const tensorType, sequenceType, optionalType = 1, 4, 9
	kinds := map[protowire.Number]string{tensorType: "tensor", 5: "map", 7: "opaque", 8: "sparse tensor"}
	for r.more() {
		if r.num == sequenceType || r.num == optionalType {
			// A sequence may lie in an optional value; nothing else is in use.
			nested := v.sequence || v.optional && r.num == optionalType
			v.sequence, v.optional = v.sequence || r.num == sequenceType, v.optional || r.num == optionalType
			decodeItemType(r, v)
			if nested {
				v.kind = "nested"
			}
			continue
		}
		kind, ok := kinds[r.num]
		if !ok {
			r.skip()
			continue
		}
		v.kind = kind
		if kind != "tensor" {
			r.skip()
			continue
		}
		m := r.message(r.what)
		for m.more() {
			switch m.num {
			case 1:
				v.elem = m.enum()
			case 2:
				s := m.message(m.what)
				v.hasShape, v.dims = true, decodeShape(s)
				m.failWith(s.err)
			default:
				m.skip()
			}
		}
		r.failWith(m.err)
	}
}

// decodeItemType reads the type that a sequence or an optional value holds, field 1 of both.
func decodeItemType(r *reader, v *protoValue) {
	m := r.message(r.what)
	for m.more() {
		if m.num != 1 {
			m.skip()
			continue
		}
		t := m.message(m.what)
		decodeType(t, v)
		m.failWith(t.err)
	}
	r.failWith(m.err)
}

func decodeShape(r *reader) []protoDim {
	var dims []protoDim
	for r.more() {
		if r.num != 1 {
			r.skip()
			continue
		}
		if len(dims) == maxRank {
			r.fail("more than %d dimensions", maxRank)
			return nil
		}
		m := r.message(r.what)
		d := protoDim{value: -1}
		for m.more() {
			switch m.num {
			case 1:
				d.value = m.int64()
			case 2:
				d.param = m.text()
			default:
				m.skip()
			}
		}
		r.failWith(m.err)
		dims = append(dims, d)
	}
	return dims
}
