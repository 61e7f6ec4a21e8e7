package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/tensor"
)

// parseType reads "F32[batch,3,?]", the form that Type.String writes; "" is an absent input.
func parseType(s string) Type {
	if s == "" {
		return Type{}
	}
	name, rest, _ := strings.Cut(s, "[")
	dt, err := tensor.ParseDType(name)
	if err != nil {
		panic(err)
	}
	rest = strings.TrimSuffix(rest, "]")
	t := Type{DType: dt, Shape: []Dim{}}
	switch rest {
	case "...":
		t.Shape = nil
		return t
	case "":
		return t
	}
	for _, d := range strings.Split(rest, ",") {
		if n, err := strconv.Atoi(d); err == nil {
			t.Shape = append(t.Shape, Known(n))
		} else if d == "?" {
			t.Shape = append(t.Shape, Unknown)
		} else {
			t.Shape = append(t.Shape, Sym(d))
		}
	}
	return t
}

// ints is a constant integer vector as an input of a case, one a scalar.
type ints []int64
type one int64
type floats []float32

// inferCase is a node, its inputs (types as strings, or constants) and what must come out: the
// outputs' types, or a piece of the error.
type inferCase struct {
	op    string
	attrs Attrs
	in    []any
	want  []string
	err   string
}

func inference(c inferCase, outputs int) *Inference {
	op, domain := c.op, ""
	if d, o, ok := strings.Cut(op, "."); ok {
		domain, op = d, o
	}
	n := &Node{Domain: domain, Op: op, Name: "n", Attrs: c.attrs}
	x := &Inference{Node: n}
	for i, a := range c.in {
		var t Type
		var v *tensor.Tensor
		switch a := a.(type) {
		case string:
			t = parseType(a)
		case ints:
			v = tensor.FromSlice([]int64(a), len(a))
		case one:
			v = tensor.FromSlice([]int64{int64(a)})
		case floats:
			v = tensor.FromSlice([]float32(a), len(a))
		}
		if v != nil {
			t = TypeOf(v)
		}
		name := fmt.Sprint("in", i)
		if t.DType == tensor.Invalid {
			name = ""
		}
		n.Inputs = append(n.Inputs, name)
		x.In, x.Val, x.Sym = append(x.In, t), append(x.Val, v), append(x.Sym, nil)
	}
	for i := range outputs {
		n.Outputs = append(n.Outputs, fmt.Sprint("out", i))
	}
	return x
}

func checkInfer(t *testing.T, cases []inferCase) {
	t.Helper()
	for _, c := range cases {
		x := inference(c, max(len(c.want), 1))
		err := InferNode(x)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s%v: error %v, want one with %q", c.op, c.in, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s%v: %v", c.op, c.in, err)
			continue
		}
		for i, w := range c.want {
			if got := x.Out[i].String(); got != w {
				t.Errorf("%s%v: output %d is %s, want %s", c.op, c.in, i, got, w)
			}
		}
	}
}

