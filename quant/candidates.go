package quant

import (
	"fmt"

	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// candidate is a weight matrix that can be quantized: n rows (outputs) of k weights.
type candidate struct {
	name string
	t    *tensor.Tensor
	n, k int
	// importance weighs the columns: the mean square of the activation that meets them. nil = flat.
	importance []float32
	// feedback is the second moment of those activations, measured or estimated. nil = go by importance.
	feedback *kernels.Feedback
	bias     string         // the constant that can be moved with the weights (findBiases); "" = none
	mean     []float64      // of the inputs, if the bias takes up the errors' mean; else nil
	shift    []float64      // what the bias takes up beside that; nil = nothing
	basis    string         // what the quantization goes by, for the report
	target   []float32      // rows to quantize in place of the tensor's
	blocks   map[int][]byte // by width: made before, kept while there is room
	options  []option       // widths by falling bytes; measured for the adaptive strategy
	sens     float64        // loss caused by a relative error of 1
	shown    int64          // rows of its inputs in the calibration
	crowded  bool           // there was no room for the second moment of its inputs
	power    float64        // what errors of the product, in the metric of cost, are relative to
	energy   float64        // sum of the weights' squares
	choice   option
	why      string
	rms      float64 // of the weights, for even steps; 0: not known yet
	pending  bool    // stays wide while the products before it are quantized in sequence
}

// size returns the bytes of the candidate in a width.
func (c *candidate) size(bits int) int64 {
	n, err := tensor.ByteSize(dtypeOf(bits), c.t.Shape, tensor.Panel16)
	if err != nil {
		panic("quant: " + err.Error()) // the float panels have more bytes, and exist
	}
	return int64(n)
}

// option is one width for a candidate.
type option struct {
	bits  int
	bytes int64
	err   float64 // relative weighted squared error
	plain float64 // relative squared error of the weights themselves
}

// findCandidates collects, in graph order, the constants that are read only as the weights of
// products, or as tables of rows.
func (q *quantizer) findCandidates() {
	g := q.m.Graph
	fit := map[string]bool{}
	seen := map[string]bool{}
	var order []string
	var visit func(nodes []*model.Node)
	visit = func(nodes []*model.Node) {
		for _, n := range nodes {
			for i, name := range n.Inputs {
				if g.Init[name] == nil {
					continue
				}
				ok := takesBlocks(n, i)
				if !seen[name] {
					seen[name], fit[name] = true, ok
					order = append(order, name)
				}
				fit[name] = fit[name] && ok
			}
			for _, sub := range n.Subgraphs() {
				visit(sub.Nodes)
			}
		}
	}
	visit(g.Nodes)
	for _, name := range order {
		t := g.Init[name]
		if !fit[name] || len(t.Shape) < 2 || t.Layout != tensor.Panel16 {
			continue
		}
		n, k := tensor.Matrix(t.Shape)
		if n == 0 || k == 0 {
			continue
		}
		q.candidates = append(q.candidates, &candidate{name: name, t: t, n: n, k: k})
	}
}

// takesBlocks reports whether operand i of n may be a quantized matrix.
func takesBlocks(n *model.Node, i int) bool {
	switch {
	case model.ProductWeight(n, i):
		return n.Op != "Conv" || n.Int("group", 1) == 1
	case n.Is("", "Gather"):
		return i == 0 && n.Int("axis", 0) == 0
	}
	return false
}

// rows reads the candidate's rows [lo, hi) as float32 into dst, row by row.
func (c *candidate) rows(dst []float32, lo, hi int) {
	if c.target != nil {
		copy(dst, c.target[lo*c.k:hi*c.k])
		return
	}
	for r := lo; r < hi; r++ {
		row := dst[(r-lo)*c.k : (r-lo+1)*c.k]
		if c.t.DType.IsQuantized() {
			kernels.DequantizeRow(row, c.t.Data, c.t.DType.Format(), c.t.Levels, r, c.k)
		} else {
			kernels.PanelRowF32(row, kernels.Weights{Kind: floatKind(c.t.DType), N: c.n, K: c.k, Data: c.t.Data}, r)
		}
	}
}

func floatKind(dt tensor.DType) kernels.Kind {
	switch dt {
	case tensor.F32:
		return kernels.KindF32
	case tensor.F16:
		return kernels.KindF16
	case tensor.BF16:
		return kernels.KindBF16
	}
	panic(fmt.Sprintf("quant: %v is no float panel type", dt))
}
