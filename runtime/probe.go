package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// probeType stands for an operand's element type in a probe: the one in question, or a fixed one.
type probeType byte

// Any other letter is F32.
const (
	anyType   probeType = 'T'
	int64Type probeType = 'I'
	boolType  probeType = 'B'
)

// probe is a set of operands that some operators take.
type probe struct {
	types  string // a probeType each
	shapes [][]int
}

// probes cover the operators' signatures; what an operator does not take it refuses.
var probes = []probe{
	{"T", [][]int{{1, 2, 4, 4}}}, {"T", [][]int{{1, 4}}}, {"T", [][]int{{4, 4}}}, {"T", [][]int{{1, 1, 3, 2}}}, {"T", [][]int{{}}},
	{"TT", [][]int{{2, 2}, {2, 2}}}, {"TTT", [][]int{{2, 2}, {2, 2}, {2, 2}}}, {"TTT", [][]int{{}, {}, {}}},
	{"TI", [][]int{{2, 2}, {2}}}, {"TI", [][]int{{2, 2}, {1}}}, {"TI", [][]int{{2, 2}, {}}}, {"TI", [][]int{{2, 2}, {4}}}, {"TI", [][]int{{2, 2}, {2, 2}}},
	{"TII", [][]int{{2, 2}, {1}, {1}}}, {"TB", [][]int{{4}, {4}}}, {"TII", [][]int{{1, 4, 4}, {2}, {2}}},
	{"TT", [][]int{{1, 2, 4, 4}, {2, 2, 1, 1}}}, {"TF", [][]int{{1, 2, 4, 4}, {1, 2, 2, 2}}}, {"TTI", [][]int{{1, 2, 4, 4}, {1, 4}, {1}}},
	{"TT", [][]int{{2, 2}, {2}}}, {"TTT", [][]int{{1, 2, 4, 4}, {2}, {2}}}, {"TTTTT", [][]int{{1, 2, 4, 4}, {2}, {2}, {2}, {2}}},
	{"BTT", [][]int{{2, 2}, {2, 2}, {2, 2}}}, {"TIT", [][]int{{2, 2}, {2, 2}, {2, 2}}}, {"TIT", [][]int{{2, 2}, {1, 1}, {1, 2}}},
	{"TFT", [][]int{{2, 2}, {}, {}}}, {"TTT", [][]int{{2, 2}, {1}, {2}}}, {"IIT", [][]int{{2}, {}, {2}}},
	{"TTT", [][]int{{3, 1, 2}, {1, 12, 2}, {1, 12, 3}}}, {"TTT", [][]int{{3, 1, 2}, {1, 9, 2}, {1, 9, 3}}}, {"TTT", [][]int{{3, 1, 2}, {1, 3, 2}, {1, 3, 3}}},
	{"TFTTFTFT", [][]int{{1, 2, 4, 4}, {}, {}, {2, 2, 1, 1}, {}, {}, {}, {}}}, {"TFTTFTFT", [][]int{{2, 2}, {}, {}, {2, 2}, {}, {}, {}, {}}},
	{"TTT", [][]int{{1, 2, 4, 4}, {1, 2, 4, 4}, {1, 2, 4, 4}}}, {"TTT", [][]int{{1, 2, 4, 4}, {4, 2}, {4, 2}}},
}

// probeTypes are the element types that are asked for.
var probeTypes = []tensor.DType{
	tensor.F32, tensor.F16, tensor.BF16, tensor.F64, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64, tensor.BOOL,
	tensor.I4, tensor.U4, tensor.I2, tensor.U2, tensor.F4E2M1, tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ, tensor.F8E8M0, tensor.STRING,
}

// ElementTypes returns the element types of the main operand for which the runtime has a kernel of the operator. They are found by
// binding: the operator is given operands of each type, in the shapes that operators take. The list of an operator
// with subgraphs, or whose attributes must fit each other, is empty.
func ElementTypes(domain, op string) []tensor.DType {
	var out []tensor.DType
	pool := kernels.NewPool(1)
	defer pool.Close()
	for _, dt := range probeTypes {
		for _, p := range probes {
			if p.binds(domain, op, dt, 0, pool) || p.binds(domain, op, dt, 1, pool) {
				out = append(out, dt)
				break
			}
		}
	}
	return out
}

// binds reports whether the operator takes the operands, whose integers are all fill.
func (p probe) binds(domain, op string, dt tensor.DType, fill int64, pool *kernels.Pool) bool {
	n := &model.Node{Domain: domain, Op: op, Name: op, Outputs: []string{"y"}, Attrs: model.Attrs{
		"to": model.IntAttr(model.ElemCode(tensor.F32)), "kernel_shape": model.IntsAttr(1, 1), "hidden_size": model.IntAttr(3),
		"equation": model.StringAttr("ij->i"), "blocksize": model.IntAttr(1), "size": model.IntAttr(1),
	}}
	if op == "BitCast" {
		n.Attrs["to"] = model.IntAttr(model.ElemCode(dt))
	}
	c := &model.Inference{Node: n}
	var in []*tensor.Tensor
	used := false
	for i, shape := range p.shapes {
		t := tensor.New(tensor.F32, shape...)
		switch probeType(p.types[i]) {
		case anyType:
			t, used = tensor.New(dt, shape...), true
		case int64Type:
			t = tensor.New(tensor.I64, shape...)
			for k := range t.I64() {
				t.I64()[k] = fill
			}
		case boolType:
			t = tensor.New(tensor.BOOL, shape...)
		}
		in = append(in, t)
		n.Inputs = append(n.Inputs, string(rune('a'+i)))
		c.In = append(c.In, model.TypeOf(t))
		c.Val = append(c.Val, t)
		c.Sym = append(c.Sym, nil)
	}
	if !used {
		return false
	}
	return guard(func() error {
		if err := model.InferNode(c); err != nil {
			return err
		}
		o := &tensor.Tensor{DType: c.Out[0].DType}
		if shape, ok := c.Out[0].Static(); ok {
			o.Shape = shape
		}
		constant := make([]bool, len(in))
		for i := range constant {
			constant[i] = true
		}
		_, err := bindNode(newBind(n, in, []*tensor.Tensor{o}, pool, constant, &scope{}))
		return err
	}) == nil
}