func TestInferElementwise(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "Relu", in: []any{"F32[batch,3]"}, want: []string{"F32[batch,3]"}},
		{op: "IsNaN", in: []any{"F32[2]"}, want: []string{"BOOL[2]"}},
		{op: "Cast", attrs: Attrs{"to": IntAttr(10)}, in: []any{"F32[2,?]"}, want: []string{"F16[2,?]"}},
		{op: "Cast", attrs: Attrs{"to": IntAttr(14)}, in: []any{"F32[2]"}, err: "element type 14"},
		{op: "Add", in: []any{"F32[batch,1,4]", "F32[3,1]"}, want: []string{"F32[batch,3,4]"}},
		{op: "Add", in: []any{"F32[a,4]", "F32[b,4]"}, want: []string{"F32[?,4]"}},
		{op: "Add", in: []any{"F32[a,4]", "F32[7,4]"}, want: []string{"F32[7,4]"}},
		{op: "Add", in: []any{"F32[...]", "F32[7,4]"}, want: []string{"F32[...]"}},
		{op: "Add", in: []any{"F32[2,3]", "F32[2,4]"}, err: "dimensions 3 and 4 differ"},
		{op: "Add", in: []any{"F32[2]", "I64[2]"}, err: "different element types"},
		{op: "Pow", in: []any{"F32[2]", "I64[]"}, want: []string{"F32[2]"}},
		{op: "Max", in: []any{"F32[2,1]", "F32[1,3]", "F32[]"}, want: []string{"F32[2,3]"}},
		{op: "Equal", in: []any{"I64[2,1]", "I64[3]"}, want: []string{"BOOL[2,3]"}},
		{op: "Where", in: []any{"BOOL[4,1]", "F32[3]", "F32[]"}, want: []string{"F32[4,3]"}},
		{op: "Where", in: []any{"F32[4,1]", "F32[3]", "F32[]"}, err: "want BOOL"},
		{op: "Clip", in: []any{"F32[2]", "", "F32[]"}, want: []string{"F32[2]"}},
		{op: "PRelu", in: []any{"F32[2,3]", "F32[4,2,3]"}, err: "does not broadcast"},
		{op: "Dropout", in: []any{"F32[2]"}, want: []string{"F32[2]", "BOOL[2]"}},
		{op: "Relu", in: []any{""}, err: "input 0 is missing"},
		{op: "Nonsense", in: []any{"F32[2]"}, err: "unknown operator"},
	})
}

func TestInferShape(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "Shape", attrs: Attrs{"start": IntAttr(-2)}, in: []any{"F32[batch,3,4]"}, want: []string{"I64[2]"}},
		{op: "Size", in: []any{"F32[batch,3]"}, want: []string{"I64[]"}},
		{op: "Reshape", in: []any{"F32[batch,seq,768]", ints{0, 0, 12, 64}}, want: []string{"F32[batch,seq,12,64]"}},
		{op: "Reshape", in: []any{"F32[batch,seq,768]", ints{0, -1, 12, 64}}, want: []string{"F32[batch,seq,12,64]"}},
		{op: "Reshape", in: []any{"F32[2,3,4]", ints{-1, 6}}, want: []string{"F32[4,6]"}},
		{op: "Reshape", in: []any{"F32[batch,4]", ints{-1, 2}}, want: []string{"F32[batch*2,2]"}},
		{op: "Reshape", in: []any{"F32[2,3]", "I64[3]"}, want: []string{"F32[?,?,?]"}},
		{op: "Reshape", in: []any{"F32[0,3]", ints{3, 0}}, attrs: Attrs{"allowzero": IntAttr(1)}, want: []string{"F32[3,0]"}},
		{op: "Reshape", in: []any{"F32[2,3]", ints{4, -1}}, err: "6 elements do not divide by 4"},
		{op: "Reshape", in: []any{"F32[2,3]", ints{7}}, err: "cannot reshape F32[2,3] (6 elements) to [7] (7 elements)"},
		{op: "Flatten", in: []any{"F32[batch,3,4]"}, want: []string{"F32[batch,12]"}},
		{op: "Flatten", attrs: Attrs{"axis": IntAttr(0)}, in: []any{"F32[2,3]"}, want: []string{"F32[1,6]"}},
		{op: "Squeeze", in: []any{"F32[1,3,1]"}, want: []string{"F32[3]"}},
		{op: "Squeeze", in: []any{"F32[batch,3,1]", ints{-1}}, want: []string{"F32[batch,3]"}},
		{op: "Squeeze", in: []any{"F32[2,3]", ints{0}}, err: "cannot squeeze dimension 0"},
		{op: "Unsqueeze", in: []any{"F32[a,b]", ints{0, -1}}, want: []string{"F32[1,a,b,1]"}},
		{op: "Transpose", in: []any{"F32[a,2,3]"}, want: []string{"F32[3,2,a]"}},
		{op: "Transpose", attrs: Attrs{"perm": IntsAttr(1, 1)}, in: []any{"F32[2,3]"}, err: "named twice"},
		{op: "Concat", attrs: Attrs{"axis": IntAttr(-1)}, in: []any{"F32[a,2]", "F32[5,3]"}, want: []string{"F32[5,5]"}},
		{op: "Concat", attrs: Attrs{"axis": IntAttr(1)}, in: []any{"F32[1,past]", "F32[1,seq]"}, want: []string{"F32[1,past+seq]"}},
		{op: "Concat", attrs: Attrs{"axis": IntAttr(0)}, in: []any{"F32[1,2]", "F32[1,3]"}, err: "dimension 1: 2 and 3 differ"},
		{op: "Split", attrs: Attrs{"num_outputs": IntAttr(3)}, in: []any{"F32[7,2]"}, want: []string{"F32[3,2]", "F32[3,2]", "F32[1,2]"}},
		{op: "Split", attrs: Attrs{"axis": IntAttr(1)}, in: []any{"F32[a,6]", ints{2, 4}}, want: []string{"F32[a,2]", "F32[a,4]"}},
		{op: "Split", in: []any{"F32[5]", ints{2, 4}}, want: []string{"", ""}, err: "does not add up"},
		{op: "Expand", in: []any{"F32[3,1]", ints{2, 1, 4}}, want: []string{"F32[2,3,4]"}},
		{op: "Tile", in: []any{"F32[a,2]", ints{1, 3}}, want: []string{"F32[a,6]"}},
		{op: "Pad", in: []any{"F32[a,5]", ints{0, 1, 0, 2}}, want: []string{"F32[a,8]"}},
		{op: "Pad", in: []any{"F32[4,5]", ints{-1, -2}, "", ints{1}}, want: []string{"F32[4,2]"}},
		{op: "ConstantOfShape", in: []any{ints{2, 3}}, want: []string{"F32[2,3]"}},
		{op: "Range", in: []any{one(1), one(10), one(4)}, want: []string{"I64[3]"}},
		{op: "Range", in: []any{one(5), one(0), one(-2)}, want: []string{"I64[3]"}},
		{op: "Range", in: []any{one(5), one(0), one(2)}, want: []string{"I64[0]"}},
		{op: "Range", in: []any{one(5), one(0), one(0)}, err: "delta is 0"},
		{op: "DepthToSpace", attrs: Attrs{"blocksize": IntAttr(2)}, in: []any{"F32[a,8,3,4]"}, want: []string{"F32[a,2,6,8]"}},
		{op: "SpaceToDepth", attrs: Attrs{"blocksize": IntAttr(2)}, in: []any{"F32[a,2,3,4]"}, err: "does not divide"},
		{op: "EyeLike", attrs: Attrs{"dtype": IntAttr(7)}, in: []any{"F32[3,4]"}, want: []string{"I64[3,4]"}},
	})
}

