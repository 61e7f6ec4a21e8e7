package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// pointwise lists operators whose results depend on one element of each operand alone.
var pointwise = map[string]bool{
	"Abs": true, "Neg": true, "Exp": true, "Log": true, "Sqrt": true, "Reciprocal": true, "Floor": true, "Ceil": true, "Round": true,
	"Sign": true, "Erf": true, "Sin": true, "Cos": true, "Tan": true, "Tanh": true, "Sigmoid": true, "Relu": true, "LeakyRelu": true,
	"Elu": true, "Selu": true, "Celu": true, "HardSigmoid": true, "HardSwish": true, "Softplus": true, "Softsign": true, "Mish": true,
	"Swish": true, "Gelu": true, "ThresholdedRelu": true, "Shrink": true, "Identity": true, "PRelu": true, "Clip": true,
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Pow": true, "Min": true, "Max": true, "Sum": true, "Mean": true, "DequantizeLinear": true,
}

// byteTables makes dsk.ByteTable of whatever a QuantizeLinear yields as a function of one tensor of bytes: requantization,
// or activations of any make, with levels in between or without. What is the same bytes again takes no operator.
func (r *rewriter) byteTables() (int, error) {
	count := 0
	err := r.live(func(q *Node) error {
		if _, ok := r.levelsOf(q, "QuantizeLinear", tensor.U8); !ok {
			return nil
		}
		f := byteFunction{r: r}
		if !f.value(q.In(0), 0) || f.leaf == "" || f.rank > len(r.typeOf(f.leaf).Shape) {
			return nil
		}
		if f.nodes = append(f.nodes, q); r.o.Eval == nil && !f.requantizes() {
			return nil
		}
		table, err := f.table(q.Outputs[0])
		if err != nil || table == nil {
			return err
		}
		if changesNothing(table) && !r.kept[q.Outputs[0]] {
			r.replace([]*Node{q})
			r.renameUses(q.Outputs[0], f.leaf)
			count++
			return nil
		}
		name, err := r.addInit(q.Outputs[0]+".table", fmt.Sprint("table ", table.Data), func() (*tensor.Tensor, error) { return table, nil })
		if err != nil {
			return err
		}
		r.replace([]*Node{q}, &Node{Domain: DomainDsk, Op: "ByteTable", Name: q.Name, Inputs: []string{f.leaf, name}, Outputs: q.Outputs, Attrs: Attrs{}})
		count++
		return nil
	})
	return count, err
}

// byteFunction is an expression in one tensor of bytes.
type byteFunction struct {
	r     *rewriter
	leaf  string
	rank  int     // the most of a constant
	nodes []*Node // in order
}

// value reports whether a value is such an expression. The leaf is what no table makes.
func (f *byteFunction) value(name string, depth int) bool {
	r := f.r
	if _, ok := r.scalarConst(name); ok {
		f.rank = max(f.rank, len(r.constant(name).Shape))
		return true
	}
	n := r.maker[name]
	if n == nil || n.Domain != "" || !pointwise[n.Op] || len(n.Outputs) != 1 || depth > 16 || len(f.nodes) > 32 {
		return false
	}
	if slices.Contains(f.nodes, n) {
		return true
	}
	if leaf, _, ok := r.dequantized(name); ok {
		tables := []*Node{n}
		for m := r.maker[leaf]; m != nil && m.Is(DomainDsk, "ByteTable"); m = r.maker[leaf] {
			tables, leaf = append(tables, m), m.In(0)
		}
		if f.leaf != "" && f.leaf != leaf {
			return false
		}
		f.leaf = leaf
		slices.Reverse(tables)
		for _, m := range tables {
			if !slices.Contains(f.nodes, m) {
				f.nodes = append(f.nodes, m)
			}
		}
		return true
	}
	if n.Op == "DequantizeLinear" {
		return false
	}
	for _, in := range n.Inputs {
		if in != "" && !f.value(in, depth+1) {
			return false
		}
	}
	f.nodes = append(f.nodes, n)
	return true
}

// requantizes reports whether nothing but levels and tables are in the way.
func (f *byteFunction) requantizes() bool {
	return !slices.ContainsFunc(f.nodes, func(n *Node) bool {
		return !n.Is("", "DequantizeLinear") && !n.Is("", "QuantizeLinear") && !n.Is(DomainDsk, "ByteTable")
	})
}

// table computes the function of all bytes.
func (f *byteFunction) table(result string) (*tensor.Tensor, error) {
	all := tensor.New(tensor.U8, 256)
	for i := range all.Data {
		all.Data[i] = byte(i)
	}
	known := map[string]*tensor.Tensor{f.leaf: all}
	for _, n := range f.nodes {
		in := make([]*tensor.Tensor, len(n.Inputs))
		for i, name := range n.Inputs {
			switch {
			case name == "":
			case known[name] != nil:
				in[i] = known[name]
			case n.Domain == DomainDsk: // the table itself
			default:
				t, err := f.r.constant(name).Loaded()
				if err != nil {
					return nil, err
				}
				in[i] = t.Reshaped() // [1,1,1] would raise the rank
			}
		}
		out, err := f.evaluate(n, in)
		if err != nil || len(out) != 1 || out[0] == nil {
			return nil, err
		}
		known[n.Outputs[0]] = out[0]
	}
	t := known[result]
	if t.DType != tensor.U8 || t.Len() != 256 {
		return nil, nil
	}
	return t, nil
}

// changesNothing reports whether a table changes nothing, as for QuantizeLinear of DequantizeLinear with the same levels.
func changesNothing(table *tensor.Tensor) bool {
	for i, v := range table.Data {
		if int(v) != i {
			return false
		}
	}
	return true
}

// evaluate computes one node; levels by their definition, so that mere requantization needs no evaluator.
func (f *byteFunction) evaluate(n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error) {
	if l, ok := f.r.levelsOf(n, "DequantizeLinear", tensor.U8); ok {
		t := tensor.New(tensor.F32, 256)
		for i, q := range in[0].Data {
			t.F32()[i] = float32(int64(q)-l.zero) * l.scale
		}
		return []*tensor.Tensor{t}, nil
	}
	if l, ok := f.r.levelsOf(n, "QuantizeLinear", tensor.U8); ok {
		t := tensor.New(tensor.U8, 256)
		for i, v := range in[0].F32() {
			q := math.RoundToEven(float64(v / l.scale))
			if q != q {
				q = 0
			}
			t.Data[i] = uint8(min(max(q+float64(l.zero), 0), 255))
		}
		return []*tensor.Tensor{t}, nil
	}
	if n.Is(DomainDsk, "ByteTable") {
		t := tensor.New(tensor.U8, 256)
		for i, q := range in[0].Data {
			t.Data[i] = f.r.constant(n.In(1)).Data[q]
		}
		return []*tensor.Tensor{t}, nil
	}
	return f.r.o.Eval(n, in)
}
