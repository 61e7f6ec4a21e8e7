package onnx

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// encoded is a protobuf message that is being made: bytes, with tensors between them whose elements are asked for when they are written.
type encoded struct {
	pieces []piece
	size   int
}

// piece is some bytes, or else a tensor of a size.
type piece struct {
	bytes []byte
	data  *tensor.Tensor
	size  int
}

func (m *encoded) append(b []byte) {
	m.size += len(b)
	if n := len(m.pieces); n > 0 && m.pieces[n-1].data == nil {
		m.pieces[n-1].bytes = append(m.pieces[n-1].bytes, b...)
		return
	}
	m.pieces = append(m.pieces, piece{bytes: b})
}

func (m *encoded) varint(num int, v uint64) {
	m.append(protowire.AppendVarint(protowire.AppendTag(nil, protowire.Number(num), protowire.VarintType), v))
}

func (m *encoded) fixed32(num int, v uint32) {
	m.append(protowire.AppendFixed32(protowire.AppendTag(nil, protowire.Number(num), protowire.Fixed32Type), v))
}

func (m *encoded) text(num int, s string) { m.raw(num, []byte(s)) }

func (m *encoded) raw(num int, b []byte) {
	m.append(protowire.AppendBytes(protowire.AppendTag(nil, protowire.Number(num), protowire.BytesType), b))
}

// head starts a field of a size that follows.
func (m *encoded) head(num, size int) {
	m.append(protowire.AppendVarint(protowire.AppendTag(nil, protowire.Number(num), protowire.BytesType), uint64(size)))
}

func (m *encoded) message(num int, inner *encoded) {
	m.head(num, inner.size)
	for _, p := range inner.pieces {
		if p.data == nil {
			m.append(p.bytes)
			continue
		}
		m.pieces = append(m.pieces, p)
		m.size += p.size
	}
}

// data adds a field with a tensor's bytes.
func (m *encoded) data(num int, t *tensor.Tensor) {
	size := t.Bytes()
	m.head(num, size)
	m.pieces = append(m.pieces, piece{data: t, size: size})
	m.size += size
}

// write writes the message; one tensor at a time is in memory.
func (m *encoded) write(ctx context.Context, w io.Writer) error {
	for _, p := range m.pieces {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := p.bytes
		if p.data != nil {
			t, err := p.data.Loaded()
			if err != nil {
				return err
			}
			b = t.Data
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// tensor makes a TensorProto of a row-major tensor.
func (e *exporter) tensor(name string, t *tensor.Tensor) (*encoded, error) {
	code := model.ElemCode(t.DType)
	if code == 0 || t.Layout != tensor.RowMajor {
		return nil, fmt.Errorf("tensor %s: %v has no form in ONNX", name, t)
	}
	m := &encoded{}
	for _, d := range t.Shape {
		m.varint(1, uint64(d))
	}
	m.varint(2, uint64(code))
	if name != "" {
		m.text(8, name)
	}
	switch {
	case t.DType == tensor.STRING:
		v, err := t.Loaded()
		if err != nil {
			return nil, err
		}
		for _, s := range v.Strings() {
			m.text(6, s)
		}
	case t.DType.IsSmall() && t.DType.Bits() < 8:
		v, err := t.Loaded()
		if err != nil {
			return nil, err
		}
		m.raw(9, packSmall(t.DType, v.Data))
	default:
		m.data(9, t)
	}
	return m, nil
}

// packSmall is the inverse of tensor.UnpackSmall.
func packSmall(dt tensor.DType, elements []byte) []byte {
	bits := dt.Bits()
	per := 8 / bits
	out := make([]byte, tensor.PackedBytes(dt, len(elements)))
	for i, v := range elements {
		out[i/per] |= v & byte(1<<bits-1) << (i % per * bits)
	}
	return out
}

// node makes a NodeProto of a node that ONNX has.
func (e *exporter) node(n *model.Node) (*encoded, error) {
	m := &encoded{}
	for _, in := range n.Inputs {
		m.text(1, in)
	}
	for _, out := range n.Outputs {
		m.text(2, out)
	}
	if n.Name != "" {
		m.text(3, unique(e.labels, n.Name)) // ONNX Runtime wants each once
	}
	m.text(4, n.Op)
	names := make([]string, 0, len(n.Attrs))
	for name := range n.Attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a, err := e.attr(name, n.Attrs[name])
		if err != nil {
			return nil, fmt.Errorf("node %v: %w", n, err)
		}
		m.message(5, a)
	}
	if n.Domain != "" {
		m.text(7, n.Domain)
	}
	return m, nil
}

// attr makes an AttributeProto.
func (e *exporter) attr(name string, a model.Attr) (*encoded, error) {
	m := &encoded{}
	m.text(1, name)
	var kind uint64
	switch a.Kind {
	case model.AttrInt:
		kind = kindInt
		m.varint(3, uint64(a.Int))
	case model.AttrFloat:
		kind = kindFloat
		m.fixed32(2, math.Float32bits(a.Float))
	case model.AttrString:
		kind = kindString
		m.text(4, a.Str)
	case model.AttrInts:
		kind = kindInts
		for _, v := range a.Ints {
			m.varint(8, uint64(v))
		}
	case model.AttrFloats:
		kind = kindFloats
		for _, v := range a.Floats {
			m.fixed32(7, math.Float32bits(v))
		}
	case model.AttrStrings:
		kind = kindStrings
		for _, v := range a.Strs {
			m.text(9, v)
		}
	case model.AttrTensor:
		kind = kindTensor
		e.types = append(e.types, a.Tensor.DType)
		t, err := e.tensor("", a.Tensor)
		if err != nil {
			return nil, err
		}
		m.message(5, t)
	case model.AttrGraph:
		kind = kindGraph
		g, err := e.graph(a.Graph, false)
		if err != nil {
			return nil, err
		}
		m.message(6, g)
	default:
		return nil, fmt.Errorf("attribute %s has no kind", name)
	}
	m.varint(20, kind)
	return m, nil
}