func TestInferIndex(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "Slice", in: []any{"F32[10,a]", ints{2}, ints{-1}}, want: []string{"F32[7,a]"}},
		{op: "Slice", in: []any{"F32[10]", ints{-1}, ints{-100}, ints{0}, ints{-3}}, want: []string{"F32[4]"}},
		{op: "Slice", in: []any{"F32[a]", ints{0}, ints{1 << 62}}, want: []string{"F32[a]"}},
		{op: "Slice", in: []any{"F32[a]", ints{1}, ints{1 << 62}}, want: []string{"F32[?]"}},
		{op: "Slice", in: []any{"F32[5]", ints{7}, ints{9}}, want: []string{"F32[0]"}},
		{op: "Gather", attrs: Attrs{"axis": IntAttr(1)}, in: []any{"F32[a,4,b]", "I64[2,3]"}, want: []string{"F32[a,2,3,b]"}},
		{op: "Gather", in: []any{"D4[100,64]", "I64[seq]"}, want: []string{"F32[seq,64]"}},
		{op: "Gather", in: []any{"F32[3]", ints{3}}, err: "index 3 is out of range"},
		{op: "GatherElements", in: []any{"F32[3,4]", "I64[2,4]"}, want: []string{"F32[2,4]"}},
		{op: "GatherND", in: []any{"F32[2,3,4]", "I64[5,2]"}, want: []string{"F32[5,4]"}},
		{op: "GatherND", attrs: Attrs{"batch_dims": IntAttr(1)}, in: []any{"F32[2,3,4]", "I64[2,1]"}, want: []string{"F32[2,4]"}},
		{op: "ScatterND", in: []any{"F32[4,5]", "I64[2,1]", "F32[2,5]"}, want: []string{"F32[4,5]"}},
		{op: "ScatterND", in: []any{"F32[4,5]", "I64[2,1]", "F32[2,4]"}, err: "dimension 1: 5 and 4 differ"},
		{op: "ScatterElements", in: []any{"F32[4,5]", "I64[2,1]", "F32[2,1]"}, want: []string{"F32[4,5]"}},
		{op: "OneHot", in: []any{"I64[a,2]", one(7), "F32[2]"}, want: []string{"F32[a,2,7]"}},
		{op: "NonZero", in: []any{"F32[2,3]"}, want: []string{"I64[2,?]"}},
		{op: "TopK", in: []any{"F32[2,9]", ints{4}}, want: []string{"F32[2,4]", "I64[2,4]"}},
		{op: "TopK", in: []any{"F32[2,3]", ints{4}}, err: "k is 4"},
		{op: "Unique", in: []any{"F32[2,3]"}, want: []string{"F32[?]", "I64[?]", "I64[6]", "I64[?]"}},
		{op: "NonMaxSuppression", in: []any{"F32[1,6,4]", "F32[1,1,6]"}, want: []string{"I64[?,3]"}},
		{op: "Compress", attrs: Attrs{"axis": IntAttr(1)}, in: []any{"F32[2,3]", "BOOL[3]"}, want: []string{"F32[2,?]"}},
	})
}

