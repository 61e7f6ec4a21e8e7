package onnx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsk-toolkit/dsk/tensor"
)

// msNode is a node of com.microsoft.
func msNode(op string, inputs, outputs []string, attrs ...message) message {
	return nodeMsg(op, "n", inputs, outputs, attrs...).str(7, domainMicrosoft)
}

func TestMicrosoftOperators(t *testing.T) {
	in := func(names ...string) []string { return names }
	x := valueMsg("x", 1, 2, 3, 4)
	for name, c := range map[string]struct {
		node   message
		inputs []message
		want   string
	}{
		"Gelu":      {msNode("Gelu", in("x"), in("y")), nil, "y = Gelu(x)"},
		"FastGelu":  {msNode("FastGelu", in("x", "b"), in("y")), []message{x, valueMsg("b", 1, 4)}, "n/Add = Add(x, b)\ny = Gelu(n/Add) approximate=tanh"},
		"QuickGelu": {msNode("QuickGelu", in("x"), in("y")), nil, "y = Swish(x) alpha=1.702"},
		"FusedMatMul": {
			msNode("FusedMatMul", in("x", "x"), in("y"), attrInt("transB", 1), attrFloat("alpha", .5)), nil,
			"n/Transpose = Transpose(x) perm=[0 2 1]\nn/MatMul = MatMul(x, n/Transpose)\ny = Mul(n/MatMul, [0.5])",
		},
		"FusedConv": {
			msNode("FusedConv", in("x", "w"), in("y"), attrStr("activation", "Relu")), []message{x, valueMsg("w", 1, 3, 3, 1)},
			"n/Conv = Conv(x, w)\ny = Relu(n/Conv)",
		},
		"SkipLayerNormalization": {
			msNode("SkipLayerNormalization", in("x", "x", "g"), in("y", "", "", "s"), attrFloat("epsilon", .25)), []message{x, valueMsg("g", 1, 4)},
			"s = Add(x, x)\ny = LayerNormalization(s, g) axis=-1 epsilon=0.25",
		},
		"SimplifiedLayerNormalization": {
			msNode("SimplifiedLayerNormalization", in("x", "g"), in("y")), []message{x, valueMsg("g", 1, 4)},
			"y = RMSNormalization(x, g) axis=-1 epsilon=1e-05",
		},
	} {
		g := graphSpec{nodes: []message{c.node}, inputs: c.inputs, outputs: []message{message(nil).str(1, "y")}}
		if g.inputs == nil {
			g.inputs = []message{x}
		}
		if strings.HasPrefix(name, "Skip") {
			g.outputs = append(g.outputs, message(nil).str(1, "s"))
		}
		if d := cmp.Diff(c.want+"\n", lowered(t, modelMsg(24, g))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestMatMulNBits reads weights of two rows, 40 values in blocks of 16, back from their codes.
func TestMatMulNBits(t *testing.T) {
	const n, k, size, count = 2, 40, 16, 3
	codes := make([]byte, n*count*size/2)
	var scales []float32
	zeros := make([]byte, n*2)
	want := make([]float32, n*k)
	for r := range n {
		for j := range count {
			scale, zero := float32(1+r+2*j)/4, (3*r+5*j)%16
			scales = append(scales, scale)
			zeros[2*r+j/2] |= byte(zero) << (j % 2 * 4)
			for i := range size {
				code := (7*i + j + r) % 16
				codes[(r*count+j)*size/2+i/2] |= byte(code) << (i % 2 * 4)
				if at := j*size + i; at < k {
					want[r*k+at] = float32(code-zero) * scale
				}
			}
		}
	}
	p, err := decodeModel(modelMsg(21, graphSpec{
		nodes: []message{msNode("MatMulNBits", []string{"x", "q", "s", "z"}, []string{"y"}, attrInt("K", k), attrInt("N", n), attrInt("block_size", size), attrInt("bits", 4))},
		inits: []message{
			tensorMsg("q", 2, codes, n, count, size/2), tensorMsg("s", 1, float32s(scales...), n*count), tensorMsg("z", 2, zeros, n*2),
		},
		inputs:  []message{valueMsg("x", 1, 5, k)},
		outputs: []message{valueMsg("y", 1, 5, n)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	g, err := (&Report{}).lower(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := g.Init[g.Nodes[0].Inputs[0]].Loaded()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, w.F32()); d != "" {
		t.Error(d)
	}
}

// TestNarrow checks constants of 2 and 4 bits, which become I8 and U8.
func TestNarrow(t *testing.T) {
	for name, c := range map[string]struct {
		dtype int64
		raw   []byte
		want  []int8
		is    tensor.DType
	}{
		"INT4":  {22, []byte{0x8f, 0x07}, []int8{-1, -8, 7}, tensor.I4},
		"UINT4": {21, []byte{0x8f, 0x07}, []int8{15, 8, 7}, tensor.U4},
		"INT2":  {26, []byte{0b00_01_10_11}, []int8{-1, -2, 1}, tensor.I2},
		"UINT2": {25, []byte{0b00_01_10_11}, []int8{3, 2, 1}, tensor.U2},
	} {
		g := graphSpec{
			nodes:   []message{nodeMsg("DequantizeLinear", "n", []string{"w", "s"}, []string{"y"})},
			inits:   []message{tensorMsg("w", c.dtype, c.raw, 3), tensorMsg("s", 1, float32s(1))},
			outputs: []message{valueMsg("y", 1, 3)},
		}
		p, err := decodeModel(modelMsg(25, g))
		if err != nil {
			t.Fatal(err)
		}
		out, err := (&Report{}).lower(p, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w, err := out.Init["w"].Loaded()
		if err != nil || w.DType != c.is {
			t.Errorf("%s: %v, %v", name, w, err)
			continue
		}
		for i, v := range tensor.View[int8](&tensor.Tensor{DType: tensor.I8, Data: w.Data}) {
			if v != c.want[i] {
				t.Errorf("%s: element %d is %d, want %d", name, i, v, c.want[i])
			}
		}
		g.inits[0] = tensorMsg("w", c.dtype, append(c.raw, 0, 0), 3)
		if _, _, err := importBytes(modelMsg(25, g), Options{}); err == nil {
			t.Errorf("%s with too many bytes gives no error", name)
		}
	}
}
