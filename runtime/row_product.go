package runtime

import (
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// rowProduct multiplies rows of activations with an N x K weight matrix:
//
//	dst[i,n] = act(sum_k x[i,k] w[n,k] + bias[n])
//
// Constant weights go through kernels.MatMul as they lie in the file, or packed when the operator
// is bound; weights that another node computes are read in row-major order at each run.
type rowProduct struct {
	n, k  int
	fixed *kernels.MatMul
	w     *tensor.Tensor // F32[n,k], if the weights are not constant
	bias  *tensor.Tensor // if it is not part of fixed
	act   kernels.Activation
	wide  bool // activations stay floats, even where the weights are quantized
}

// floatActs reports whether a node's activations must not be quantized: its attribute act_bits is 32.
func floatActs(b *Bind) bool { return b.Node.Int("act_bits", 8) == 32 }

// weightPanels returns a constant tensor as an n x k matrix in panels; row-major floats are packed,
// element (r, c) being number r*rowStride + c*colStride.
func weightPanels(b *Bind, t *tensor.Tensor, n, k, rowStride, colStride int) (kernels.Weights, error) {
	w := kernels.Weights{N: n, K: k}
	switch {
	case t.DType == tensor.F32:
		w.Kind = kernels.KindF32
	case t.DType == tensor.F16:
		w.Kind = kernels.KindF16
	case t.DType == tensor.BF16:
		w.Kind = kernels.KindBF16
	case t.DType.IsQuantized():
		w.Kind, w.Levels = kernels.KindD8+kernels.Kind(t.DType-tensor.D8), t.Levels
		if t.Levels == nil && t.DType != tensor.D8 {
			return w, b.errorf("quantized weights without levels")
		}
		if t.Levels != nil {
			if err := t.Levels.Check(t.DType.Format()); err != nil {
				return w, b.errorf("levels of the weights: %w", err)
			}
		}
	default:
		return w, b.unsupportedType(t.DType)
	}
	if t.Layout == tensor.Panel16 {
		if rowStride != k || colStride != 1 {
			return w, b.errorf("weights in panels cannot be transposed")
		}
		if rows, cols := tensor.Matrix(t.Shape); rows != n || cols != k {
			return w, b.errorf("weights in panels hold a %d x %d matrix, want %d x %d", rows, cols, n, k)
		}
		if len(t.Data) != t.Bytes() {
			return w, b.errorf("weights have %d bytes, want %d", len(t.Data), t.Bytes())
		}
		w.Data = t.Align().Data
		return w, nil
	}
	if t.DType.IsQuantized() {
		return w, b.errorf("quantized weights must lie in panels")
	}
	w.Data = tensor.AlignedBytes(kernels.Panels(n) * kernels.PanelRows * k * t.DType.Size())
	if len(w.Data) == 0 {
		return w, nil
	}
	packed := tensor.Tensor{DType: t.DType, Data: w.Data}
	if t.DType == tensor.F32 {
		kernels.PackPanel16(packed.F32(), t.F32(), n, k, rowStride, colStride)
	} else {
		kernels.PackPanel16U16(tensor.View[uint16](&packed), tensor.View[uint16](t), n, k, rowStride, colStride)
	}
	return w, nil
}

// weightFloats returns a constant n x k matrix of weights in any layout and type as row-major F32.
func weightFloats(b *Bind, t *tensor.Tensor, n, k int) ([]float32, error) {
	if t.Layout == tensor.RowMajor && t.DType == tensor.F32 {
		return t.F32(), nil
	}
	out := make([]float32, n*k)
	if t.Layout == tensor.RowMajor && t.DType.IsFloat() {
		loadF32(out, t)
		return out, nil
	}
	w, err := weightPanels(b, t, n, k, k, 1)
	if err != nil || k == 0 {
		return out, err
	}
	for r := range n {
		row := out[r*k : (r+1)*k]
		if f := w.Kind.Format(); f != 0 {
			kernels.DequantizeRow(row, w.Data, f, w.Levels, r, k)
		} else {
			kernels.PanelRowF32(row, w, r)
		}
	}
	return out, nil
}

// newRowProduct binds the weights in input wi, row-major or in panels, and the optional bias in input
// bi, with the given pool (nil to compute on the calling goroutine).
func newRowProduct(b *Bind, pool *kernels.Pool, wi, bi, n, k int, act kernels.Activation) (*rowProduct, error) {
	p := &rowProduct{n: n, k: k, act: act, wide: floatActs(b)}
	w := b.In[wi]
	if b.Has(bi) {
		if err := needShape(b, "the bias", b.In[bi], n); err != nil {
			return nil, err
		}
		if b.In[bi].DType != tensor.F32 {
			return nil, b.unsupportedType(b.In[bi].DType)
		}
		p.bias = b.In[bi]
	}
	if !b.IsConst(wi) {
		if w.DType != tensor.F32 || w.Layout != tensor.RowMajor {
			return nil, b.errorf("weights that are computed must be F32 in row-major layout, not %v", w)
		}
		p.w = w
		return p, nil
	}
	panels, err := weightPanels(b, w, n, k, k, 1)
	if err != nil {
		return nil, err
	}
	p.fix(pool, panels, b.IsConst(bi))
	return p, nil
}

// fix makes the product one of constant weights.
func (p *rowProduct) fix(pool *kernels.Pool, w kernels.Weights, constBias bool) {
	newMatMul := kernels.NewMatMul
	if p.wide {
		newMatMul = kernels.NewMatMulFloat
	}
	switch {
	case p.bias == nil:
		p.fixed = newMatMul(pool, w, nil, p.act)
		p.act = kernels.Activation{}
	case constBias:
		p.fixed = newMatMul(pool, w, p.bias.F32(), p.act)
		p.bias, p.act = nil, kernels.Activation{}
	default:
		p.fixed = newMatMul(pool, w, nil, kernels.Activation{})
	}
}

func (p *rowProduct) scratchBytes(rows int) int {
	if p.fixed != nil {
		return p.fixed.ScratchBytes(rows)
	}
	return kernels.GemmScratchBytes(p.n, p.k)
}

// run computes all rows; the caller sees to it that dst, x and scratch are long enough.
func (p *rowProduct) run(dst []float32, ldd int, x []float32, ldx, rows int, scratch []byte) {
	if rows == 0 || p.n == 0 {
		return
	}
	if p.fixed != nil {
		p.fixed.Run(dst, ldd, x, ldx, rows, scratch)
	} else {
		kernels.Gemm(dst, ldd, x, ldx, p.w.F32(), p.k, true, rows, p.n, p.k, scratch)
	}
	p.epilogue(dst, ldd, rows)
}

// runQuantized is run for rows that kernels.QuantizeRow has made; the weights are constant and quantized.
func (p *rowProduct) runQuantized(dst []float32, ldd int, rows []byte, n int, scratch []byte) {
	p.fixed.RunQuantized(dst, ldd, rows, n, scratch)
	p.epilogue(dst, ldd, n)
}

func (p *rowProduct) epilogue(dst []float32, ldd, rows int) {
	if p.bias == nil && p.act.Kind == kernels.ActNone {
		return
	}
	for i := range rows {
		row := dst[i*ldd : i*ldd+p.n]
		if p.bias != nil {
			kernels.Add(row, row, p.bias.F32())
		}
		if p.act.Kind != kernels.ActNone {
			kernels.Activate(row, row, p.act)
		}
	}
}

var activationKinds = map[string]kernels.ActKind{
	model.ActNone: kernels.ActNone, model.ActRelu: kernels.ActRelu, model.ActLeakyRelu: kernels.ActLeakyRelu,
	model.ActClip: kernels.ActClip, model.ActSigmoid: kernels.ActSigmoid, model.ActTanh: kernels.ActTanh,
	model.ActSwish: kernels.ActSwish, model.ActHardSwish: kernels.ActHardSwish, model.ActGelu: kernels.ActGelu,
	model.ActGeluTanh: kernels.ActGeluTanh,
}

// fusedActivation reads the attributes activation and activation_params.
func fusedActivation(b *Bind) (kernels.Activation, error) {
	name := b.Node.Str("activation", "")
	kind, ok := activationKinds[name]
	if !ok {
		return kernels.Activation{}, b.errorf("unknown activation %q", name)
	}
	act := kernels.Activation{Kind: kind}
	params := b.Node.Floats("activation_params")
	want := 0
	switch kind {
	case kernels.ActLeakyRelu:
		want = 1
	case kernels.ActClip:
		want = 2
	}
	if len(params) != want {
		return act, b.errorf("activation %s takes %d parameters, got %d", name, want, len(params))
	}
	if want > 0 {
		act.Alpha = params[0]
	}
	if want > 1 {
		act.Beta = params[1]
	}
	return act, nil
}