func TestInferProducts(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "MatMul", in: []any{"F32[batch,1,4,5]", "F32[3,5,6]"}, want: []string{"F32[batch,3,4,6]"}},
		{op: "MatMul", in: []any{"F32[5]", "F32[3,5,6]"}, want: []string{"F32[3,6]"}},
		{op: "MatMul", in: []any{"F32[5]", "F32[5]"}, want: []string{"F32[]"}},
		{op: "MatMul", in: []any{"F32[2,5]", "F32[4,3]"}, err: "inner dimensions 5 and 4 differ"},
		{op: "Gemm", attrs: Attrs{"transA": IntAttr(1), "transB": IntAttr(1)}, in: []any{"F32[5,a]", "F32[6,5]", "F32[6]"}, want: []string{"F32[a,6]"}},
		{op: "Gemm", in: []any{"F32[4,5]", "F32[5,6]", "F32[4]"}, err: "cannot broadcast"},
		{op: "dsk.Linear", in: []any{"F32[batch,seq,64]", "D4[100,64]", "F32[100]"}, want: []string{"F32[batch,seq,100]"}},
		{op: "dsk.Linear", in: []any{"F32[batch,63]", "D4[100,64]"}, err: "inner dimensions 63 and 64 differ"},
		{op: "Einsum", attrs: Attrs{"equation": StringAttr("bhqd,bhkd->bhqk")}, in: []any{"F32[a,2,q,8]", "F32[a,2,k,8]"}, want: []string{"F32[a,2,q,k]"}},
		{op: "Einsum", attrs: Attrs{"equation": StringAttr("...ij,...jk")}, in: []any{"F32[a,3,4]", "F32[a,4,5]"}, want: []string{"F32[a,3,5]"}},
		{op: "Einsum", attrs: Attrs{"equation": StringAttr("ii->i")}, in: []any{"F32[3,3]"}, want: []string{"F32[3]"}},
		{op: "Einsum", attrs: Attrs{"equation": StringAttr("ij,jk->ik")}, in: []any{"F32[2,3]", "F32[4,5]"}, err: "3 and 4 differ"},
		{op: "MatMulInteger", in: []any{"U8[4,3]", "I8[3,2]"}, want: []string{"I32[4,2]"}},
		{op: "QLinearMatMul", in: []any{"U8[2,4]", "F32[]", "U8[]", "U8[4,3]", "F32[]", "U8[]", "F32[]", "I8[]"}, want: []string{"I8[2,3]"}},
	})
}

