package model

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/tensor"
)

// SplitQuantized is the inverse of FuseQuantized, for other runtimes, which want float operators between DequantizeLinear and
// QuantizeLinear: it takes operators on bytes apart. The weights of dsk.Conv and dsk.Linear are then what a DequantizeLinear
// along axis 0 makes of constants. The graph must have types; it is changed in place.
func SplitQuantized(g *Graph) error {
	s := &splitter{g: g, consts: map[string]string{}}
	changed := false
	for _, n := range g.Nodes {
		before := len(s.out)
		s.split(n)
		changed = changed || len(s.out) != before+1 || s.out[before] != n
	}
	if !changed {
		return nil
	}
	g.Nodes = s.out
	dropUnusedInits(g)
	return g.Infer()
}

type splitter struct {
	g      *Graph
	out    []*Node
	consts map[string]string // names of scales and zero points, by value
}

func (s *splitter) name(base string) string {
	name := base
	for i := 1; s.g.defines(name) || s.g.Init[name] != nil; i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	return name
}

// value names a new value.
func (s *splitter) value(base string, t Type) string {
	name := s.name(base)
	s.g.Types[name] = t
	return name
}

func (s *splitter) constant(base string, t *tensor.Tensor) string {
	key := fmt.Sprint(t.DType, t.Shape, t.Data)
	if s.consts[key] == "" {
		name := s.value(base, TypeOf(t))
		s.g.Init[name], s.consts[key] = t, name
	}
	return s.consts[key]
}

// levels returns the names of the scale and zero point that the attributes NAME_scale and NAME_zero hold.
func (s *splitter) levels(n *Node, name string) (scale, zero string) {
	return s.constant("scale", tensor.FromSlice([]float32{n.Float(name+"_scale", 0)})), s.constant("zero", tensor.FromSlice([]uint8{uint8(n.Int(name+"_zero", 0))}))
}

// float returns the numbers that bytes of n's operand NAME stand for.
func (s *splitter) float(n *Node, bytes, name string) string {
	scale, zero := s.levels(n, name)
	return s.dequantize(n, bytes, scale, zero)
}

func (s *splitter) dequantize(n *Node, bytes, scale, zero string) string {
	in := []string{bytes, scale, zero}
	if zero == "" {
		in = in[:2]
	}
	out := s.value(bytes+".float", Type{tensor.F32, s.g.Types[bytes].Shape})
	s.out = append(s.out, &Node{Op: "DequantizeLinear", Name: n.Name, Inputs: in, Outputs: []string{out}, Attrs: Attrs{"axis": IntAttr(0)}})
	return out
}

// finish adds f, which yields floats, and quantizes them if n yields bytes.
func (s *splitter) finish(n, f *Node) {
	for _, op := range []string{"x", "y", "z", "a", "b"} {
		delete(f.Attrs, op+"_scale")
		delete(f.Attrs, op+"_zero")
	}
	f.Outputs = n.Outputs
	if !n.Has("y_scale") {
		s.out = append(s.out, f)
		return
	}
	y := n.Outputs[0]
	coded := y
	if n.In(5) != "" && n.Op == "QConv" {
		coded = s.value(y+".levels", s.g.Types[y])
	}
	f.Outputs = []string{s.value(y+".value", Type{tensor.F32, s.g.Types[y].Shape})}
	scale, zero := s.levels(n, "y")
	s.out = append(s.out, f, &Node{Op: "QuantizeLinear", Name: n.Name, Inputs: []string{f.Outputs[0], scale, zero}, Outputs: []string{coded}, Attrs: Attrs{"axis": IntAttr(0)}})
	if coded != y {
		s.table(n, coded, n.In(5))
	}
}

// table looks bytes up by Gather.
func (s *splitter) table(n *Node, bytes, table string) {
	at := s.value(bytes+".index", Type{tensor.I32, s.g.Types[bytes].Shape})
	s.out = append(s.out,
		&Node{Op: "Cast", Name: n.Name, Inputs: []string{bytes}, Outputs: []string{at}, Attrs: Attrs{"to": IntAttr(ElemCode(tensor.I32))}},
		&Node{Op: "Gather", Name: n.Name, Inputs: []string{table, at}, Outputs: n.Outputs, Attrs: Attrs{"axis": IntAttr(0)}})
}

// split appends what takes the place of n.
func (s *splitter) split(n *Node) {
	if n.Domain != DomainDsk {
		s.out = append(s.out, n)
		return
	}
	f := n.Clone()
	switch n.Op {
	case "QConv":
		f.Op, f.Attrs["layout"] = "Conv", StringAttr(LayoutNHWC)
		f.Inputs = []string{s.float(n, n.In(0), "x"), s.dequantize(n, n.In(1), n.In(2), ""), n.In(3)}
		if n.In(4) != "" {
			f.Inputs = append(f.Inputs, s.float(n, n.In(4), "z"))
		}
	case "QLinear":
		f.Op = "Linear"
		x := ""
		if n.In(4) != "" {
			x = s.dequantize(n, n.In(0), n.In(4), n.In(5))
		} else {
			x = s.float(n, n.In(0), "x")
		}
		f.Inputs = []string{x, s.dequantize(n, n.In(1), n.In(2), ""), n.In(3)}
	case "QAdd", "QMul":
		f.Domain, f.Op = "", n.Op[1:]
		f.Inputs = []string{s.float(n, n.In(0), "a"), s.float(n, n.In(1), "b")}
		delete(f.Attrs, "activation")
		if n.Str("activation", ActNone) == ActRelu {
			sum := s.value(n.Outputs[0]+".sum", Type{tensor.F32, s.g.Types[n.Outputs[0]].Shape})
			f.Outputs = []string{sum}
			delete(f.Attrs, "activation")
			for _, op := range []string{"a", "b", "y"} {
				delete(f.Attrs, op+"_scale")
				delete(f.Attrs, op+"_zero")
			}
			s.out = append(s.out, f)
			f = &Node{Op: "Relu", Name: n.Name, Inputs: []string{sum}, Attrs: Attrs{}}
		}
	case "QAveragePool":
		f.Op, f.Inputs = "AveragePool", []string{s.float(n, n.In(0), "x")}
	case "QGlobalAveragePool":
		axes := s.constant("axes", tensor.FromSlice([]int64{1, 2}, 2))
		f.Domain, f.Op, f.Inputs, f.Attrs = "", "ReduceMean", []string{s.float(n, n.In(0), "x"), axes}, Attrs{"keepdims": IntAttr(1)}
	case "ByteTable":
		s.table(n, n.In(0), n.In(1))
		return
	default:
		s.out = append(s.out, n)
		return
	}
	for len(f.Inputs) > 1 && f.Inputs[len(f.Inputs)-1] == "" {
		f.Inputs = f.Inputs[:len(f.Inputs)-1]
	}
	s.finish(n, f)
}
