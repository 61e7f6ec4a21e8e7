package model

import (
	"fmt"
	"slices"

	"github.com/dsk-toolkit/dsk/tensor"
)

// Graphs say what is quantized by QuantizeLinear and DequantizeLinear around operators on floats. These passes put
// operators on bytes in the place of both, after the layout of images is settled.
var quantPasses = []pass{
	{"unsigned-levels", true, (*rewriter).unsignedLevels},
	{"quantized-moves", true, (*rewriter).quantizedMoves},
	{"byte-tables", true, (*rewriter).byteTables},
	{"quantized-sums", true, (*rewriter).quantizedSums},
	{"quantized-means", true, (*rewriter).quantizedMeans},
}

// quantProducts run when the former have settled: only then it is known which products yield bytes.
var quantProducts = []pass{
	{"quantized-convs", true, (*rewriter).quantizedConvs},
	{"quantized-linears", true, (*rewriter).quantizedLinears},
	{"tables-of-convs", true, (*rewriter).tablesOfConvs},
}

// FuseQuantized makes operators on bytes of operators between DequantizeLinear and QuantizeLinear, and returns how many.
// The graph must have been through Rewrite; eval is as in RewriteOptions.
func FuseQuantized(g *Graph, eval func(n *Node, in []*tensor.Tensor) ([]*tensor.Tensor, error)) (int, error) {
	w := &rewrite{g: g, o: &RewriteOptions{Eval: eval}, derived: map[string]string{}}
	counts, err := w.quantize()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, c := range counts {
		total += c.Count
	}
	return total, g.Infer()
}

// quantize runs the passes above.
func (w *rewrite) quantize() ([]RewriteCount, error) {
	clean := []pass{{"dead-code", false, (*rewriter).deadCode}, {"common-nodes", false, (*rewriter).commonNodes}}
	var counts []RewriteCount
	run := func(list []pass) (int, error) {
		changed := 0
		for _, p := range list {
			n, err := w.run(p)
			if err != nil {
				return 0, err
			}
			i := slices.IndexFunc(counts, func(c RewriteCount) bool { return c.Pass == p.name })
			if i < 0 {
				i, counts = len(counts), append(counts, RewriteCount{Pass: p.name})
			}
			counts[i].Count += n
			changed += n
		}
		return changed, nil
	}
	for range maxRounds {
		n, err := run(slices.Concat(clean, quantPasses))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			continue
		}
		_, err = run(slices.Concat(quantProducts, clean[:1]))
		return counts, err
	}
	return nil, fmt.Errorf("quantizing graph %q does not end", w.g.Name)
}

// levels is a quantization of a whole tensor to or from bytes.
type levels struct {
	scale float32
	zero  int64
}

// set writes levels as the attributes NAME_scale and NAME_zero.
func (l levels) set(n *Node, name string) {
	n.Attrs[name+"_scale"], n.Attrs[name+"_zero"] = FloatAttr(l.scale), IntAttr(l.zero)
}

// levelsOf returns the quantization of a QuantizeLinear or DequantizeLinear whose bytes are of type dt.
func (r *rewriter) levelsOf(n *Node, op string, dt tensor.DType) (levels, bool) {
	if n == nil || !n.Is("", op) || n.Int("block_size", 0) != 0 {
		return levels{}, false
	}
	coded, float := n.In(0), n.Outputs[0]
	if op == "QuantizeLinear" {
		coded, float = float, coded
	}
	scale, ok := r.scalarConst(n.In(1))
	if !ok || r.typeOf(coded).DType != dt || r.typeOf(float).DType != tensor.F32 || !(scale > 1e-30) || scale > 1e30 {
		return levels{}, false
	}
	zero := 0.0
	if n.In(2) != "" {
		if zero, ok = r.scalarConst(n.In(2)); !ok {
			return levels{}, false
		}
	}
	return levels{float32(scale), int64(zero)}, true
}

// dequantized returns the bytes that a value is made of.
func (r *rewriter) dequantized(name string) (string, levels, bool) {
	m := r.maker[name]
	l, ok := r.levelsOf(m, "DequantizeLinear", tensor.U8)
	if !ok {
		return "", l, false
	}
	return m.In(0), l, true
}

// quantizedUser returns the QuantizeLinear that alone reads a value.
func (r *rewriter) quantizedUser(name string) (*Node, levels, bool) {
	q := r.soleUser(name)
	l, ok := r.levelsOf(q, "QuantizeLinear", tensor.U8)
	return q, l, ok
}

// value names a new value of a type.
func (r *rewriter) value(base string, t Type) string {
	name := r.unique(base)
	r.g.Types[name] = t
	return name
}

// bytesOf is a type's shape with elements of U8.
func bytesOf(t Type) Type { return Type{tensor.U8, t.Shape} }

// unsignedLevels makes I8 levels that only DequantizeLinear reads U8, which differ by 128.
func (r *rewriter) unsignedLevels() (int, error) {
	count := 0
	err := r.live(func(n *Node) error {
		l, ok := r.levelsOf(n, "QuantizeLinear", tensor.I8)
		if !ok || r.kept[n.Outputs[0]] || n.In(2) == "" {
			return nil
		}
		users := slices.Clone(r.users[n.Outputs[0]])
		for _, u := range users {
			if m, ok := r.levelsOf(u, "DequantizeLinear", tensor.I8); !ok || m != l || u.In(2) == "" {
				return nil
			}
		}
		zero, err := r.addInit(n.In(2)+".unsigned", fmt.Sprint("unsigned ", n.In(2)), func() (*tensor.Tensor, error) {
			return tensor.FromSlice([]uint8{uint8(l.zero + 128)}), nil
		})
		if err != nil {
			return err
		}
		for _, u := range append(users, n) {
			r.edit(u, func() {
				u.Inputs[2] = zero
				delete(u.Attrs, "output_dtype")
			})
		}
		r.g.Types[n.Outputs[0]] = bytesOf(r.typeOf(n.Outputs[0]))
		count++
		return nil
	})
	return count, err
}