func TestInferWindows(t *testing.T) {
	k3 := Attrs{"kernel_shape": IntsAttr(3, 3), "strides": IntsAttr(2, 2)}
	ceil := Attrs{"kernel_shape": IntsAttr(3, 3), "strides": IntsAttr(2, 2), "ceil_mode": IntAttr(1)}
	checkInfer(t, []inferCase{
		{op: "Conv", in: []any{"F32[n,3,32,32]", "F32[8,3,5,5]"}, want: []string{"F32[n,8,28,28]"}},
		{op: "Conv", attrs: Attrs{"pads": IntsAttr(1, 1, 1, 1)}, in: []any{"F32[n,3,h,w]", "F32[8,3,3,3]"}, want: []string{"F32[n,8,h,w]"}},
		{op: "Conv", attrs: Attrs{"pads": IntsAttr(1, 1), "dilations": IntsAttr(2), "group": IntAttr(2)}, in: []any{"F32[n,4,9]", "F32[8,2,3]", "F32[8]"}, want: []string{"F32[n,8,7]"}},
		{op: "Conv", attrs: Attrs{"auto_pad": StringAttr("SAME_LOWER"), "strides": IntsAttr(2, 2)}, in: []any{"F32[1,3,7,8]", "F32[8,3,3,3]"}, want: []string{"F32[1,8,4,4]"}},
		{op: "Conv", in: []any{"F32[n,4,9,9]", "F32[8,3,3,3]"}, err: "has not the channels of the weight"},
		{op: "Conv", in: []any{"F32[n,3,2,9]", "F32[8,3,3,3]"}, err: "kernel 3 (dilation 1) is larger"},
		{op: "Conv", in: []any{"F32[n,3,9,9]", "F32[8,3,3,3]", "F32[7]"}, err: "bias"},
		{op: "dsk.Conv", in: []any{"F32[n,3,32,32]", "D8[8,5,5,3]", "", "F32[n,8,28,28]"}, want: []string{"F32[n,8,28,28]"}},
		{op: "ConvTranspose", attrs: Attrs{"strides": IntsAttr(2, 2), "pads": IntsAttr(1, 1, 1, 1), "output_padding": IntsAttr(1, 1), "group": IntAttr(2)},
			in: []any{"F32[n,4,5,6]", "F32[4,3,3,3]"}, want: []string{"F32[n,6,10,12]"}},
		{op: "ConvTranspose", attrs: Attrs{"output_shape": IntsAttr(10, 8), "strides": IntsAttr(3, 2)}, in: []any{"F32[1,1,3,3]", "F32[1,2,3,3]"}, want: []string{"F32[1,2,10,8]"}},
		{op: "MaxPool", attrs: k3, in: []any{"F32[n,3,32,31]"}, want: []string{"F32[n,3,15,15]", "I64[n,3,15,15]"}},
		{op: "MaxPool", attrs: ceil, in: []any{"F32[n,3,32,31]"}, want: []string{"F32[n,3,16,15]"}},
		// The last window of ceil_mode must not start in the padding after.
		{op: "AveragePool", attrs: Attrs{"kernel_shape": IntsAttr(1), "strides": IntsAttr(2), "ceil_mode": IntAttr(1)}, in: []any{"F32[1,1,2]"}, want: []string{"F32[1,1,1]"}},
		{op: "GlobalAveragePool", in: []any{"F32[n,8,h,w]"}, want: []string{"F32[n,8,1,1]"}},
		{op: "MaxPool", in: []any{"F32[n,8,4,4]"}, err: "kernel_shape is missing"},
		{op: "Col2Im", in: []any{"F32[n,12,9]", ints{5, 5}, ints{2, 3}}, want: []string{"F32[n,2,5,5]"}},
		{op: "DeformConv", in: []any{"F32[n,1,3,3]", "F32[4,1,2,2]", "F32[n,8,2,2]"}, want: []string{"F32[n,4,2,2]"}},
		{op: "RandomNormalLike", attrs: Attrs{"dtype": IntAttr(11)}, in: []any{"F32[n,3]"}, want: []string{"F64[n,3]"}},
		{op: "Multinomial", attrs: Attrs{"sample_size": IntAttr(5)}, in: []any{"F32[n,3]"}, want: []string{"I32[n,5]"}},
		{op: "ConvInteger", in: []any{"U8[1,1,3,3]", "U8[1,1,2,2]"}, want: []string{"I32[1,1,2,2]"}},
	})
}

