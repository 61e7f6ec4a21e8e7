package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Messages of onnx.proto, written field by field, so that tests own every byte.

type message []byte

func (m message) num(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) bytes(field protowire.Number, v []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) str(field protowire.Number, v string) message { return m.bytes(field, []byte(v)) }

func (m message) float(field protowire.Number, v float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(v))
}

func varintsOf(v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	return b
}

func float32s(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func int64s(v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

// tensorMsg is a TensorProto with raw data.
func tensorMsg(name string, dtype int64, raw []byte, dims ...int64) message {
	var m message
	return m.bytes(1, varintsOf(dims...)).num(2, dtype).str(8, name).bytes(9, raw)
}

// valueMsg is a ValueInfoProto of a tensor; a negative dimension is named "n".
func valueMsg(name string, dtype int64, dims ...int64) message {
	var shape message
	for _, d := range dims {
		if d < 0 {
			shape = shape.bytes(1, message(nil).str(2, "n"))
		} else {
			shape = shape.bytes(1, message(nil).num(1, d))
		}
	}
	t := message(nil).num(1, dtype).bytes(2, shape)
	return message(nil).str(1, name).bytes(2, message(nil).bytes(1, t))
}

func nodeMsg(op, name string, inputs, outputs []string, attrs ...message) message {
	var m message
	for _, in := range inputs {
		m = m.str(1, in)
	}
	for _, out := range outputs {
		m = m.str(2, out)
	}
	m = m.str(3, name).str(4, op)
	for _, a := range attrs {
		m = m.bytes(5, a)
	}
	return m
}

func attrInt(name string, v int64) message {
	return message(nil).str(1, name).num(3, v).num(20, kindInt)
}

func attrFloat(name string, v float32) message {
	return message(nil).str(1, name).float(2, v).num(20, kindFloat)
}

func attrStr(name, v string) message {
	return message(nil).str(1, name).str(4, v).num(20, kindString)
}

func attrInts(name string, v ...int64) message {
	m := message(nil).str(1, name)
	for _, x := range v {
		m = m.num(8, x)
	}
	return m.num(20, kindInts)
}

func attrTensor(name string, t message) message {
	return message(nil).str(1, name).bytes(5, t).num(20, kindTensor)
}

func attrGraph(name string, g message) message {
	return message(nil).str(1, name).bytes(6, g).num(20, kindGraph)
}

func attrRef(name, ref string, kind int64) message {
	return message(nil).str(1, name).str(21, ref).num(20, kind)
}

// graphSpec is what a test says about a graph.
type graphSpec struct {
	nodes           []message
	inits           []message
	inputs, outputs []message
}

func (g graphSpec) message() message {
	var m message
	for _, n := range g.nodes {
		m = m.bytes(1, n)
	}
	m = m.str(2, "g")
	for _, t := range g.inits {
		m = m.bytes(5, t)
	}
	for _, v := range g.inputs {
		m = m.bytes(11, v)
	}
	for _, v := range g.outputs {
		m = m.bytes(12, v)
	}
	return m
}

func modelMsg(opset int64, g graphSpec, functions ...message) message {
	m := message(nil).num(1, 8).str(2, "test").bytes(7, g.message())
	m = m.bytes(8, message(nil).str(1, "").num(2, opset))
	m = m.bytes(8, message(nil).str(1, domainMicrosoft).num(2, 1))
	m = m.bytes(8, message(nil).str(1, "local").num(2, 1))
	for _, f := range functions {
		m = m.bytes(25, f)
	}
	return m
}

// tiny is a small classifier of our own: a convolution, a batch normalization, a pool and a
// matrix product, with weights in every way that a file can hold them.
func tiny() message {
	conv := tensorMsg("conv.w", 1, float32s(seq(2*1*3*3)...), 2, 1, 3, 3)
	var bias message // float_data, unpacked
	bias = bias.num(1, 2).num(2, 1).float(4, 0.5).float(4, -0.5).str(8, "conv.b")
	scale := message(nil).num(1, 2).num(2, 1).bytes(4, float32s(1, 2)).str(8, "bn.s") // packed
	fc := tensorMsg("fc.w", 10, []byte{0, 0x3c, 0, 0x40, 0, 0x42, 0, 0x44, 0, 0x45, 0, 0x46}, 2, 3)
	shape := message(nil).num(1, 2).num(2, 7).bytes(7, varintsOf(0, -1)).str(8, "shape")
	return modelMsg(9, graphSpec{
		nodes: []message{
			nodeMsg("Conv", "conv", []string{"x", "conv.w", "conv.b"}, []string{"c"}, attrInts("kernel_shape", 3, 3), attrInts("pads", 1, 1, 1, 1)),
			nodeMsg("BatchNormalization", "bn", []string{"c", "bn.s", "bn.b", "bn.m", "bn.v"}, []string{"n"}, attrFloat("epsilon", 1e-3), attrInt("spatial", 1)),
			nodeMsg("Relu", "relu", []string{"n"}, []string{"r"}),
			nodeMsg("GlobalAveragePool", "pool", []string{"r"}, []string{"p"}),
			nodeMsg("Reshape", "flat", []string{"p", "shape"}, []string{"f"}),
			nodeMsg("Cast", "cast", []string{"fc.w"}, []string{"fc.w32"}, attrInt("to", 1)),
			nodeMsg("MatMul", "fc", []string{"f", "fc.w32"}, []string{"z"}),
			nodeMsg("Softmax", "prob", []string{"z"}, []string{"y"}),
		},
		inits: []message{
			conv, bias, scale, fc, shape,
			tensorMsg("bn.b", 1, float32s(0, 1), 2), tensorMsg("bn.m", 1, float32s(0.25, 0.5), 2), tensorMsg("bn.v", 1, float32s(1, 4), 2),
		},
		inputs:  []message{valueMsg("x", 1, -1, 1, 8, 8)},
		outputs: []message{valueMsg("y", 1, -1, 3)},
	})
}

func seq(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i) / 8
	}
	return out
}