func TestInferNormsAndReductions(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "BatchNormalization", in: []any{"F32[n,3,h]", "F32[3]", "F32[3]", "F32[3]", "F32[3]"}, want: []string{"F32[n,3,h]"}},
		{op: "BatchNormalization", in: []any{"F32[n,3,h]", "F32[3]", "F32[4]", "F32[3]", "F32[3]"}, err: "bias"},
		{op: "LayerNormalization", attrs: Attrs{"axis": IntAttr(1)}, in: []any{"F16[n,3,4]", "F16[3,4]"}, want: []string{"F16[n,3,4]", "F32[n,1,1]", "F32[n,1,1]"}},
		{op: "RMSNormalization", in: []any{"F32[n,s,64]", "F32[64]"}, want: []string{"F32[n,s,64]"}},
		{op: "RMSNormalization", in: []any{"F32[n,s,64]", "F32[63]"}, err: "input 1"},
		{op: "GroupNormalization", attrs: Attrs{"num_groups": IntAttr(3)}, in: []any{"F32[n,8,4]", "F32[8]", "F32[8]"}, err: "do not divide"},
		{op: "Softmax", attrs: Attrs{"axis": IntAttr(3)}, in: []any{"F32[n,s,64]"}, err: "axis 3 is out of range for rank 3"},
		{op: "ReduceMean", in: []any{"F32[n,3,4]", ints{-1, 1}}, want: []string{"F32[n,1,1]"}},
		{op: "ReduceSum", attrs: Attrs{"keepdims": IntAttr(0)}, in: []any{"F32[n,3,4]"}, want: []string{"F32[]"}},
		{op: "ReduceSum", attrs: Attrs{"noop_with_empty_axes": IntAttr(1)}, in: []any{"F32[n,3]", ints{}}, want: []string{"F32[n,3]"}},
		{op: "ReduceMax", in: []any{"F32[n,3]", "I64[1]"}, want: []string{"F32[?,?]"}},
		{op: "ArgMax", attrs: Attrs{"axis": IntAttr(-1), "keepdims": IntAttr(0)}, in: []any{"F32[n,3]"}, want: []string{"I64[n]"}},
		{op: "CumSum", in: []any{"F32[n,3]", one(1)}, want: []string{"F32[n,3]"}},
		{op: "QuantizeLinear", in: []any{"F32[n,3]", "F32[3]", "I8[3]"}, want: []string{"I8[n,3]"}},
		{op: "QuantizeLinear", in: []any{"F32[n,3]", "F32[2]"}, err: "scale"},
		{op: "DequantizeLinear", in: []any{"U8[n,3]", "F16[]"}, want: []string{"F16[n,3]"}},
		{op: "DynamicQuantizeLinear", in: []any{"F32[n,3]"}, want: []string{"U8[n,3]", "F32[]", "U8[]"}},
	})
}

func TestInferSequenceOperators(t *testing.T) {
	heads := Attrs{"q_num_heads": IntAttr(8), "kv_num_heads": IntAttr(2)}
	checkInfer(t, []inferCase{
		{op: "LSTM", attrs: Attrs{"hidden_size": IntAttr(5)}, in: []any{"F32[s,n,3]", "F32[1,20,3]", "F32[1,20,5]"},
			want: []string{"F32[s,1,n,5]", "F32[1,n,5]", "F32[1,n,5]"}},
		{op: "GRU", attrs: Attrs{"direction": StringAttr("bidirectional"), "layout": IntAttr(1)}, in: []any{"F32[n,s,3]", "F32[2,15,3]", "F32[2,15,5]"},
			want: []string{"F32[n,s,2,5]", "F32[n,2,5]"}},
		{op: "RNN", in: []any{"F32[s,n,3]", "F32[1,6,3]", "F32[1,5,5]"}, err: "dimension 1: 6 and 5 differ"},
		{op: "Attention", attrs: heads, in: []any{"F32[n,s,64]", "F32[n,t,16]", "F32[n,t,16]"}, want: []string{"F32[n,s,64]", "F32[n,2,t,8]", "F32[n,2,t,8]"}},
		{op: "Attention", in: []any{"F32[n,8,s,16]", "F32[n,2,t,16]", "F32[n,2,t,4]", "", "F32[n,2,p,16]", "F32[n,2,p,4]"},
			want: []string{"F32[n,8,s,4]", "F32[n,2,p+t,16]", "F32[n,2,p+t,4]", "F32[n,8,s,p+t]"}},
		{op: "Attention", in: []any{"F32[n,8,s,16]", "F32[n,3,t,16]", "F32[n,3,t,16]"}, err: "no multiple"},
		{op: "Attention", in: []any{"F32[n,s,16]", "F32[n,t,16]", "F32[n,t,16]"}, err: "q_num_heads"},
		{op: "RotaryEmbedding", attrs: Attrs{"num_heads": IntAttr(4)}, in: []any{"F32[n,s,64]", "F32[c,8]", "F32[c,8]", "I64[n,s]"}, want: []string{"F32[n,s,64]"}},
		{op: "TensorScatter", in: []any{"F32[n,100,64]", "F32[n,s,64]", "I64[n]"}, want: []string{"F32[n,100,64]"}},
		{op: "TensorScatter", in: []any{"F32[n,100,64]", "F32[n,s,63]"}, err: "dimension 2: 64 and 63 differ"},
	})
}

func TestInferResize(t *testing.T) {
	checkInfer(t, []inferCase{
		{op: "Resize", in: []any{"F32[n,3,4,5]", "", floats{1, 1, 2, 1.5}}, want: []string{"F32[n,3,8,7]"}},
		{op: "Resize", in: []any{"F32[n,3,4,5]", "", "", ints{1, 3, 9, 2}}, want: []string{"F32[1,3,9,2]"}},
		{op: "Resize", attrs: Attrs{"axes": IntsAttr(2, 3), "keep_aspect_ratio_policy": StringAttr("not_larger")},
			in: []any{"F32[n,3,4,6]", "", "", ints{8, 9}}, want: []string{"F32[n,3,6,9]"}},
		{op: "Resize", in: []any{"F32[n,3,4,5]"}, err: "either scales or sizes"},
		{op: "GridSample", in: []any{"F32[n,3,4,5]", "F32[n,7,8,2]"}, want: []string{"F32[n,3,7,8]"}},
		{op: "AffineGrid", in: []any{"F32[n,2,3]", ints{2, 3, 7, 8}}, want: []string{"F32[2,7,8,2]"}},
	})
}

// Dimension values pass through arithmetic, so that what exporters compute from Shape is known.
func TestInferValues(t *testing.T) {
	b := build(Value{"x", parseType("F32[batch,12,seq,64]")})
	b.node("s", "Shape", nil, "x")
	b.node("n", "Gather", nil, "s", b.ints("i0", 0))
	b.node("q", "Gather", nil, "s", b.ints("i2", 2))
	b.Init["twelve"] = tensor.FromSlice([]int64{12 * 64}, 1)
	b.node("t", "Concat", Attrs{"axis": IntAttr(0)}, "n", "q", "twelve")
	b.node("p", "Transpose", Attrs{"perm": IntsAttr(0, 2, 1, 3)}, "x")
	b.node("r", "Reshape", nil, "p", "t")
	// The pattern that torch writes for expand: Where(shape == -1, 1, shape).
	b.node("e", "Equal", nil, "t", b.ints("minus", -1))
	b.node("w", "Where", nil, "e", b.ints("ones", 1, 1, 1), "t")
	b.node("y", "Expand", nil, b.weight("c", 1), "w")
	b.node("double", "Mul", nil, "q", b.ints("two", 2))
	b.Init["zero"] = tensor.FromSlice([]int64{0})
	b.Init["step"] = tensor.FromSlice([]int64{1})
	b.node("d", "Squeeze", nil, "q", "i0")
	b.node("range", "Range", nil, "zero", "d", "step")
	b.node("cos", "ConstantOfShape", nil, "double")
	if err := b.Graph.Infer(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"r": "F32[batch,seq,768]", "y": "F32[batch,seq,768]", "range": "I64[seq]", "cos": "F32[seq*2]",
	} {
		if got := b.Types[name].String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestInferControl(t *testing.T) {
	scalar := func(name string, dt tensor.DType) Value { return Value{name, Type{dt, Dims()}} }
	body := &Graph{Name: "body",
		Inputs:  []Value{scalar("i", tensor.I64), scalar("cond", tensor.BOOL), {Name: "a"}, {Name: "grow"}},
		Outputs: []Value{{Name: "cond2"}, {Name: "a2"}, {Name: "grow2"}, {Name: "a2"}},
		Nodes: []*Node{
			{Op: "Identity", Inputs: []string{"cond"}, Outputs: []string{"cond2"}},
			{Op: "Add", Inputs: []string{"a", "captured"}, Outputs: []string{"a2"}},
			{Op: "Concat", Attrs: Attrs{"axis": IntAttr(0)}, Inputs: []string{"grow", "a"}, Outputs: []string{"grow2"}},
		}}
	b := build(in("x", 3), in("captured", 3))
	b.Init["trips"] = tensor.FromSlice([]int64{7})
	b.Init["yes"] = &tensor.Tensor{DType: tensor.BOOL, Shape: []int{}, Data: []byte{1}}
	b.Nodes = append(b.Nodes, &Node{Op: "Loop", Name: "loop", Inputs: []string{"trips", "yes", "x", "x"},
		Outputs: []string{"last", "grown", "all"}, Attrs: Attrs{"body": {Kind: AttrGraph, Graph: body}}})
	b.output("last", "grown", "all")
	if err := b.Graph.Infer(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"F32[3]", "F32[?]", "F32[7,3]"} {
		if got := b.Outputs[i].Type.String(); got != want {
			t.Errorf("output %s is %s, want %s", b.Outputs[i].Name, got, want)
		}
	}
	if got := body.Types["grow2"].String(); got != "F32[?]" {
		t.Errorf("in the body grow2 is %s", got)
	}

	step := &Graph{Name: "step", Inputs: []Value{{Name: "h"}, {Name: "e"}}, Outputs: []Value{{Name: "h2"}, {Name: "o"}},
		Nodes: []*Node{
			{Op: "Add", Inputs: []string{"h", "e"}, Outputs: []string{"h2"}},
			{Op: "Neg", Inputs: []string{"h2"}, Outputs: []string{"o"}},
		}}
	b = build(in("h0", 4), Value{"seq", parseType("F32[len,4]")})
	b.Nodes = append(b.Nodes, &Node{Op: "Scan", Inputs: []string{"h0", "seq"}, Outputs: []string{"h", "os"},
		Attrs: Attrs{"body": {Kind: AttrGraph, Graph: step}, "num_scan_inputs": IntAttr(1), "scan_output_axes": IntsAttr(1)}})
	b.output("h", "os")
	if err := b.Graph.Infer(); err != nil {
		t.Fatal(err)
	}
	if got := b.Outputs[1].Type.String(); got != "F32[4,len]" {
		t.Errorf("scan output is %s", got)
	}

	branch := func(op, out string, in ...string) Attr {
		return Attr{Kind: AttrGraph, Graph: &Graph{Name: op, Outputs: []Value{{Name: out}},
			Nodes: []*Node{{Op: op, Inputs: in, Outputs: []string{out}, Attrs: Attrs{"axis": IntAttr(0)}}}}}
	}
	b = build(in("x", 2, 3), scalar("c", tensor.BOOL))
	b.node("y", "If", Attrs{"then_branch": branch("Relu", "t", "x"), "else_branch": branch("Concat", "e", "x", "x")}, "c")
	if err := b.output("y").Graph.Infer(); err != nil {
		t.Fatal(err)
	}
	if got := b.Outputs[0].Type.String(); got != "F32[?,3]" {
		t.Errorf("If gives %s", got)
	}
}

func TestEinsumTerms(t *testing.T) {
	in, out, err := EinsumTerms("b...i, i j")
	if err != nil || !slices.Equal(in, []string{"b.i", "ij"}) || out != ".bj" {
		t.Errorf("%q %q %v", in, out, err)
	}
	for _, eq := range []string{"ij->kk", "i1->i", "......i->i", "ij->ijj"} {
		if _, _, err := EinsumTerms(eq); err == nil {
			t.Errorf("%q: no error", eq)
		}
	}
}
